"""What a user is shown: one line and a remedy."""

import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import HarnessError, Mistakes, abridged, did_you_mean, located, one_line


def test_an_error_ends_with_its_remedy():
    assert str(HarnessError("there is no file x", "Check the path")) == (
        "there is no file x. Check the path"
    )
    assert str(HarnessError("there is no file x")) == "there is no file x"


def test_a_single_mistake_is_one_line():
    assert str(Mistakes("mine.toml", ["seeds: is missing"])) == "mine.toml: seeds: is missing"


def test_several_mistakes_stand_below_each_other():
    assert str(Mistakes("mine.toml", ["one", "two"])) == "mine.toml: 2 mistakes\n  one\n  two"


def test_of_very_many_mistakes_the_first_are_shown_and_the_number():
    told = Mistakes("w", [str(n) for n in range(1000)])
    assert str(told).splitlines() == [
        "w: 1,000 mistakes",
        *(f"  {n}" for n in range(30)),
        "  and 970 more",
    ]
    assert len(told.lines) == 1000


def test_a_list_is_whole_or_says_how_much_is_left_out():
    assert abridged([]) == ""
    assert abridged("abcde") == "a, b, c, d, e"
    assert abridged("abcdefg") == "a, b, c, d, e and 2 more"
    assert abridged(range(5000), most=2, separator="; ") == "0; 1 and 4,998 more"


def test_a_relative_path_is_told_with_the_place_that_was_looked_at(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = f"{tmp_path}/data/x (a relative path is taken from the current folder)"
    assert located(Path("data/x")) == said
    assert located(tmp_path / "x") == f"{tmp_path}/x"


@pytest.mark.parametrize("make", [HarnessError, lambda text: Mistakes("w", [text, "b"]).lines[0]])
def test_what_a_message_quotes_is_one_line_that_a_terminal_can_show(make):
    assert str(make("'a\nb\x1b[31m\u202e'")) == "'a b\\x1b[31m\\u202e'"
    assert str(make("é → ≈ 😀")) == "é → ≈ 😀"
    told = str(make(f"begins {'x' * 100_000} ends"))
    assert len(told) < 2010
    assert told.startswith("begins xxx")
    assert told.endswith("xxx ends")


@pytest.mark.parametrize(
    "error", [HarnessError("a", "b"), HarnessError("a"), Mistakes("w", ["a", "b"])]
)
def test_errors_come_home_from_worker_processes(error):
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert vars(back) == vars(error)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("two\n  lines"), "ValueError: two lines"),
        (ValueError(), "ValueError"),
        (KeyError("x"), "KeyError: 'x'"),
        (SystemExit(3), "SystemExit: 3"),
    ],
)
def test_any_exception_fits_on_one_line(error, line):
    assert one_line(error) == line


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("linear_prob", " (did you mean 'linear_probe'?)"),
        ("MAML", " (did you mean 'maml'?)"),
        ("xyz", " (known: linear_probe, maml)"),
    ],
)
def test_the_nearest_word_is_suggested_or_all_are_listed(word, hint):
    assert did_you_mean(word, ["maml", "linear_probe"]) == hint


def test_a_suggestion_keeps_its_capitals():
    assert did_you_mean("sanskrit", ["Sanskrit", "Tagalog"]) == " (did you mean 'Sanskrit'?)"


def test_a_long_list_of_unlike_words_is_not_printed():
    assert did_you_mean("xyz", [f"word{n}" for n in range(100)]) == ""
    assert did_you_mean("xyz", []) == ""


@given(st.text(), st.lists(st.text()))
def test_a_suggestion_is_always_a_known_word(word, known):
    hint = did_you_mean(word, known)
    if "did you mean" in hint:
        assert hint.removeprefix(" (did you mean '").removesuffix("'?)") in known
