"""What a training is lent: the protocols between it and whoever runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from harness.data.examples import Inputs, Pool
from harness.model.augment import Augment
from harness.model.backbone import Backbone
from harness.model.batch_norm import BatchNorm


class Resumable(Protocol):
    """What a training changes: :class:`Training` is one, for modules, optimizers and the like."""

    def state(self) -> Mapping[str, Tensor]:
        """All that further steps depend on, on any device; it is copied by who keeps it."""
        ...

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go back to an earlier :meth:`state`, given on the CPU.

        Raises:
            Exception: it does not fit; the training then starts anew.
        """
        ...


@dataclass(frozen=True)
class SecondModel:
    """Another model of the suite with its weights, and the task's inputs as it takes them."""

    backbone: Backbone
    pools: Mapping[str, Pool]
    """By the digest of a pool of the cell's own inputs, the same inputs prepared for this one."""

    def inputs(self, inputs: Inputs) -> Inputs:
        """The same inputs, prepared for this model.

        Raises:
            ValueError: they are none of the task's.
        """
        if inputs.pool.digest not in self.pools:
            raise ValueError("a second model takes the inputs of its cell's task, and no others")
        return Inputs(self.pools[inputs.pool.digest], inputs.rows)


class Run(Protocol):
    """What the harness lends a strategy for the length of a call."""

    @property
    def device(self) -> torch.device: ...

    @property
    def steps(self) -> int:
        """The most optimiser steps that ``adapt`` may take."""
        ...

    @property
    def batch_size(self) -> int: ...

    @property
    def micro_batch(self) -> int:
        """How many examples of a batch may go through the model at once: ``batch_size``, or fewer
        where memory has refused it; gradients are then added up."""
        ...

    @property
    def evaluations(self) -> int:
        """How often a training is scored on validation on its way."""
        ...

    @property
    def patience(self) -> int | None:
        """After how many such scores that were no better a training ends; ``None``: never."""
        ...

    @property
    def augment(self) -> Augment | None:
        """Draws a random view of each image of a batch, if the suite asks for it."""
        ...

    @property
    def batch_norm(self) -> BatchNorm:
        """What a backbone's batch norms do in blocks that train, unless a recipe says otherwise."""
        ...

    def autocast(self) -> AbstractContextManager[object]:
        """A context for forward passes, in which they compute in the cell's precision."""
        ...

    def generator(self, name: str) -> torch.Generator:
        """A CPU generator seeded from the cell's seed and ``name``: the same in every trial."""
        ...

    def seeded(self, name: str) -> AbstractContextManager[None]:
        """A context in which torch's global generator is seeded as :meth:`generator` is: for
        modules that draw their first weights from it."""
        ...

    def fresh(self, backbone: Backbone) -> Backbone:
        """The same model with random weights, drawn from the cell's seed; the same each time."""
        ...

    def backbone(self, label: str) -> SecondModel:
        """Another model of the suite, such as a teacher, by its label: one that the strategy's
        ``backbones`` names. It is shared: copy what you change.

        Raises:
            ValueError: ``backbones`` names none of that label.
        """
        ...

    def report(self, step: int, value: float | Sequence[float]) -> None:
        """Tell the tuner the validation score so far: one for each setting where many train at
        once.

        Raises:
            optuna.TrialPruned: the trial is not worth going on with; let it pass.
        """
        ...

    def progress(self, done: int, total: int) -> None:
        """Tell the user how far a long computation is."""
        ...

    def resume(self, training: Resumable) -> int:
        """How many steps of a training are done: 0, or those of a run that was cut short.

        Then ``training`` has been given the state that it had after that step, and so have
        ``torch``'s global generators and the tuner. Call it once, just before the loop. Of two
        trainings one ends before the other begins.
        """
        ...

    def keep(self, step: int, training: Resumable) -> None:
        """Step ``step``, counted from 1, is done. Call it at the end of every step: it takes a
        microsecond, but now and then it writes the training down.

        Raises:
            KeyboardInterrupt: the user asked to stop; let it pass.
        """
        ...

    def activations(self, backbone: Backbone, inputs: Inputs, block: int) -> Tensor | None:
        """What enters block ``block`` of the frozen ``backbone`` for ``inputs``, ``[n, ...]``.

        ``block == len(backbone.blocks)`` asks for the features. Computed once for all that
        share weights and inputs, and billed to each as if it had computed it. ``None`` where it
        would not fit in memory, or where the model cannot be entered at that block.
        """
        ...

    def scoring(self) -> AbstractContextManager[None]:
        """A context for validation inside ``adapt``: its seconds are not billed to fitting."""
        ...
