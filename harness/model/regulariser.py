"""What the loss is of: a batch, and what training does besides lowering the loss of it."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from harness.model.classifier import Classifier


@dataclass(frozen=True, eq=False)
class Mixture:
    """Of which of the task's training examples each input of a batch is mixed, int64 ``[b, k]``,
    and in which shares, float ``[b, k]``, which sum to 1."""

    index: Tensor
    shares: Tensor


@dataclass(frozen=True, eq=False)
class Batch:
    """What a step learns from. Its features and logits are computed when they are first asked for,
    once for all that ask. :func:`dataclasses.replace` gives a batch that computes its own.

    Attributes:
        model: what trains: ``model.backbone``, and ``model.head``.
        inputs: ``[b, ...]`` on the device: prepared inputs, views of them, or, where ``stored``,
            the activations that enter the first block with something to train.
        targets: int64 classes ``[b]`` or float probabilities ``[b, classes]``. Of unlabelled
            inputs there are none.
        index: int64 ``[b]`` on the device: which of the task's training examples these are, or
            which of its unlabelled inputs. Of mixed inputs, the first of each: what is known of
            each example, :meth:`look_up` finds.
        progress: the share of the training that was done before this step: 0 at first, below 1.
        generator: of the CPU, part of every checkpoint, for whatever a regulariser draws.
        stored: whether the frozen blocks have done their part.
        unlabelled: a batch of the task's unlabelled inputs, where a regulariser asks for them. It
            goes through the model together with this one, so that batch norm sees both.
        taps: blocks of which :meth:`entering` may be asked.
        mixture: what inputs are mixed of, where they are: :meth:`mixed`.
    """

    model: Classifier
    inputs: Tensor
    targets: Tensor | None
    index: Tensor
    progress: float
    generator: torch.Generator
    stored: bool = False
    unlabelled: Batch | None = None
    taps: frozenset[int] = frozenset()
    mixture: Mixture | None = None
    _pass: _Pass = field(init=False, repr=False)
    _part: int = field(init=False, repr=False, default=0)

    def __post_init__(self) -> None:
        parts = [self.inputs]
        if self.unlabelled is not None:
            other = replace(self.unlabelled)
            object.__setattr__(self, "unlabelled", other)
            object.__setattr__(other, "_part", 1)
            parts.append(other.inputs)
        shared = _Pass(self.model, parts, self.stored, self.taps)
        for batch in (self, self.unlabelled):
            if batch is not None:
                object.__setattr__(batch, "_pass", shared)

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def features(self) -> Tensor:
        """Float ``[b, D]``."""
        return self._pass.features[self._part]

    @cached_property
    def logits(self) -> Tensor:
        """Float ``[b, classes]``."""
        return self.model.classify(self.features)

    def entering(self, block: int) -> Tensor:
        """What enters a block of the backbone, ``[b, ...]``; the features for the last + 1.

        Raises:
            ValueError: no regulariser has the block among its ``taps``.
        """
        if block == len(self.model.backbone.blocks):
            return self.features
        return self._pass.entering(block)[self._part]

    def mixed(self, others: Tensor, share: float, inputs: Tensor, targets: Tensor) -> Batch:
        """A batch of mixtures: each input keeps ``share`` of what it was, and takes the rest from
        that at ``others``, int64 ``[b]``. What was mixed before is mixed further."""
        own = self.mixture or Mixture(self.index[:, None], torch.ones_like(self.index)[:, None])
        shares = own.shares.to(torch.float32)
        mixture = Mixture(
            torch.cat([own.index, own.index[others]], 1),
            torch.cat([share * shares, (1 - share) * shares[others]], 1),
        )
        return replace(self, inputs=inputs, targets=targets, mixture=mixture)

    def look_up(self, table: Tensor, *, logs: bool = False) -> Tensor:
        """What a table of probabilities, float ``[n, classes]``, says of the batch's examples,
        ``[b, classes]``: of mixed ones, what it says of their parts, mixed as these are.

        Args:
            logs: the table is of logarithms, and so is what is given; the probabilities are mixed.
        """
        if self.mixture is None:
            return table[self.index]
        rows, shares = table[self.mixture.index], self.mixture.shares[..., None].to(table.dtype)
        return (rows + shares.log()).logsumexp(1) if logs else (shares * rows).sum(1)

    def split(self, sizes: Sequence[int]) -> Iterator[Batch]:
        """Parts of so many examples, each of which goes through the model by itself."""
        if len(sizes) == 1:
            yield replace(self)
            return
        end = 0
        for size in sizes:
            rows, end = slice(end, end + size), end + size
            mixture = self.mixture
            if mixture is not None:
                mixture = Mixture(mixture.index[rows], mixture.shares[rows])
            targets = None if self.targets is None else self.targets[rows]
            inputs, index = self.inputs[rows], self.index[rows]
            yield replace(self, inputs=inputs, index=index, targets=targets, mixture=mixture)


class _Pass:
    """One pass of batches through a model, made when its outcome is first asked for."""

    def __init__(
        self, model: Classifier, parts: Sequence[Tensor], stored: bool, taps: frozenset[int]
    ) -> None:
        self._model, self._parts, self._stored, self._taps = model, parts, stored, taps

    @cached_property
    def _outcome(self) -> tuple[Tensor, dict[int, Tensor]]:
        whole = torch.cat([*self._parts]) if len(self._parts) > 1 else self._parts[0]
        known = {self._model.entry: whole} if self._stored else {}
        with self._model.backbone.tapped(self._taps - known.keys()) as found:
            features = self._model.forward(whole, stored=self._stored)
        return features, {**known, **found}

    @cached_property
    def features(self) -> Sequence[Tensor]:
        """Of each batch."""
        return self._each(self._outcome[0])

    def entering(self, block: int) -> Sequence[Tensor]:
        """What enters a tapped block, of each batch."""
        if block not in self._taps:
            raise ValueError(f"block {block} is not among the taps of a regulariser")
        return self._each(self._outcome[1][block])

    def _each(self, whole: Tensor) -> Sequence[Tensor]:
        return whole.split([len(part) for part in self._parts]) if self._parts[1:] else [whole]


class Regulariser(nn.Module):
    """Something that training does besides lowering the loss: a penalty, a change of the batch, an
    average of the weights. By default it does nothing: override what it takes.

    Its parameters train along, at the rate of ``regularisers`` or else of ``""``. They and its
    buffers, those of submodules included, are part of every checkpoint, and each training starts
    from a copy of them. All else is shared between trainings: keep no state there. A model that
    is not to train along, such as a teacher, is held in a tuple, where torch finds no submodule.
    """

    unlabelled: ClassVar[bool] = False
    """Whether it looks at ``batch.unlabelled``. Then the last state of a training is the one that
    is kept, unless the suite selects without labels: validation on the source does not tell how far
    the target has come."""
    whole: ClassVar[bool] = False
    """Whether a batch goes through the model at once whatever memory there is, for a loss that is
    no mean over examples."""
    taps: Collection[int] = ()
    """Blocks of the backbone for which ``batch.entering(block)`` is asked."""

    def started(self, model: Classifier) -> None:
        """A training begins, from ``model`` as it is: register buffers that depend on it here."""

    def batch(self, batch: Batch) -> Batch:
        """What is learned from in place of ``batch``, which no want of memory has split yet. Where
        this is overridden, the frozen blocks run in every step."""
        return batch

    def penalty(self, batch: Batch) -> Tensor:
        """What is added to the loss: a scalar, on the device. Where memory takes a batch in parts
        only, it is asked for each of them, and what counts is their mean, weighed by size."""
        return torch.zeros((), device=batch.inputs.device)

    def stepped(self, model: Classifier) -> None:
        """The optimiser has made a step."""

    @contextmanager
    def scoring(self, model: Classifier) -> Iterator[None]:
        """A context in which ``model`` is as it is to be scored and kept: with other weights or
        statistics than it trains with, where it should train on with those that it had. Those of
        regularisers that come later in a recipe are around it."""
        yield


def overridden(regulariser: Regulariser, method: str) -> bool:
    """Whether a regulariser does something of its own there."""
    return getattr(type(regulariser), method) is not getattr(Regulariser, method)


def copied(regulariser: Regulariser) -> Regulariser:
    """A copy with parameters, buffers and submodules of its own; all else is shared."""
    torchs = vars(nn.Module()).keys()
    others = [value for name, value in vars(regulariser).items() if name not in torchs]
    return copy.deepcopy(regulariser, memo={id(value): value for value in others})
