"""A report is read, analysed and rendered, in this order: renderers take what was decided."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import harness.report
from harness.record.schema import Coordinates, Record
from harness.record.store import Store
from harness.report import terminal
from harness.report.analysis.report import Report, analyse
from harness.report.page.page import render_page
from harness.report.plots.render import Renderings
from harness.report.plots.style import looks
from harness.report.tables.files import render_tables
from harness.report.write import write_report

ROOT = Path(harness.report.__file__).parent
LOWER = ("analysis", "plots", "tables", "page")
"""What may import what comes before it alone, but for plots and tables, which are side by side."""


@pytest.fixture(scope="module")
def report(results: Path) -> Report:
    return analyse(Store(results))


def undrawn(report: Report) -> Renderings:
    chapters = {"results": [], "tuning": [], "predictions": []}
    return Renderings(looks(report.strategies), chapters, [], None, None)


def test_renderers_need_the_report_alone(
    folder: Callable[..., Path], cell: Callable[..., Coordinates], done: Callable[..., Record]
) -> None:
    records = [done(cell("a", 5, seed), 0.5 + seed / 10) for seed in range(2)]
    directory = folder(records, records)
    report = analyse(Store(directory))
    shutil.rmtree(directory)
    (directory / "report").mkdir(parents=True)
    page = write_report(report)
    assert "a has a complete result" in page.read_text().replace("<b>", "").replace("</b>", "")
    assert "55.0 (8.6 to 94.1)" in terminal.results(report)


def test_renderers_take_decisions_as_they_are(report: Report) -> None:
    def marks(told: str) -> tuple[str, str]:
        table = report.table.assign(gain_outcome=told)
        pairs = report.decisions.pairwise.assign(outcome=told)
        decided = replace(report.decisions, pairwise=pairs)
        changed = replace(report, table=table, decisions=decided)
        return render_page(changed, undrawn(changed)), render_tables(changed)["comparisons.md"]

    page, table = marks("worse")
    assert '<td class="bad">' in page
    assert '<td class="unsure">' not in page
    assert "not distinguishable" not in table
    page, table = marks("unclear")
    assert '<td class="bad">' not in page
    assert "| worse |" not in table


def test_a_report_needs_no_pytorch() -> None:
    code = "import sys, harness.report.write; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("part", LOWER)
def test_what_decides_knows_nothing_of_what_shows(part: str) -> None:
    above = {*LOWER[LOWER.index(part) + 1 :], "terminal", "write"}
    for path in (ROOT / part).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
                for name in names:
                    at = name.removeprefix("harness.report.").split(".")[0]
                    assert not (name.startswith("harness.report.") and at in above), (path, name)
