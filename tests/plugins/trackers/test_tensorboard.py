"""Event files, read back by TensorBoard's own reader and compared with the records."""

import pytest

from harness.record.store import Store
from harness.report import write

pytest.importorskip("tensorboard")

FAILS = """
    from dataclasses import dataclass
    from typing import ClassVar

    from harness.api import Strategy, hookimpl

    @dataclass(frozen=True)
    class Fails(Strategy):
        name: ClassVar[str] = "fails"

        def adapt(self, backbone, task, hp, run):
            raise {error}

    @hookimpl
    def harness_strategies():
        return [Fails]
"""


@pytest.fixture
def track(harness, tiny_suite, plugin_file, tmp_path, monkeypatch):
    """Runs one seed of the tiny suite and a strategy that fails; gives what was recorded."""
    monkeypatch.setattr(write, "write_report", lambda report, *rest: report.directory)

    def run(strategies, *words, error="ValueError('it <b>broke</b>')", status=1):
        plugin = plugin_file("fails", FAILS.format(error=error))
        ended = harness(
            *("suite", tiny_suite, "--plugin", plugin, "--tracker", "tensorboard", *words),
            *("--set", f"strategies={strategies}", "--set", "seeds=[0]"),
        )
        assert ended.status == status, ended.err
        assert "failed and is not called" not in ended.err
        return {record.label: record for record in Store(tmp_path / "results/tiny").records()}

    return run


@pytest.fixture
def runs(tmp_path):
    """Reads a cell's runs: ``trials`` and ``result``."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def read(label):
        (folder,) = (tmp_path / "results/tiny/tensorboard").glob(f"{label} on *")
        found = {run.name: EventAccumulator(str(run)) for run in folder.iterdir()}
        for run in found.values():
            run.Reload()
        return found

    return read


def points(run, tag):
    return [(event.step, event.value) for event in run.Scalars(tag)]


def test_trials_are_those_of_the_record(track, runs):
    record = track('["full_finetune"]', status=0)["full_finetune"]
    trials = runs("full_finetune")["trials"]
    assert len(record.trials) == 2
    for tag in ("value", "loss", "seconds"):
        expected = [(trial.number, pytest.approx(getattr(trial, tag))) for trial in record.trials]
        assert points(trials, f"by_trial/{tag}") == expected
    for trial in record.trials:
        curve = [(step, pytest.approx(value)) for step, value in trial.curve]
        assert curve
        assert points(trials, f"accuracy_val_by_step/trial_{trial.number}") == curve


def test_the_result_stands_with_its_hyperparameters(track, runs):
    from tensorboard.plugins.hparams import metadata

    record = track('["linear_probe"]', status=0)["linear_probe"]
    result = runs("linear_probe")["result"]
    (accuracy,), (log_loss,), (seconds,) = (
        points(result, tag) for tag in ("accuracy", "log_loss", "seconds_total")
    )
    assert accuracy == (0, pytest.approx(record.metrics["accuracy"]))
    assert log_loss == (0, pytest.approx(record.metrics["log_loss"]))
    assert seconds == (0, pytest.approx(record.seconds["total"]))

    told = result.summary_metadata
    start = metadata.parse_session_start_info_plugin_data(
        told[metadata.SESSION_START_INFO_TAG].plugin_data.content
    )
    given = {
        name: getattr(value, value.WhichOneof("kind")) for name, value in start.hparams.items()
    }
    expected = {"label": "linear_probe", "problem": "digits", "backbone": "conv4"}
    expected |= {"seed": 0, "shots": 2, **record.trials[record.selected].settings}
    assert given == expected
    assert metadata.SESSION_END_INFO_TAG in told
    # A description of the experiment would hide what other strategies' sessions have beside it.
    assert metadata.EXPERIMENT_TAG not in told


def test_a_cell_that_fails_says_why(track, runs):
    from tensorboard.plugins.hparams import metadata

    record = track('["fails"]')["fails"]
    result = runs("fails")["result"]
    (text,) = result.Tensors("status/text_summary")
    assert text.tensor_proto.string_val[0].decode() == f"failed: {record.reason}"
    assert "it <b>broke</b>" in record.reason
    assert result.Tags()["scalars"] == []
    assert metadata.SESSION_START_INFO_TAG in result.summary_metadata
    assert metadata.SESSION_END_INFO_TAG not in result.summary_metadata


def test_a_cell_that_runs_again_replaces_what_it_had(track, runs):
    track('["fails"]')
    track('["fails"]', "--retry", "failed")
    trials = runs("fails")["trials"]
    assert [step for step, _ in points(trials, "by_trial/seconds")] == [0, 1]


def test_an_interrupted_run_keeps_what_had_ended(track, runs):
    names = '["linear_probe", "fails"]'
    done = track(names, "--inline", error="KeyboardInterrupt", status=130)
    assert done["fails"].status == "interrupted"
    (accuracy,) = points(runs("linear_probe")["result"], "accuracy")
    assert accuracy == (0, pytest.approx(done["linear_probe"].metrics["accuracy"]))
    assert set(runs("fails")) == {"trials", "result"}


def test_names_make_safe_folders(track, runs, tmp_path):
    track('[{ name = "linear_probe", label = "../LP: a/b?" }]', status=0)
    (folder,) = (tmp_path / "results/tiny/tensorboard").iterdir()
    assert folder.name.startswith(".._LP_ a_b_ on digits, 2-shot, seed 0 (conv4) ")
