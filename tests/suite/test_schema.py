"""The TOML surface: every key parses, and every mistake is told in the words of the file."""

import contextlib
import json
import re
import tomllib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel

from harness.errors import HarnessError, Mistakes
from harness.suite import budget, problems
from harness.suite.plugin_names import unknown_names
from harness.suite.read import find, parse, read
from harness.suite.schema import Suite

EVERY_KEY = """
name = "everything"
description = "Every key there is."
seeds = [0, 7]
predictors = "all"
save_predictors = true
tricks = ["mixup"]

[[strategies]]
name = "linear_probe"
label = "LP, no decay"
args = { weight_decay = 0.0 }
tricks = [{ name = "ema", args = { decay = 0.9 } }]

[budget]
trials = 4
steps = 100
batch_size = 32
prepare_trials = 2
sampler = "tpe"
pruner = "median"
evaluations = 8
patience = 3
precision = "bfloat16"
threads = 2
augment = { crop_scale = 0.5, shift = 0.1, rotate = 10, flip = true, jitter = 0.3 }

[limits]
timeout = 60
features = 2
memory = 2.5
device_headroom = 0.1
checkpoint = 10
accumulate = true
failures = 5
retries = 2
retry = ["oom", "failed"]

[report]
examples = false

[[backbones]]
model = "test_resnet"
label = "pretrained"
input_size = 32
compared = false
batch_norm = "frozen"
args = { drop_rate = 0.1 }

[backbones.weights]
source = "glyphs"
args = { size = 28 }
method = { name = "supervised", args = { held_back = 0.1 } }
rotations = true
seeds = 2
steps = 50
batch_size = 16
lr = 1e-2
weight_decay = 0
seed = 3
fit = "squash"

[[backbones]]
model = "conv4"
weights = { file = "path.safetensors" }

[[backbones]]
model = "resnet18"
weights = "hub"

[[backbones]]
model = "resnet34"
weights = "random"

[[problems]]
fit = "pad"
dataset = "digits"
label = "digits without labels"
args = {}
protocol = "adaptation"
groups = true
source = { dataset = "glyphs", args = { size = 28 }, rotations = true, groups = "font" }
shots = [10, "all"]
selection = "information"
val_fraction = 0.3
test_fraction = 0.1

[[problems]]
fit = "pad"
dataset = "digits"
label = "published digits"
protocol = "adaptation"
source = { dataset = "glyphs" }
splits = "target.json"
tests = [{ dataset = "usps" }]

[[problems]]
fit = "pad"
dataset = "digits"
label = "as in VTAB"
shots = "vtab1k"
groups = { file = "copies.csv" }
splits = "published.json"

[[problems]]
fit = "pad"
dataset = "digits"
label = "ten digits"
args = {}
protocol = "transfer"
shots = [5, "all"]
val_fraction = 0.25
val_shots = 3
test_fraction = 0.5
groups = "writer"
source = { dataset = "glyphs", args = { size = 28 }, rotations = true }

[[problems.tests]]
dataset = "arrays"
label = "corrupted"
args = { path = "data/corrupted.npz" }

[[problems]]
fit = "pad"
dataset = "folder"
args = { root = "data/omniglot" }
label = "characters"
groups = { pattern = '^([^_]+)_', shared = "refuse" }
protocol = "episodes"
ways = 10
shots = 1
queries = 5
episodes = 100
val_episodes = 20
source = { dataset = "glyphs" }

[[claims]]
left = "FT"
sign = "<"
right = "probe"
where = { problem = "characters", shots = 1, ways = 10, backbone = "a", test = "corrupted" }
source = "somebody et al."
"""

SMALLEST = {
    "name": "smallest",
    "strategies": ["linear_probe"],
    "backbones": [{"model": "conv4"}],
    "problems": [{"dataset": "digits"}],
}


def lines(table):
    """What is wrong with a table."""
    with pytest.raises(Mistakes) as caught:
        parse(table, "here")
    return caught.value.lines


def line(**changes):
    """The one thing that is wrong with the smallest suite when it is so changed."""
    (only,) = lines(SMALLEST | changes)
    return only


def parts(model):
    """A model and all models within it."""
    yield model
    for value in dict(model).values():
        for inner in value if isinstance(value, tuple) else (value,):
            if isinstance(inner, BaseModel):
                yield from parts(inner)


# ── what parses ───────────────────────────────────────────────────────────────────────────────


