"""Further tests are settings by themselves: nothing of them is averaged with the problems' own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.record.schema import Coordinates, Further, Record
from harness.record.store import Store
from harness.report.analysis.compare import two_labels
from harness.report.analysis.report import Report, analyse
from harness.report.tables.files import render_tables

OWN = {"from_scratch": 0.50, "linear_probe": 0.70, "full_finetune": 0.80}
BENT = {"from_scratch": 0.45, "linear_probe": 0.60, "full_finetune": 0.30}


@pytest.fixture
def folders(
    tmp_path: Path,
    folder: Callable[..., Path],
    cell: Callable[..., Coordinates],
    done: Callable[..., Record],
) -> Callable[[bool], Path]:
    """A suite of three strategies, four seeds and two problems, one of which is tested twice."""

    def make(further: bool) -> Path:
        records = []
        for label, accuracy in OWN.items():
            for seed in range(4):
                luck = 0.01 * ((7 * seed + len(label)) % 5)
                plain = cell(label, 5, seed, problem="plain")
                records.append(done(plain, accuracy - luck))
                tests = ("bent",) if further else ()
                both = cell(label, 5, seed, tests=tests)
                told = Further(
                    metrics={"accuracy": BENT[label] + luck}, leaks={"train-test": 2}, examples=9
                )
                more = {"bent": told} if further else {}
                records.append(done(both, accuracy + luck, further=more))
        return folder(records, records)

    return make


@pytest.fixture
def report(folders: Callable[[bool], Path]) -> Report:
    return analyse(Store(folders(True)))


def test_a_further_test_is_a_setting_by_itself(report: Report) -> None:
    facets = report.table.drop_duplicates("setting")["facet"]
    assert list(facets) == ["plain", "digits", "digits · bent"]
    means = report.table.set_index(["facet", "label"])["accuracy"]
    assert means["digits · bent", "full_finetune"] == pytest.approx(0.30, abs=0.04)
    assert means["digits", "full_finetune"] == pytest.approx(0.80, abs=0.04)


def test_who_is_ahead_is_told_of_each_test(report: Report) -> None:
    places = report.table.drop_duplicates("setting").set_index("setting")["facet"]
    first = {places[one.setting]: one.ranking[0] for one in report.decisions.standings}
    assert first == {
        "plain": "full_finetune",
        "digits": "full_finetune",
        "digits · bent": "linear_probe",
    }


def test_over_all_problems_their_own_tests_count_alone(
    report: Report, folders: Callable[[bool], Path]
) -> None:
    bare = analyse(Store(folders(False)))
    assert list(report.decisions.ranking.means) == list(bare.decisions.ranking.means)
    for mine, theirs in zip(report.decisions.leader, bare.decisions.leader, strict=True):
        assert (mine.left, mine.right, mine.points) == (theirs.left, theirs.right, theirs.points)
        assert (mine.settings, mine.problems) == (2, 2)


def test_comparing_two_strategies_over_all_leaves_further_tests_out(
    folders: Callable[[bool], Path],
) -> None:
    found = two_labels(folders(True), "full_finetune", "linear_probe", "accuracy")
    assert [setting.title for setting in found.settings] == [
        "plain, 5 shots",
        "digits, 5 shots",
        "digits · bent, 5 shots",
    ]
    own = [setting.estimate.value for setting in found.settings[:2]]
    assert found.over_problems.value == pytest.approx(sum(own) / 2)


def test_a_cell_is_counted_once(report: Report) -> None:
    assert len(report.frame) == 24
    assert len(report.records) == 36
    tables = render_tables(report)
    rows = {name: len(tables[f"{name}.csv"].splitlines()) - 1 for name in ("cost", "results")}
    assert rows == {"cost": 6, "results": 9}
    consumed = report.tuning.consumed
    assert list(consumed["cells"]) == [4] * 6


def test_files_have_a_column_that_names_the_test(report: Report) -> None:
    head = render_tables(report)["results.csv"].splitlines()[0].split(",")
    assert head[:6] == ["problem", "protocol", "ways", "shots", "backbone", "test"]


def test_what_leaks_into_a_further_test_is_told_by_its_name(report: Report) -> None:
    assert report.leaks == ["of digits · bent: 2 test examples are identical to a training example"]
