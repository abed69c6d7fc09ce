"""The model that a command is about, chosen and calibrated, and what has to be said of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from harness.ship.calibration import Calibration
    from harness.ship.choose import Choice
    from harness.ship.runtime.drift import Reference


def say(line: str) -> None:
    click.echo(f"harness: {line}", err=True)


@dataclass(frozen=True)
class Chosen:
    """A choice, its probabilities and sets, and what new inputs are compared with, if anything."""

    choice: Choice
    calibration: Calibration
    reference: Reference | None


def chosen(
    directory: Path, asked: Mapping[str, str | None], cell: str | None, coverage: float
) -> Chosen:
    """Choose a model of a results folder as ``choose`` does, and calibrate it.

    Raises:
        HarnessError: nothing fits, or several settings do.
    """
    from harness.record.store import Store
    from harness.ship.choose import choose
    from harness.ship.opened import calibrated, referred

    store = Store(directory)
    choice = choose(store, asked, cell)
    say(f"{choice.record.title}: {choice.why}")
    calibration, told = calibrated(store, choice.record, coverage)
    for line in told:
        say(line)
    reference = referred(store, choice.record)
    if reference is None:
        say("drift can't be told: there are no 20 validation examples of the domain that is tested")
    return Chosen(choice, calibration, reference)
