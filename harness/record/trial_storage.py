"""The trials of a cell that machines without a common folder share: an Optuna storage by URL.

Each attempt at a cell is a study, and trial ``n`` of the one is trial ``n`` of the other. If its
process falls silent or gives up it has failed there, and ``n`` plus the number of trials takes its
place, and so on: which one counts depends on nothing but the study, so no two processes differ.
"""

from __future__ import annotations

import re
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, partial

import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.storages import RDBStorage, fail_stale_trials
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from harness.errors import HarnessError, one_line
from harness.record.journal import Partial
from harness.record.trial_files import TrialFiles

BEAT = 10
"""Seconds between two signs of life."""

SILENT = 60
"""Seconds without one, by the storage's clock, after which a process is taken for dead."""

PASSWORD = re.compile(r":[^:/@]*(?=@)")
"""Of a URL."""

DONE, SETTINGS = "done", "settings"
"""Attributes of a trial: all that came of it, as JSON, and what was tried, for whoever looks."""


@dataclass(frozen=True)
class TrialStorage(TrialFiles):
    """As :class:`TrialFiles`, by the storage at ``url``. Models stay on the machine that trained
    them: what is selected elsewhere is trained again.

    Args:
        attempt: how often the cell was begun: each time does its trials anew.
        trials: how many there are.
    """

    url: str
    attempt: int
    trials: int
    silent: int = SILENT
    _claims: dict[int, int] = field(default_factory=dict, repr=False, compare=False)

    @contextmanager
    def claimed(self, number: int) -> Iterator[bool]:
        trial, row = self._counting(number)
        if trial.state != TrialState.WAITING:
            yield DONE in trial.user_attrs
            return
        if not self._begin(row):
            yield False
            return
        over = threading.Event()
        life = threading.Thread(target=self._live, args=(row, over), daemon=True)
        life.start()
        self._claims[number] = row
        try:
            yield True
        finally:
            del self._claims[number]
            over.set()
            life.join()
            with suppress(UpdateFinishedTrialError):
                self._storage.set_trial_state_values(row, TrialState.FAIL)

    def read(self, number: int) -> Partial | None:
        content = self._counting(number)[0].user_attrs.get(DONE)
        found = None if content is None else Partial.model_validate_json(content)
        return found if found is not None and found.threads == self.threads else None

    def write(self, number: int, done: Partial) -> None:
        row = self._claims.get(number)
        if row is None:  # it is there, and was computed with other threads
            return
        (trial,) = done.trials
        with suppress(UpdateFinishedTrialError):  # this process was taken for dead
            self._storage.set_trial_user_attr(row, SETTINGS, trial.settings)
            self._storage.set_trial_user_attr(row, DONE, done.model_dump_json())
            if trial.state == "complete" and trial.value is not None:
                self._storage.set_trial_state_values(row, TrialState.COMPLETE, [trial.value])

    def _begin(self, row: int) -> bool:
        """Whether a waiting trial is ours now; it shows a sign of life before it runs."""
        self._storage.record_heartbeat(row)
        try:
            return self._storage.set_trial_state_values(row, TrialState.RUNNING)
        except UpdateFinishedTrialError:
            return False

    def _live(self, row: int, over: threading.Event) -> None:
        while not over.wait(min(BEAT, self.silent / 3)):
            self._storage.record_heartbeat(row)
        self._storage.remove_session()  # each thread has its own

    def _counting(self, number: int) -> tuple[FrozenTrial, int]:
        """The trial of the study that counts as a number's, and its id in the storage: the first
        that did not fail without a result."""
        study = _study(self.url, f"{self.cell}.{self.attempt}", self.silent)
        with _experimental():
            fail_stale_trials(study)
        trials = study.get_trials(deepcopy=False)
        while number >= len(trials) or _gave_up(trials[number]):
            if number < len(trials):
                number += self.trials
            else:
                study.enqueue_trial({})
                trials = study.get_trials(deepcopy=False)
        ids = self._storage.get_study_id_from_name(study.study_name)
        return trials[number], self._storage.get_trial_id_from_study_id_trial_number(ids, number)

    @property
    def _storage(self) -> RDBStorage:
        return _storage(self.url, self.silent)


def check(url: str) -> None:
    """Make sure that trials can be kept at a URL: its tables are made where there are none.

    Raises:
        HarnessError: they can't, or it is SQLite's, which locks no row: two would do one trial.
    """
    if url.startswith("sqlite"):
        raise HarnessError(
            f"--trial-storage {url}: SQLite can't keep two processes from one trial",
            "Give the URL of a PostgreSQL or MySQL server, or use --share-trials in a folder that "
            "all see",
        )
    try:
        storage = _storage(url, SILENT)
        storage.remove_session()
        storage.engine.dispose()  # this process has no more to ask it
    except Exception as error:
        raise HarnessError(
            f"--trial-storage {PASSWORD.sub('', url)} can't be used: {one_line(error)}",
            "Give a URL as postgresql+psycopg://USER:PASSWORD@HOST/NAME; its driver comes with "
            "pip install 'transfer-harness[postgres]'",
        ) from error


def _gave_up(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.FAIL and DONE not in trial.user_attrs


@cache
def _storage(url: str, silent: int) -> RDBStorage:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with _experimental():
        make = partial(RDBStorage, url, heartbeat_interval=BEAT, grace_period=silent)
        try:
            return make()
        except Exception:  # two that begin at once make its tables, and one is refused
            time.sleep(1)
            return make()


@cache
def _study(url: str, name: str, silent: int) -> Study:
    storage = _storage(url, silent)
    return optuna.create_study(
        storage=storage, study_name=name, direction="maximize", load_if_exists=True
    )


@contextmanager
def _experimental() -> Iterator[None]:
    """Without the warning that Optuna may change signs of life, which it has had since 2.9."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
