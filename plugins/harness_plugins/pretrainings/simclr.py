"""SimCLR: learn features by which two views of one image find each other, without labels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.api import (
    DRAWS,
    Augment,
    Backbone,
    HarnessError,
    Inputs,
    Pretraining,
    Run,
    Source,
    batch_order,
    descend,
    hookimpl,
)

WARM_UP = 0.1
"""The share of the steps in which the learning rate rises; it then falls along half a cosine."""

SCORED = 512
"""The most images held back: each view is compared with all the others."""


@dataclass(frozen=True)
class SimClr(Pretraining):
    """Contrast views: of all views in a batch, a view's partner should be the most similar.

    A view is a random crop, resized, with brightness, contrast and (in colour) saturation
    jittered; of the paper's augmentations, hue, loss of colour and blur are left out. All blocks
    train, under a two-layer projection that is then thrown away; the labels are never looked at.
    Scores, on images held back: ``loss``, and ``accuracy``, the share of views whose most
    similar other view is their partner.

    The defaults were chosen on letters of 16 and 32 pixels. For photographs the paper has
    ``crop_scale = 0.08``, ``flip = true`` and ``jitter = 1.0``, large batches, and more steps than
    a supervised method needs.

    Args:
        temperature: divides the cosine similarities.
        crop_scale: the smallest share of an image's area that a crop may keep, up to 1.
        flip: mirror half of the views. Right for photographs, wrong for characters.
        jitter: 0 changes no brightness; 1 multiplies it by 0.2 to 1.8, as in the paper.
        projection: the number of values that similarity is measured on.
        held_back: the share of source examples that is scored, 512 at most.
    """

    temperature: float = 0.1
    crop_scale: float = 0.2
    flip: bool = False
    jitter: float = 0.5
    projection: int = 128
    held_back: float = 0.05

    name: ClassVar[str] = "simclr"
    citation: ClassVar[str] = "Chen et al. 2020, A simple framework for contrastive learning"
    modalities: ClassVar[frozenset[str]] = frozenset({"image"})

    def pretrain(
        self, backbone: Backbone, source: Source, run: Run, *, lr: float, weight_decay: float
    ) -> tuple[Backbone, Mapping[str, float]]:
        self._check()
        inputs = source.examples.inputs
        order = torch.randperm(len(inputs), generator=run.generator("held back"))
        cut = min(max(2, round(self.held_back * len(inputs))), SCORED)
        held_back, train = inputs.subset(order[:cut]), inputs.subset(order[cut:])
        if min(len(train), run.batch_size) < 2:
            raise HarnessError(
                "simclr contrasts the images of a batch, and here a batch has one image",
                "Raise batch_size, or give a larger source",
            )
        head = projection_head(
            backbone.num_features, self.projection, run.generator("projection head")
        ).to(run.device)
        model = nn.Sequential(backbone, head)
        backbone.train_only(set(backbone.parameters_from(0)))
        optimizer = _optimizer(model, lr, weight_decay)
        views, steps = run.generator("views"), run.steps

        def batches(done: int) -> Iterator[Tensor]:
            order = batch_order(len(train), run.batch_size, steps, run.generator("batches"))
            return train.stream(islice(order, done, None))

        def gradient(images: Tensor) -> Tensor:
            both = torch.cat([self.view(images, views), self.view(images, views)])
            loss = nt_xent(similarities(model(both), self.temperature))
            loss.backward()
            return loss

        schedule = partial(rate, steps=steps)
        for _ in descend(
            batches, gradient, optimizer, schedule, steps, run, model=model, views=views
        ):
            pass
        model.eval()
        return backbone, self._scores(model, held_back, run)

    def _check(self) -> None:
        for name, fits, range_ in (
            ("temperature", self.temperature > 0, "above 0"),
            ("held_back", 0 < self.held_back < 1, "between 0 and 1"),
        ):
            if not fits:
                raise HarnessError(
                    f"simclr cannot train with {name} = {getattr(self, name)}", f"Give {range_}"
                )
        _ = self._augment  # refuses values out of range

    @property
    def _augment(self) -> Augment:
        return Augment(crop_scale=self.crop_scale, flip=self.flip, jitter=self.jitter)

    def view(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """A random view of each image: float32 ``[B, C, H, W]``, 0–255, of uint8 images."""
        draws = torch.rand(8, len(images), generator=generator)
        # The others are for shifts and turns, which are not among the paper's augmentations.
        return self._augment.view(images, F.pad(draws, (0, 0, 0, DRAWS - len(draws))))

    @torch.no_grad()
    def _scores(self, model: nn.Module, held_back: Inputs, run: Run) -> Mapping[str, float]:
        generator = run.generator("held-back views")
        starts = range(0, len(held_back), run.batch_size)
        parts = [slice(start, start + run.batch_size) for start in starts]
        sides = [
            torch.cat([model(self.view(images, generator)) for images in held_back.stream(parts)])
            for _ in range(2)
        ]
        logits = similarities(torch.cat(sides), self.temperature)
        correct = logits.argmax(1) == partners(logits)
        return {"loss": nt_xent(logits).item(), "accuracy": correct.double().mean().item()}


def projection_head(features: int, width: int, generator: torch.Generator) -> nn.Sequential:
    """``[B, features]`` → ``[B, width]`` through one hidden layer (section 2.1)."""
    layers = [nn.Linear(features, features), nn.Linear(features, width)]
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(layers[0], nn.ReLU(), layers[1])


def similarities(views: Tensor, temperature: float) -> Tensor:
    """Cosines between ``views`` ``[N, D]`` over ``temperature``: ``[N, N]``, -inf to itself."""
    views = F.normalize(views, dim=1)
    return (views @ views.T / temperature).fill_diagonal_(-math.inf)


def partners(logits: Tensor) -> Tensor:
    """The row of each view's partner: the first half are views of the same images as the second."""
    return torch.arange(len(logits), device=logits.device).roll(len(logits) // 2)


def nt_xent(logits: Tensor) -> Tensor:
    """The paper's loss, in nats, of :func:`similarities`: equation 1, averaged over all views."""
    return F.cross_entropy(logits, partners(logits))


def rate(done: float, steps: int) -> float:
    """The share of the peak learning rate once a share of the steps is done."""
    step, rising = round(done * steps), max(1, round(WARM_UP * steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def _optimizer(model: nn.Module, lr: float, weight_decay: float) -> torch.optim.Optimizer:
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr, fused=True)


@hookimpl
def harness_pretrainings() -> list[type[Pretraining]]:
    return [SimClr]
