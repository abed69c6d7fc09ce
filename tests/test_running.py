"""``harness.run``: a suite from Python, and what its results can be asked."""

import json
import subprocess
import sys

import pytest

import harness
import harness.run.suite  # puts the package in the place of the function
from harness.errors import HarnessError, Mistakes
from harness.record.store import Store

TINY = {
    "name": "tiny",
    "seeds": [0, 1],
    "strategies": ["linear_probe", "full_finetune"],
    "budget": {"trials": 2, "steps": 3, "batch_size": 16},
    "backbones": [
        {"model": "conv4", "weights": "random", "input_size": 16, "args": {"width": 8}},
    ],
    "problems": [{"dataset": "digits", "shots": 2}],
}
"""The suite of ``tiny_suite``."""

OPTIONS = {"executor": "inline", "progress": False}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The results of the tiny suite, given as a dictionary."""
    return harness.run(TINY, results=tmp_path_factory.mktemp("found"), **OPTIONS)


def test_the_suite_is_run_and_reported_and_its_results_are_those_of_load(found):
    assert list(found.cells["status"]) == ["ok"] * 4
    assert (found.directory / "report/index.html").is_file()
    again = harness.load(found.directory)
    assert again.cells.equals(found.cells)
    assert repr(found) == f"<harness results of 4 cells in {found.directory}>"


def test_what_is_done_is_not_run_again(found, tiny_suite, capsys):
    before = {record.cell: record for record in Store(found.directory).records()}
    harness.run(tiny_suite, results=found.directory.parent, executor="inline")
    assert {record.cell: record for record in Store(found.directory).records()} == before
    assert "tiny: 4 cells, 4 done before, 0 to do" in capsys.readouterr().err


def test_keys_are_set_and_cells_chosen(tiny_suite, tmp_path, capsys):
    found = harness.run(
        str(tiny_suite),
        set={"budget.trials": 1, "strategies": ["linear_probe", "ncm"]},
        only=["label=ncm", "seed=1"],
        results=tmp_path,
        executor="inline",
    )
    done = found.cells[found.cells["status"] == "ok"]
    assert [(row.label, row.seed, row.trials) for row in done.itertuples()] == [("ncm", 1, 1)]
    assert len(found.cells) == 4
    assert "[1/1] ok" in capsys.readouterr().err


def test_comparisons_are_those_of_the_command(found, harness_json):
    told = harness_json("compare", found.directory, "linear_probe", "full_finetune")
    ours = found.compare("linear_probe", "full_finetune")
    assert ours.verdict == told["verdict"]
    assert str(ours) == "\n".join(told["verdict"])
    assert ours.overall == told["overall"]
    rows = ours.settings.astype(object).where(ours.settings.notna(), None).to_dict("records")
    assert rows == told["settings"]


@pytest.fixture
def harness_json(harness):
    def run(*words):
        ended = harness(*words, "--format", "json")
        assert ended.status == 0, ended.err
        return json.loads(ended.out)

    return run


def test_curves_are_those_of_the_records(found):
    records = {record.cell: record for record in Store(found.directory).records()}
    assert {name: str(kind) for name, kind in found.curves.dtypes.items()} == {
        **dict.fromkeys(("cell", "label"), "string"),
        **dict.fromkeys(("seed", "trial", "step"), "Int64"),
        "value": "float64",
    }
    assert len(found.curves) > 0
    for (cell, trial), rows in found.curves.groupby(["cell", "trial"]):
        curve = records[cell].trials[trial].curve
        assert list(zip(rows["step"], rows["value"], strict=True)) == [tuple(p) for p in curve]
    assert set(found.curves["cell"]) == {
        key for key, record in records.items() if any(trial.curve for trial in record.trials)
    }


def test_plots_are_those_of_the_report_and_drawn_when_asked_for(found):
    files = {path.stem for path in (found.directory / "report/plots").glob("*.png")}
    assert set(found.plots) == files
    assert len(found.plots) == len(files)
    for name in found.plots:
        found.plots[name].canvas.draw()
    with pytest.raises(KeyError):
        found.plots["none"]


def test_mistakes_are_told_at_once(tmp_path):
    with pytest.raises(Mistakes, match="the suite: 2 mistakes"):
        harness.run({"name": "a", "strategies": ["ncm"]}, results=tmp_path, **OPTIONS)
    with pytest.raises(HarnessError, match=r"there is no key 'problems\.9\.shots' to set"):
        harness.run("quickstart", set={"problems.9.shots": 1}, results=tmp_path, **OPTIONS)
    with pytest.raises(HarnessError, match="no suite 'quickstrat'"):
        harness.run("quickstrat", results=tmp_path, **OPTIONS)


def test_a_dictionary_is_left_as_it_is(found, tmp_path):
    given = {**TINY, "strategies": ("ncm",), "seeds": (0,)}
    before = {**given}
    done = harness.run(given, set={"budget.trials": 1}, results=tmp_path, **OPTIONS)
    assert given == before
    assert list(done.cells["label"]) == ["ncm"]


def test_a_script_runs_it_in_processes_of_their_own(tiny_suite, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import harness\n"
        "if __name__ == '__main__':\n"
        f"    found = harness.run({str(tiny_suite)!r}, only=['seed=0'], jobs=2)\n"
        "    print(*found.cells['status'])\n"
    )
    ended = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert sorted(ended.stdout.split()) == ["ok", "ok", "pending", "pending"]


def test_the_package_starts_light():
    """Neither the function nor the package that it shares its name with imports what it needs."""
    code = "import harness, sys; harness.run; print('torch' in sys.modules, callable(harness.run))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["False", "True"]
