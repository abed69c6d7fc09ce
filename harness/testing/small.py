"""Small real things to try plugins on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from harness.api import (
    Backbone,
    Examples,
    ImageBackbone,
    Inputs,
    abridged,
)
from harness.data.resident import ResidentPool
from harness.model.batch_norm import BatchNorm
from harness.model.feature_store import FeatureStore
from harness.model.run import SecondModel
from harness.run.checkpoint import Checkpoint
from harness.run.context import CellRun
from harness.run.meters import Clock

T = TypeVar("T")

CPU = torch.device("cpu")


def small_backbone(seed: int = 0) -> ImageBackbone:
    """Three convolutional blocks with batch norm for grey images of 16 pixels; 8 features."""

    def build() -> ImageBackbone:
        channels = (1, 8, 8, 8)
        blocks = [
            nn.Sequential(
                nn.Conv2d(before, after, 3, padding=1),
                nn.BatchNorm2d(after),
                nn.ReLU(),
                nn.AvgPool2d(2),
            )
            for before, after in pairwise(channels)
        ]
        body = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        backbone = ImageBackbone(
            body, blocks=[["0"], ["1"], ["2"]], input_size=16, mean=[0.5], std=[0.5]
        )
        backbone.rebuild = build
        return backbone

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build().eval()


class Residual(nn.Module):
    """A residual branch, with a place of timm's name where it may be left out."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.Linear(8, 8), nn.ReLU())
        self.drop_path = nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        left: Tensor = self.drop_path(self.branch(features))
        return features + left


def residual_backbone(seed: int = 0) -> ImageBackbone:
    """Four linear blocks without norms for grey images of 16 pixels, the last three of them
    residual; 8 features."""

    def build() -> ImageBackbone:
        stem = nn.Sequential(nn.Flatten(), nn.Linear(256, 8))
        body = nn.Sequential(stem, Residual(), Residual(), Residual())
        blocks = [[str(number)] for number in range(4)]
        backbone = ImageBackbone(body, blocks, input_size=16, mean=[0.5], std=[0.5])
        backbone.rebuild = build
        return backbone

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build().eval()


def digits(backbone: Backbone) -> Examples:
    """All of scikit-learn's handwritten digits, prepared for ``backbone``, on its device."""
    from sklearn.datasets import load_digits

    data = load_digits()
    pixels = torch.from_numpy(data.images * 15.9375).to(torch.uint8)[:, None]
    pool = ResidentPool(backbone.preprocess(pixels).to(backbone.device))
    labels = torch.from_numpy(data.target).long().to(backbone.device)
    return Examples(Inputs(pool, torch.arange(len(pool))), labels)


def shots(examples: Examples, each: int, classes: int, *, skip: int = 0) -> Examples:
    """``each`` examples of each of the first ``classes`` classes, after the ``skip`` first."""
    rows = [
        torch.nonzero(examples.labels == label).flatten().cpu()[skip : skip + each]
        for label in range(classes)
    ]
    return examples.subset(torch.cat(rows))


def a_run(
    *,
    steps: int = 20,
    batch_size: int = 32,
    seed: int = 0,
    batch_norm: BatchNorm = "train",
    checkpoint: Checkpoint | None = None,
    device: torch.device = CPU,
) -> CellRun:
    """A run outside any cell; :func:`teacher` is its second model."""
    return CellRun(
        device=device,
        seed=seed,
        steps=steps,
        batch_size=batch_size,
        batch_norm=batch_norm,
        store=FeatureStore(),
        clock=Clock(device),
        progress=lambda stage, done, total: None,
        checkpoint=checkpoint,
        models={"teacher": teacher()} if device == CPU else {},
    )


@cache
def teacher() -> SecondModel:
    """Another model that takes images of another size, and the :func:`digits` of the
    :func:`small_backbone` as it takes them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        layers = nn.Sequential(nn.Flatten(), nn.Linear(144, 32)), nn.Sequential(nn.ReLU())
    body = nn.Sequential(*layers)
    other = ImageBackbone(body, blocks=[["0"], ["1"]], input_size=12, mean=[0.5], std=[0.5]).eval()
    own = digits(small_backbone()).inputs.pool.digest
    return SecondModel(other, {own: digits(other).inputs.pool})


class CutShort(Checkpoint):
    """A checkpoint that is written once, after ``steps`` steps; then everything is over."""

    def __init__(self, file: Path, steps: int) -> None:
        super().__init__(file, every=0.0)
        self._left = steps

    class Killed(BaseException):
        """What nobody catches, like the end of the process."""

    def due(self) -> bool:
        self._left -= 1
        return self._left == 0

    def save(self, tensors: Mapping[str, Tensor], notes: Mapping[str, Any]) -> None:
        super().save(tensors, notes)
        raise self.Killed


def cut_short(work: Callable[[CellRun], T], file: Path, *, after: int, steps: int = 20) -> T:
    """What ``work`` comes to when it is killed after some steps, and done again by a new run that
    finds the checkpoint ``file``."""
    for checkpoint in (CutShort(file, after), Checkpoint(file, every=math.inf)):
        run = a_run(steps=steps, checkpoint=checkpoint)
        run.begin("work")
        with suppress(CutShort.Killed), run.seeded("work"):
            found = work(run)
            run.end()
    return found


def whole(work: Callable[[CellRun], T], *, steps: int = 20) -> T:
    """What ``work`` comes to when nothing happens."""
    run = a_run(steps=steps)
    with run.seeded("work"):
        return work(run)


def assert_equal(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Bit for bit."""
    other = sorted(found.keys() ^ expected.keys())
    assert not other, f"only one of both has {abridged(other)}"
    differing = [name for name in expected if not torch.equal(found[name], expected[name])]
    assert not differing, f"{abridged(differing)} differ"
