"""The page tells what the records hold, needs nothing but itself and lets nothing through."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats

from harness.record.schema import Coordinates, Record
from harness.record.store import Store
from harness.report.analysis.report import analyse
from harness.report.write import write_report

Cell = Callable[..., Coordinates]
Done = Callable[..., Record]
Folder = Callable[..., Path]

VOID = {"meta", "br", "wbr", "path", "use", "rect", "link", "img"}


class Reader(HTMLParser):
    """What a browser would make of a page: its text, its attributes and its structure."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.text.append(data)
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data.strip()

    @property
    def words(self) -> str:
        return " ".join("".join(self.text).replace("\u00a0", " ").split())


def written(directory: Path, *sections: Any) -> tuple[str, Reader]:
    html = write_report(analyse(Store(directory)), lambda: sections).read_text()
    return html, Reader(html)


@pytest.fixture(scope="module")
def page(results: Path) -> tuple[str, Reader]:
    return written(results, SimpleNamespace(title="From <a> plugin", html="<p>its <b>own</b></p>"))


def test_the_files_are_written(results: Path, page: tuple[str, Reader]) -> None:
    found = {str(path.relative_to(results)) for path in (results / "report").rglob("*.*")}
    assert "report/index.html" in found
    assert {f"report/plots/accuracy_by_shots.{kind}" for kind in ("png", "svg")} <= found
    assert {f"report/tables/results.{kind}" for kind in ("csv", "md", "tex")} <= found
    for name in ("best", "tuned", "consumed"):
        assert {f"report/tables/{name}.{kind}" for kind in ("csv", "md", "tex")} <= found


def test_the_page_is_well_formed(page: tuple[str, Reader]) -> None:
    reader = page[1]
    assert reader.open == []
    ids = Counter(value for _, name, value in reader.attributes if name == "id")
    assert not [name for name, count in ids.items() if count > 1]
    for tag, name, value in reader.attributes:
        if name == "href" and tag == "a" and value.startswith("#"):
            assert value[1:] in ids


def test_every_plot_is_linked_and_drawn_where_the_explorer_shows_no_such_thing(
    results: Path, page: tuple[str, Reader]
) -> None:
    html, reader = page
    links = {value for _, name, value in reader.attributes if value.startswith("plots/")}
    assert links == {f"plots/{path.name}" for path in (results / "report/plots").iterdir()}
    drawn = re.findall(r'<figure id="(.*?)"', html)
    costs = {"accuracy_by_seconds", "accuracy_by_memory"}
    assert {link.split("/")[1].split(".")[0] for link in links} - {*drawn} == costs


def test_nothing_is_loaded_from_outside(page: tuple[str, Reader]) -> None:
    html, reader = page
    loads = [value for _, name, value in reader.attributes if name in ("src", "href", "srcset")]
    assert loads
    assert all(value.startswith(("#", "data:", "plots/")) for value in loads)
    assert not re.search(r"url\((?!#)|@import|https?://(?!www\.w3\.org/2000/svg)", html)
    assert "default-src 'none'" in html


def test_results_are_those_of_the_records(page: tuple[str, Reader], frame: pd.DataFrame) -> None:
    table = page[1].tables[1]
    assert table[0] == ["strategy", "1 shot", "5 shots", "all data"]
    rows = {row[0]: row[1:] for row in table[2:]}
    cells = frame[(frame["problem"] == "digits") & (frame["shots"] == 5)]
    by = {label: rows["accuracy"].to_numpy() for label, rows in cells.groupby("label")}
    accuracies, gains = by["maml"], by["maml"] - by["from_scratch"]
    t = scipy_stats.t.ppf(0.975, 2)
    assert rows["maml"][2:4] == [
        f"{100 * accuracies.mean():.1f} ± {100 * t * scipy_stats.sem(accuracies):.1f}",
        f"{100 * gains.mean():+.1f} ± {100 * t * scipy_stats.sem(gains):.1f}",
    ]
    assert rows["full_finetune"][2:4] == ["1 of 3 failed", "–"]
    assert rows["maml"][:2] == ["1 of 3 pending", "–"]
    assert rows["maml"][4:] == ["3 of 3 unsupported", "–"]