def test_every_key_can_be_given():
    suite = parse(tomllib.loads(EVERY_KEY), "here")
    given = {}
    for part in parts(suite):
        given.setdefault(type(part), set()).update(part.model_fields_set)
    given[budget.Budget].add("seconds")  # instead of trials
    given[problems.EpisodesProblem].add("tests")  # which it refuses in words
    assert given == {kind: set(kind.model_fields) for kind in given}
    assert {kind.__name__ for kind in given} == {
        "AdaptationProblem",
        "Suite",
        "AugmentSpec",
        "Budget",
        "Limits",
        "StrategySpec",
        "TrickSpec",
        "BackboneSpec",
        "MethodSpec",
        "ReportSpec",
        "SourceWeights",
        "FileWeights",
        "TransferProblem",
        "EpisodesProblem",
        "SourceSpec",
        "SourceDomain",
        "GroupsSpec",
        "FurtherTest",
        "Claim",
        "ClaimPlace",
    }


def test_most_keys_have_a_default():
    suite = parse(SMALLEST, "here")
    assert suite.seeds == (0, 1, 2)
    assert (suite.budget.trials, suite.budget.seconds) == (8, None)
    assert suite.backbones[0].weights == "hub"
    (problem,) = suite.problems
    assert (problem.protocol, problem.shots) == ("transfer", ("all",))


def test_seeds_are_a_list_or_added_where_they_are_needed():
    listed = parse(SMALLEST | {"seeds": [5, 6]}, "here")
    assert listed.every_seed == listed.seeds == (5, 6)
    added = parse(SMALLEST | {"seeds": {"from": 3, "to": 10, "margin": 1}}, "here")
    assert added.every_seed == tuple(range(10))
    written = added.model_dump(mode="json", exclude_none=True)
    assert written["seeds"] == {"from": 3, "to": 10, "margin": 1}
    assert parse(written, "here") == added
    plain = parse(SMALLEST | {"seeds": {"from": 3, "to": 10}}, "here")
    assert plain.model_dump(mode="json")["seeds"] == {"from": 3, "to": 10}


@pytest.mark.parametrize(
    ("seeds", "told"),
    [
        ({"from": 3}, "seeds.to: is missing"),
        ({"from": 3, "to": 3}, "seeds: 'to' should be more than 'from'"),
        ({"from": 1, "to": 3}, "seeds.from: should be greater than or equal to 2, not 1"),
        ({"form": 3, "from": 3, "to": 5}, "seeds.form: unknown key (did you mean 'from'?)"),
        (3, "seeds: should be a list, or { from = …, to = … }, not 3"),
        ([], "seeds: should not be empty"),
        ([-1], "seeds[0]: should be greater than or equal to 0, not -1"),
    ],
)
def test_wrong_seeds_are_told(seeds, told):
    assert line(seeds=seeds) == told


def test_a_strategy_is_a_name_or_a_table():
    by_name = parse(SMALLEST | {"strategies": ["maml", "linear_probe"]}, "here")
    by_table = parse(
        SMALLEST | {"strategies": [{"name": "maml"}, {"name": "linear_probe"}]}, "here"
    )
    assert by_name == by_table


def test_a_single_number_of_shots_needs_no_list():
    def shots(given):
        return parse(SMALLEST | {"problems": [{"dataset": "digits", "shots": given}]}, "here")

    assert shots(5) == shots([5])
    assert shots("all") == shots(["all"])


def test_options_that_came_later_count_in_a_key_only_where_they_are_used():
    plain = parse(SMALLEST, "here").budget
    assert not {"evaluations", "patience", "precision", "augment"} & set(plain.meaning())
    budget = {"augment": {"flip": True}, "precision": "tf32", "patience": 2, "evaluations": 4}
    used = parse(SMALLEST | {"budget": budget}, "here").budget.meaning()
    assert used["augment"]["flip"] is True
    assert (used["precision"], used["patience"]) == ("tf32", 2)
    assert "evaluations" not in used


def test_how_images_become_square_counts_in_a_key_only_where_it_is_said():
    weights = {"source": "glyphs"}
    backbones = [{"model": "conv4", "weights": weights}]
    plain = parse(SMALLEST | {"backbones": backbones}, "here")
    assert "fit" not in plain.problems[0].meaning()
    assert "fit" not in plain.backbones[0].weights.meaning()
    given = [{"dataset": "digits", "fit": "crop"}]
    assert parse(SMALLEST | {"problems": given}, "here").problems[0].meaning()["fit"] == "crop"
    weights["fit"] = "pad"
    pretrained = parse(SMALLEST | {"backbones": backbones}, "here").backbones[0].weights
    assert pretrained.meaning()["fit"] == "pad"


