"""Find the cells that a suite which adds seeds needs so far, by what its report would decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.record.schema import Coordinates
from harness.record.store import Store
from harness.report.analysis.design import design
from harness.report.analysis.luck import with_examples
from harness.report.analysis.races import races
from harness.report.analysis.results import tidy
from harness.report.analysis.scores import competing, scores


@dataclass(frozen=True)
class Needed:
    """Cells by their keys: those that are needed ``now``, and those that may be ``later``. The rest
    is not needed."""

    now: frozenset[str]
    later: frozenset[str]


def needed(cells: Sequence[Coordinates], store: Store, config: Mapping[str, Any]) -> Needed:
    """Find what is needed of a suite's ``cells``, by the records that there are and nothing else:
    whoever asks at the same point is told the same, whatever was stopped and went on before. It is
    what the report tests by: a further test that is not decided adds seeds too.

    Args:
        config: the suite's, as ``plan.json`` has it.
    """
    seeds = design(config)
    if not seeds.looks:
        return Needed(frozenset(cell.cell for cell in cells), frozenset())
    records = store.together([store.rows(cells)])
    frame = with_examples(store.directory, tidy(records))
    given = scores(competing(frame, seeds))
    first, last = seeds.looks[0].seeds, seeds.looks[-1].seeds
    now: dict[tuple[int, str], int] = {}
    later: dict[tuple[int, str], int] = {}
    for setting, race in zip(given.settings.tolist(), races(given, seeds).each, strict=True):
        for place, label in enumerate(given.labels):
            now[setting, label] = int(race.wanted[place])
            if race.goes_on and place in race.alive:
                later[setting, label] = last
    found = [*zip(frame["setting"], frame["label"], frame["seed"], frame["cell"], strict=True)]
    # A bound competes with nobody: it has the seeds that all have.
    wanted = {key for s, label, seed, key in found if seed < now.get((s, label), first)}
    perhaps = {key for s, label, seed, key in found if seed < later.get((s, label), 0)}
    return Needed(frozenset(wanted), frozenset(perhaps - wanted))