def test_every_cell_has_a_row(page: tuple[str, Reader], frame: pd.DataFrame) -> None:
    table = page[1].tables[-1]
    assert table[0][-1] == "cell"
    assert [row[-1] for row in table[1:]] == list(frame["cell"])
    assert Counter(row[4] for row in table[1:]) == Counter(frame["status"])


def test_what_is_not_ok_is_told_with_its_reason(page: tuple[str, Reader]) -> None:
    html, reader = page
    assert "50 cells ok" in reader.words
    assert "1 cell failed: stopped by an error" in reader.words
    assert "Reason: RuntimeError: shape <b>mismatch</b> & more" in reader.words
    assert "loss = fit(<script>alert(1)</script>)" in reader.words
    assert "3 cells unsupported" in reader.words
    assert "maml on digits, 1-shot, seed 2 (test_resnet)" in reader.words
    assert "<script>alert" not in html


def test_budget_provenance_settings_and_sections(page: tuple[str, Reader]) -> None:
    html, reader = page
    assert "Every cell has the same budget: 8 trials" in reader.words
    assert "at most 200 optimiser steps a trial" in reader.words
    assert ["versions.torch", "2.15.0"] in [row for table in reader.tables for row in table]
    assert "under the same conditions" not in reader.words
    assert "weight_decay = 0.0001" in reader.words
    assert "From <a> plugin" in reader.words
    assert "<p>its <b>own</b></p>" in html


def test_findings_name_no_winner_without_grounds(page: tuple[str, Reader]) -> None:
    words = page[1].words
    assert "No winner: linear_probe has the highest mean" in words
    assert "Not judged, because a result is missing: maml (1 of 3 pending)." in words
    assert "A single seed can't tell whether that is more than luck" in words


# ── made folders ──────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One facet a plot: drawing is what takes the time."""
    monkeypatch.setattr("harness.report.analysis.results.MOST_FACETS", 1)


def test_the_same_records_give_the_same_files(folder: Folder, cell: Cell, done: Done) -> None:
    records = [done(cell("a", 5, seed), 0.5) for seed in range(2)]
    directory = folder(records, records)

    def everything() -> dict[Path, bytes]:
        write_report(analyse(Store(directory)))
        return {p: p.read_bytes() for p in (directory / "report").rglob("*.*")}

    assert everything() == everything()


def test_findings_by_hand(folder: Folder, cell: Cell, done: Done) -> None:
    scores = {
        "from_scratch": [0.50, 0.52, 0.51],
        "linear_probe": [0.80, 0.81, 0.82],
        "maml": [0.40, 0.42, 0.42],
    }
    records = [
        done(cell(label, 5, seed), accuracy)
        for label, accuracies in scores.items()
        for seed, accuracy in enumerate(accuracies)
    ]
    words = written(folder(records, records))[1].words
    half = 100 * scipy_stats.t.ppf(0.975, 2) * scipy_stats.sem(np.array([0.30, 0.29, 0.31]))
    assert (
        f"linear_probe is ahead with 81.0 ± 2.5 %: 30.0 ± {half:.1f} points more than"
        " from_scratch, the next best." in words
    )
    assert f"Gain over from_scratch, in points: linear_probe +30.0 ± {half:.1f}." in words
    assert "Worse than from_scratch, in points: maml −9.7" in words


def test_a_bound_is_told_and_never_ranked(folder: Folder, cell: Cell, done: Done) -> None:
    """What saw the target's labels is best by far, and no winner."""
    scores = {
        "source_only": [0.60, 0.61, 0.60],
        "coral": [0.80, 0.82, 0.81],
        "target_supervised": [0.97, 0.98, 0.98],
    }
    records = [
        done(
            cell(
                label,
                "all",
                seed,
                protocol="adaptation",
                oracle="labels" if label == "target_supervised" else None,
            ),
            accuracy,
        )
        for label, accuracies in scores.items()
        for seed, accuracy in enumerate(accuracies)
    ]
    words = written(folder(records, records))[1].words
    assert "coral is ahead with 81.0 ± 2.5 %: 20.7 ± 1.4 points more than source_only" in words
    assert "With the target's labels to learn from, as a bound: target_supervised (97.7" in words
    assert "target_supervised (bound)" in words
    assert "gain over source_only" in words
    assert "target_supervised is ahead" not in words


