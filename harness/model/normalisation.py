"""Batch norm in training mode: what it may be given, and its statistics after adapting."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from harness.data.examples import Inputs
from harness.errors import Unsupported
from harness.model.regulariser import Regulariser

if TYPE_CHECKING:
    from harness.model.backbone import Backbone
    from harness.model.classifier import Classifier


def trained_norms(model: Classifier) -> list[_BatchNorm]:
    """The batch norms that normalise by the batch while the model trains."""
    modules = [*model.backbone.modules(), *model.head.modules()]
    return [module for module in modules if isinstance(module, _BatchNorm) and module.training]


def slices(count: int, most: int, *, several: bool) -> list[int]:
    """Sizes of the parts in which ``count`` examples go through a model, ``most`` at once: full
    ones, and what is left.

    With ``several``, no part is of one example, as batch norm has no spread of it: where one would
    be, all are as even as can be, and of three where ``most`` is too few.
    """
    full, left = divmod(count, most)
    sizes = [most] * full + [left] * (left > 0)
    if not (several and 1 in sizes and count > 1):
        return sizes
    parts = min(len(sizes), count // 2)
    return [count // parts + (part < count % parts) for part in range(parts)]


class Recalibration(Regulariser):
    """Batch norm's running statistics are those of the training inputs under the weights that are
    scored and kept: after a handful of steps, the running averages still are mostly the source's.

    Args:
        inputs: of the training examples.
        batch_size: how many of them go through the model at once.
    """

    def __init__(self, inputs: Inputs, batch_size: int) -> None:
        super().__init__()
        self.inputs, self.batch_size = inputs, batch_size

    @contextmanager
    def scoring(self, model: Classifier) -> Iterator[None]:
        recalibrate(model, self.inputs, self.batch_size)
        yield


@torch.no_grad()
def recalibrate(model: Classifier, inputs: Inputs, batch_size: int) -> None:
    """Set trained batch norms' statistics to those of ``inputs`` under the present weights.

    Each norm is given the mean and the unbiased variance of all values that it sees, pooled over
    slices of ``batch_size`` inputs, whatever their sizes. Within a slice each norm normalises
    by the slice, as in training, so that norms behind another see what that gives ("precise batch
    norm", Wu & Johnson 2021, section 3.1). One slice is torch's own pass in training mode.
    """
    entering = model.entering(inputs)
    with _pooling(trained_norms(model)):
        for batch in entering.stream(_in_turn(slices(len(inputs), batch_size, several=True))):
            model.classify(model.forward(batch, stored=entering.stored is not None))


@torch.no_grad()
def recalibrated(backbone: Backbone, inputs: Inputs, batch_size: int) -> Backbone:
    """A copy that shares all parameters, and whose batch norms have the statistics of ``inputs``,
    as :func:`recalibrate` pools them; in evaluation mode. The backbone itself where it has none.

    Raises:
        Unsupported: there are norms, and one input.
    """
    copied = backbone.copied([*backbone.parameters()]).eval()
    norms = [module for module in copied.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        return backbone
    if len(inputs) == 1:
        why = "batch norm's statistics are of how examples differ, and here is one"
        raise Unsupported(f"{why}: give more than one training example")
    for norm in norms:
        norm.train()
    sizes = slices(len(inputs), batch_size, several=True)
    with _pooling(norms):
        for batch in inputs.stream(_in_turn(sizes)):
            copied.features(batch)
    return copied.eval()


@contextmanager
def _pooling(norms: Sequence[_BatchNorm]) -> Iterator[None]:
    """A context in which norms normalise by the batch, and after which their running statistics
    are those of all passes within."""
    norms = [norm for norm in norms if norm.track_running_stats]
    pooled = [_Pooled(norm) for norm in norms]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = 1.0  # the statistics of the last pass alone
    hooks = [n.register_forward_hook(p) for n, p in zip(norms, pooled, strict=True)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    for statistics in pooled:
        statistics.hand_over()


def _in_turn(sizes: Sequence[int]) -> list[slice]:
    ends = torch.tensor(sizes).cumsum(0).tolist()
    return [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]


class _Pooled:
    """Mean and unbiased variance of what a norm has normalised, by channel (Chan et al. 1983).

    In float64: what is pooled of one slice alone is the slice's own, bit for bit.
    """

    def __init__(self, norm: _BatchNorm) -> None:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        self._running = norm.running_mean, norm.running_var
        self._count = 0
        self._mean = torch.zeros_like(norm.running_mean, dtype=torch.float64)
        self._squares = torch.zeros_like(self._mean)

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        """Add a pass, whose statistics are the norm's running ones: a forward hook."""
        mean, variance = (running.double() for running in self._running)
        count = args[0].numel() // args[0].shape[1]
        before, self._count = self._count, self._count + count
        away = mean - self._mean
        self._mean += away * (count / self._count)
        self._squares += variance * (count - 1) + away.square() * (before * count / self._count)

    def hand_over(self) -> None:
        """Make them the norm's running statistics, if it has seen any values."""
        if self._count > 1:
            mean, variance = self._running
            mean.copy_(self._mean)
            variance.copy_(self._squares / (self._count - 1))
