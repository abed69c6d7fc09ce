"""What a strategy may see of a problem, and what is to be predicted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from harness import metrics
from harness.data.examples import Examples, Inputs


@dataclass(frozen=True)
class Measure:
    """Two numbers by name of outputs ``[N, outputs]`` and targets: a value, of which more is
    better, and a loss, of which less is; it breaks ties.

    Where it is ``weighted``, it is of labelled examples of the source, and ``of`` takes a third
    tensor, float64 ``[N]``: how much more probable each of them is in the target, by features.
    """

    value: str
    loss: str
    of: Callable[..., tuple[float, float]]
    weighted: bool = False


class Target(ABC):
    """What is predicted of an input: the one place that knows what targets are."""

    @property
    @abstractmethod
    def outputs(self) -> int:
        """How many numbers a head gives for an input."""

    @abstractmethod
    def criterion(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """What training lowers, a mean over the batch: a scalar, of outputs ``[b, outputs]``."""

    @abstractmethod
    def any_targets(self) -> Tensor:
        """Two valid targets or more, all kinds of them, of no particular inputs."""

    @property
    @abstractmethod
    def selection(self) -> Measure:
        """By which validation selects."""

    @property
    @abstractmethod
    def blind(self) -> Mapping[str, Measure]:
        """Those by which a suite may select that do not look at targets of the target domain, by
        the names that it gives them."""

    @abstractmethod
    def scores(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """All scores of a test set by name, of outputs ``[N, outputs]`` on the CPU; the value of
        :attr:`selection` is among them."""


@dataclass(frozen=True)
class OneClass(Target):
    """One of some classes, by ``names``: targets are int64 ``[N]``, and outputs logits."""

    names: tuple[str, ...]

    @classmethod
    def of(cls, count: int) -> OneClass:
        """So many classes, called by their numbers."""
        return cls(tuple(map(str, range(count))))

    @property
    def outputs(self) -> int:
        return len(self.names)

    def criterion(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy in nats, also of probabilities ``[b, classes]``."""
        return F.cross_entropy(outputs, targets)

    def any_targets(self) -> Tensor:
        return torch.arange(max(2, self.outputs)) % self.outputs

    @property
    def selection(self) -> Measure:
        """Accuracy, 0–1, and log loss."""
        return Measure("accuracy", "log_loss", _accuracy)

    @property
    def blind(self) -> Mapping[str, Measure]:
        """Mutual information of input and prediction, in nats; their negated conditional entropy
        (Morerio et al. 2018); the density of soft neighbourhoods (Saito et al. 2021): of what is
        alike by one of them, the lower conditional entropy is better. And the log loss on the
        source as it would be on the target, of deep embedded validation (You et al. 2019)."""
        return {
            "information": Measure("information", "entropy", _information),
            "entropy": Measure("negative_entropy", "entropy", _negative_entropy),
            "density": Measure("density", "entropy", _density),
            "dev": Measure("negative_risk", "risk", _risk, weighted=True),
        }

    def scores(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """As :func:`harness.metrics.scores`."""
        return metrics.scores(outputs, targets)


def _accuracy(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    accuracy = (logits.argmax(1) == labels).double().mean().item()
    return accuracy, F.cross_entropy(logits.double(), labels).item()


def _information(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    return metrics.information(logits)


def _negative_entropy(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    entropy = metrics.information(logits)[1]
    return -entropy, entropy


def _density(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    return metrics.neighbourhood_density(logits), metrics.information(logits)[1]


def _risk(logits: Tensor, labels: Tensor, weights: Tensor) -> tuple[float, float]:
    losses = F.cross_entropy(logits.double(), labels, reduction="none").cpu()
    risk = metrics.weighted_risk(losses.numpy(), weights.numpy())
    return -risk, risk


@dataclass(frozen=True)
class Task:
    """All that a strategy may see of a problem: never a test label.

    Attributes:
        train: labelled examples to learn from; under ``adaptation`` those of the source domain.
        target: what is predicted.
        val: labelled examples to select on, of the same domain; ``None`` in an episode.
        unlabelled: inputs without labels, where there are some: the dataset's own under
            ``transfer``, and those of the target domain under ``adaptation``.
        unlabelled_val: inputs of the target domain that are held out, where the suite selects
            without labels.
        shifted: whether what is tested is of another domain than ``train`` and ``val``.
        unlabelled_measure: by which of the target's blind measures the suite selects on those.
    """

    train: Examples
    target: Target
    val: Examples | None = None
    unlabelled: Inputs | None = None
    unlabelled_val: Inputs | None = None
    shifted: bool = False
    unlabelled_measure: str = "information"

    @property
    def classes(self) -> int:
        """How many numbers the head gives: one for each class."""
        return self.target.outputs

    @property
    def measure(self) -> Measure:
        """By which validation selects."""
        target = self.target
        blind = self.unlabelled_val is not None
        return target.blind[self.unlabelled_measure] if blind else target.selection


@dataclass(frozen=True)
class Source:
    """What ``prepare`` may see: the labelled source data, before any task is known."""

    examples: Examples
    target: Target

    @property
    def classes(self) -> int:
        return self.target.outputs
