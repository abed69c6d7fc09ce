"""DELTA: keep what blocks give near what they gave, channel by channel as the task needs them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from harness.api import (
    Backbone,
    Batch,
    Classifier,
    FloatDistribution,
    HarnessError,
    Recipe,
    Regulariser,
    Run,
    Settings,
    Space,
    Task,
    Trick,
    Unsupported,
    hookimpl,
)
from harness_plugins.strategies.logistic_probe import LogisticProbe


class BehaviourDistance(Regulariser):
    """``weight / 2`` times the squared distance of what leaves blocks from what leaves those of
    ``source``: the mean over examples and positions, and over channels by their attention.

    Args:
        first: the first block that trains.
    """

    taps: tuple[int, ...]

    def __init__(self, source: Backbone, first: int, task: Task, run: Run, weight: float) -> None:
        super().__init__()
        self.source = (source,)  # in a tuple: it does not train along
        self.task, self.run, self.weight = task, run, weight
        self.taps = tuple(range(first + 1, len(source.blocks) + 1))

    def started(self, model: Classifier) -> None:
        """Find out which channels the task needs, from a batch of its training examples."""
        (source,), train, run = self.source, self.task.train, self.run
        probe = LogisticProbe().adapt(source, self.task, LogisticProbe.defaults, run)
        assert isinstance(probe, Classifier)
        rows = torch.randperm(len(train), generator=run.generator("delta"))[: run.micro_batch]
        some = train.subset(rows)
        for tap in self.taps:
            with torch.no_grad():
                maps = source.activations(some.inputs[:], tap)
            with torch.enable_grad():
                maps.requires_grad_()
                logits = probe.classify(source.features_from(maps, tap))
                loss = self.task.target.criterion(logits.float(), some.labels)
            (slope,) = torch.autograd.grad(loss, maps)
            last = channels_last(source, maps)
            self.register_buffer(f"attention{tap}", attention(maps.detach(), slope, last=last))

    def penalty(self, batch: Batch) -> Tensor:
        (source,), (*inner, _) = self.source, self.taps
        with torch.no_grad(), self.run.autocast(), source.tapped(inner) as theirs:
            if batch.stored:
                last = source.features_from(batch.inputs, batch.model.entry)
            else:
                last = source.features(batch.inputs)
        before = {**theirs, self.taps[-1]: last}
        apart = [
            self.get_buffer(f"attention{tap}")
            @ by_channel(
                (batch.entering(tap).float() - before[tap].float()).square(),
                last=channels_last(source, before[tap]),
            ).mean(1)
            for tap in self.taps
        ]
        return self.weight / 2 * torch.stack(apart).sum()


def attention(maps: Tensor, slope: Tensor, *, last: bool = False) -> Tensor:
    """A softmax, over channels, of how much the loss rises without each of them, ``[C]``.

    Args:
        maps: what leaves a block, of any shape that :func:`by_channel` takes.
        slope: the gradient of the loss by them.
    """
    return by_channel(-maps * slope, last=last).sum(1).softmax(0)


def by_channel(maps: Tensor, *, last: bool = False) -> Tensor:
    """``[C, …]`` of maps ``[b, C, …]``, of tokens ``[b, T, C]``, or, where channels are ``last``,
    of maps ``[b, H, W, C]``."""
    return maps.movedim(-1 if last or maps.ndim == 3 else 1, 0).flatten(1)


def channels_last(backbone: Backbone, maps: Tensor) -> bool:
    """Whether maps are ``[b, H, W, C]``: where timm's ``output_fmt`` of the model says so.

    Raises:
        Unsupported: by their sides, which are square as images are, they are not what it says.
    """
    if maps.ndim != 4:
        return False
    models = [backbone.body, *backbone.body.children()]
    last = any(getattr(model, "output_fmt", None) == "NHWC" for model in models)
    _, first, middle, end = maps.shape
    if (middle == end != first) if last else (first == middle != end):
        raise Unsupported(
            f"delta cannot tell which side of {list(maps.shape[1:])}, which leaves a block of this "
            "model, are channels: leave the trick out for this model"
        )
    return last


@dataclass(frozen=True)
class Delta(Trick):
    """Keep what leaves each block near what the source's weights give, with strength ``weight``.

    Channels count by their attention: the softmax of how much a linear classifier on the source's
    features loses where the channel is set to 0. The paper does so for each channel, in a pass of
    its own; here all are told from one gradient, to first order. It sums over positions, where
    here is the mean, so that one ``weight`` suits all sizes.
    """

    name: ClassVar[str] = "delta"
    family: ClassVar[str] = "regularisation"
    citation: ClassVar[str] = (
        "Li et al. 2019, DELTA: Deep learning transfer using feature map with attention for "
        "convolutional networks, ICLR"
    )
    space: ClassVar[Space] = {"weight": FloatDistribution(1e-3, 10.0, log=True)}
    defaults: ClassVar[Settings] = {"weight": 1e-1}

    def amend(self, recipe: Recipe, task: Task, hp: Settings, run: Run) -> Recipe:
        """Add the penalty.

        Raises:
            HarnessError: nothing but the head trains, or the model cannot be entered at a block.
        """
        source = recipe.backbone.start
        first = min(map(recipe.backbone.block_of, recipe.trainable), default=len(source.blocks))
        distance = BehaviourDistance(source, first, task, run, hp["weight"])
        if not distance.taps:
            raise HarnessError(
                "delta keeps what blocks give, and here none of them trains",
                "Leave the trick out for this strategy",
            )
        if not all(map(source.can_enter, distance.taps)):
            raise HarnessError(
                "delta looks at what leaves each block, and more than one tensor leaves one of "
                "this model's",
                "Leave the trick out for this model",
            )
        return replace(recipe, regularisers=[*recipe.regularisers, distance])


@hookimpl
def harness_tricks() -> list[type[Trick]]:
    return [Delta]
