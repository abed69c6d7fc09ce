"""MAML's meta-gradient: a task's loss after its steps, and its gradient over many tasks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from harness.api import Backbone, SourceEpisode
from harness_plugins.strategies._support_norms import Regrouped, SupportNorms

Parameters: TypeAlias = Mapping[str, Tensor]

MetaGradient: TypeAlias = Callable[[Sequence[SourceEpisode]], "tuple[Tensor, list[Tensor]]"]
"""Gives the sum of the losses of some tasks, and its gradient by each parameter of the body."""


@dataclass(frozen=True)
class Inner:
    """The gradient steps inside a task: how many, at what rate, with how many classes."""

    lr: float
    steps: int
    ways: int
    first_order: bool = False


def task_loss(
    backbone: Backbone,
    parameters: Parameters,
    episode: SourceEpisode,
    inner: Inner,
    *,
    batched: bool = False,
) -> Tensor:
    """The loss on the queries after the inner steps on the support set.

    Its gradient by ``parameters`` is MAML's meta-gradient (Finn et al. 2017, equation 1 and
    algorithm 2): through the steps unless ``first_order``. ``batched`` is for the transforms of
    ``torch.func``.
    """
    norms = SupportNorms(plain=batched)
    like = next(iter(parameters.values()))
    head = like.new_zeros(inner.ways, backbone.num_features), like.new_zeros(inner.ways)
    names = list(parameters)

    def features(values: Sequence[Tensor], inputs: Tensor) -> Tensor:
        # Batch norm counts its passes in place, which threads would do to one tensor.
        buffers = {name: buffer.clone() for name, buffer in backbone.named_buffers()}
        body = dict(zip(names, values, strict=False))
        found: Tensor = functional_call(backbone, {**buffers, **body}, (inputs,))
        return found

    def loss(values: Sequence[Tensor], found: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(F.linear(found, *values[len(names) :]), labels)

    def on_support(values: Sequence[Tensor]) -> Tensor:
        return loss(values, features(values, episode.support), episode.support_labels)

    def queried(values: Sequence[Tensor]) -> Tensor:
        """Features of the queries, by the support set's statistics."""
        if not norms.met:
            return features(values, episode.query)
        both, count = torch.cat([episode.support, episode.query]), len(episode.support)
        try:
            with norms.leading(count, len(both)):
                return features(values, both)[count:]
        except Regrouped:
            with norms.measuring():
                features(values, episode.support)
            with norms.applying():
                return features(values, episode.query)

    values = (*parameters.values(), *(t if batched else t.requires_grad_() for t in head))
    for _ in range(inner.steps):
        with norms:
            if batched:
                gradients = torch.func.grad(on_support)(values)
                if inner.first_order:
                    gradients = tuple(gradient.detach() for gradient in gradients)
            else:
                gradients = torch.autograd.grad(
                    on_support(values), values, create_graph=not inner.first_order
                )
        pairs = zip(values, gradients, strict=True)
        values = tuple(torch.sub(value, gradient, alpha=inner.lr) for value, gradient in pairs)
    return loss(values, queried(values), episode.query_labels)


def task_gradient(
    backbone: Backbone, parameters: Parameters, episode: SourceEpisode, inner: Inner
) -> tuple[Tensor, Sequence[Tensor]]:
    """The loss of one task, and its gradient by each of the parameters."""
    loss = task_loss(backbone, parameters, episode, inner)
    return loss.detach(), torch.autograd.grad(loss, list(parameters.values()))


@contextmanager
def batched(backbone: Backbone, inner: Inner, tasks: int) -> Iterator[MetaGradient]:
    """All tasks as one batch, or as large a part of them as memory allows."""
    chunk = tasks

    def gradient(episodes: Sequence[SourceEpisode]) -> tuple[Tensor, list[Tensor]]:
        nonlocal chunk
        parameters = {name: p.detach() for name, p in backbone.body_parameters()}
        labels = episodes[0].support_labels, episodes[0].query_labels
        support = torch.stack([episode.support for episode in episodes])
        query = torch.stack([episode.query for episode in episodes])

        def loss(values: Parameters, support: Tensor, query: Tensor) -> Tensor:
            episode = SourceEpisode(support, labels[0], query, labels[1])
            return task_loss(backbone, values, episode, inner, batched=True)

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


def can_batch(backbone: Backbone, inner: Inner, episode: SourceEpisode) -> bool:
    """Whether ``torch.func.vmap`` knows all that the model does: it refuses dropout, and much that
    is done in place."""
    try:
        with batched(backbone, inner, 1) as gradient:
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