def test_seconds_replace_trials():
    budget = parse(SMALLEST | {"budget": {"seconds": 60}}, "here").budget
    assert (budget.trials, budget.seconds) == (None, 60)


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "everything.toml"
    path.write_text(EVERY_KEY, encoding="utf-8-sig")
    assert read(path).name == "everything"


def test_every_suite_that_comes_with_the_harness_parses():
    shipped = sorted(find("quickstart").parent.glob("*.toml"))
    assert [read(path).name for path in shipped] == [path.stem for path in shipped]


# ── where a suite is ──────────────────────────────────────────────────────────────────────────


def test_a_path_is_tried_before_the_suites_folder_before_the_bundled_ones(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bundled = find("quickstart")
    assert bundled.is_absolute()
    (tmp_path / "suites").mkdir()
    mine = tmp_path / "suites" / "quickstart.toml"
    mine.touch()
    assert find("quickstart").resolve() == mine
    (tmp_path / "quickstart").touch()
    assert find("quickstart").resolve() == tmp_path / "quickstart"


def test_a_suite_beside_its_data_is_found_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("mine", "quickstart"):
        (tmp_path / name).mkdir()
        (tmp_path / f"{name}.toml").touch()
    assert find("mine").resolve() == tmp_path / "mine.toml"
    assert find("quickstart").resolve() != tmp_path / "quickstart.toml"


@pytest.mark.parametrize("name", ["quikstart", ".", "x" * 5000, "a\0b", ""])
def test_a_suite_that_is_not_there(name):
    with pytest.raises(HarnessError, match="there is no suite '") as caught:
        find(name)
    if name == "quikstart":
        assert "did you mean 'quickstart'?" in str(caught.value)


# ── what does not parse ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sedes": [0]}, "sedes: unknown key (did you mean 'seeds'?)"),
        ({"trials": 5}, "trials: unknown key (it belongs in [budget])"),
        (
            {"budget": {"seeds": [0]}},
            "budget.seeds: unknown key (it belongs to the suite: put it above the first [table])",
        ),
        (
            {"budget": {"batchsize": 4}},
            "budget.batchsize: unknown key (did you mean 'batch_size'?)",
        ),
        (
            {"strategies": [{"name": "maml", "arg": {}}]},
            "strategies[0].arg ('maml'): unknown key (did you mean 'args'?)",
        ),
        (
            {"backbones": [{"model": "conv4"}, {"model": "m", "inputsize": 3}]},
            "backbones[1].inputsize ('m'): unknown key (did you mean 'input_size'?)",
        ),
        (
            {"backbones": [{"model": "conv4", "source": "glyphs"}]},
            "backbones[0].source ('conv4'): unknown key (write weights = { source = … })",
        ),
        (
            {"backbones": [{"model": "conv4", "weights": {"source": "glyphs", "step": 3}}]},
            "backbones[0].weights.step ('conv4'): unknown key (did you mean 'steps'?)",
        ),
        (
            {"backbones": [{"model": "conv4", "weights": {"file": "a", "steps": 3}}]},
            "backbones[0].weights.steps ('conv4'): unknown key (known: file)",
        ),
        (
            {"problems": [{"dataset": "digits", "shot": 3}]},
            "problems[0].shot ('digits'): unknown key (did you mean 'shots'?)",
        ),
        (
            {"problems": [{"dataset": "digits", "episodes": 3}]},
            "problems[0].episodes ('digits'): unknown key (known: args, dataset, fit, "
            "groups, label, protocol, shots, source, splits, test_fraction, tests, val_fraction, "
            "val_shots)",
        ),
        (
            {"problems": [{"dataset": "folder", "protocol": "episodes", "querys": 3}]},
            "problems[0].querys ('folder'): unknown key (did you mean 'queries'?)",
        ),
        (
            {"problems": [{"dataset": "digits", "source": {"dataset": "a", "rotation": True}}]},
            "problems[0].source.rotation ('digits'): unknown key (did you mean 'rotations'?)",
        ),
        (
            {"problems": [{"dataset": "digits", "file": "a"}]},
            "problems[0].file ('digits'): unknown key (known: args, dataset, fit, "
            "groups, label, protocol, shots, source, splits, test_fraction, tests, val_fraction, "
            "val_shots)",
        ),
        (
            {"a\nb": 1},
            "'a\\nb': unknown key (known: backbones, budget, claims, description, limits, name, "
            "predictors, problems, report, save_predictors, seeds, strategies, tricks)",
        ),
    ],
)
def test_an_unknown_key_is_named_with_its_place_and_the_nearest_known_one(changes, said):
    assert line(**changes) == said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": 5}, "name: should be a string, not 5"),
        (
            {"name": "a/b"},
            "name: should be letters, digits, '.', '_', '-', and begin with no sign, not 'a/b'",
        ),
        ({"seeds": 3}, "seeds: should be a list, or { from = …, to = … }, not 3"),
        ({"seeds": []}, "seeds: should not be empty"),
        ({"seeds": ["0"]}, "seeds[0]: should be a whole number, not '0'"),
        ({"seeds": [1.0]}, "seeds[0]: should be a whole number, not 1.0"),
        ({"seeds": [True]}, "seeds[0]: should be a whole number, not True"),
        ({"seeds": [-1]}, "seeds[0]: should be greater than or equal to 0, not -1"),
        (
            {"predictors": "some"},
            "predictors: should be 'none', 'recommended' or 'all', not 'some'",
        ),
        ({"save_predictors": "yes"}, "save_predictors: should be true or false, not 'yes'"),
        ({"strategies": "maml"}, "strategies: should be a list, not 'maml'"),
        ({"strategies": [5]}, "strategies[0]: should be a name or a table, not 5"),
        (
            {"strategies": [{"name": "maml", "args": 3}]},
            "strategies[0].args ('maml'): should be a table, not 3",
        ),
        ({"budget": 5}, "budget: should be a table, not 5"),
        ({"budget": {"trials": "8"}}, "budget.trials: should be a whole number, not '8'"),
        ({"budget": {"trials": 0}}, "budget.trials: should be greater than 0, not 0"),
        (
            {"budget": {"seconds": float("inf")}},
            "budget.seconds: should be a finite number, not inf",
        ),
        (
            {"budget": {"trials": 3, "seconds": 4}},
            "budget: give 'trials' or 'seconds', not both",
        ),
        (
            {"budget": {"sampler": "grid"}},
            "budget.sampler: should be 'random' or 'tpe', not 'grid'",
        ),
        (
            {"backbones": {"model": "conv4"}},
            "backbones: should be a list of tables: write [[backbones]]",
        ),
        ({"backbones": ["conv4"]}, "backbones[0]: should be a table, not 'conv4'"),
        (
            {"backbones": [{"model": "conv4", "weights": "imagenet"}]},
            "backbones[0].weights ('conv4'): should be 'hub', 'random', { source = … } or "
            "{ file = … }, not 'imagenet'",
        ),
        (
            {"backbones": [{"model": "conv4", "weights": {"file": 5}}]},
            "backbones[0].weights.file ('conv4'): should be a path, not 5",
        ),
        (
            {"backbones": [{"model": "conv4", "weights": {"source": "glyphs", "lr": "big"}}]},
            "backbones[0].weights.lr ('conv4'): should be a number, not 'big'",
        ),
        ({"problems": ["digits"]}, "problems[0]: should be a table, not 'digits'"),
        (
            {"problems": [{"dataset": "digits", "shots": [5, "al"]}]},
            "problems[0].shots[1] ('digits'): should be a whole number above 0, 'vtab1k' or "
            "'all', not 'al'",
        ),
        (
            {"problems": [{"dataset": "digits", "shots": 0}]},
            "problems[0].shots[0] ('digits'): should be a whole number above 0, 'vtab1k' or "
            "'all', not 0",
        ),
        (
            {"problems": [{"dataset": "digits", "shots": []}]},
            "problems[0].shots ('digits'): should not be empty",
        ),
        (
            {"problems": [{"dataset": "d", "protocol": "episodes", "shots": "all"}]},
            "problems[0].shots[0] ('d'): should be a whole number, not 'all'",
        ),
        (
            {"problems": [{"dataset": "d", "protocol": "episode"}]},
            "problems[0] ('d'): unknown protocol 'episode' (did you mean 'episodes'?)",
        ),
        (
            {"problems": [{"dataset": "d", "protocol": "a\nb"}]},
            "problems[0] ('d'): unknown protocol 'a\\nb' (known: adaptation, episodes, transfer)",
        ),
        (
            {"problems": [{"dataset": "d", "val_fraction": 1.5}]},
            "problems[0].val_fraction ('d'): should be less than 1, not 1.5",
        ),
        ({"description": ["long"] * 99}, "description: should be a string, not ['long', 'long'"),
    ],
)
def test_a_wrong_value_is_shown_with_what_should_be_there(changes, said):
    assert line(**changes).startswith(said)
    assert len(line(**changes)) < 150


