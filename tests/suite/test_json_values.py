"""What TOML can write and a suite can't use is refused, with its place, before anything is run."""

import math
import tomllib

import pytest

from harness.errors import Mistakes
from harness.suite import read
from harness.suite.json_values import DEPTH, not_json
from harness.suite.read import parse

SUITE = """
name = "small"
strategies = [{ name = "linear_probe", args = ARGS }]
backbones = [{ model = "conv4" }]
problems = [{ dataset = "digits" }]
"""


def suite(args):
    return tomllib.loads(SUITE.replace("ARGS", args))


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (
            "{ day = 1979-05-27 }",
            "strategies[0].args.day ('linear_probe'): is a date or a time: put it in quotes",
        ),
        (
            "{ at = [07:32:00] }",
            "strategies[0].args.at[0] ('linear_probe'): is a date or a time: put it in quotes",
        ),
        (
            "{ 'a b' = nan }",
            "strategies[0].args.'a b' ('linear_probe'): should be a number, not nan",
        ),
        (
            f"{{ n = 0x{'f' * 5000} }}",  # which Python can't even print
            "strategies[0].args.n ('linear_probe'): is a whole number of more than 64 bits",
        ),
        (
            "{ n = -9223372036854775809 }",
            "strategies[0].args.n ('linear_probe'): is a whole number of more than 64 bits",
        ),
        (
            f"{{ {'a.' * 2000}b = 1 }}",
            f"strategies[0].args.a ('linear_probe'): is nested more than {DEPTH} levels deep",
        ),
    ],
)
def test_it_is_refused_with_its_place(args, said):
    with pytest.raises(Mistakes) as caught:
        parse(suite(args), "here")
    assert caught.value.lines == [said]


def test_a_number_too_long_to_be_written_is_refused_wherever_it_stands():
    table = suite("{}")
    table["problems"][0]["protocol"] = 10**5000
    with pytest.raises(Mistakes, match=r"problems\[0\]\.protocol .*more than 64 bits"):
        parse(table, "here")


def test_other_mistakes_come_with_it_and_the_same_place_is_told_once():
    table = suite("{ day = 1979-05-27 }") | {"sedes": [0]}
    table["strategies"][0]["label"] = math.nan
    table["budget"] = {"trials": 2**70, "steps": 0}
    with pytest.raises(Mistakes) as caught:
        parse(table, "here")
    assert caught.value.lines == [
        "strategies[0].args.day ('linear_probe'): is a date or a time: put it in quotes",
        "strategies[0].label ('linear_probe'): should be a number, not nan",
        "budget.trials: is a whole number of more than 64 bits",
        "budget.steps: should be greater than 0, not 0",
        "sedes: unknown key (did you mean 'seeds'?)",
    ]


def test_everything_else_comes_back_from_json_as_it_was():
    args = '{ a = 9223372036854775807, b = inf, c = "1979-05-27", d = [true, [1.5, {}]] }'
    parsed = parse(suite(args), "here")
    assert parse(parsed.model_dump(mode="json", exclude_none=True), "stored") == parsed
    assert parsed.strategies[0].args["b"] == math.inf


def test_lists_count_as_levels_too():
    assert [*not_json([[[1]]])] == []
    value = 1
    for _ in range(DEPTH + 1):
        value = [value]
    assert len([*not_json(value)]) == 1


def test_more_cells_than_memory_holds_are_refused_at_once():
    """A hundred thousand bytes of TOML can ask for a thousand million cells."""
    table = suite("{}") | {"seeds": list(range(10_000))}
    table["problems"] = [{"dataset": "digits", "shots": list(range(1, 10_001))}]
    with pytest.raises(Mistakes) as caught:
        parse(table, "here")
    assert caught.value.lines == [
        "it has 100,000,000 cells, and at most 100,000 are planned: divide it"
    ]


def test_as_many_cells_as_are_planned_are_read(monkeypatch):
    monkeypatch.setattr(read, "MOST_CELLS", 6)
    table = suite("{}") | {"seeds": [0, 1, 2]}
    table["problems"] = [{"dataset": "digits", "shots": [1, 5]}]
    parse(table, "here")
    with pytest.raises(Mistakes, match="it has 9 cells"):
        parse(table | {"problems": [{"dataset": "digits", "shots": [1, 2, 5]}]}, "here")
