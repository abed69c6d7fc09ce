"""The explorer in a real browser: it filters, shows values, sorts and opens cells."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.record.schema import Coordinates, Record
from harness.record.store import Store
from harness.report.analysis.report import analyse
from harness.report.page.cells import render_cells
from harness.report.page.page import render_page
from harness.report.plots.render import Renderings
from harness.report.plots.style import looks

Cell = Callable[..., Coordinates]
Done = Callable[..., Record]
Folder = Callable[..., Path]
Browser = Any

pytestmark = pytest.mark.browser

ROWS = "#explorer tbody tr"
HOSTILE = "<img src=x onerror='window.hacked=1'></script><script>window.hacked=1</script>"


def written(directory: Path) -> Path:
    """Write the page without its plots, which take long to draw, and what lies beside it."""
    report = analyse(Store(directory))
    chapters = {"results": [], "tuning": [], "predictions": []}
    plots = Renderings(looks(report.strategies), chapters, [], None, None)
    page = directory / "report/index.html"
    (page.parent / "cells").mkdir(parents=True, exist_ok=True)
    page.write_text(render_page(report, plots))
    for name, content in render_cells(report)().items():
        (page.parent / "cells" / name).write_bytes(content)
    return page


@pytest.fixture(scope="module")
def page(results: Path) -> Path:
    return written(results)


@pytest.fixture
def opened(browser: Browser, page: Path) -> Iterator[Browser]:
    browser.open(page)
    yield browser
    assert browser.errors == []


def test_it_shows_every_group(opened: Browser) -> None:
    assert opened.texts("#explorer [role=status]") == ["25 of 25 results, from 55 cells."]
    assert len(opened.texts(ROWS)) == 25
    assert opened.js("document.querySelectorAll('#explorer .mark').length") == 25


def test_filters_narrow_picture_and_table(opened: Browser) -> None:
    opened.choose("select[name=problem]", "digits")
    opened.choose("select[name=shots]", "5 shots")
    opened.click(".toggles [data-label=maml]")
    shown = [row.split("\t")[0] for row in opened.texts(ROWS)]
    assert shown == ["from_scratch", "linear_probe", "partial_freeze", "full_finetune"]
    assert opened.js("document.querySelectorAll('#explorer .mark').length") == 4
    assert opened.texts("#explorer [role=status]") == ["4 of 25 results, from 12 cells."]
    assert opened.js("document.querySelector('[data-label=maml]').ariaPressed") == "false"


def test_of_many_results_the_first_problem_is_shown_at_first(
    browser: Browser, folder: Folder, cell: Cell, done: Done
) -> None:
    records = [
        done(cell(label, shots, 0, problem=problem), 0.5)
        for problem in ("birds", "cars")
        for shots in range(1, 17)
        for label in ("ncm", "lora")
    ]
    browser.open(written(folder(records, records)))
    (told,) = browser.texts("#explorer [role=status]")
    assert told == "32 of 64 results, from 32 cells. Choose “all” to see the others."
    browser.choose("select[name=problem]", "all")
    assert browser.texts("#explorer [role=status]") == ["64 of 64 results, from 64 cells."]
    assert browser.errors == []


def test_the_address_holds_the_view(opened: Browser, page: Path) -> None:
    opened.choose("select[name=problem]", "digits")
    opened.choose("select[name=metric]", "log loss (nats)")
    opened.click(".toggles [data-label=maml]")
    rows, address = opened.texts(ROWS), opened.js("location.hash")
    opened.open(page, address)
    assert opened.texts(ROWS) == rows
    assert opened.js("document.querySelector('select[name=metric]').value") == "log_loss"


def test_pointing_at_a_mark_shows_its_values_and_lights_its_row(opened: Browser) -> None:
    opened.hover("#explorer .mark[aria-label^='linear_probe on digits, 5 shots'] polygon")
    (tip,) = opened.texts(".tip")
    assert tip.startswith("linear_probe on digits, 5 shots")
    (row,) = opened.texts("tr.lit")
    assert "linear_probe" in row
    assert "5 shots" in row
    assert row.split("\t")[3] in tip


def test_pointing_at_a_row_lights_its_mark(opened: Browser) -> None:
    opened.hover(f"{ROWS}:nth-child(7)")
    first = opened.texts(f"{ROWS}:nth-child(7) td:first-child")[0]
    assert opened.js("document.querySelector('.mark.lit').ariaLabel").startswith(first)


def test_marks_lie_on_their_scale(opened: Browser, results: Path) -> None:
    """Positions on the screen are a line through the accuracies, by least squares."""
    places = opened.js(
        "[...document.querySelectorAll('.mark polygon')].map((drawn) => {"
        "const { x, width } = drawn.getBoundingClientRect();"
        "return [+drawn.parentNode.dataset.group, x + width / 2]; })"
    )
    table = analyse(Store(results)).table
    values = table["accuracy"].to_numpy()[[group for group, _ in places]]
    pixels = np.array([x for _, x in places])
    slope, start = np.polyfit(values, pixels, 1)
    assert slope > 0
    assert np.abs(start + slope * values - pixels).max() < 1.5


@pytest.mark.parametrize("kind", ["against time", "against memory", "against trained parameters"])
def test_costs_are_drawn_to_the_right(opened: Browser, kind: str) -> None:
    opened.choose("select[name=picture]", kind)
    assert opened.js("document.querySelectorAll('.mark polygon').length") > 10
    assert "NaN" not in opened.js("document.querySelector('.picture').innerHTML")


def test_pressing_a_head_sorts_and_gaps_come_last(opened: Browser) -> None:
    head = "#explorer th:nth-child(4) button"
    for state in ("ascending", "descending"):
        opened.click(head)
        assert opened.js(f"document.querySelector({head!r}).parentNode.ariaSort") == state
        shown = opened.texts(f"{ROWS} td:nth-child(4)")
        numbers = [float(text.split()[0]) for text in shown if "(" in text or "." in text]
        assert numbers == sorted(numbers, reverse=state == "descending")
        assert all(text.endswith(("failed", "pending", "unsupported")) for text in shown[-3:])


def test_a_cell_opens_with_all_that_is_known_of_it(opened: Browser) -> None:
    opened.click(f"{ROWS}:nth-child(6) a")
    opened.wait("document.querySelector('#cell .scroll table') !== null")
    assert opened.js("document.activeElement.id") == "cell-title"
    heads = opened.texts("#cell h3")
    assert heads == ["Settings that validation chose", "Learning curve", "Trials", "Provenance"]
    assert len(opened.texts("#cell .scroll tbody tr")) == 8
    assert not opened.js("document.querySelector('#explorer').checkVisibility()")
    opened.click("#cell .back a")
    opened.wait("document.querySelector('#cell').hidden")
    assert len(opened.texts(ROWS)) == 25


def test_without_its_files_the_page_works_and_says_so(
    browser: Browser, page: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "index.html"
    shutil.copy(page, alone)
    browser.open(alone)
    assert len(browser.texts(ROWS)) == 25
    browser.click(f"{ROWS}:nth-child(6) a")
    browser.wait("document.querySelector('#cell .warning') !== null")
    assert "cells/1.js" in browser.texts("#cell .warning")[0]
    assert browser.texts("#cell h3") == ["Settings that validation chose", "Learning curve"]
    assert browser.errors == []


def test_an_address_of_no_cell_is_told(browser: Browser, page: Path) -> None:
    browser.open(page, "#cell=%E0%A4%A")
    assert browser.texts("#cell h2") == ["No such cell"]
    assert browser.errors == []


def test_everything_can_be_reached_by_keys(opened: Browser) -> None:
    opened.js("document.querySelector('.toggles li:last-child button').focus()")
    opened.key("Tab")
    assert opened.js("document.activeElement.classList.contains('mark')")
    first = opened.js("document.activeElement.ariaLabel")
    opened.key("ArrowDown")
    opened.key("ArrowDown")
    assert opened.js("document.activeElement.ariaLabel") != first
    assert opened.texts(".tip")[0] != ""
    opened.key("Enter")
    assert opened.js("document.activeElement.closest('.tip') !== null")
    opened.key("Escape")
    assert opened.js("document.activeElement.classList.contains('mark')")
    opened.key("Enter")
    opened.key("Enter")
    opened.wait("!document.querySelector('#cell').hidden")


@pytest.mark.parametrize("fragment", ["", "#cell="])
def test_a_narrow_screen_does_not_scroll_sideways(
    browser: Browser, page: Path, fragment: str
) -> None:
    if fragment:
        browser.open(page)
        fragment = browser.js("document.querySelector('#explorer tbody a').hash")
    browser.open(page, fragment, width=390)
    assert browser.js("document.documentElement.scrollWidth") <= 390


def test_headings_follow_each_other(opened: Browser, page: Path) -> None:
    """One of the first level, and none that is two levels below the one before it; so too with all
    chapters unfolded and in the view of a cell."""
    opened.js("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    link = opened.js("document.querySelector('#explorer tbody a').hash")
    for fragment in ("", link):
        if fragment:
            opened.open(page, fragment)
            opened.wait("document.querySelector('#cell .scroll table') !== null")
        levels = opened.js(
            "[...document.querySelectorAll('h1, h2, h3, h4, h5, h6')]"
            ".filter((head) => head.checkVisibility()).map((head) => +head.tagName[1])"
        )
        assert levels.count(1) == (0 if fragment else 1)
        assert all(below - above <= 1 for above, below in itertools.pairwise(levels))


def test_everything_has_a_name(opened: Browser) -> None:
    """Controls, tables, regions that scroll, pictures and landmarks, as a screen reader has it."""
    opened.js("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    names = opened.named("button", "combobox", "table", "region", "image", "navigation", "link")
    assert {role for role, _ in names} >= {"button", "combobox", "table", "region", "navigation"}
    assert [role for role, name in names if not name] == []
    roles = [role for role, _ in opened.named("banner", "main", "navigation", "contentinfo")]
    assert sorted(roles) == ["banner", "contentinfo", "main", "navigation"]


def test_all_tables_have_headers(opened: Browser) -> None:
    assert (
        opened.js(
            "[...document.querySelectorAll('table')].filter((table) =>"
            "!table.querySelector('th[scope]') || !table.caption).length"
        )
        == 0
    )


def test_focus_is_seen(opened: Browser) -> None:
    """Whatever is reached by the Tab key is outlined, as far as the first chapters go."""
    reached = set()
    for _ in range(60):
        opened.key("Tab")
        tag, seen = opened.js(
            "{ const at = document.activeElement, mark = at.querySelector(':scope > .hit');"
            "const outlined = getComputedStyle(at).outlineStyle !== 'none';"
            "const ringed = mark !== null && getComputedStyle(mark).stroke !== 'none';"
            "[at.tagName, outlined || ringed]; }"
        )
        assert seen, tag
        reached.add(tag)
    assert reached >= {"A", "BUTTON", "SELECT", "SUMMARY"}


def test_what_is_folded_is_printed(browser: Browser, page: Path, tmp_path: Path) -> None:
    """But for tables of hundreds of rows, of which it is told where they are."""
    browser.open(page)
    before = browser.js("document.querySelectorAll('details[open]').length")
    browser.js("window.dispatchEvent(new Event('beforeprint'))")
    assert browser.js("document.querySelectorAll('details:not(.long):not([open])').length") == 0
    browser.js("window.dispatchEvent(new Event('afterprint'))")
    assert browser.js("document.querySelectorAll('details[open]').length") == before


def test_names_reasons_and_logs_run_no_script(
    browser: Browser, folder: Folder, cell: Cell, done: Done
) -> None:
    records = [
        done(
            cell(HOSTILE, 5, seed, cell=f"c{seed}", problem=HOSTILE, backbone=HOSTILE),
            0.5,
            provenance={HOSTILE: HOSTILE},
            log="logs/c.log",
        )
        for seed in range(2)
    ]
    records[0].trials[0].settings[HOSTILE] = HOSTILE
    failed = done(cell(HOSTILE, 1, 0, cell="f"), status="failed", reason=HOSTILE, traceback=HOSTILE)
    directory = folder([*records, failed], [*records, failed])
    store = Store(directory)
    (directory / "logs").mkdir()
    (directory / "logs/c.log").write_text(HOSTILE)
    logits = np.eye(2)[[0, 1, 1, 0]]
    store.write_predictions("c0", {"logits": logits, "labels": [0, 1, 0, 0], "ids": range(4)})
    store.write_split("split0", {"classes": [HOSTILE, "b"]})
    error = {"id": 2, "true": HOSTILE, "taken": "b", "confidence": 0.7}
    store.write_misclassified(
        "c0",
        [
            {**error, "text": HOSTILE},
            {**error, "image": "x' onerror='window.hacked=1", "name": HOSTILE},
        ],
    )
    page = written(directory)
    for fragment in (
        "",
        "#cell=c0",
        "#cell=c1",
        "#cell=f",
        f"#cell={HOSTILE}",
        f"#explorer?problem={HOSTILE}",
    ):
        browser.open(page, fragment)
        browser.wait(
            "document.querySelector('#cell [aria-live] .note')?.innerText !== 'Loading the rest…'"
        )
        assert browser.js("window.hacked") is None
        assert (
            browser.js("document.querySelectorAll('#cell img, #explorer img, #wrong img').length")
            == 0
        )
        assert browser.errors == []
    browser.open(page, "#cell=c0")
    browser.wait("document.querySelector('#cell .log') !== null")
    assert browser.texts("#cell .log") == [HOSTILE]
    assert HOSTILE in browser.texts("#cell h2")[0]
    browser.click("#cell .matrix button")
    assert browser.js("window.hacked") is None


def test_mistakes_are_seen_by_kind(
    browser: Browser, folder: Folder, cell: Cell, done: Done
) -> None:
    records = [done(cell("a", 5, seed), 0.5) for seed in range(2)]
    directory = folder(records, records)
    store = Store(directory)
    pixel = (
        "image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+k"
        "cQAAAABJRU5ErkJggg=="
    )
    logits = np.eye(3)[[0, 1, 1, 0]]
    arrays = {"logits": logits, "labels": np.array([0, 1, 0, 2]), "ids": np.arange(4)}
    store.write_predictions(records[0].cell, arrays)
    store.write_split("split0", {"classes": ["ant", "bee", "cat"]})
    errors = [
        {
            "id": 2,
            "true": "ant",
            "taken": "bee",
            "confidence": 0.9,
            "image": pixel,
            "name": "ant/2.png",
        },
        {"id": 3, "true": "cat", "taken": "ant", "confidence": 0.8, "text": "a cat"},
    ]
    store.write_misclassified(records[0].cell, errors)
    page = written(directory)
    browser.open(page)
    shown = browser.texts("#wrong .errors li")
    assert [text.split("\n")[0] for text in shown] == ["ant taken for bee", "a cat"]
    assert browser.js("document.querySelector('#wrong img').naturalWidth") == 1
    browser.open(page, f"#cell={records[0].cell}")
    browser.wait("document.querySelector('#cell .matrix') !== null")
    browser.click("#cell .matrix tr:nth-child(3) button")
    assert browser.texts("#cell [role=status] li") == [
        "a cat\ncat taken for ant\n80.0 % sure · example 3"
    ]
    assert browser.errors == []
