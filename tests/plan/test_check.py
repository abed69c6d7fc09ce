"""Everything that is wrong with a suite, at once and in the words of its file."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import HarnessError, Mistakes
from harness.plan.check import OTHERS

EPISODES = {
    "dataset": "toy",
    "args": {"classes": 12, "each": 20, "held_out": ["class 0", "class 1", "class 2"]},
    "protocol": "episodes",
    "ways": 3,
}

ADAPTATION = {
    "dataset": "toy",
    "label": "noise",
    "protocol": "adaptation",
    "source": {"dataset": "toy", "args": {"seed": 1}},
}


def refused(planned, table):
    """What is wrong with a suite, without what it is about."""
    with pytest.raises(Mistakes) as caught:
        planned(table)
    assert all(len(line.splitlines()) == 1 for line in caught.value.lines)
    return caught.value.lines


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t["backbones"][0].update(weights={"source": "toy"}),
        lambda t: t["problems"][0].update(source={"dataset": "toy"}),
        # The same examples, whatever classes are said to be held out:
        lambda t: t["problems"][0].update(
            source={"dataset": "toy", "args": {"held_out": ["class 0"]}}
        ),
        lambda t: t.update(
            problems=[
                EPISODES | {"source": {"dataset": "toy", "args": {"classes": 12, "each": 20}}}
            ]
        ),
    ],
)
def test_a_source_that_shows_what_is_tested_is_refused(planned, table, change):
    change(table)
    (line,) = refused(planned, table)
    assert line.startswith("problem 'toy' and its source 'toy' are the same data: ")
    assert "Choose another source" in line


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda t: t.update(strategies=["linear_prob"]),
            "unknown strategy 'linear_prob' (did you mean 'linear_probe'?). "
            "'harness plugins' lists them all; --plugin FILE loads your own",
        ),
        (
            lambda t: t["problems"][0].update(dataset="digit"),
            "unknown dataset 'digit' (did you mean 'digits'?). "
            "'harness plugins' lists them all; --plugin FILE loads your own",
        ),
        (
            lambda t: t["backbones"][0].update(model="resnet5O"),
            "unknown model 'resnet5O' (did you mean 'resnet50'?). Name a timm model or one that "
            "a backbone plugin brings",
        ),
        (
            lambda t: t["backbones"][0].update(weights={"source": "glyph"}),
            "unknown dataset 'glyph' (did you mean 'glyphs'?). "
            "'harness plugins' lists them all; --plugin FILE loads your own",
        ),
        (
            lambda t: t["problems"][0].update(source={"dataset": "glyph"}),
            "unknown dataset 'glyph' (did you mean 'glyphs'?). "
            "'harness plugins' lists them all; --plugin FILE loads your own",
        ),
        (
            lambda t: t["backbones"][0].update(weights={"file": "nowhere.safetensors"}),
            f"backbone 'conv4': there is no file {Path('nowhere.safetensors').absolute()} (a "
            "relative path is taken from the current folder)",
        ),
        (
            lambda t: t["problems"][0].update(args={"clases": 3}),
            "dataset 'toy': unknown argument 'clases' (did you mean 'classes'?). "
            "'harness describe toy' tells what it takes",
        ),
        (
            lambda t: t["problems"][0].update(args={"classes": 1}),
            "dataset toy: all training labels are of one class, 'class 0'. Give at least two "
            "classes",
        ),
        (
            lambda t: t["problems"][0].update(args={"each": 0}),
            "dataset toy: there are no training examples. Check its arguments",
        ),
        (
            lambda t: t.update(strategies=["learner"]),
            "strategy 'learner' learns from a source before it adapts, but problem 'toy' with "
            "backbone 'conv4' has none: give the problem a 'source' or the backbone "
            "weights = { source = … }",
        ),
        (
            lambda t: t["problems"][0].update(shots=[1, 7]),
            "problem 'toy', 7 shots: classes have too few examples to train on, to validate and to "
            "test: 'class 0' (6, needs 15), 'class 1' (6, needs 15), 'class 2' (6, needs 15), "
            "'class 3' (6, needs 15). Lower shots or val_shots, or give them more examples",
        ),
        (
            lambda t: t.update(problems=[EPISODES | {"ways": 4, "shots": 1}]),
            "problem 'toy', 1 shots, test classes: 4-way episodes need 4 classes, but there are 3: "
            "'class 0', 'class 1', 'class 2'. Lower ways, or give more classes, or hold out others",
        ),
        (
            lambda t: t.update(
                strategies=["linear_probe", {"name": "linear_probe", "label": "the same"}]
            ),
            "'linear_probe' on 'toy' with 'conv4' and 'the same' on 'toy' with 'conv4' are the "
            "same experiment under two names: remove one",
        ),
    ],
)
def test_a_mistake_is_one_line_with_a_remedy(planned, table, change, said):
    change(table)
    (line,) = refused(planned, table)
    assert line.endswith(said)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            {"args": {"classes": 5}},
            "problem 'noise': the two domains have other classes: the target lacks 'class 4'. Give "
            "both the same class names",
        ),
        ({"args": {}}, "are the same data"),
        ({"dataset": "toy texts"}, "source 'toy texts' is text, but dataset 'toy' is image"),
    ],
)
def test_a_source_domain_that_does_not_fit_the_target(planned, table, source, said):
    table["strategies"] = ["source_only"]
    table["problems"] = [ADAPTATION | {"source": {"dataset": "toy", **source}}]
    assert any(said in line for line in refused(planned, table))


def test_too_many_shots_of_a_source_domain(planned, table):
    table["strategies"] = ["source_only"]
    table["problems"] = [ADAPTATION | {"shots": [1, 7]}]
    (line,) = refused(planned, table)
    assert line.startswith("problem 'noise': source 'toy', 7 shots: classes have too few examples")
    assert line.endswith(" (6, needs 14). Lower shots, or give them more examples")


def test_too_few_examples_of_a_target_are_told_once_and_without_shots(planned, table):
    """Shots count in the source domain; all of the target is split."""
    table["strategies"] = ["source_only"]
    source = {"dataset": "toy", "args": {"seed": 1}}
    table["problems"] = [ADAPTATION | {"args": {"each": 2}, "source": source, "shots": [1, 2]}]
    (line,) = refused(planned, table)
    assert line.startswith("problem 'noise', shots = 'all': classes have too few examples to train")
    assert line.endswith("(2, needs 3). Give them more examples, or leave them out")


def test_too_few_examples_for_episodes(planned, table):
    table["problems"] = [EPISODES | {"shots": 6}]
    validation, test = refused(planned, table)
    assert validation == (
        "problem 'toy', 6 shots, validation classes: classes with too few examples for 6 shots and "
        "15 queries: 'class 4' (20), 'class 5' (20), 'class 7' (20), 'class 8' (20), 'class 9' "
        "(20). Lower shots or queries, or give them more examples"
    )
    assert test == (
        "problem 'toy', 6 shots, test classes: classes with too few examples for 6 shots and 15 "
        "queries: 'class 0' (20), 'class 1' (20), 'class 2' (20). Lower shots or queries, or give "
        "them more examples, or hold out others"
    )


@pytest.mark.parametrize("held_out", [True, False])
def test_both_validation_and_test_classes_of_episodes_are_told(planned, table, held_out):
    args = {"classes": 9, "each": 20, "held_out": ["class 0", "class 1"] if held_out else []}
    table["problems"] = [EPISODES | {"args": args, "ways": 8, "shots": 1}]
    validation, test = refused(planned, table)
    assert validation.startswith(
        "problem 'toy', 1 shots, validation classes: 8-way episodes need 8"
    )
    assert validation.endswith(". Lower ways, or give more classes")
    assert test.startswith(
        "problem 'toy', 1 shots, test classes: 8-way episodes need 8 classes, but "
    )
    assert test.endswith(", or hold out others") is held_out


def test_weights_by_a_method_for_other_data_are_refused(planned, table):
    table["backbones"][0]["weights"] = {"source": "glyphs", "method": "reading"}
    (line,) = refused(planned, table)
    assert line == f"pretraining 'reading' does not take image, which source 'glyphs' is. {OTHERS}"


def test_a_strategy_that_fits_neither_the_protocol_nor_the_data(planned, table):
    table["strategies"] = ["reader"]
    assert refused(planned, table) == [
        "strategy 'reader' does not work under the protocol 'transfer' of problem 'toy'. " + OTHERS,
        "strategy 'reader' does not take image, which dataset 'toy' is. " + OTHERS,
    ]


def test_what_learns_from_inputs_without_labels_is_refused_where_there_are_none(
    planned, table, tmp_path
):
    table["strategies"] = ["pseudo_label"]
    assert refused(planned, table) == [
        "strategy 'pseudo_label' learns from unlabelled inputs too, and dataset 'toy' has none. "
        + OTHERS
    ]
    images = np.random.default_rng(0).integers(0, 255, (60, 8, 8), dtype=np.uint8)
    labels = np.arange(40) % 2
    np.savez(tmp_path / "a.npz", x_train=images[:40], y_train=labels, x_unlabelled=images[40:])
    table["problems"] = [{"dataset": "arrays", "args": {"path": str(tmp_path / "a.npz")}}]
    assert {cell.label for cell in planned(table)} == {"pseudo_label"}


def test_a_dataset_that_fails_is_blamed_by_its_file_and_line(planned, table, toys):
    table["problems"][0]["args"] = {"trouble": "no\nluck"}
    file = toys.get("dataset", "toy").file
    line_of = 1 + file.read_text().splitlines().index("            raise ValueError(self.trouble)")
    assert refused(planned, table) == [
        f"dataset 'toy' cannot be loaded: ValueError: no luck (line {line_of}). Mend {file}"
    ]


def test_several_mistakes_of_one_dataset_stand_on_lines_of_their_own(planned, table, tmp_path):
    import numpy as np

    path = tmp_path / "images.npz"
    np.savez(path, x_train=np.zeros((3, 8, 8)), y_train=np.array([0, 1]))
    table["problems"] = [{"dataset": "arrays", "args": {"path": str(path)}}]
    assert refused(planned, table) == [
        f"{path}: x_train holds float64, not uint8 (pixels from 0 to 255)",
        f"{path}: x_train has 3 images, but y_train has 2 labels",
    ]


def test_all_unknown_names_come_at_once_and_each_only_once(planned, table):
    table["strategies"] = ["linear_prob", "mamal"]
    table["backbones"] = [{"model": "conv5"}, {"model": "conv5", "label": "other"}]
    table["problems"] = [{"dataset": "digit"}, {"dataset": "digit", "shots": 1}]
    assert [line.split(" (")[0] for line in refused(planned, table)] == [
        "unknown strategy 'linear_prob'",
        "unknown strategy 'mamal'",
        "unknown model 'conv5'",
        "unknown dataset 'digit'",
    ]


def test_all_impossible_combinations_come_at_once(planned, table):
    table["strategies"] = ["learner", "linear_probe"]
    table["problems"] = [{"dataset": "toy", "shots": [7, 8]}]
    assert len(refused(planned, table)) == 3


def test_what_is_sound_is_checked_beside_what_is_not(planned, table):
    table["strategies"] = ["linear_prob", "learner"]
    table["backbones"].append({"model": "conv4", "label": "lost", "weights": {"file": "none.st"}})
    table["problems"] = [{"dataset": "digit"}, {"dataset": "toy", "shots": 7}]
    told = [line.split(" (")[0] for line in refused(planned, table)]
    assert told[:3] == [
        "unknown strategy 'linear_prob'",
        f"backbone 'lost': there is no file {Path('none.st').absolute()}",
        "unknown dataset 'digit'",
    ]
    assert told[3].startswith("problem 'toy', 7 shots: classes have too few examples")
    assert told[4].startswith("strategy 'learner' learns from a source before it adapts")


def test_a_name_with_a_line_break_does_not_break_the_line(planned, table):
    table["strategies"] = ["linear\nprobe"]
    (line,) = refused(planned, table)
    assert line.startswith("unknown strategy 'linear probe' (did you mean 'linear_probe'?)")


@settings(max_examples=50)
@given(data=st.data())
def test_whatever_is_asked_for_is_planned_or_refused(planned, any_suites, data):
    table = data.draw(any_suites.nearly_small)
    with contextlib.suppress(HarnessError):
        assert planned(table)


@pytest.mark.parametrize(
    ("channels", "model", "args", "fits"),
    [
        (1, "conv4", {"channels": 3}, True),
        (3, "conv4", {}, True),
        (4, "conv4", {"channels": 4}, True),
        (2, "conv4", {}, False),
        (4, "conv4", {"channels": 3}, False),
        (3, "resnet18", {"in_chans": 4}, False),
        (1, "resnet18", {"in_chans": 4}, False),
        (4, "resnet18", {"in_chans": 4}, True),
        (3, "resnet18", {"in_chans": 1}, True),
    ],
)
def test_only_grey_and_colour_are_turned_into_each_other(
    planned, table, channels, model, args, fits
):
    table["backbones"] = [{"model": model, "weights": "random", "input_size": 16, "args": args}]
    table["problems"][0]["args"] = {"channels": channels}
    if fits:
        assert planned(table)
    else:
        (line,) = refused(planned, table)
        wanted = args.get("channels", args.get("in_chans", 1))
        assert line == (
            f"backbone '{model}' takes images of {wanted} channels, but those of dataset 'toy' "
            "have "
            f"{channels}: only grey and colour (1 and 3) are turned into each other. Give a model "
            "or data with as many"
        )


def test_a_source_of_other_channels_is_refused_too(planned, table):
    table["problems"] = [ADAPTATION | {"source": {"dataset": "toy", "args": {"channels": 2}}}]
    table["strategies"] = ["source_only"]
    (line,) = refused(planned, table)
    assert line.startswith(
        "backbone 'conv4' takes images of 1 channels, but those of dataset 'toy'"
    )


def test_texts_do_not_fit(planned, table, tmp_path):
    (tmp_path / "texts.csv").write_text("text,label\n" + "a,x\nb,y\n" * 20)
    args = {"train": str(tmp_path / "texts.csv")}
    table["problems"] = [{"dataset": "csv_text", "args": args, "fit": "pad", "shots": 1}]
    said = (
        "problem 'csv_text': fit makes images square, but dataset 'csv_text' is text. Leave it out"
    )
    assert said in refused(planned, table)


def test_nearly_equal_classes_of_any_dataset_are_refused(planned, table):
    table["problems"][0]["args"] = {"names": ["a", "a ", "b", "c"]}
    assert refused(planned, table) == [
        "dataset toy: classes differ only in spelling: 'a', 'a '. Rename one"
    ]


SMALL = {"dataset": "toy", "args": {"classes": 3, "seed": 1}}


@pytest.mark.parametrize(
    ("strategy", "source", "said"),
    [
        ("maml", SMALL, "3 classes of at least 6 examples: too few for episodes of 5 ways with 1"),
        ("protonet", SMALL, "3 classes of at least 6 examples: too few for episodes of 20 ways"),
        ("protonet", SMALL | {"rotations": True}, "12 classes of at least 6 examples: too few"),
        ({"name": "maml", "args": {"ways": 3}}, SMALL, None),
        ({"name": "maml", "args": {"ways": 3, "queries": 6}}, SMALL, "3 classes of at least 6"),
        ("maml", SMALL | {"rotations": True}, None),
        # One class is held out and five of the others validate:
        ("maml", {"dataset": "toy", "args": {"classes": 11, "held_out": ["class 6"]}}, None),
        (
            "maml",
            {"dataset": "toy", "args": {"classes": 6, "held_out": ["class 5"]}},
            "0 classes of at least 0",
        ),
        ("linear_probe", SMALL, None),
    ],
)
def test_a_source_of_too_few_classes_or_examples_for_its_episodes(
    planned, table, strategy, source, said
):
    table["strategies"] = [strategy]
    table["problems"][0]["source"] = source
    if said is None:
        assert planned(table)
    else:
        (line,) = refused(planned, table)
        name = strategy if isinstance(strategy, str) else strategy["name"]
        assert line.startswith(f"strategy '{name}', problem 'toy': the source has {said}")
        assert line.endswith("ive a source of more classes and examples")
        assert ("in the strategy's args" in line) is (said != "0 classes of at least 0")


def test_a_classifier_of_published_weights_does_for_a_source_where_one_takes_it(planned, table):
    table["strategies"] = ["lwf"]
    table["problems"] = [{"dataset": "toy", "shots": 2}]
    model = {"model": "test_resnet", "input_size": 32}
    table["backbones"] = [{**model, "weights": "hub"}]
    assert len(planned(table)) == 2
    others = [
        {**model, "weights": "random"},
        {**model, "weights": "hub", "args": {"num_classes": 7}},  # whose head timm draws anew
    ]
    for other in others:
        (line,) = refused(planned, table | {"backbones": [other]})
        assert line.startswith("strategy 'lwf' learns from a source before it adapts")
    table["strategies"] = ["learner"]
    (line,) = refused(planned, table)
    assert line.startswith("strategy 'learner' learns from a source before it adapts")
