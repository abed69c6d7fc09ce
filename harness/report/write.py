"""Write the report of a results folder: its page, tables and plots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.record.files import write_atomically
from harness.report.analysis.report import Report
from harness.report.page.cells import render_cells
from harness.report.page.page import render_page
from harness.report.plots.render import render_plots
from harness.report.tables.files import render_tables
from harness.report.workers import Submit, serial

if TYPE_CHECKING:
    from harness.contract import Section


def write_report(
    report: Report, sections: Callable[[], Sequence[Section]] = tuple, submit: Submit = serial
) -> Path:
    """Write ``report/`` into the results folder: ``index.html``, ``cells/``, ``tables/``
    and ``plots/``.

    The same records give the same bytes.

    Args:
        sections: gives plugins' own sections, while plots are drawn; their HTML is trusted.
        submit: takes what other processes can do meanwhile.

    Returns:
        The page.
    """
    target = report.directory / "report"
    renderings, cells, own = render_plots(report, submit), render_cells(report, submit), sections()
    contents = {
        target / f"tables/{name}": text.encode() for name, text in render_tables(report).items()
    }
    html = render_page(report, renderings, own)
    contents |= {target / f"cells/{name}": content for name, content in cells().items()}
    contents |= {target / f"plots/{name}": drawn for name, drawn in renderings.files().items()}
    # All at once and at the end: an interrupt leaves the report that there was.
    there = {
        path for folder in ("cells", "plots", "tables") for path in target.glob(f"{folder}/*.*")
    }
    for stale in there - contents.keys():
        stale.unlink()
    for path, content in {**contents, target / "index.html": html.encode()}.items():
        write_atomically(path, content)
    return target / "index.html"