@pytest.mark.parametrize("key", SMALLEST)
def test_a_required_key_is_missed(key):
    assert lines({k: v for k, v in SMALLEST.items() if k != key}) == [f"{key}: is missing"]


def test_things_of_one_name_need_labels():
    assert lines(
        SMALLEST
        | {
            "seeds": [1, 1],
            "strategies": ["maml", {"name": "maml", "args": {"tasks": 2}}],
            "backbones": [{"model": "conv4"}, {"model": "conv4", "weights": "random"}],
            "problems": [{"dataset": "d", "shots": [1, 1]}, {"dataset": "d", "shots": [1, 2]}],
        }
    ) == [
        "seeds: 1 stands there 2 times",
        "strategies: 'maml' stands there 2 times: give each a 'label' of its own",
        "backbones: 'conv4' stands there 2 times: give each a 'label' of its own",
        "shots of problem 'd': 1 stands there 2 times",
        "problems: 'd (transfer, 1 shots)' stands there 2 times: give each a 'label' of its own",
    ]


def test_a_part_is_named_by_its_label_and_one_without_a_name_by_its_place(tmp_path):
    problems = [{"dataset": "d", "label": "ours", "shots": 0}, {"label": 3}]
    assert lines(SMALLEST | {"problems": problems}) == [
        "problems[0].shots[0] ('ours'): should be a whole number above 0, 'vtab1k' or 'all', not 0",
        "problems[1].dataset: is missing",
        "problems[1].label: should be a string, not 3",
    ]


