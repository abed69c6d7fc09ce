"""The first screen: one field for each strategy in each setting, marked by what was decided."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.record.schema import Coordinates, Record
from harness.record.store import Store
from harness.report.analysis.details import Fact
from harness.report.analysis.report import analyse
from harness.report.page.answer import answer, origin

Cell = Callable[..., Coordinates]
Done = Callable[..., Record]
Folder = Callable[..., Path]


@pytest.fixture
def shown(folder: Folder, cell: Cell, done: Done):
    """Makes a folder of these accuracies, a strategy's by seed, and gives its first screen."""

    def show(**accuracies: list[float | None]):
        records = [
            done(cell(label, 5, seed), accuracy)
            if accuracy is not None
            else done(cell(label, 5, seed), status="failed", reason="it broke")
            for label, given in accuracies.items()
            for seed, accuracy in enumerate(given)
        ]
        return answer(analyse(Store(folder(records, records))))

    return show


def kinds(told):
    return {row.label: row.fields[0].kind for row in told["rows"]}


def test_a_winner_and_who_is_behind(shown):
    told = shown(
        full_finetune=[0.91, 0.92, 0.93, 0.94],
        linear_probe=[0.80, 0.815, 0.82, 0.83],
        from_scratch=[0.50, 0.52, 0.51, 0.53],
    )
    assert kinds(told) == {
        "full_finetune": "winner",
        "linear_probe": "behind",
        "from_scratch": "behind",
    }
    (column,) = told["columns"]
    assert (column.shots, column.take, column.decided) == ("5", "full_finetune", "yes")
    # t(3) s / 2, with s that of .91 to .94: 3.182 × .0129 / 2
    assert column.accuracy == "92.5 ± 2.1"


def test_what_is_not_told_apart_and_cheap_is_to_be_taken(shown):
    """The probe, at .4 seconds a cell, is .2 points below the highest mean, which takes ten times
    as long."""
    told = shown(full_finetune=[0.90, 0.93, 0.91], linear_probe=[0.91, 0.90, 0.924])
    assert kinds(told) == {"full_finetune": "leader", "linear_probe": "tied"}
    (column,) = told["columns"]
    assert (column.take, column.decided) == ("linear_probe", "no: 1\u00a0○")
    assert {row.label: row.fields[0].take for row in told["rows"]} == {
        "full_finetune": False,
        "linear_probe": True,
    }
    assert column.cost.endswith(" ms")


def test_what_the_tests_of_two_alone_tell_apart_is_nearly_decided(shown):
    """Differences of 4, 2 and 4.5 points have p = .044, and a winner takes .02."""
    told = shown(full_finetune=[0.90, 0.93, 0.91], linear_probe=[0.86, 0.91, 0.865])
    assert kinds(told) == {"full_finetune": "leader", "linear_probe": "alone"}
    (column,) = told["columns"]
    assert (column.take, column.decided) == ("full_finetune", "nearly: 1\u00a0◐")


def test_the_deepest_colour_is_the_highest_means(shown):
    told = shown(full_finetune=[0.9, 0.9], linear_probe=[0.8, 0.8], from_scratch=[0.5, 0.5])
    near = {row.label: row.fields[0].near for row in told["rows"]}
    assert near == pytest.approx({"full_finetune": 1, "linear_probe": 0.5, "from_scratch": 0})


def test_gaps_and_single_seeds(shown):
    told = shown(full_finetune=[0.9], linear_probe=[None], from_scratch=[0.5])
    assert kinds(told) == {
        "full_finetune": "leader",
        "linear_probe": "gap",
        "from_scratch": "untested",
    }
    assert told["columns"][0].decided == "no: one seed"
    (gap,) = [row for row in told["rows"] if row.label == "linear_probe"]
    assert (gap.fields[0].text, gap.mean) == ("–", "–")


def test_seeds_that_were_added_are_told(folder: Folder, cell: Cell, done: Done) -> None:
    records = [done(cell("a", 5, seed), 0.8) for seed in range(5)]
    records += [done(cell("b", 5, seed), 0.3) for seed in range(3)]
    assert answer(analyse(Store(folder(records[:3], records[:3]))))["averaged"] == "3 seeds"
    assert answer(analyse(Store(folder(records, records))))["averaged"] == "3 to 5 seeds"


def test_only_marks_that_are_there_are_explained(shown):
    told = shown(full_finetune=[0.90, 0.93], linear_probe=[0.91, 0.92])
    assert [mark for mark, _ in told["marks"]] == ["●", "○"]


def test_a_problem_comes_with_the_number_of_its_classes(
    folder: Folder, cell: Cell, done: Done
) -> None:
    records = [done(cell(label, 5, seed), 0.5) for label in "ab" for seed in (0, 1)]
    directory = folder(records, records)
    (facet,) = answer(analyse(Store(directory)))["facets"]
    assert (facet.title, facet.settings, facet.classes) == ("digits", 1, "")
    (directory / "splits").mkdir()
    for seed in (0, 1):
        split = {"classes": ["cat", "dog"], "test": [0, 1, 2]}
        (directory / f"splits/split{seed}.json").write_text(json.dumps(split))
    (facet,) = answer(analyse(Store(directory)))["facets"]
    assert facet.classes == "2 classes"


def test_what_was_done_with_data_is_told(folder: Folder, cell: Cell, done: Done) -> None:
    records = [
        done(cell("a", 5, seed), 0.5, notes=["blurred put blur on the images of test"])
        for seed in (0, 1)
    ]
    assert answer(analyse(Store(folder(records, records))))["noted"] == {
        "digits": "blurred put blur on the images of test"
    }


def test_the_origin_is_a_line():
    facts = [
        Fact("finished", {"2026-01-02T00:10:00+00:00": 1, "2025-12-31T23:00:00+00:00": 1}),
        Fact("harness", {"0.1.0": 2}),
        Fact("commit", {"0123456789abcdef": 2}),
        Fact("device", {"cpu": 2}),
        Fact("cpu", {"Some Processor": 2}),
    ]
    assert origin(facts) == [
        "31 December 2025 to 2 January 2026",
        "harness 0.1.0",
        "commit 0123456789",
        "cpu (Some Processor)",
    ]
    assert origin([]) == []


def test_what_strategies_do_is_told_in_the_order_of_the_rows(folder, cell, done):
    records = [
        done(cell(label, 5, seed), accuracy)
        for label, accuracy in (("ncm", 0.5), ("lora", 0.7), ("mine", 0.6))
        for seed in range(3)
    ]
    said = {"ncm": "The nearest mean.", "lora": "A low-rank change."}
    directory = folder(records, records, summaries=said)
    told = answer(analyse(Store(directory)))["summaries"]
    assert told == [("lora", "A low-rank change."), ("ncm", "The nearest mean.")]
