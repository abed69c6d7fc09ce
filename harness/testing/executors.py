"""What every executor must do: checks that its authors inherit."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from harness import registry
from harness.executor import Emit, Executor
from harness.run import stopping

DEVICE = "cpu"


@dataclass(frozen=True)
class NotingJob:
    """A job that leaves a file: which process ran it on which device, or that it was lost.

    Where ``dies``, its process ends before it can.
    """

    folder: Path
    number: int
    dies: bool = False

    timeout: float | None = None
    memory: int | None = None
    threads: int = 1

    @property
    def title(self) -> str:
        return f"job {self.number}"

    @property
    def log(self) -> Path:
        return self.folder / f"{self.number}.log"

    @property
    def notes(self) -> Path:
        return self.folder / f"{self.number}.ran"

    def warm(self) -> None:
        """There is nothing to load."""

    def run(self, emit: Emit, device: str) -> None:
        if self.dies:
            os._exit(7)
        emit("harness_cell_started", {"cell": self.number})
        with self.notes.open("a") as file:
            file.write(f"{os.getpid()} {device}\n")

    def lost(self, status: str, reason: str, emit: Emit, device: str) -> None:
        self.notes.write_text(status)


class ExecutorChecks:
    """What every executor must do. Inherit, and set ``executor``."""

    executor: ClassVar[Executor]

    def _run(
        self, folder: Path, numbers: Sequence[int], *, dies: int | None = None, stops: bool = False
    ) -> tuple[list[int], list[tuple[int, Mapping[str, Any]]]]:
        """Run some jobs on one worker.

        Returns:
            How many had ended when each was taken, and the process in which each event was
            emitted with its arguments.
        """
        ended: list[int] = []
        events: list[tuple[int, Mapping[str, Any]]] = []

        def jobs() -> Iterator[NotingJob]:
            for number in numbers:
                if stopping.asked():  # as the harness does
                    return
                ended.append(len([*folder.glob("*.ran")]))
                yield NotingJob(folder, number, dies=number == dies)

        def emit(hook: str, arguments: Mapping[str, Any]) -> None:
            events.append((os.getpid(), arguments))
            if stops:
                stopping.ask()

        stopping.forget()
        try:
            self.executor.start()
            self.executor.run(jobs(), emit, workers=(DEVICE,))
        finally:
            stopping.forget()
        return ended, events

    def test_class_is_well_formed(self) -> None:
        """Mend the class."""
        mistake = registry.check("executor", type(self.executor))
        assert mistake is None, mistake

    def test_runs_every_job_once_on_the_device_of_a_worker(self, tmp_path: Path) -> None:
        """Go through all of ``jobs``, and call ``job.run`` with the device of the worker."""
        ended, _ = self._run(tmp_path, range(3))
        ran = {path.name: path.read_text().splitlines() for path in tmp_path.glob("*.ran")}
        assert len(ended) == len(ran) == 3, f"of 3 jobs it took {len(ended)} and ran {len(ran)}"
        twice = [name for name, lines in ran.items() if len(lines) > 1]
        assert not twice, f"these were run more than once: {twice}"
        devices = {lines[0].split()[1] for lines in ran.values()}
        assert devices == {DEVICE}, f"jobs ran on {devices}, and the worker had {DEVICE}"

    def test_takes_a_job_when_there_is_a_worker_for_it(self, tmp_path: Path) -> None:
        """Take the next of ``jobs`` when a worker is free: until then another runner may do it."""
        ended, _ = self._run(tmp_path, range(3))
        assert ended[2] >= 1, "with one worker the third job was taken before the first had ended"

    def test_emits_events_in_the_process_of_the_command(self, tmp_path: Path) -> None:
        """Send what a job emits back, and call ``emit`` in the process that called ``run``."""
        _, events = self._run(tmp_path, range(2))
        told = [arguments["cell"] for _, arguments in events]
        assert sorted(told) == [0, 1], f"of jobs 0 and 1, these told that they had begun: {told}"

    def test_gives_out_no_job_once_it_was_asked_to_stop(self, tmp_path: Path) -> None:
        """Take no more than one of ``jobs`` ahead, and return once ``stopping.asked()``."""
        self._run(tmp_path, range(4), stops=True)
        ran = len([*tmp_path.glob("*.ran")])
        assert ran <= 2, f"{ran} of 4 jobs ran, though the first was where the wish to stop came"

    def test_a_process_that_dies_takes_its_own_job_only(self, tmp_path: Path) -> None:
        """Call ``job.lost("crashed", reason, emit, device)`` for it, and go on with the next. An
        executor that runs jobs in the command's own process need not."""
        self._run(tmp_path, [0])
        if NotingJob(tmp_path, 0).notes.read_text().split()[0] == str(os.getpid()):
            return
        self._run(tmp_path, [1, 2], dies=1)
        lost, next_one = (NotingJob(tmp_path, number).notes for number in (1, 2))
        status = lost.read_text() if lost.exists() else "nothing"
        assert status == "crashed", f"of a job whose process died it told {status}"
        assert next_one.exists(), "the job after it was not run"
