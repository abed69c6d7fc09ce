"""Cells that do what they should not, beside others: each ends as a record, and no other notices.

The healthy cells' records are those that they have alone.
"""

import importlib.util
import json
from pathlib import Path

import pytest

from harness.record.store import Store
from harness.report import write

PLUGIN = Path(__file__).parent / "evil_plugin.py"

HEALTHY = ["linear_probe", "full_finetune", "partial_freeze"]

SUITE = """
name = "zoo"
seeds = [0]
strategies = {strategies}
budget = {{ trials = 2, steps = 3, batch_size = 16 }}
limits = {{ timeout = {timeout}, memory = 0.5 }}
backbones = [{{ model = "conv4", weights = "random", input_size = 16, args = {{ width = 8 }} }}]
problems = [{{ dataset = "arrays", args = {{ path = "target.npz" }}, shots = 2 }}]
"""


def deeds():
    spec = importlib.util.spec_from_file_location("deeds", PLUGIN)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {deed.__name__: status for deed, status in module.DEEDS.items()}


@pytest.fixture
def undrawn(monkeypatch):
    monkeypatch.setattr(write, "write_report", lambda report, *rest: report.directory)


def mixed(evil):
    """Healthy cells before, between and behind."""
    names = list(evil)
    return [
        HEALTHY[0],
        *names[: len(names) // 2],
        HEALTHY[1],
        *names[len(names) // 2 :],
        HEALTHY[2],
    ]


def test_each_ends_as_a_record_and_healthy_cells_do_not_notice(
    harness, digit_files, undrawn, outcomes, processes, tmp_path
):
    evil = deeds() | {"changes_the_backbone": "ok"}
    suite = tmp_path / "zoo.toml"
    before = {process.pid for process in processes()}

    suite.write_text(SUITE.format(strategies=HEALTHY, timeout=60))
    assert harness("suite", suite, "--results", "alone").status == 0
    suite.write_text(SUITE.format(strategies=mixed(evil), timeout=10))
    ended = harness("suite", suite, "--plugin", PLUGIN, "--jobs", "2")
    assert ended.status == 1, ended.err
    assert "Traceback" not in ended.err
    assert "not data" not in ended.out

    found = {record.label: record for record in Store(tmp_path / "results" / "zoo").records()}
    assert {name: found[name].status for name, status in evil.items() if status} == {
        name: status for name, status in evil.items() if status
    }
    assert len(found) == len(evil) + len(HEALTHY)
    alone = outcomes(tmp_path / "alone" / "zoo")
    beside = outcomes(tmp_path / "results" / "zoo")
    assert len(alone) == len(HEALTHY)
    assert {key: beside[key] for key in alone} == alone

    said = {name: record.reason or "" for name, record in found.items()}
    assert said["raises"] == "ZeroDivisionError: it does not add up (evil_plugin.py, line 34)"
    assert said["segfaults"] == "its process was ended by SIGSEGV (Segmentation fault)"
    assert said["exits"] == "its process ended by itself, with exit code 0"
    assert said["hangs"] == "it was still running after 10 s"
    assert "out of memory" in said["allocates"]
    assert "out of memory" in said["allocates_tensors"]
    logs = {
        name: (tmp_path / "results/zoo" / record.log).read_text()
        for name, record in found.items()
        if record.log
    }
    assert "this is not data\n" in logs["prints"]
    assert "nor is this\n" in logs["prints"]
    assert "this is no message\n" in logs["prints"]
    assert "in segfaults" in logs["segfaults"]  # where it was, by faulthandler
    assert not set(logs) & set(HEALTHY)
    table = harness("export", "results/zoo", "--format", "json")
    assert {row["label"]: row["log"] for row in json.loads(table.out) if row["log"]} == {
        name: record.log for name, record in found.items() if record.log
    }
    assert {process.pid for process in processes()} <= before  # forks and threads are gone
