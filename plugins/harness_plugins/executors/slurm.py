"""``slurm``: runners as a job array of a Slurm cluster, which are submitted and left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from harness.api import HarnessError, SubmittingExecutor, hookimpl, one_line

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

DONE = (0, 1)
"""Exit statuses of a runner that has done its work: all cells ok, or some not."""

Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class Slurm(SubmittingExecutor):
    """Jobs of a Slurm cluster that run the suite on one folder, and so divide its cells.

    The command submits them, as an array, and ends. ``runners``: how many (1). Each asks for
    ``partition`` (the cluster's default), ``time`` in minutes (60), ``cpus`` (as many as its
    ``--jobs`` cells have threads), ``gpus`` (0) and ``mem`` in GiB (the cluster's default);
    ``setup`` are lines of shell before it, such as ``["module load cuda"]``. What else sbatch
    takes, it takes from its environment, such as ``SBATCH_ACCOUNT``. With ``cluster = "local"``
    jobs are processes of this machine, to try it.

    All machines need the same packages and see the same paths. A job that Slurm preempts, or whose
    time is nearly over, lets its cells come to a checkpoint and is queued again, at most three
    times for want of time. What jobs print is in ``slurm/`` of the results folder.
    """

    name: ClassVar[str] = "slurm"
    citation: ClassVar[str] = "Yoo et al. 2003, SLURM: Simple Linux Utility for Resource Management"
    requires: ClassVar[Mapping[str, str]] = {"submitit": "transfer-harness[slurm]"}

    runners: Count = 1
    partition: str | None = None
    time: Count = 60
    cpus: Count | None = None
    gpus: Annotated[int, Field(ge=0)] = 0
    mem: Annotated[float, Field(gt=0)] | None = None
    setup: tuple[str, ...] = ()
    cluster: Literal["slurm", "local"] = "slurm"

    def submit(self, command: Sequence[str], directory: Path, *, threads: int) -> str:
        import submitit
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        if self.cluster == "slurm" and shutil.which("sbatch") is None:
            raise HarnessError(
                "there is no sbatch on this machine", "Submit from a login node of the cluster"
            )
        queue = submitit.AutoExecutor(directory / "slurm", cluster=self.cluster)
        wishes: dict[str, Any] = {
            "name": "harness",
            "timeout_min": self.time,
            "cpus_per_task": self.cpus or threads,
            "gpus_per_node": self.gpus,
            "slurm_partition": self.partition,
            "slurm_array_parallelism": self.runners,
            "slurm_setup": [*self.setup],
            "mem_gb": self.mem,
        }
        queue.update_parameters(**{name: wish for name, wish in wishes.items() if wish})
        runner = Runner(tuple(command), os.getcwd())
        try:
            with queue.batch():
                jobs = [queue.submit(runner) for _ in range(self.runners)]
            ids = [job.job_id for job in jobs]
        except (FailedJobError, FailedSubmissionError, subprocess.CalledProcessError) as error:
            raise HarnessError(
                f"Slurm refused the jobs: {one_line(error)}",
                "Change what they ask for, such as --executor-arg partition=NAME",
            ) from error
        return f"submitted {', '.join(ids)}; what they print goes to {directory / 'slurm'}"


@dataclass
class Runner:
    """What a job does: run a command, which it lets come to a checkpoint when Slurm wants the
    machine back."""

    command: tuple[str, ...]
    folder: str
    child: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def __call__(self) -> int:
        # Slurm sends its warning to all processes of a job; what it means is decided here.
        before = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        self.child = subprocess.Popen(self.command, cwd=self.folder)
        signal.signal(signal.SIGUSR2, before)
        status = self.child.wait()
        if status not in DONE:
            raise RuntimeError(f"the runner ended with exit status {status}")
        return status

    def checkpoint(self) -> DelayedSubmission:
        """Stop the command at a point from which the same command goes on, and say so."""
        from submitit.helpers import DelayedSubmission

        if self.child is not None:
            self.child.terminate()
            # A signal calls this amid the wait above, whose lock a second one would wait for.
            with suppress(ChildProcessError):
                os.waitid(os.P_PID, self.child.pid, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(Runner(self.command, self.folder))


@hookimpl
def harness_executors() -> list[type[SubmittingExecutor]]:
    return [Slurm]
