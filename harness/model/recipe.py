"""The declaration of a training."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harness.data.examples import Examples
from harness.model.backbone import Backbone
from harness.model.batch_norm import BatchNorm
from harness.model.descend import Optimizer
from harness.model.optimisation import adamw, cosine
from harness.model.regulariser import Regulariser


@dataclass(frozen=True)
class Recipe:
    """What trains, from where, and how.

    Attributes:
        backbone: where training starts; it is copied before it is changed.
        trainable: names of its parameters that train. The head always does.
        lr: the peak learning rate: one for all, or by the name of a parameter or of a module that
            it is in, of which the longest counts: ``{"head": 1e-2, "": 1e-3}``. The head's names
            are ``head.…``, those of regularisers ``regularisers.0.…``; ``""`` is the rest.
        weight_decay: like ``lr``. It spares biases and norms that no name names in full.
        head: a head to start from, of features ``[b, num_features]`` to logits ``[b, classes]``;
            by default a linear one of zeros, so that the first predictions favour no class.
        optimizer: makes an optimiser of parameter groups, each of which has its ``lr`` and its
            ``weight_decay``: ``partial(torch.optim.SGD, momentum=0.9)``. It is stepped with a
            closure that gives the loss again, for those that ask more than once in a step. One that
            wraps another need not inherit from torch's. By default AdamW (Loshchilov & Hutter
            2019).
        schedule: the share of the peak rates, by the share of the steps that is done, 0–1.
        criterion: the loss, a mean over a batch, of logits ``[b, classes]`` and targets, int64
            classes ``[b]`` or what regularisers make of them; by default cross-entropy.
        regularisers: what training does besides, in this order.
        steps: fewer optimiser steps than the budget allows.
        steps_before: how many an earlier stage of the same training took: batches go on from there,
            and do not begin again with the first stage's.
        batch_norm: what the backbone's batch norms do in blocks that train, ``"frozen"`` or
            ``"train"``; by default what the run says.
        sampler: which examples each batch is of. Of the training examples, the size of a batch, the
            number of steps and a generator of the CPU it makes positions of examples, int64 ``[b]``
            on the CPU, for each step. By default all examples have their turn in each epoch, in an
            order that is drawn anew (:func:`harness.api.batch_order`).

    Where ``backbone`` came of an earlier :func:`harness.api.fit`, what is counted and saved is all
    that has changed since the backbone which that one started from.
    """

    backbone: Backbone
    trainable: Collection[str]
    lr: float | Mapping[str, float]
    weight_decay: float | Mapping[str, float] = 0.0
    head: nn.Module | None = None
    optimizer: Callable[..., Optimizer] = adamw
    schedule: Callable[[float], float] = cosine
    criterion: Callable[[Tensor, Tensor], Tensor] | None = None
    regularisers: Sequence[Regulariser] = ()
    steps: int | None = None
    steps_before: int = 0
    batch_norm: BatchNorm | None = None
    sampler: Callable[[Examples, int, int, torch.Generator], Iterable[Tensor]] | None = None