def test_ways_tell_problems_apart():
    episodes = {"dataset": "d", "protocol": "episodes"}
    assert parse(SMALLEST | {"problems": [episodes, episodes | {"ways": 20}]}, "here")


def test_all_mistakes_come_in_one_answer(tmp_path):
    path = tmp_path / "wrong.toml"
    path.write_text("""
        name = "wrong"
        sedes = [0]
        strategies = []
        [budget]
        trials = -1
        [[backbones]]
        weights = "imagenet"
        [[problems]]
        dataset = "digits"
        protocol = "episodes"
        ways = 1
    """)
    with pytest.raises(Mistakes) as caught:
        read(path)
    assert str(caught.value).splitlines()[0] == f"{path}: 6 mistakes"
    assert {said.partition(":")[0] for said in caught.value.lines} == {
        "sedes",
        "strategies",
        "budget.trials",
        "backbones[0].model",
        "backbones[0].weights",
        "problems[0].ways ('digits')",
    }


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'name = "a"\nseeds = [0,\n', "line"),
        (b"name = 'a'\n\nname = 'b'\n", "line 3"),
        (b"\xff\xfe", "utf-8"),
        (b"seeds = [" + b"9" * 5000 + b"]", "limit"),
        (b"seeds = " + b"[" * 5000 + b"]" * 5000, "not valid"),
    ],
)
def test_what_is_no_toml_is_refused_with_its_line(tmp_path, content, said):
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(HarnessError, match=said) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path} is not valid TOML: ")
    assert "\n" not in str(caught.value)


# ── --set ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def everything(tmp_path):
    path = tmp_path / "everything.toml"
    path.write_text(EVERY_KEY)
    return path


@pytest.mark.parametrize(
    ("override", "found"),
    [
        ("budget.trials=20", lambda suite: suite.budget.trials == 20),
        ("seeds=[5, 6]", lambda suite: suite.seeds == (5, 6)),
        ("seeds.1=9", lambda suite: suite.seeds == (0, 9)),
        ("problems.0.shots=3", lambda suite: suite.problems[0].shots == (3,)),
        ("problems.-1.ways=7", lambda suite: suite.problems[-1].ways == 7),
        ("problems.0.args.size=8", lambda suite: suite.problems[0].args == {"size": 8}),
        ("backbones.0.weights.lr=0.5", lambda suite: suite.backbones[0].weights.lr == 0.5),
        ("backbones.1.weights=random", lambda suite: suite.backbones[1].weights == "random"),
        ("description=x = y", lambda suite: suite.description == "x = y"),
        ("description=", lambda suite: suite.description == ""),
        ('problems.0.label=a, b = "c"', lambda suite: suite.problems[0].label == 'a, b = "c"'),
        ('problems.0.label="1,5"', lambda suite: suite.problems[0].label == "1,5"),
        ('strategies=["maml"]', lambda suite: suite.strategies[0].name == "maml"),
    ],
)
def test_an_entry_can_be_overridden(everything, override, found):
    assert not found(read(everything))
    assert found(read(everything, [override]))


