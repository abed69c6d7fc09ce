"""Seeds where they are needed, replayed from the records of the reference suite."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from harness.record.elsewhere import placed
from harness.record.schema import Coordinates, Further, Plan, Record
from harness.record.store import Store
from harness.report.analysis.looks import Needed, needed
from harness.report.analysis.report import analyse

REFERENCE = Path(__file__).parents[3] / "results/reference/reference-cpu"
SEEDS = {"seeds": {"from": 3, "to": 5}}


@pytest.fixture
def replay(tmp_path: Path) -> Callable[[Iterable[str]], Needed]:
    """Lets cells of the reference suite end, and tells what is needed then."""
    store, cells = Store(tmp_path / "replay"), Store(REFERENCE).plan().cells
    (store.directory / "records").mkdir(parents=True)
    (store.directory / "splits").symlink_to(REFERENCE / "splits")

    def end(keys: Iterable[str]) -> Needed:
        for key in keys:
            shutil.copy(REFERENCE / f"records/{key}.json", store.directory / "records")
        return needed(cells, store, SEEDS)

    return end


def test_the_reference_suite_needs_fewer_cells(
    replay: Callable[[Iterable[str]], Needed], tmp_path: Path
) -> None:
    cells = {cell.cell: cell for cell in Store(REFERENCE).plan().cells}
    first = replay([])
    assert first.now == {key for key, cell in cells.items() if cell.seed < 3}
    assert first.later == {key for key, cell in cells.items() if cell.seed >= 3}
    *most, last = sorted(first.now)
    assert replay(most) == first  # stopped before the look, and gone on
    second = replay([last])
    assert first.now < second.now < {*cells}
    assert not second.later
    *most, last = sorted(second.now - first.now)
    assert replay(most) == second
    assert replay([last]) == second
    assert replay(cells) == second  # what nobody asked for changes nothing
    print(f"{len(cells) - len(second.now)} of {len(cells)} cells were not needed")


def test_the_report_decides_what_the_looks_decided(
    folder: Callable[..., Path], cell: Callable[..., Coordinates], done: Callable[..., Record]
) -> None:
    """a is far ahead of c and near b: a and b take further seeds, and the report tells of them."""
    level = {"a": 0.8, "b": 0.795, "c": 0.3}
    every = [cell(label, 5, seed) for label in level for seed in range(4)]
    luck = [0.0, 0.01, -0.02, 0.013]
    records = [
        done(each, level[each.label] + luck[each.seed] * {"a": 1, "b": 2, "c": 1.1}[each.label])
        for each in every
        if each.seed < 3 or each.label != "c"
    ]
    config = {"seeds": {"from": 3, "to": 4}}
    store = Store(folder([], records))
    found = needed(every, store, config)
    asked = [each for each in every if each.cell in found.now]
    assert {(each.label, each.seed) for each in every} - {(e.label, e.seed) for e in asked} == {
        ("c", 3)
    }
    store.write_plan(Plan(suite="made", config=config, cells=asked))
    report = analyse(store)
    (standing,) = report.decisions.standings
    assert standing.ranking == ("a", "b", "c")
    assert standing.winner is None
    assert not report.decisions.waiting
    assert report.decisions.overall.seeds == 3  # those that all have
    assert (report.table["gap"] == "").all()
    told = " ".join(sentence.striptags() for sentence in report.findings.suite)
    assert "1 of 12 cells were not needed" in told


def test_a_further_test_that_is_not_decided_adds_seeds(
    folder: Callable[..., Path], cell: Callable[..., Coordinates], done: Callable[..., Record]
) -> None:
    """By its own test c is beaten; by the further one it is near a, and goes on. The report waits
    for nothing that nobody does, nor for predictions made elsewhere, which have no more seeds."""
    own, bent = {"a": 0.8, "b": 0.795, "c": 0.3}, {"a": 0.5, "b": 0.2, "c": 0.495}
    luck = [0.0, 0.01, -0.02, 0.013]
    scale = {"a": 1, "b": 2, "c": 1.1}
    every = [cell(label, 5, seed, tests=("bent",)) for label in own for seed in range(4)]

    def ended(each: Coordinates) -> Record:
        shift = luck[each.seed] * scale[each.label]
        further = {"bent": Further(metrics={"accuracy": bent[each.label] + shift})}
        return done(each, own[each.label] + shift, further=further)

    config = {"seeds": {"from": 3, "to": 4}}
    store = Store(folder([], [ended(each) for each in every if each.seed < 3]))
    assert needed(every, store, config).now == {each.cell for each in every}
    for each in every:
        store.write_record(ended(each))
    store.write_plan(Plan(suite="made", config=config, cells=every))
    for each in every[:3]:
        store.write_record(done(placed("rater", each), 0.9))
    report = analyse(store)
    assert not report.decisions.waiting
    standing, further = report.decisions.standings
    assert (standing.ranking[0], further.ranking[0]) == ("a", "a")
    assert standing.untested == ("rater (made elsewhere)",)
    told = " ".join(sentence.striptags() for sentence in report.findings.suite)
    assert "0 of 12 cells were not needed" in told  # one training for both tests


def test_listed_seeds_are_all_needed(cell: Callable[..., Coordinates], tmp_path: Path) -> None:
    cells = [cell("a", 5, seed) for seed in range(3)]
    found = needed(cells, Store(tmp_path), {"seeds": [0, 1, 2]})
    assert found == Needed(frozenset(each.cell for each in cells), frozenset())
