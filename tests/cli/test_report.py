"""``harness report``: the report of a results folder, written again."""

import shutil
import subprocess
import sys

import pytest

SECTION = """
from harness.api import Section, hookimpl

@hookimpl
def harness_report_sections(frame, directory):
    return [Section("My own section", f"<p>{len(frame)} cells in {directory.name}</p>")]
"""


def test_a_report_can_be_written_again_without_running_anything(harness, results, plugin_file):
    file = plugin_file("section", SECTION)
    ended = harness("report", results, "--plugin", file)
    assert (ended.status, ended.err) == (0, f"harness: running code of {file}\n")
    assert ended.out == f"{results}/report/index.html\n"
    page = (results / "report/index.html").read_text()
    assert "My own section" in page
    assert "<p>4 cells in tiny</p>" in page


ALONE = """
import sys
from harness.cli import cli

cli.main(["report", sys.argv[1]], standalone_mode=False)
print([name for name in ("torch", "timm", "optuna", "sklearn") if name in sys.modules])
"""


def test_a_report_of_plain_results_imports_nothing_that_learns(results):
    ended = subprocess.run(
        [sys.executable, "-c", ALONE, results], capture_output=True, text=True, check=True
    )
    assert ended.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", ["nowhere", "results"])
def test_a_folder_without_results_is_refused(harness, results, name):
    ended = harness("report", name)
    assert ended.status == 2
    assert ended.complaint.startswith(f"harness: {name} holds no results (no plan.json). ")


def test_a_folder_with_only_a_plan_has_a_report_too(harness, results, no_report):
    shutil.rmtree(results / "records")
    assert harness("report", results).status == 0
