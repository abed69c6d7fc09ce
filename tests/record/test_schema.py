"""Records are JSON that says everything, and comes back as it went."""

import json
import math
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.record.schema import SCHEMA_VERSION, Coordinates, Record, Status, Trial

whole = st.integers(0, 2**63 - 1)
numbers = st.floats() | st.integers(-(2**60), 2**60)
settings = st.dictionaries(st.text(), numbers | st.booleans() | st.none() | st.text(), max_size=3)
trials = st.builds(
    Trial,
    number=st.integers(0, 100),
    state=st.sampled_from(["complete", "pruned", "failed", "diverged"]),
    settings=settings,
    value=st.none() | st.floats(),
    loss=st.none() | st.floats(),
    seconds=st.floats(0),
    curve=st.lists(st.tuples(st.integers(), st.floats()), max_size=3),
    reason=st.none() | st.text(),
)
records = st.builds(
    Record,
    **{
        name: st.text()
        for name in Coordinates.model_fields
        if name not in ("cell", "shots", "ways", "seed", "oracle", "baseline", "tests")
    },
    tests=st.lists(st.text(), max_size=2).map(tuple),
    cell=st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1),
    oracle=st.sampled_from([None, "selection", "labels"]),
    baseline=st.booleans(),
    shots=whole | st.sampled_from(["vtab1k", "all"]),
    ways=st.none() | whole,
    seed=whole,
    status=st.sampled_from(get_args(Status)),
    attempts=st.integers(1),
    log=st.none() | st.text(),
    reason=st.none() | st.text(),
    traceback=st.none() | st.text(),
    config=st.dictionaries(st.text(), settings, max_size=2),
    meaning=st.dictionaries(st.text(), settings, max_size=2),
    trials=st.lists(trials, max_size=2),
    selected=st.none() | st.integers(0, 5),
    metrics=st.dictionaries(st.text(), st.floats(), max_size=4),
    seconds=st.dictionaries(st.text(), st.floats(), max_size=4),
    cached=st.lists(st.text(), max_size=2),
)


@given(records)
def test_a_record_comes_back_from_json_as_it_went(record):
    """With infinities and numbers that are none: what diverged shall be seen to have."""
    text = record.model_dump_json()
    back = Record.model_validate_json(text)
    assert repr(back) == repr(record)  # nan is not equal to itself
    assert back.model_dump_json() == text
    json.loads(text)  # and Python's own reader takes it too


@given(st.text(st.characters(categories=["Cs", "L"]), min_size=1))
def test_an_error_that_is_no_proper_text_can_be_stored(makes, said):
    """File names may hold bytes that are no text, and errors tell file names."""
    trial = Trial(number=0, state="failed", settings={}, reason=said)
    record = makes.record(reason=said, traceback=said, trials=[trial])
    back = Record.model_validate_json(record.model_dump_json())
    assert back.reason == back.traceback == back.trials[0].reason
    assert back.reason == said.encode("utf-8", "backslashreplace").decode()


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "fine"},
        {"shots": "some"},
        {"metrics": {"accuracy": "high"}},
        {"metrics": {"accuracy": math.inf}},
        {"metrics": {"accuracy_val": 75}},
        {"throughput": {"many": 1.0}},
        {"cell": "../plan"},
        {"cell": ""},
        {"seed": 2**63},  # more than a column of a table holds
        {"unknown": 1},
    ],
)
def test_what_is_no_record_is_refused(makes, wrong):
    with pytest.raises(ValidationError):
        Record.model_validate(makes.record().model_dump() | wrong)


def test_a_record_says_of_which_version_it_is(makes):
    assert json.loads(makes.record().model_dump_json())["schema_version"] == SCHEMA_VERSION


def test_infinities_are_kept(makes):
    record = makes.record(metrics={"log_loss": math.inf})
    assert Record.model_validate_json(record.model_dump_json()).metrics == {"log_loss": math.inf}


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({}, "LP on digits, 5-shot, seed 0 (conv4)"),
        ({"shots": "all", "seed": 3}, "LP on digits, all data, seed 3 (conv4)"),
        ({"ways": 5, "shots": 1}, "LP on digits, 5-way 1-shot, seed 0 (conv4)"),
        ({"problem": "noise"}, "LP on noise, 5-shot, seed 0 (conv4)"),
    ],
)
def test_a_title_is_one_line_for_people(makes, changes, title):
    assert makes.cell(**changes).title == title
