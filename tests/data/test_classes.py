"""Which names are spellings of one class, and in what order classes come."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.classes import natural, one_name
from harness.errors import Mistakes


def test_numbers_in_names_sort_as_numbers():
    names = ["10", "9", "c10", "c9", "c09", "1" * 5000, "2"]
    assert sorted(names, key=natural) == ["2", "9", "10", "1" * 5000, "c09", "c9", "c10"]


@given(st.lists(st.integers(0, 10**30)))
def test_numbers_sort_as_numbers(numbers):
    assert [int(name) for name in sorted(map(str, numbers), key=natural)] == sorted(numbers)


NEARLY_EQUAL = [
    (["pos", "pos ", " pos"], "pos"),
    (["new york", "new  york", "new\u00a0york"], "new york"),
    (["cat", "cat\u200b", "\ufeffcat"], "cat"),
    (["1", "1.0", "01", "+1"], "1"),
    (["0", "-0", "0.00"], "0"),
    (["nan", "NaN", "NAN"], "NAN"),
    (["caf\u00e9", "cafe\u0301"], "caf\u00e9"),
    (["birds/wren", "birds /wren"], "birds/wren"),
]


@pytest.mark.parametrize(("names", "one"), NEARLY_EQUAL)
def test_nearly_equal_names_are_refused_all_together_or_merged(names, one):
    with pytest.raises(Mistakes) as caught:
        one_name([*names, "other"], "here", merge=False)
    (line,) = caught.value.lines
    assert all(ascii(name) in line for name in names)
    assert line.endswith("Rename one, or set merge_classes = true")
    assert one_name([*names, "other"], "here", merge=True) == {
        **dict.fromkeys(names, one),
        "other": "other",
    }


def test_where_nothing_can_merge_them_no_option_is_named():
    with pytest.raises(Mistakes, match=r"Rename one$"):
        one_name(["a", "a "], "here")


@pytest.mark.parametrize(
    "names",
    [["A", "a"], ["1", "10"], ["c1", "c01"], ["1", "1.5"], ["1e2", "100"], ["x2", "x\u00b2"]],
)
def test_names_that_can_be_told_apart_are_two_classes(names):
    assert one_name(names, "here") == {name: name for name in names}


word = st.text(st.characters(codec="utf-8", categories=("L", "M", "N")), min_size=1, max_size=6)


@given(word, st.sampled_from(["NFC", "NFD"]), st.sampled_from([" {}", "{} ", "\t{}\u3000", "{}"]))
def test_any_spelling_of_a_name_is_that_name(name, form, around):
    other = around.format(unicodedata.normalize(form, name))
    found = one_name([name, other], "here", merge=True)
    assert found[name] == found[other] in (name, other)


@given(st.integers(-(10**6), 10**6), st.integers(0, 3), st.integers(0, 3))
def test_any_spelling_of_a_number_is_that_number(number, zeros, decimals):
    sign, digits = ("-" if number < 0 else ""), str(abs(number))
    other = sign + "0" * zeros + digits + ("." + "0" * decimals if decimals else "")
    assert len({*one_name([str(number), other], "here", merge=True).values()}) == 1
