"""Weights that take work to make: found again by what they mean, or made, by one process at a time.

What making them took is kept in the header of their file, and one that is damaged is made again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from torch import Tensor

from harness.errors import Diverged
from harness.model.backbone import Backbone
from harness.plan import keys
from harness.run.checkpoint import Checkpoint
from harness.run.checksummed import Damaged, read_checksummed, write_checksummed
from harness.run.context import CellRun

EXTRAS = "extras."
"""Begins the names of a backbone's extras among the tensors of an artefact."""


@dataclass(frozen=True)
class Weights:
    """A backbone, the seconds its weights took when they were made, and whether that was an
    earlier cell's work."""

    backbone: Backbone
    seconds: float
    cached: bool


def find_or_make(
    folder: Path,
    meaning: Mapping[str, Any],
    start: Backbone,
    run_with: Callable[[Checkpoint], CellRun],
    make: Callable[[Backbone, CellRun], tuple[Backbone, dict[str, Any]]],
    every: float,
) -> Weights:
    """The artefact of a meaning.

    Args:
        folder: that of all artefacts of its kind, whose name is that of the kind.
        start: a model of its form, to be given its weights or to be trained.
        run_with: what training is lent, with a checkpoint to go on from.
        make: trains a model; gives it back, and what is to be told of it in the header.
        every: seconds between checkpoints.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = _file(folder, meaning)
    with FileLock(file.with_suffix(".lock")):
        remade = {}
        if file.exists():
            try:
                return Weights(start, _load(file, start), True)
            except Damaged as damage:
                remade = {"remade": str(damage)}
        run = run_with(Checkpoint(file.with_suffix(".checkpoint"), every))
        run.begin(folder.name)
        try:
            with run.seeded(folder.name), run.clock.phase("make"):
                made, told = make(start, run)
        except Diverged:
            run.end()
            raise
        made.begin_anew()
        told = {**told, **remade, "seconds": run.billed(), "meaning": meaning}
        extras = {f"{EXTRAS}{name}": tensor for name, tensor in made.extras.items()}
        write_checksummed(file, {**made.state_dict(), **extras}, told)
        run.end()
        return Weights(made, told["seconds"], False)


def is_made(folder: Path, meaning: Mapping[str, Any]) -> bool:
    """Whether the artefact of a meaning is there."""
    return _file(folder, meaning).exists()


def _file(folder: Path, meaning: Mapping[str, Any]) -> Path:
    return folder / f"{keys.key(meaning)}.safetensors"


def _load(file: Path, backbone: Backbone) -> float:
    """Give a backbone the weights of an artefact, and its extras; the seconds that they took.

    Raises:
        Damaged: they can't be believed, or are of another model; the backbone is as it was.
    """
    tensors, told = read_checksummed(file)
    names = [name for name in tensors if name.startswith(EXTRAS)]
    extras = {name.removeprefix(EXTRAS): tensors[name] for name in names}
    state = {name: tensor for name, tensor in tensors.items() if name not in names}
    if _forms(state) != _forms(backbone.state_dict()) or "seconds" not in told:
        raise Damaged(f"{file.name} is of another model")
    backbone.load_state_dict(state)
    backbone.extras.update({n: tensor.to(backbone.device) for n, tensor in extras.items()})
    return float(told["seconds"])


def _forms(state: Mapping[str, Tensor]) -> dict[str, tuple[torch.dtype, torch.Size]]:
    return {name: (tensor.dtype, tensor.shape) for name, tensor in state.items()}
