"""Propose a suite for data that were looked at, and for minutes that it may take here."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jinja2 import Environment, PackageLoader, StrictUndefined

from harness.data.unpacking import ARCHIVES
from harness.errors import readable
from harness.plan.step_cost import StepCost, measure
from harness.registry import Registry
from harness.report.format import duration, plural
from harness.start import models
from harness.start.cost import at_once, estimate
from harness.start.looking import UNBALANCED, Found
from harness.suite.read import parse
from harness.suite.schema import Suite

MODEL = "resnet18"
"""Of timm, with weights of a hub, where no package with weights is installed."""

BATCH = 32

FEW = 5
"""Shots of the setting with few examples, where classes have enough of them."""


class Rung(NamedTuple):
    """How much a suite tries; ``trains`` is whether any strategy trains more than a head."""

    seeds: int
    trials: int
    steps: int
    trains: bool = True


RUNGS = (Rung(5, 8, 300), Rung(3, 8, 300), Rung(3, 4, 200), Rung(3, 3, 100), Rung(3, 2, 50))
PROBES = (Rung(5, 8, 100, trains=False), Rung(3, 4, 100, trains=False))


@dataclass(frozen=True)
class Proposal:
    """A suite as it is to be written, and the seconds that it will take here, about; and, where it
    has none of the strategies that train more than a head, the fewest with which it would."""

    text: str
    suite: Suite
    seconds: float
    training: float | None = None


def propose(found: Found, registry: Registry, file: Path, minutes: float) -> Proposal:
    """The suite that tries most of what fits into the time. Trials and steps are saved first, then
    pixels, and at last the strategies that train; where nothing fits, it is what takes least.

    Raises:
        HarnessError: there is no model for such data.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    modality = found.loaded.modality
    brought = models.with_weights(modality, registry)
    if brought is None and modality != "image":
        raise models.none_with_weights(modality, registry)
    model, asks_hub = brought or MODEL, brought is None

    @cache
    def cost(input_size: int | None) -> StepCost:
        return measure(model, input_size, {}, registry, device)

    def proposed(input_size: int | None, rung: Rung) -> Proposal:
        told = {
            **_facts(found, file),
            **rung._asdict(),
            "seeds": [*range(rung.seeds)],
            "model": json.dumps(model),
            "asks_hub": asks_hub,
            "input_size": input_size,
        }
        suite = parse(tomllib.loads(_rendered(told, "")), str(file))
        seconds = estimate(suite, found, cost(input_size), registry, device)
        cells = len(suite.strategies) * rung.seeds * sum(len(p.shots) for p in suite.problems)
        takes = (
            f"about {duration(seconds)} on this machine, which runs "
            f"{at_once(suite, device)} of its {plural(cells, 'cell')} at a time"
        )
        return Proposal(_rendered(told, takes), suite, seconds)

    least = models.input_sizes(found)[-1], PROBES[-1]
    for rungs in (RUNGS, PROBES):
        for input_size, rung in product(models.input_sizes(found), rungs):
            proposal = proposed(input_size, rung)
            if proposal.seconds <= 60 * minutes and rung.trains:
                return proposal
            if proposal.seconds <= 60 * minutes or (input_size, rung) == least:
                training = proposed(least[0], RUNGS[-1]).seconds
                return replace(proposal, training=training)
    raise AssertionError("unreachable")


def suite_name(path: Path) -> str:
    """A name for the suite of some data: that of the folder or the file, as far as it can be."""
    name = path.absolute().name
    endings = (*ARCHIVES, path.suffix.lower())
    ending = next((end for end in endings if end and name.lower().endswith(end)), "")
    name = name[: len(name) - len(ending)] if path.is_file() else name
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:100] or "mine"


def _shots(found: Found) -> list[int | str]:
    """A few examples a class, where each class has them twice beside what is tested; and all."""
    least = min(found.by_class.values())
    left = least - (max(1, round(0.2 * least)) if found.test is None else 0)
    few = next((shots for shots in (FEW, 1) if left >= 2 * shots), None)
    return ["all"] if few is None else [few, "all"]


def _facts(found: Found, file: Path) -> dict[str, Any]:
    """What does not depend on the time there is."""
    args = ", ".join(f"{name} = {json.dumps(value)}" for name, value in found.args.items())
    return {
        "told": [readable(line) for line in found.told()],
        "file": readable(str(file)),
        "name": json.dumps(suite_name(Path(file.stem))),
        "images": found.side is not None,
        "unbalanced": round(found.unbalanced) if found.unbalanced > UNBALANCED else None,
        "batch_size": BATCH,
        "dataset": json.dumps(found.dataset),
        "args": f"{{ {args} }}",
        "pads": found.is_long,
        "shots": json.dumps(_shots(found)),
    }


def _rendered(told: dict[str, Any], takes: str) -> str:
    templates = Environment(
        loader=PackageLoader("harness.start"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return templates.get_template("suite.toml.jinja").render(told, takes=takes)
