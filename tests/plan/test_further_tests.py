"""Further tests of one training: what they mean, and which can't be."""

import pytest

from harness.errors import Mistakes
from harness.plan.keys import differences
from harness.plan.targets import cell_manifest, further_tests, leaks_told


@pytest.fixture
def table(table):
    """A suite whose problem is tested on other noise too, in its own rows."""
    problem = {
        "dataset": "toy",
        "shots": 2,
        "tests": [{"dataset": "toy", "args": {"seed": 1}, "label": "other"}],
    }
    return table | {"problems": [problem]}


def keys(cells):
    return [cell.cell for cell in cells]


def test_every_cell_names_its_further_tests(planned, table):
    assert {cell.tests for cell in planned(table)} == {("other",)}


def test_cells_without_further_tests_keep_their_keys(planned, table):
    with_none = {**table, "problems": [{**table["problems"][0], "tests": []}]}
    bare = {**table, "problems": [{"dataset": "toy", "shots": 2}]}
    assert keys(planned(with_none)) == keys(planned(bare))
    assert "tests" not in planned(bare)[0].meaning


def test_what_is_tested_counts_in_the_key_and_how_the_tests_are_ordered_does_not(planned, table):
    first = table["problems"][0]["tests"][0]
    second = {"dataset": "toy", "args": {"seed": 2}, "label": "third"}
    bare = planned({**table, "problems": [{"dataset": "toy", "shots": 2}]})[0]
    one = planned(table)[0]
    assert [*differences(bare.meaning, one.meaning)] == [
        f"tests.other.data: was absent, is {one.meaning['tests']['other']['data']}"
    ]
    both = [
        planned({**table, "problems": [{**table["problems"][0], "tests": tests}]})
        for tests in ([first, second], [second, first])
    ]
    assert keys(both[0]) == keys(both[1])
    assert both[0][0].cell not in {bare.cell, one.cell}


@pytest.mark.parametrize(
    ("test", "said"),
    [
        (
            {"dataset": "toi"},
            "unknown dataset 'toi' (did you mean 'toy'?). "
            "'harness plugins' lists them all; --plugin FILE loads your own",
        ),
        (
            {"dataset": "toy", "args": {"classes": 5}, "label": "more"},
            "problem 'toy', test 'more': the two domains have other classes: the problem lacks "
            "'class 4'. Give both the same class names",
        ),
        (
            {
                "dataset": "toy",
                "args": {"seed": 1, "names": ["a", "class 1", "class 2", "class 3"]},
            },
            "problem 'toy', test 'toy': the two domains have other classes: the test lacks "
            "'class 0'; the problem lacks 'a'. Give both the same class names",
        ),
        (
            {"dataset": "toy"},
            "problem 'toy', test 'toy' is the same data as the problem, which is tested anyway: "
            "remove it",
        ),
        (
            {"dataset": "toy", "args": {"seed": 1, "channels": 5}},
            "channels, but those of dataset 'toy' have 5: only grey and colour",
        ),
        (
            {"dataset": "toy texts"},
            "problem 'toy', test 'toy texts' is text, but dataset 'toy' is image. Choose another",
        ),
    ],
)
def test_a_test_that_can_not_be_is_refused_in_one_line(planned, table, test, said):
    table["problems"][0]["tests"] = [test]
    with pytest.raises(Mistakes) as refused:
        planned(table)
    (line,) = refused.value.lines
    assert said in line


def test_two_tests_need_two_names(planned, table):
    table["problems"][0]["tests"] *= 2
    with pytest.raises(Mistakes, match=r"tests of problem 'toy': 'other' stands there 2 times"):
        planned(table)


def test_episodes_have_none(planned, table):
    table["problems"][0] |= {"protocol": "episodes", "args": {"each": 40, "classes": 20}}
    said = r"\('toy'\): 'tests' are for the protocols 'transfer' and 'adaptation': episodes test"
    with pytest.raises(Mistakes, match=said):
        planned(table)


def test_what_is_tested_of_a_copy_was_not_learned_from(planned, table, toy_data):
    cell = planned(table)[0]
    manifest = cell_manifest(toy_data, cell)
    ((name, _, rows),) = further_tests(toy_data, cell, manifest)
    assert (name, rows) == ("other", manifest.test)


def test_leaks_of_a_further_test_are_told_by_its_name(planned, table, toy_data):
    """The same images in another order of classes: all that was learned from is in it."""
    args = {"names": ["class 1", "class 0", "class 2", "class 3"]}
    table["problems"][0]["tests"] = [{"dataset": "toy", "args": args, "label": "turned"}]
    assert [*leaks_told(toy_data, planned(table))] == [
        ("toy · turned", "8 of 24 test examples are identical to a training example"),
        ("toy · turned", "8 of 24 test examples are identical to a validation example"),
    ]
