"""One cell's trials, divided among the processes that work on it.

Where no trial's settings depend on how others end, it does not matter who does which: a process
claims the next that nobody is at, and leaves what came of it in a file. The cell's own process
takes all of them over, in their order, does what nobody has, and waits for what others are at; the
claim of one that is killed is free again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, one_line
from harness.model.backbone import Backbone
from harness.predictor import Predictor
from harness.record.journal import Partial
from harness.record.schema import Trial
from harness.record.trial_files import TrialFiles
from harness.run import stopping
from harness.run.meters import since
from harness.run.outcomes import Outcomes
from harness.run.trials import Trials
from harness.run.tune import Tuner
from harness.run.validation import Validation
from harness.suite.budget import Budget

WAIT = 0.2
"""Seconds between looks at trials that other processes are at."""

Try = Callable[[int], Partial]
"""Does a trial, and gives it with what it took."""


def divisible(budget: Budget) -> bool:
    """Whether it is known beforehand how many trials there are and what each will try."""
    fixed = budget.trials is not None and budget.trials > 1
    return fixed and budget.sampler == "random" and budget.pruner == "none"


def all_of(files: TrialFiles, first: int, trials: int, attempt: Try) -> Iterator[Partial]:
    """Give what came of each trial from ``first`` on, in order, whoever did it.

    Raises:
        KeyboardInterrupt: this process was asked to stop.
    """
    found: dict[int, Partial] = {}
    while first < trials:
        if stopping.asked():
            raise KeyboardInterrupt
        for number in range(first, trials):
            if number not in found and (done := _claimed(files, number, attempt)) is not None:
                found[number] = done
                break
        else:
            time.sleep(WAIT)
        while first in found:
            yield found.pop(first)
            first += 1


def help_with(files: TrialFiles, trials: int, attempt: Try, over: Callable[[], bool]) -> None:
    """Do trials that nobody is at, until there are none or the cell is ``over``."""
    for number in range(trials):
        if stopping.asked():
            return
        _claimed(files, number, lambda mine: None if over() else attempt(mine))


def _claimed(
    files: TrialFiles, number: int, attempt: Callable[[int], Partial | None]
) -> Partial | None:
    """What came of a trial, which is done now where nobody has; ``None`` where another is at it."""
    with files.claimed(number) as ours:
        if not ours:
            return None
        done = files.read(number)
        if done is None and (done := attempt(number)) is not None:
            files.write(number, done)
        return done


class SharedTrials(Trials):
    """Trials that other processes do too: ``files`` tell which are done."""

    def __init__(self, *given: Any, files: TrialFiles, **named: Any) -> None:
        super().__init__(*given, **named)
        self._files = files

    @property
    def _number(self) -> int:
        return self._cell.budget.trials or 0

    def _try_all(self, backbone: Backbone, val: Validation, outcomes: Outcomes) -> None:
        """Try what no other process does, and take over what the others did."""
        if self._together(val):
            super()._try_all(backbone, val, outcomes)
            return
        mine: set[int] = set()

        def attempt(number: int) -> Partial:
            mine.add(number)
            return self._counted(number, backbone, val, outcomes)

        for found in all_of(self._files, len(self._done.trials), self._number, attempt):
            (record,) = found.trials
            self._bill(found, record.number in mine)
            self._add(record)
            self._write_journal()

    def help(self, backbone: Backbone, val: Validation, over: Callable[[], bool]) -> None:
        """Do trials of a cell that another process selects from, until it is ``over``."""
        if self._together(val):
            return
        outcomes, kept = Outcomes(keeps=False), list[Path]()

        def attempt(number: int) -> Partial:
            done = self._counted(number, backbone, val, outcomes)
            best = outcomes.best
            if best is not None and best.number == number and best.predictor is not None:
                for file in kept:
                    file.unlink(missing_ok=True)
                kept[:] = [self._files.predictor(number)]
                try:
                    kept[0].parent.mkdir(parents=True, exist_ok=True)
                    best.predictor.save(kept[0])
                except Exception as error:  # if it is selected, it is trained again
                    print(f"harness: its model was not kept: {one_line(error)}", file=sys.stderr)
            return done

        help_with(self._files, self._number, attempt, over)
        self._run.end()

    def _counted(
        self, number: int, backbone: Backbone, val: Validation, outcomes: Outcomes
    ) -> Partial:
        """A trial with what it took, which is not on the clock."""
        tuner = Tuner(self._configured, self._cell.budget, self._cell.seed)
        before, meters = dict(self._clock.seconds), self._meters.read()
        self._tell(number, self._number)
        self._try_alone(number, tuner.drawn(number), backbone, val, outcomes)
        took = {phase: s - before.get(phase, 0.0) for phase, s in self._clock.seconds.items()}
        self._clock.seconds.clear()
        self._clock.seconds.update(before)
        self._meters.look()
        return Partial(
            trials=[outcomes.ended.pop(number)],
            seconds=took,
            prepare_seconds=self._done.prepare_seconds,
            cached=self._done.cached,
            features_reused=self._run.features_reused,
            threads=self._cell.budget.threads,
            **since(meters, self._meters.read()),
        )

    def _bill(self, found: Partial, mine: bool) -> None:
        """Add what a trial took. Another process stored the same activations as this one, if not
        more: of theirs what is beyond those billed already is added."""
        seconds, took = self._clock.seconds, found.seconds
        for phase in took.keys() - {"features"}:
            seconds[phase] += took[phase]
        features = took.get("features", 0.0)
        seconds["features"] += features if mine else max(features - seconds["features"], 0.0)
        if not mine:
            self._meters.add(found)
            self._done.prepare_seconds = {**found.prepare_seconds, **self._done.prepare_seconds}
            self._done.cached = [*dict.fromkeys([*self._done.cached, *found.cached])]
            self._run.features_reused |= found.features_reused

    def _predictor_of(
        self, chosen: Trial, backbone: Backbone, made: Backbone, val: Validation
    ) -> Predictor:
        """What a trial came to, as the process that did it left it, or done again."""
        file = self._files.predictor(chosen.number)
        if file.exists():
            with suppress(HarnessError):
                return self.restored(file, chosen, backbone, val.tasks[0])
        return super()._predictor_of(chosen, backbone, made, val)
