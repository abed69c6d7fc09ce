"""The one training loop: what every method that takes steps by a gradient shares."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from harness.errors import Diverged
from harness.model.run import Run
from harness.model.training_state import Part, Stateful, Training

T = TypeVar("T")

CHECKED_EVERY = 20
"""Steps between two looks at the loss where looking means to wait for the device."""

TOLD_EVERY = 20
"""Steps between two words on how far a training is; of shorter ones there are none."""


class Optimizer(Stateful, Protocol):
    """What the loop asks of an optimiser: all of :mod:`torch.optim` are such."""

    param_groups: list[dict[str, Any]]

    def zero_grad(self, set_to_none: bool = ...) -> None: ...

    def step(self, closure: Callable[[], Any]) -> Any: ...


def descend(
    batches: Callable[[int], Iterable[T]],
    closure: Callable[[T], Tensor],
    optimizer: Optimizer,
    schedule: Callable[[float], float],
    steps: int,
    run: Run,
    **parts: Part,
) -> Iterator[int]:
    """Take ``steps`` steps, and yield the number of each, counted from 1, once it is taken::

        for step in descend(batches, closure, optimizer, cosine, steps, run, model=model):
            ...

    The body of the loop is part of the step: a checkpoint holds what it did too. It may break off.
    Where a run was cut short, the first step is the one that would have come next.

    Args:
        batches: what each step after so many learns from. Asked for one when its step begins.
        closure: puts the gradient of a batch into ``.grad``, which it finds empty, and gives the
            loss, a scalar. Optimisers such as L-BFGS ask more than once in a step.
        optimizer: its groups have their peak rates.
        schedule: the share of those rates, by the share of the steps that is done, 0–1.
        parts: what steps change besides the optimiser, as in :class:`Training`: modules, and
            generators that batches or the closure draw from.

    Raises:
        Diverged: the loss is not finite.
    """
    peaks = [group["lr"] for group in optimizer.param_groups]
    training = Training(optimizer=optimizer, **parts)
    guard = LossGuard(run.device, steps)
    done = run.resume(training)

    def loss_of(step: int, batch: T) -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = closure(batch)
        guard.check(step, loss)
        return loss

    for step, batch in enumerate(islice(batches(done), steps - done), start=done + 1):
        share = schedule((step - 1) / steps)
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * share
        optimizer.step(partial(loss_of, step, batch))
        yield step
        if step % TOLD_EVERY == 0 or step == steps > TOLD_EVERY:
            run.progress(step, steps)
        run.keep(step, training)


class LossGuard:
    """Ends a training whose loss is not a number any more.

    On the CPU each loss is looked at. On a GPU that would make the host wait for every step, and
    the device for the next one's kernels: there the losses are gathered where they are, and looked
    at every 20 steps and after the last.
    """

    def __init__(self, device: torch.device, steps: int) -> None:
        self._every = 1 if device.type == "cpu" else CHECKED_EVERY
        self._steps = steps
        self._finite = torch.ones((), dtype=torch.bool, device=device)

    def check(self, step: int, loss: Tensor) -> None:
        """Look at the loss of a step, a scalar; steps count from 1.

        Raises:
            Diverged: this loss, or one since the last look, is infinite or not a number.
        """
        self._finite &= loss.detach().isfinite()
        if (step % self._every == 0 or step == self._steps) and not self._finite.item():
            raise Diverged(f"the loss is not a number by step {step}")
