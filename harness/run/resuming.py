"""How a training that was cut short goes on: the trainings of a trial are counted, and the one
that left a checkpoint is known by its number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from harness.model.run import Resumable
from harness.run.checkpoint import Checkpoint
from harness.run.meters import Clock

Curve: TypeAlias = "list[tuple[int, float | Sequence[float]]]"
"""What was reported, by step: a value, or one for each of the settings that train at once."""

ANEW = frozenset({"features", "activations", "checkpoint"})
"""Phases of the clock that a checkpoint says nothing of: who goes on has them anew."""


def curves_of_each(curve: Curve, count: int) -> list[list[tuple[int, float]]]:
    """What was reported of each of ``count`` settings; nothing, if it does not say of which."""
    values = [value if isinstance(value, Sequence) else [value] for _, value in curve]
    if any(len(told) != count for told in values):
        return [[] for _ in range(count)]
    return [
        [(step, told[n]) for (step, _), told in zip(curve, values, strict=True)]
        for n in range(count)
    ]


class Resuming:
    """The trainings of one trial, or of one artefact, that may be kept and gone on with.

    Those before the one that is gone on with are done again, and come to the same.

    Args:
        name: the trial's number, or what the artefact is.
        clock: by which the run is billed; who goes on is billed what the checkpoint says as well.
        curve: to which the run adds what is reported.
        device: of which random numbers are drawn, beside the CPU.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        name: int | str,
        *,
        clock: Clock,
        curve: Curve,
        device: torch.device,
    ) -> None:
        self._checkpoint, self._name = checkpoint, name
        self._clock, self._curve, self._device = clock, curve, device
        self._number = 0
        self._training: int | None = None
        clock.read("fit")  # brings the phase that is running up to date
        self._seconds = dict(clock.seconds)
        left = checkpoint.load()
        mine = {"name": name, "threads": torch.get_num_threads()}
        self._left = left if left is not None and mine.items() <= left[1].items() else None

    @property
    def due(self) -> bool:
        return self._checkpoint.due()

    def resume(self, training: Resumable) -> tuple[int, Curve]:
        """See :meth:`harness.api.Run.resume`.

        Returns:
            How many steps are done, and what was reported on the way that the curve lacks.
        """
        self._number += 1
        self._training = id(training)
        self._checkpoint.begin()
        if self._left is None or self._left[1]["training"] != self._number:
            return 0, []
        (tensors, notes), self._left = self._left, None
        before = {n: t.detach().to("cpu", copy=True) for n, t in training.state().items()}
        try:
            training.load(_part(tensors, "training."))
            _set_random(_part(tensors, "random."), self._device)
        except Exception:  # whatever a plugin's ``load`` raises: it does not fit
            training.load(before)
            return 0, []
        self._go_on(notes["seconds"])
        return int(notes["step"]), notes["curve"][len(self._curve) :]

    def keep(self, step: int, training: Resumable) -> None:
        """Write a checkpoint, if whoever goes on could find this training again."""
        if self._training != id(training):
            return
        if self._left is not None:  # it is of a later training, and further
            return
        with self._clock.phase("checkpoint"):
            notes = {
                "name": self._name,
                "threads": torch.get_num_threads(),
                "training": self._number,
                "step": step,
                "curve": self._curve,
                "seconds": {
                    phase: seconds - self._seconds.get(phase, 0.0)
                    for phase, seconds in self._clock.seconds.items()
                    if phase not in ANEW
                },
            }
            state = {f"training.{name}": tensor for name, tensor in training.state().items()}
            random = {f"random.{name}": state for name, state in _random(self._device).items()}
            self._checkpoint.save({**state, **random}, notes)

    def end(self) -> None:
        """Nothing is left to go on with."""
        self._checkpoint.clear()

    def _go_on(self, before: Mapping[str, float]) -> None:
        """Take up the clock where it was left.

        What this process did since the trial began, it did again: it is not billed twice.
        """
        self._clock.read("fit")
        for phase, seconds in before.items():
            self._clock.seconds[phase] = self._seconds.get(phase, 0.0) + seconds


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _random(device: torch.device) -> dict[str, Tensor]:
    """The states of torch's global generators."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def _set_random(states: Mapping[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)
