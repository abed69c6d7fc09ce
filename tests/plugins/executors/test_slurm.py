"""Runners that submitit's local executor starts, as Slurm would: they divide the cells, one may be
killed, and what is preempted goes on."""

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from harness.record.monitor import Monitor
from harness.record.store import Store

submitit = pytest.importorskip("submitit")

from harness_plugins.executors.slurm import Runner  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*Popen.__del__:pytest.PytestUnraisableExceptionWarning"  # it is left, as it should be
)

ARGS = ("--executor", "slurm", "--executor-arg", "cluster=local")

PLUGIN = '''
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from harness_plugins.strategies.linear_probe import LinearProbe

from harness.api import hookimpl


@dataclass(frozen=True)
class Patient(LinearProbe):
    """Tells which runner it is of, and waits for a file."""

    name: ClassVar[str] = "patient"

    def adapt(self, backbone, task, hp, run):
        job = os.environ["SUBMITIT_LOCAL_JOB_ID"]
        Path(f"begun {job}").touch()
        deadline = time.monotonic() + 120
        while not Path("go").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        return super().adapt(backbone, task, hp, run)


@hookimpl
def harness_strategies():
    return [Patient]
'''


def until(there, seconds=150):
    """Wait for something, and give it back."""
    deadline = time.monotonic() + seconds
    while not (found := there()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.1)
    return found


@pytest.mark.slow(
    *("harness/executor.py", "harness/run", "harness/cli/submitting.py"),
    *("plugins/harness_plugins/executors", "tests/plugins/executors"),
)
def test_runners_divide_the_cells_and_one_that_is_killed_leaves_its_to_the_other(
    harness, tmp_path, tiny_suite, plugin_file
):
    plugin_file("patient_plugin", PLUGIN)
    ended = harness(
        *("suite", tiny_suite, "--plugin", "patient_plugin.py", "--set", "strategies=['patient']"),
        *("--set", "seeds=[0,1,2]", *ARGS, "--executor-arg", "runners=2"),
    )
    assert (ended.status, ended.out) == (0, ""), ended.err
    assert "harness: submitted " in ended.err
    assert "results/tiny/slurm" in ended.err
    store = Store(tmp_path / "results/tiny")
    assert {cell.state for cell in Monitor(store).look().cells} <= {"waiting", "running"}
    begun = until(lambda: len(found := [*tmp_path.glob("begun *")]) == 2 and found)
    job = begun[0].name.partition(" ")[2]
    killed = psutil.Process(int(job))  # submitit calls a local job by the process that minds it
    for process in [killed, *killed.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    (tmp_path / "go").touch()
    until(lambda: Monitor(store).look().ended)
    assert [record.status for record in store.records()] == ["ok"] * 3
    until((tmp_path / "results/tiny/report/index.html").exists)


def test_slurm_is_asked_for_what_was_said_and_runs_the_same_command(
    harness, tmp_path, tiny_suite, monkeypatch
):
    """``sbatch`` is a stand-in that says what Slurm's says."""
    for name, says in (("sbatch", "Submitted batch job 7"), ("srun", "")):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\necho {says}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    asked = ("partition=gpu", "runners=3", "time=30", "mem=4.5", "gpus=1")
    ended = harness(
        *("suite", tiny_suite, "--only", "seed=1", "--only", "label=linear_probe"),
        *("--retry", "failed", "--purse", "2h", "--jobs", "3", "--device", "cpu"),
        *("--executor", "slurm", "--executor-arg", "setup=['module load cuda']"),
        *(word for arg in asked for word in ("--executor-arg", arg)),
    )
    assert (ended.status, ended.out) == (0, ""), ended.err
    assert "harness: submitted 7_0, 7_1, 7_2; " in ended.err
    folder = tmp_path / "results/tiny/slurm"
    lines = (folder / "7_submission.sh").read_text().splitlines()
    for wish in ("partition=gpu", "time=30", "mem=4608MB", "gpus-per-node=1", "cpus-per-task=3"):
        assert f"#SBATCH --{wish}" in lines
    assert "#SBATCH --array=0-2%3" in lines
    assert "module load cuda" in lines
    submitted = sorted(folder.glob("*_submitted.pkl"))
    runners = [submitit.core.utils.DelayedSubmission.load(file).function for file in submitted]
    assert len(runners) == 3
    assert {runner.folder for runner in runners} == {str(tmp_path)}
    assert list(runners[0].command[3:]) == [
        *("suite", str(tiny_suite), "--only", "seed=1", "--only", "label=linear_probe"),
        *("--device", "cpu", "--retry", "failed", "--purse", "7200.000000s"),
        *("--jobs", "3", "--no-wait"),
    ]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["cluster=local", "runers=2"], "unknown argument 'runers' (did you mean 'runners'?)"),
        (["cluster=local", "runners=0"], "argument 'runners' "),
        (["time"], "--executor-arg time: not of the form NAME=VALUE"),
        (["cluster=slurm"], "there is no sbatch on this machine. Submit from a login node"),
    ],
)
def test_what_cannot_be_submitted_is_refused_in_a_line(
    harness, tiny_suite, monkeypatch, args, message
):
    monkeypatch.setenv("PATH", "/nowhere")
    given = [word for arg in args for word in ("--executor-arg", arg)]
    ended = harness("suite", tiny_suite, "--executor", "slurm", *given)
    assert ended.status == 2
    assert message in ended.complaint


def test_a_runner_that_is_preempted_comes_to_a_checkpoint_and_is_queued_again(tmp_path):
    """The child ignores Slurm's warning, ends at SIGTERM, and the next one is told that it is the
    same command."""
    script = (
        "import signal, sys, time, pathlib\n"
        "here = pathlib.Path(sys.argv[1])\n"
        "def end(*_):\n"
        "    (here / 'kept').touch()\n"
        "    sys.exit(130)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "if (here / 'kept').exists():\n"
        "    sys.exit(0)\n"
        "(here / 'ready').touch()\n"
        "time.sleep(60)\n"
    )
    queue = submitit.LocalExecutor(tmp_path / "slurm")
    queue.update_parameters(timeout_min=5, signal_delay_s=1)
    job = queue.submit(Runner((sys.executable, "-c", script, str(tmp_path)), str(tmp_path)))
    until((tmp_path / "ready").exists)
    (task,) = psutil.Process(int(job.job_id)).children()
    task.send_signal(signal.SIGUSR2)  # as Slurm does before it takes the machine away
    assert job.result() == 0
    assert (tmp_path / "kept").exists()


def test_a_runner_that_was_refused_fails(tmp_path):
    runner = Runner((sys.executable, "-c", "raise SystemExit(2)"), str(Path.cwd()))
    with pytest.raises(RuntimeError, match="exit status 2"):
        runner()
