"""``mlflow``, ``wandb`` and ``trackio``: what each has on disk is what the records say."""

import json
import math
import os
import sys
import tempfile
from dataclasses import dataclass

import pytest

from harness.record.store import Store
from harness.report import write

os.environ["TRACKIO_DIR"] = tempfile.mkdtemp(prefix="trackio")  # read when it is imported

pytestmark = pytest.mark.filterwarnings("ignore")

FAILS = """
    from dataclasses import dataclass
    from typing import ClassVar

    from harness.api import Strategy, hookimpl

    @dataclass(frozen=True)
    class Fails(Strategy):
        name: ClassVar[str] = "fails"

        def adapt(self, backbone, task, hp, run):
            raise ValueError("it broke")

    @hookimpl
    def harness_strategies():
        return [Fails]
"""


@dataclass
class Run:
    """A run as any tracker has it; ``trials`` by name, lists of (number, value)."""

    params: dict
    trials: dict
    scores: dict
    status: str


def in_mlflow(results):
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{results / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(results.name)
    for run in client.search_runs([experiment.experiment_id]):
        names = [name for name in run.data.metrics if name.startswith(("trial/", "curve/"))]
        history = {n: client.get_metric_history(run.info.run_id, n) for n in names}
        trials = {n: sorted((m.step, m.value) for m in found) for n, found in history.items()}
        scores = {n: value for n, value in run.data.metrics.items() if n not in names}
        expected = {"FINISHED": "ok", "FAILED": "failed"}[run.info.status]
        assert run.data.tags["harness.status"] == expected
        reason = run.data.tags.get("harness.reason")
        params = {**run.data.params, **({"reason": reason} if reason else {})}
        yield Run(params, trials, scores, expected)


def level_db_log(content):
    """The entries of a log in LevelDB's format: blocks of 32 KiB, of which the first begins with 7
    bytes of wandb's own; each part has a checksum, a length and a type."""
    at, whole = 7, b""
    while at + 7 <= len(content):
        if (left := 2**15 - at % 2**15) < 7:
            at += left
            continue
        size, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        whole += content[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # all of an entry, or its last part
            yield whole
            whole = b""


def in_wandb(results):
    from wandb.proto import wandb_internal_pb2

    for file in results.glob("wandb/offline-run-*/run-*.wandb"):
        config, trials, scores, status = {}, {}, {}, None
        for data in level_db_log(file.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            for item in [*record.run.config.update, *record.config.update]:
                config[item.key] = json.loads(item.value_json)
            row = {}
            for item in record.history.item:
                row["/".join(item.nested_key) or item.key] = json.loads(item.value_json)
            for name in row:
                if name.startswith("trial/"):
                    trials.setdefault(name, []).append((row["_step"], row[name]))
            for item in record.summary.update:
                scores["/".join(item.nested_key) or item.key] = json.loads(item.value_json)
            if record.HasField("exit"):
                status = "failed" if record.exit.exit_code else "ok"
        scores = {n: v for n, v in scores.items() if not n.startswith(("_", "trial/"))}
        yield Run({k: v for k, v in config.items() if k != "_wandb"}, trials, scores, status)


def in_trackio(results):
    import trackio

    for run in trackio.Api().runs(results.name):
        rows = trackio.SQLiteStorage.get_logs(results.name, run.name)
        trials, scores = {}, {}
        for row in rows:
            for name, value in row.items():
                if name.startswith("trial/"):
                    trials.setdefault(name, []).append((row["step"], value))
                elif name not in ("step", "timestamp"):
                    scores[name] = value
        ok = scores.pop("ok")
        config = {name: value for name, value in run.config.items() if name[0] != "_"}
        yield Run(config, trials, scores, "ok" if ok else "failed")


READERS = {"mlflow": in_mlflow, "wandb": in_wandb, "trackio": in_trackio}


@pytest.fixture(params=READERS)
def tracked(request, harness, tiny_suite, plugin_file, tmp_path, monkeypatch):
    """One cell that is ok and one that fails: their records and runs, by label."""
    name = request.param
    pytest.importorskip(name)
    monkeypatch.setattr(write, "write_report", lambda report, *rest: report.directory)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr(sys, "exit", sys.exit)  # wandb puts its own in its place
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    ended = harness(
        *("suite", tiny_suite, "--plugin", plugin_file("fails", FAILS), "--tracker", name),
        *("--set", 'strategies=["full_finetune", "fails"]', "--set", "seeds=[0]"),
    )
    assert ended.status == 1
    assert "failed and is not called" not in ended.err, ended.err
    assert "rackio" not in ended.out
    results = tmp_path / "results/tiny"
    records = {record.label: record for record in Store(results).records()}
    return records, {run.params["label"]: run for run in READERS[name](results)}


def test_runs_are_what_the_records_say(tracked):
    records, runs = tracked
    assert set(runs) == {"full_finetune", "fails"}
    for label, run in runs.items():
        record = records[label]
        assert run.status == record.status
        for name in ("cell", "problem", "shots", "backbone", "seed"):
            assert str(run.params[name]) == str(getattr(record, name))
        assert str(run.params["budget.steps"]) == "3"
        for name in ("value", "loss", "seconds"):
            expected = [
                (trial.number, pytest.approx(getattr(trial, name)))
                for trial in record.trials
                if getattr(trial, name) is not None
            ]
            assert sorted(run.trials.get(f"trial/{name}", [])) == expected
        seconds = {f"seconds_{phase}": value for phase, value in record.seconds.items()}
        expected = {**record.metrics, **seconds}
        assert run.scores == {name: pytest.approx(value) for name, value in expected.items()}


def test_the_selected_settings_are_parameters_and_a_failure_says_why(tracked):
    records, runs = tracked
    record = records["full_finetune"]
    for name, value in record.trials[record.selected].settings.items():
        assert math.isclose(float(runs["full_finetune"].params[f"hp.{name}"]), value)
    assert runs["fails"].params["reason"] == records["fails"].reason
    assert "reason" not in runs["full_finetune"].params


@pytest.mark.parametrize("name", ["mlflow", "trackio"])
def test_a_tracker_that_fails_is_told_once_and_ends_nothing(
    name, harness, tiny_suite, monkeypatch, tmp_path
):
    pytest.importorskip(name)
    monkeypatch.setattr(write, "write_report", lambda report, *rest: report.directory)
    monkeypatch.setenv("TRACKIO_SERVER_URL", "nonsense")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://nowhere")
    ended = harness("suite", tiny_suite, "--tracker", name)
    assert ended.status == 0
    assert ended.err.count("failed and is not called any more") == 1
    assert f"plugin {name}: " in ended.err