def test_what_the_targets_labels_selected_is_called_an_oracle(
    folder: Folder, cell: Cell, done: Done
) -> None:
    records = [
        done(cell(label, "all", 0, protocol="adaptation", oracle="selection"), 0.5)
        for label in ("source_only", "coral")
    ]
    words = written(folder(records, records))[1].words
    assert "Oracle: the target's labels selected the hyperparameters." in words


def test_trials_that_are_not_scored_by_accuracy_are_in_no_plot_of_accuracy(
    folder: Folder, cell: Cell, done: Done
) -> None:
    records = [
        done(cell(label, "all", seed, protocol="adaptation"), 0.5)
        for label in ("source_only", "coral")
        for seed in (0, 1)
    ]
    assert "What more trials bring" in written(folder(records, records))[1].words
    for record in records:
        record.metrics["information_val"] = record.metrics.pop("accuracy_val")
    assert "What more trials bring" not in written(folder(records, records))[1].words


def test_labels_and_reasons_are_text(folder: Folder, cell: Cell, done: Done) -> None:
    label = "<script>alert('x')</script> & \"co\""
    good = [
        done(cell(label, 5, seed, cell=f"c{seed}", problem="<i>p</i>"), 0.5 + seed / 10)
        for seed in range(2)
    ]
    bad = done(cell("from_scratch", 5, 0), status="oom", reason="<img src=x onerror=alert(1)>")
    html, reader = written(folder([*good, bad], [*good, bad], description="<u>d</u>"))
    assert reader.open == []
    assert label in reader.words
    assert not re.search(r"<script>alert|<img|<i>p|<u>", html)
    made = [(name, value) for tag, name, value in reader.attributes if tag == "script"]
    assert made == [("type", "application/json"), ("id", "explorer-data"), ("type", "module")]
    assert not {"img", "iframe"} & {tag for tag, *_ in reader.attributes}


def test_a_folder_where_nothing_ran(folder: Folder, cell: Cell) -> None:
    cells = [cell("a", 5, seed) for seed in range(20)]
    directory = folder(cells)
    stale = directory / "report/plots/old.png"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"")
    words = written(directory)[1].words
    assert "20 cells pending: not run yet" in words
    assert "No strategy has a complete result." in words
    assert "8 more" in words
    assert not stale.exists()


def test_a_folder_where_all_failed(folder: Folder, cell: Cell, done: Done) -> None:
    cells = [cell("a", 5, seed) for seed in range(2)]
    failed = [done(one, status="crashed", reason="gone") for one in cells]
    words = written(folder(cells, failed))[1].words
    assert "2 cells crashed: its process died without an answer" in words
    assert "2 of 2 crashed" in words


def test_one_failure_of_many_cells_is_listed_once(folder: Folder, cell: Cell, done: Done) -> None:
    cells = [cell(label, 5, seed) for label in ("a", "b") for seed in range(12)]
    failed = [
        done(one, status="failed", reason="no network", traceback=f"line {place}")
        for place, one in enumerate(cells)
    ]
    words = written(folder(cells, failed))[1].words
    assert "24 cells failed: stopped by an error" in words
    assert words.count("Reason: no network") == 1
    seeds = ", ".join(map(str, range(12)))
    assert f"Where: 24 cells, a, b on digits (seeds {seeds})." in words
    assert words.count("Traceback of the first") == 1


def test_a_plan_without_cells(folder: Folder) -> None:
    assert "This suite has no cells." in written(folder([]))[1].words


def test_records_of_two_machines_are_marked(folder: Folder, cell: Cell, done: Done) -> None:
    records = [
        done(cell("a", 5, seed), 0.5, provenance={"device": {"name": name}, "started": seed})
        for seed, name in enumerate(("H100", "A100"))
    ]
    words = written(folder(records, records))[1].words
    assert "Cells were not all run under the same conditions: device.name differs." in words
    assert "H100 (1 cell); A100 (1 cell)" in words
    assert "Cells came from different machines: device.name: H100 (1 cell), A100 (1 cell)." in words


@pytest.mark.usefixtures("quick")
def test_many_findings_are_folded(folder: Folder, cell: Cell, done: Done) -> None:
    records = [done(cell("a", shots, 0), 0.5) for shots in range(1, 16)]
    assert "3 more comparisons" in written(folder(records, records))[1].words


# ── tuning, predictions, provenance ───────────────────────────────────────────────────────────


