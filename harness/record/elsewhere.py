"""Predictions that were made elsewhere: records beside those of a suite's own cells.

A plan does not know them: they are found by the names of their files, and stand in every table with
the cells of the setting that they are of.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from harness.errors import HarnessError
from harness.hashing import canonical, short
from harness.record import reading
from harness.record.reading import InvalidFile, Newer, Unreadable
from harness.record.schema import Coordinates

ELSEWHERE = "made elsewhere"
"""Stands in the place of a strategy's name. No plugin's has a space in it."""

PREFIX = "elsewhere-"
"""What the keys begin with; those of cells are hex digits."""

SETTING = ("problem", "protocol", "ways", "shots", "backbone", "seed")


def placed(name: str, cell: Coordinates) -> Coordinates:
    """Where predictions called ``name`` stand: in the setting of a cell, of its seed. The label
    says in every table what they are."""
    label = f"{name} ({ELSEWHERE})"
    place = {"label": label, **{part: getattr(cell, part) for part in SETTING}}
    return Coordinates(
        cell=f"{PREFIX}{short(canonical(place))}",
        suite=cell.suite,
        dataset=cell.dataset,
        strategy=ELSEWHERE,
        **place,
    )


def cells(directory: Path, planned: Iterable[Coordinates]) -> list[Coordinates]:
    """Those of a results folder, of settings and seeds that are planned.

    Raises:
        HarnessError: a record of one can't be believed, so that it is not known of which.
    """
    settings = {_setting(cell) for cell in planned}
    found = []
    for path in (directory / "records").glob(f"{PREFIX}*.json"):
        try:
            record = reading.record(path, path.stem)
        except InvalidFile as invalid:
            helps = isinstance(invalid, Newer | Unreadable)
            remedy = invalid.remedy if helps else "Remove it, and score those predictions again"
            raise HarnessError(f"{path} {invalid}", remedy) from None
        if _setting(record) in settings:
            names = Coordinates.model_fields
            found.append(Coordinates(**{name: getattr(record, name) for name in names}))
    return sorted(found, key=lambda cell: (cell.label, cell.seed, cell.cell))


def _setting(cell: Coordinates) -> tuple[object, ...]:
    return tuple(getattr(cell, part) for part in SETTING)