def test_the_last_override_wins(everything):
    assert read(everything, ["budget.trials=2", "budget.trials=3"]).budget.trials == 3


@pytest.mark.parametrize(
    "override",
    [
        "budget.trials",
        "=3",
        "seeds.9=1",
        "seeds.x=1",
        "name.first=1",
        "seeds.0.0=1",
        "budget.steps.x=1",
    ],
)
def test_an_override_that_fits_nothing_is_refused(everything, override):
    with pytest.raises(HarnessError, match=r"^--set ") as caught:
        read(everything, [override])
    assert "Write KEY=VALUE" in str(caught.value)


def test_an_override_is_checked_like_the_file(everything):
    with pytest.raises(Mistakes, match=r"budget\.trails: unknown key \(did you mean 'trials'"):
        read(everything, ["budget.trails=2"])


# ── any suite at all ──────────────────────────────────────────────────────────────────────────


@given(data=st.data())
def test_a_valid_suite_comes_back_from_json_as_it_was(any_suites, data):
    """``plan.json`` keeps the suite so."""
    suite = parse(data.draw(any_suites.valid), "here")
    stored = json.loads(json.dumps(suite.model_dump(mode="json", exclude_none=True)))
    assert parse(stored, "there") == suite


JARGON = re.compile(r"\b(Input|validat|pydantic|dict|tuple|Traceback|_protocol|int\b|str\b)")


@pytest.mark.parametrize("kind", ["mutated", "anything"])
@given(data=st.data())
def test_whatever_stands_there_is_a_suite_or_mistakes_in_plain_words(any_suites, kind, data):
    table = data.draw(getattr(any_suites, kind))
    with contextlib.suppress(Mistakes):
        assert isinstance(parse(table, "here"), Suite)
        return
    for said in lines(table):
        assert said.strip()
        assert len(said.splitlines()) == 1
        jargon = JARGON.search(said.partition(", not ")[0])  # what follows is the user's own
        assert jargon is None or jargon[0] in repr(table)


@given(st.text())
@example("name = 'a'\r")
@example("a.b = 1\na.b.c = 2")
def test_whatever_text_stands_there_is_an_error(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("texts") / "any.toml"
    path.write_bytes(text.encode("utf-8", "replace"))
    with pytest.raises(HarnessError):
        read(path)


@given(st.lists(st.text(max_size=20), max_size=2))
@example(["seeds.0=1", "seeds.0.0=1"])
@example(["." * 10 + "=1"])
def test_whatever_is_set_gives_a_suite_or_an_error(tmp_path_factory, overrides):
    path = tmp_path_factory.mktemp("texts") / "everything.toml"
    path.write_text(EVERY_KEY)
    with contextlib.suppress(HarnessError):
        assert isinstance(read(path, overrides), Suite)


@pytest.mark.parametrize(
    "table",
    [
        {"strategies": 3, "problems": "digits", "backbones": [4, {"weights": []}]},
        {"strategies": [None, {"name": 1}], "problems": [[]], "backbones": {}},
    ],
)
def test_a_table_that_is_wrong_in_other_ways_names_no_plugin(table, registry):
    assert list(unknown_names(table, registry)) == []


def test_unknown_plugins_are_told_together_with_other_mistakes(registry):
    table = {
        "name": "s",
        "strategies": ["linaer_probe", {"name": "malm"}],
        "backbones": [{"model": "conv5", "weights": {"source": "gylphs"}}],
        "problems": [{"dataset": "digit", "shot": 1}],
    }
    with pytest.raises(Mistakes) as told:
        parse(table, "s.toml", registry)
    text = "\n".join(told.value.lines)
    for right in ("'shots'", "'linear_probe'", "'maml'", "'conv4'", "'glyphs'", "'digits'"):
        assert f"did you mean {right}?" in text