def test_expected_best_is_told_by_budget(page: tuple[str, Reader]) -> None:
    tables = [table for table in page[1].tables if "4 trials" in table[0]]
    (table,) = tables
    assert table[0] == ["problem", "shots", "strategy", "1 trial", "4 trials", "8 trials", "10 s"]
    assert "What more trials bring" in page[1].words
    # Bold is for winners that a test has named: none here.
    assert 'class="best"' not in page[0]
    # All eight trials of a probe took less than ten seconds.
    probe = next(row for row in table if row[:3] == ["digits", "1 shot", "linear_probe"])
    assert probe[-1] == f"≥ {probe[-2]}"


def test_what_tuning_consumed_is_told_of_every_cell_with_a_record(
    page: tuple[str, Reader], frame: pd.DataFrame
) -> None:
    (table,) = [table for table in page[1].tables if "pruned" in table[0]]
    rows = [dict(zip(table[0], row, strict=True)) for row in table[1:]]
    assert sum(int(row["cells"]) for row in rows) == (frame["trials"] > 0).sum()
    assert sum(int(row["complete"]) for row in rows) == frame["trials"].sum()


def test_importance_has_a_number_or_a_reason(page: tuple[str, Reader]) -> None:
    (table,) = [table for table in page[1].tables if "importance (%)" in table[0]]
    for row in table[1:]:
        told = dict(zip(table[0], row, strict=True))
        assert (told["importance (%)"] == "–") == bool(told["remark"])


def test_predictions_are_shown_by_class(folder: Folder, cell: Cell, done: Done) -> None:
    records = [done(cell("a", "all", seed), 0.5) for seed in range(2)]
    directory = folder(records, records)
    store = Store(directory)
    # Of two examples each class, one of the second class is taken for the first.
    logits = np.log(np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.1, 0.9]]))
    for record in records:
        arrays = {"logits": logits, "labels": np.array([0, 0, 1, 1]), "ids": np.arange(4)}
        store.write_predictions(record.cell, arrays)
    store.write_split("split0", {"dataset": "digits", "classes": ["<ant>", "bee"]})
    reader = written(directory)[1]
    assert [["", "<ant>", "bee"], ["<ant>", "100", ""], ["bee", "50", "50"]] in reader.tables
    classes = next(table for table in reader.tables if "recall (%)" in table[0])
    assert classes[1] == ["<ant>", "a", "4", "66.7", "100.0", "80.0"]
    assert classes[2] == ["bee", "a", "4", "100.0", "50.0", "66.7"]
    assert "Calibration error in points: a" in reader.words
    kept = (directory / "report/tables/confused.csv").read_text().splitlines()
    assert kept[1].endswith(",a,bee,<ant>,2,0.5")


def test_what_was_in_force_is_told_once(folder: Folder, cell: Cell, done: Done) -> None:
    config = {
        "strategy_spec": {"name": "probe", "label": "", "args": {"steps": 7}},
        "problem_spec": {"val_fraction": 0.2},
        "budget": {"trials": 8, "sampler": "random"},
    }
    records = [done(cell("a", 5, seed), 0.5, config=config) for seed in range(3)]
    reader = written(folder(records, records))[1]
    table = next(table for table in reader.tables if table[0] == ["part", "name", "settings"])
    assert table[1:] == [
        ["strategy", "a", "name = probe, args.steps = 7, lr = 0.001, weight_decay = 0.0001"],
        ["problem", "digits", "val_fraction = 0.2"],
        ["budget", "", "trials = 8, sampler = random"],
    ]


def test_who_is_interrupted_still_has_the_report_that_there_was(
    folder: Folder, cell: Cell, done: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [done(cell("a", 5, seed), 0.5) for seed in range(2)]
    directory = folder(records, records)

    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in (directory / "report").rglob("*.*")}

    write_report(analyse(Store(directory)))
    before = files()
    for record in records:
        Store(directory).write_record(
            record.model_copy(update={"metrics": {**record.metrics, "accuracy": 0.75}})
        )
    with monkeypatch.context() as patch:
        patch.setattr("harness.report.page.page._template", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            write_report(analyse(Store(directory)))
    assert files() == before
    write_report(analyse(Store(directory)))
    assert files().keys() == before.keys()
    assert files() != before
