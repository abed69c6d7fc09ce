"""The meta-gradient: a task's loss once it has been learned, and its gradient over many tasks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from harness.api import Backbone, SourceEpisode
from harness_plugins.meta._support_norms import Regrouped, SupportNorms

Parameters: TypeAlias = Mapping[str, Tensor]

MetaGradient: TypeAlias = Callable[[Sequence[SourceEpisode]], "tuple[Tensor, list[Tensor]]"]
"""Gives the sum of the losses of some tasks, and its gradient by each of the meta-parameters."""

EXTRAS = "extras."
"""Begins the names of the backbone's extras among the meta-parameters."""


def meta_parameters(backbone: Backbone) -> dict[str, Tensor]:
    """What meta-training learns: the parameters of the body, and extras that need a gradient."""
    extras = {f"{EXTRAS}{n}": t for n, t in backbone.extras.items() if t.requires_grad}
    return {**dict(backbone.body_parameters()), **extras}


class Network:
    """A backbone as a function of its parameters, for one task: batch norm goes by the statistics
    of the support set, which is for the queries too.

    Attributes:
        body: the parameters of the body, in their order.
        extras: the other meta-parameters, by name.
    """

    def __init__(
        self, backbone: Backbone, parameters: Parameters, *, batched: bool = False
    ) -> None:
        self._backbone, self._batched = backbone, batched
        self._norms = SupportNorms(plain=batched)
        self._names = [name for name in parameters if not name.startswith(EXTRAS)]
        self.body = tuple(parameters[name] for name in self._names)
        others = [name for name in parameters if name.startswith(EXTRAS)]
        self.extras = {name.removeprefix(EXTRAS): parameters[name] for name in others}

    def zero_head(self, ways: int) -> tuple[Tensor, ...]:
        """Weight ``[ways, D]`` and bias ``[ways]`` to begin the inner steps with."""
        like = self.body[0]
        head = like.new_zeros(ways, self._backbone.num_features), like.new_zeros(ways)
        return self.leaves(head)

    def leaves(self, values: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The same values without a past, to take gradients by."""
        found = [value.detach() for value in values]
        return tuple(t if self._batched else t.requires_grad_() for t in found)

    def features(self, body: Sequence[Tensor], inputs: Tensor) -> Tensor:
        """Features ``[n, D]``, normalised by the inputs' own statistics."""
        with self._norms:
            return self._features(body, inputs)

    def both(self, body: Sequence[Tensor], episode: SourceEpisode) -> tuple[Tensor, Tensor]:
        """Features of the support set and of the queries, in one pass where that can be. They can
        be differentiated once."""
        inputs, count = torch.cat([episode.support, episode.query]), len(episode.support)
        try:
            with self._norms.leading(count, len(inputs)):
                found = self._features(body, inputs)
            return found[:count], found[count:]
        except Regrouped:
            with self._norms.measuring():
                support = self._features(body, episode.support)
            with self._norms.applying():
                return support, self._features(body, episode.query)

    def queries(self, body: Sequence[Tensor], episode: SourceEpisode) -> Tensor:
        """Features of the queries, once those of the support set have been computed."""
        if not self._norms.met:
            return self._features(body, episode.query)
        return self.both(body, episode)[1]

    def gradient(
        self,
        loss: Callable[[Sequence[Tensor]], Tensor],
        values: Sequence[Tensor],
        *,
        first_order: bool,
    ) -> Sequence[Tensor]:
        """The gradient of ``loss`` by each of ``values``: a constant if ``first_order``."""
        if not self._batched:
            return torch.autograd.grad(loss(values), values, create_graph=not first_order)
        gradients: Sequence[Tensor] = torch.func.grad(loss)(values)
        return [gradient.detach() for gradient in gradients] if first_order else gradients

    def _features(self, body: Sequence[Tensor], inputs: Tensor) -> Tensor:
        # Batch norm counts its passes in place, which threads would do to one tensor.
        buffers = {name: buffer.clone() for name, buffer in self._backbone.named_buffers()}
        named = dict(zip(self._names, body, strict=True))
        found: Tensor = functional_call(self._backbone, {**buffers, **named}, (inputs,))
        return found


class Learner(Protocol):
    """What learns a task from its support set, in each step of meta-training."""

    def loss(self, network: Network, episode: SourceEpisode) -> Tensor:
        """The loss on the queries of what was learned: what its gradient by the meta-parameters
        lowers is what meta-training makes small."""
        ...


@dataclass(frozen=True)
class Inner:
    """MAML's gradient steps inside a task: at what rate, how many, with how many classes.

    The gradient of the loss on the queries is MAML's meta-gradient (Finn et al. 2017, equation 1
    and algorithm 2): through the steps unless ``first_order``.
    """

    lr: float
    steps: int
    ways: int
    first_order: bool = False

    def start(
        self, network: Network, episode: SourceEpisode
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """The parameters of the body, and weight and bias of the head, before the first step."""
        return network.body, network.zero_head(self.ways)

    def loss(self, network: Network, episode: SourceEpisode) -> Tensor:
        body, head = self.start(network, episode)
        count = len(body)

        def on_support(values: Sequence[Tensor]) -> Tensor:
            found = network.features(values[:count], episode.support)
            return head_loss(found, values[count:], episode.support_labels)

        values = self.descended(network, on_support, (*body, *head))
        found = network.queries(values[:count], episode)
        return head_loss(found, values[count:], episode.query_labels)

    def descended(
        self,
        network: Network,
        loss: Callable[[Sequence[Tensor]], Tensor],
        values: Sequence[Tensor],
    ) -> Sequence[Tensor]:
        """``values`` after the steps."""
        for _ in range(self.steps):
            gradients = network.gradient(loss, values, first_order=self.first_order)
            pairs = zip(values, gradients, strict=True)
            values = tuple(torch.sub(value, gradient, alpha=self.lr) for value, gradient in pairs)
        return values


def head_loss(features: Tensor, head: Sequence[Tensor], labels: Tensor) -> Tensor:
    """Cross-entropy of features ``[n, D]`` under a head of weight and bias."""
    return F.cross_entropy(F.linear(features, *head), labels)


def task_loss(
    backbone: Backbone,
    parameters: Parameters,
    episode: SourceEpisode,
    learner: Learner,
    *,
    batched: bool = False,
) -> Tensor:
    """The loss on the queries of what was learned from the support set, as a function of the
    meta-parameters. ``batched`` is for the transforms of ``torch.func``."""
    return learner.loss(Network(backbone, parameters, batched=batched), episode)


def task_gradient(
    backbone: Backbone, parameters: Parameters, episode: SourceEpisode, learner: Learner
) -> tuple[Tensor, Sequence[Tensor]]:
    """The loss of one task, and its gradient by each of the parameters."""
    loss = task_loss(backbone, parameters, episode, learner)
    return loss.detach(), torch.autograd.grad(loss, list(parameters.values()))


@contextmanager
def batched(backbone: Backbone, learner: Learner, tasks: int) -> Iterator[MetaGradient]:
    """All tasks as one batch, or as large a part of them as memory allows."""
    chunk = tasks

    def gradient(episodes: Sequence[SourceEpisode]) -> tuple[Tensor, list[Tensor]]:
        nonlocal chunk
        parameters = {name: p.detach() for name, p in meta_parameters(backbone).items()}
        labels = episodes[0].support_labels, episodes[0].query_labels
        support = torch.stack([episode.support for episode in episodes])
        query = torch.stack([episode.query for episode in episodes])

        def loss(values: Parameters, support: Tensor, query: Tensor) -> Tensor:
            episode = SourceEpisode(support, labels[0], query, labels[1])
            return task_loss(backbone, values, episode, learner, batched=True)

        # The gradient inside and the batch outside: the other way round, torch's own batch norm
        # would be wrong in the second order, silently.
        each = torch.func.grad_and_value(loss)
        while True:
            try:
                gradients, losses = torch.func.vmap(each, (None, 0, 0), chunk_size=chunk)(
                    parameters, support, query
                )
            except torch.OutOfMemoryError:
                if chunk == 1:
                    raise
                chunk = math.ceil(chunk / 2)
            else:
                return losses.sum(), [g.sum(0) for g in gradients.values()]

    yield gradient


def can_batch(backbone: Backbone, learner: Learner, episode: SourceEpisode) -> bool:
    """Whether ``torch.func.vmap`` knows all that the model does: it refuses dropout, and much that
    is done in place."""
    try:
        with batched(backbone, learner, 1) as gradient:
            gradient([episode])
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:
        return False
    return True


@torch.no_grad()
def draws(backbone: Backbone) -> bool:
    """Whether a pass through the model draws from torch's global generator of the CPU."""
    with torch.random.fork_rng(devices=[]), SupportNorms():
        before = torch.get_rng_state()
        backbone(backbone.example)
        return not torch.equal(before, torch.get_rng_state())
