"""Splits in a file: read as they were written, and refused in one line if anything is wrong."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.data.protocols import target_split
from harness.data.splits import Manifest
from harness.errors import HarnessError
from harness.plan import splitfile
from harness.plan.cells import plan
from harness.plan.datasets import Datasets
from harness.suite.read import parse

SHOTS = (1, 2, "all")
SEEDS = (0, 1)


@pytest.fixture(scope="module", params=[False, True], ids=["drawn test", "official test"])
def loaded(toy_data, request):
    return toy_data.load("toy", {"tested": request.param})


def drawn(loaded, shots, seed):
    return target_split(loaded.data, shots=shots, seed=seed, val_fraction=0.2, test_fraction=0.2)


def written(loaded):
    """The table of a file with every split of SHOTS and SEEDS."""
    splits = [(shots, seed, drawn(loaded, shots, seed)) for seed in SEEDS for shots in SHOTS]
    return json.loads(splitfile.write("toy", loaded, splits))


@pytest.fixture
def file(tmp_path):
    """Writes a table, or text, to a file."""
    path = tmp_path / "splits.json"

    def write(content):
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def refusal(path, loaded, shots=1, seed=0):
    with pytest.raises(HarnessError) as caught:
        splitfile.read(path).manifest(loaded, shots, seed)
    assert len(str(caught.value).splitlines()) == 1
    return caught.value.message


# ── what is written is read ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("shots", SHOTS)
@pytest.mark.parametrize("seed", SEEDS)
def test_what_was_drawn_is_read_again(loaded, file, shots, seed):
    read = splitfile.read(file(written(loaded))).manifest(loaded, shots, seed)
    assert read == drawn(loaded, shots, seed)


def test_a_file_tells_whose_ids_they_are(loaded):
    table = written(loaded)
    assert table["dataset"] == "toy"
    assert table["classes"] == [f"class {n}" for n in range(4)]
    assert table["examples"] == 24
    assert table["test_examples"] == (24 if loaded.data.test else None)
    assert [len(entry["train"]) for entry in table["splits"][:2]] == [4, 8]


def test_others_may_choose_the_examples_and_leave_out_the_hash(loaded, file):
    """Labels are 0 1 2 3 0 1 2 3 …: ids of each class, in any order, that nobody drew."""
    table = written(loaded)
    own = {"train": [3, 2, 1, 0], "val": [4, 5], "test": [11, 10]}
    table["splits"] = [{"shots": 1, "seed": 7, **own}]
    read = splitfile.read(file(table)).manifest(loaded, 1, 7)
    assert read == Manifest((0, 1, 2, 3), (4, 5), (10, 11), loaded.data.test is not None)


def test_a_file_may_begin_with_a_byte_order_mark(loaded, file):
    assert splitfile.read(file("\ufeff" + json.dumps(written(loaded))))


# ── what is wrong ─────────────────────────────────────────────────────────────────────────────


def first(table):
    return table["splits"][0]


WRONG = {
    "version": (lambda t: t.update(version=2), "its version is 2, and only 1 is known"),
    "no version": (lambda t: t.update(version=None), "its version is None, and only 1 is known"),
    "missing key": (lambda t: t.pop("data"), "data: is missing"),
    "unknown key": (
        lambda t: first(t).update(tests=[1]),
        "unknown key 'tests' (did you mean 'test'?)",
    ),
    "no number": (
        lambda t: first(t).update(train=[1, "2"]),
        "splits[0].train[1]: should be a whole number, not '2'",
    ),
    "negative": (
        lambda t: first(t).update(train=[-1]),
        "splits[0].train[0]: should be greater than or equal to 0, not -1",
    ),
    "shots": (
        lambda t: first(t).update(shots="some"),
        "splits[0].shots: should be a whole number above 0, 'vtab1k' or 'all', not 'some'",
    ),
    "other data": (
        lambda t: t.update(examples=23),
        "it is for other data: examples is 23 there and 24 here",
    ),
    "other classes": (
        lambda t: t.update(classes=["a", "b"]),
        "it is for other data: classes is ['a', 'b'] there and ['class 0', 'class 1', "
        "'class 2', 'class 3'] here",
    ),
    "other content": (
        lambda t: t.update(data="0123"),
        "it is for other data: data is '0123' there and '",
    ),
    "changed": (
        lambda t: first(t).update(hash="0123"),
        "1 shots with seed 0: its ids were changed",
    ),
    "empty": (lambda t: first(t).update(val=[]), "1 shots with seed 0: val is empty"),
    "out of range": (
        lambda t: first(t).update(val=[99]),
        "1 shots with seed 0: val has the id 99, but there are 24 training examples from 0",
    ),
    "twice": (
        lambda t: first(t).update(val=[*first(t)["val"], first(t)["val"][0]]),
        "1 shots with seed 0: val has the id ",
    ),
    "overlap": (
        lambda t: first(t).update(val=first(t)["train"]),
        "1 shots with seed 0: train and val share 4 ids, such as ",
    ),
    "counts": (
        lambda t: first(t).update(train=first(t)["train"][1:]),
        "1 shots with seed 0: train has 0 examples of class '",
    ),
    "doubled": (lambda t: t["splits"].append(first(t)), "it has 2 splits of 1 shots with seed 0"),
}


@pytest.mark.parametrize(("change", "said"), WRONG.values(), ids=WRONG)
def test_a_mistake_is_one_line(loaded, file, change, said):
    table = written(loaded)
    change(table)
    assert said in refusal(file(table), loaded)


def test_all_mistakes_of_a_file_are_told_or_their_number(loaded, file):
    table = written(loaded)
    first(table).update(train=["1", -2], shots="some")
    assert refusal(file(table), loaded) == (
        f"{file(table)}: splits[0].shots: should be a whole number above 0, 'vtab1k' or 'all', not "
        "'some'; splits[0].train[0]: should be a whole number, not '1'; splits[0].train[1]: should "
        "be greater than or equal to 0, not -2"
    )
    first(table).update(train=[-1] * 9)
    assert refusal(file(table), loaded).endswith(", not -1 and 5 more")


def test_all_that_is_wrong_with_a_split_is_told(loaded, file):
    table = written(loaded)
    one = first(table)["train"][0]
    first(table).update(val=[], train=[one, one])
    told = refusal(file(table), loaded)
    assert f"1 shots with seed 0: train has the id {one} twice; val is empty; train has " in told
    assert told.endswith(" examples of class 'class 3', not 1")


def test_a_test_example_is_neither_trained_on_nor_of_another_split(toy_data, file):
    loaded = toy_data.load("toy", {})
    table = written(loaded)
    first(table)["test"] = first(table)["train"]
    assert "train and test share 4 ids" in refusal(file(table), loaded)
    loaded = toy_data.load("toy", {"tested": True})
    table = written(loaded)
    first(table)["test"] = [24]
    assert "test has the id 24, but there are 24 test examples" in refusal(file(table), loaded)


def test_what_vtab1k_shows_is_counted(file, toy_data):
    loaded = toy_data.load("toy", {"each": 300, "tested": True})
    split = drawn(loaded, "vtab1k", 0)
    table = json.loads(splitfile.write("toy", loaded, [("vtab1k", 0, split)]))
    assert splitfile.read(file(table)).manifest(loaded, "vtab1k", 0) == split
    first(table)["val"].pop()
    assert "val has 199 examples, not 200" in refusal(file(table), loaded, "vtab1k")


@pytest.mark.parametrize(
    ("shots", "seed", "said"),
    [
        (2, 5, "it has no split of 2 shots with seed 5 (known: 0, 1)"),
        (3, 0, "it has no split of 3 shots (known: 1, 2, all)"),
    ],
)
def test_what_a_file_lacks_is_told_with_what_it_has(loaded, file, shots, seed, said):
    assert refusal(file(written(loaded)), loaded, shots, seed) == said


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", "null", '{"a": 1e999}', "[" * 100_000])
def test_what_is_no_table_is_refused(file, content):
    with pytest.raises(HarnessError, match=r"splits\.json: ") as caught:
        splitfile.read(file(content))
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_that_is_not_there_or_no_text(tmp_path):
    with pytest.raises(HarnessError, match=r"cannot read .*none\.json: No such file"):
        splitfile.read(tmp_path / "none.json")
    with pytest.raises(HarnessError, match="cannot read"):
        splitfile.read(tmp_path)
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(HarnessError, match="it is not JSON"):
        splitfile.read(tmp_path / "bytes.json")


# ── any damage at all ─────────────────────────────────────────────────────────────────────────


def places(thing, here=()):
    """Every place in a JSON value."""
    yield here
    if isinstance(thing, dict | list):
        for key in thing if isinstance(thing, dict) else range(len(thing)):
            yield from places(thing[key], (*here, key))


def outcome(path, loaded, shots, seed):
    """The split that is read, or what is said instead."""
    try:
        return splitfile.read(path).manifest(loaded, shots, seed)
    except HarnessError as error:
        return str(error)


def damaged(data, table):
    """The table with one value in it changed or removed, however deep."""
    table = json.loads(json.dumps(table))
    *way, last = data.draw(st.sampled_from([place for place in places(table) if place]))
    here = table
    for key in way:
        here = here[key]
    if data.draw(st.booleans()):
        del here[last]
    else:
        junk = st.none() | st.booleans() | st.integers(-5, 99) | st.text(max_size=3) | st.just([])
        here[last] = data.draw(junk)
    return table


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_gives_the_split_that_was_written_or_one_line(loaded, file, data):
    path = file(damaged(data, written(loaded)))
    for shots in SHOTS:
        for seed in SEEDS:
            found = outcome(path, loaded, shots, seed)
            if isinstance(found, str):
                assert len(found.splitlines()) == 1
            else:
                assert found == drawn(loaded, shots, seed)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_file_of_others_is_a_split_of_this_data_or_refused(toy_data, file, data):
    """Without a hash nothing is known about the ids but what they must be."""
    loaded = toy_data.load("toy", {})
    ids = st.lists(st.integers(0, 25), max_size=10)
    own = {part: data.draw(ids) for part in ("train", "val", "test")}
    shots = data.draw(st.sampled_from([1, "all"]))
    table = written(loaded) | {"splits": [{"shots": shots, "seed": 0, **own}]}
    read = outcome(file(table), loaded, shots, 0)
    if isinstance(read, str):
        assert len(read.splitlines()) == 1
        return
    everything = [*read.train, *read.val, *read.test]
    assert len(set(everything)) == len(everything)
    assert max(everything) < 24
    assert min(len(read.train), len(read.val), len(read.test)) > 0
    if shots == 1:
        labels = loaded.data.train.labels[list(read.train)]
        assert sorted(labels.tolist()) == [0, 1, 2, 3]


# ── in a suite ────────────────────────────────────────────────────────────────────────────────


def cells(table, toys):
    return plan(parse(table, "here"), toys, Datasets(toys), "here").cells


def complaints(table, toys):
    with pytest.raises(HarnessError) as caught:
        cells(table, toys)
    return getattr(caught.value, "lines", [str(caught.value)])


@pytest.fixture
def suite(table, toy_data, file):
    """The small suite, with its splits from a file."""
    path = file(written(toy_data.load("toy", {})))
    table["problems"][0]["splits"] = str(path)
    return table


def test_a_key_depends_on_the_ids_and_not_on_the_path(suite, toys, tmp_path):
    before = cells(suite, toys)
    path = tmp_path / "splits.json"
    moved = path.rename(tmp_path / "elsewhere.json")
    suite["problems"][0]["splits"] = str(moved)
    assert [cell.cell for cell in cells(suite, toys)] == [cell.cell for cell in before]
    content = json.loads(moved.read_text())
    entry = content["splits"][0]  # 1 shot, seed 0
    entry["test"] = entry["test"][1:]
    del entry["hash"]
    moved.write_text(json.dumps(content))
    after = cells(suite, toys)
    changed = [
        (c.shots, c.seed) for c, was in zip(after, before, strict=True) if c.cell != was.cell
    ]
    assert changed == [(1, 0)] * 2


def test_every_split_that_a_suite_needs_is_looked_for(suite, toys):
    suite["seeds"] = [0, 1, 2]
    path = suite["problems"][0]["splits"]
    assert complaints(suite, toys) == [
        f"problem 'toy': {path}: it has no split of {shots} shots with seed 2 (known: 0, 1). "
        "'harness splits SUITE' writes such files"
        for shots in (1, 2)
    ]


def test_a_missing_file_is_told_once(suite, toys):
    suite["problems"][0]["splits"] = "nowhere.json"
    assert complaints(suite, toys) == [
        f"problem 'toy': cannot read {Path('nowhere.json').absolute()} (a relative path is taken "
        "from the current folder): No such file or directory. Check the path"
    ]


@pytest.mark.parametrize(
    ("entry", "value"), [("val_fraction", 0.3), ("val_shots", 2), ("test_fraction", 0.3)]
)
def test_how_to_draw_is_not_said_beside_a_file(suite, toys, entry, value):
    suite["problems"][0][entry] = value
    (line,) = complaints(suite, toys)
    assert line.endswith(f"'splits' says what validates and is tested: leave out '{entry}'")


def test_a_file_for_a_target_domain(table, toys, toy_data, file):
    table["strategies"] = ["source_only"]
    table["problems"] = [
        {
            "dataset": "toy",
            "protocol": "adaptation",
            "shots": [1, 2],
            "source": {"dataset": "toy", "args": {"seed": 1}},
            "splits": str(file(written(toy_data.load("toy", {})))),
        }
    ]
    found = cells(table, toys)
    assert len({cell.cell for cell in found}) == 4
    assert all("split" in cell.meaning for cell in found)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_what_has_no_end_is_no_file_of_splits(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(HarnessError, match=f"cannot read {path}: it is no file. Check the"):
            splitfile.read(path)


def test_an_id_is_no_endless_number(loaded, file):
    table = written(loaded)
    table["splits"][0]["train"][0] = 10**4000
    with pytest.raises(HarnessError) as caught:
        splitfile.read(file(table))
    assert len(str(caught.value)) < 500


def test_a_split_is_told_apart_by_its_data(toy_data):
    """The same ids in other data are other examples."""
    one, other = (toy_data.load("toy", {"seed": seed}) for seed in (0, 1))
    split, same = drawn(one, 1, 0), drawn(other, 1, 0)
    assert torch.equal(one.data.train.labels, other.data.train.labels)
    assert split == same
    assert split.digest(one.digest) != same.digest(other.digest)
    assert replace(split, official=True).digest(one.digest) != split.digest(one.digest)
