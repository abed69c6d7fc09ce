"""Run a suite from Python: what ``harness suite`` does, for notebooks and scripts."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from os import PathLike
from pathlib import Path
from typing import Any

from harness.plan.cells import plan, select
from harness.plan.datasets import Datasets
from harness.plan.notes import notes_told
from harness.record.store import Store
from harness.registry import Sources, load_once
from harness.report.analysis.looks import needed
from harness.report.status_text import lines
from harness.reporting import report, say
from harness.results import Results
from harness.run import stopping
from harness.run.events import Events
from harness.run.place import has_locks, place_for
from harness.run.progress import ProgressTracker
from harness.run.suite import run_suite
from harness.ship.kept import prune
from harness.suite.read import find, load_table, parse, put


def run(
    suite: str | PathLike[str] | Mapping[str, Any],
    *,
    set: Mapping[str, Any] | None = None,
    only: Sequence[str] = (),
    device: str = "auto",
    jobs: int | None = None,
    results: str | PathLike[str] = "results",
    plugins: Sequence[str | PathLike[str]] = (),
    executor: str = "local",
    trackers: Sequence[str] = (),
    progress: bool = True,
) -> Results:
    """Run a suite, or go on with it, write its report, and open its results.

    ``harness.run`` is this function. It does what ``harness suite`` does: cells that have a record
    are not run again, and ``KeyboardInterrupt`` leaves a folder that the same call goes on with.

    Args:
        suite: the path of a TOML file, the name of a suite that comes with the harness, or a
            suite's keys as a dictionary.
        set: keys of the suite to change, by their paths: ``{"budget.trials": 2}``.
        only: just the cells with, say, ``"label=maml"`` or ``"shots=1,5"``.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``cuda:0,1``.
        jobs: how many cells run at a time: by default one a GPU, and on the CPU as many as there
            are cores and memory for.
        results: where results go: into a folder of the suite's name.
        plugins: plugin files to load: their code is run.
        executor: the executor plugin. ``"inline"`` runs cells in this process, for debuggers.
        trackers: tracker plugins that follow the run.
        progress: tell on standard error, in a line each, which cells have ended.

    Returns:
        The results, as :func:`harness.load` opens them. A cell that is not ok has its status in
        ``cells``: that raises nothing.

    Raises:
        HarnessError: the suite can't be run; it names all that is wrong.
        KeyboardInterrupt: the user stopped it.
    """
    sources = Sources(tuple(Path(file).resolve() for file in plugins))
    registry = load_once(sources)
    for problem in registry.problems:
        say(problem)
    runner = registry.get("executor", executor).cls()
    runner.start()
    table, where = _table(suite)
    for key, value in (set or {}).items():
        put(table, key, value)
    datasets = Datasets(registry)
    planned = plan(parse(table, where, registry), registry, datasets, where=where)
    chosen = select(planned.cells, only)
    directory = (Path(results) / planned.suite.name).resolve()
    store = Store(directory)
    locks = has_locks(directory, None)
    place = place_for(
        planned.suite,
        directory,
        runner,
        sources,
        store.records(),
        device=device,
        jobs=jobs,
        locks=locks,
    )
    followers = {name: registry.get("tracker", name).cls() for name in trackers}
    if progress:
        followers["progress"] = ProgressTracker(sys.stderr, lines, len(place.workers))
        for title, sentence in notes_told(datasets, chosen):
            say(f"problem '{title}': {sentence}")
    for name, follower in followers.items():
        registry.manager.register(follower, name=name)
    try:
        with _stoppable():
            run_suite(
                planned,
                chosen,
                runner,
                place,
                Events(registry.manager, say),
                needed=lambda: needed(planned.cells, store, planned.to_json().config).now,
                warn=say,
            )
    finally:
        for name in followers:
            registry.manager.unregister(name=name)
    if stopping.asked():
        raise KeyboardInterrupt
    _, found = report(store, lambda: registry)
    prune(store, found, planned.suite)
    return Results(directory)


def _table(suite: str | PathLike[str] | Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """A suite's keys, which may be changed, and where they are from."""
    if isinstance(suite, Mapping):
        return _copied(suite), "the suite"
    path = find(str(suite))
    return load_table(path), str(path)


def _copied(value: Any) -> Any:
    """Dictionaries and lists as TOML would give them: a dictionary may hold tuples."""
    if isinstance(value, Mapping):
        return {key: _copied(each) for key, each in value.items()}
    return [_copied(each) for each in value] if isinstance(value, list | tuple) else value


def _stoppable() -> AbstractContextManager[None]:
    """Ctrl-C lets cells come to a checkpoint; only the main thread can hear it."""
    if threading.current_thread() is threading.main_thread():
        return stopping.at_signals(lambda: say(stopping.STOPPING))
    stopping.forget()
    return nullcontext()
