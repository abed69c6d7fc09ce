"""Stochastic depth: leave out residual branches at random."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from timm.layers.drop import DropPath
from torch import nn

from harness.api import (
    Backbone,
    FloatDistribution,
    HarnessError,
    Recipe,
    Run,
    Settings,
    Space,
    Task,
    Trick,
    hookimpl,
)

NAME = re.compile(r"drop_path\d*")
"""What timm calls the places where a residual branch may be left out: an identity, or nothing."""


@dataclass(frozen=True)
class StochasticDepth(Trick):
    """Leave out residual branches of an example with a chance that rises to ``share`` with depth.

    Linearly, from 0 in the first block that has such branches, while training; each branch that is
    left is enlarged by as much. The paper takes 0.5 in training from scratch, and what adapts
    vision transformers 0.1. For models of timm, which have places for it in most residual networks
    and transformers.
    """

    name: ClassVar[str] = "stochastic_depth"
    family: ClassVar[str] = "regularisation"
    citation: ClassVar[str] = "Huang et al. 2016, Deep networks with stochastic depth"
    modalities: ClassVar[frozenset[str]] = frozenset({"image"})
    space: ClassVar[Space] = {"share": FloatDistribution(0.05, 0.5)}
    defaults: ClassVar[Settings] = {"share": 0.1}

    def check_backbone(self, backbone: Backbone) -> None:
        if not any(places(backbone.body)):
            raise HarnessError(
                "stochastic_depth leaves out residual branches, and this model has no place for it",
                "Take a residual network or a transformer of timm, or leave the trick out",
            )

    def amend(self, recipe: Recipe, task: Task, hp: Settings, run: Run) -> Recipe:
        """Put the branches' chances into a copy of the backbone.

        Raises:
            HarnessError: it has no such branches, or nothing but the head trains.
        """
        self.check_backbone(recipe.backbone)
        if not recipe.trainable:
            raise HarnessError(
                "stochastic_depth leaves out residual branches of blocks that train, and here none "
                "does",
                "Leave the trick out for this strategy",
            )

        def edit(body: nn.Module) -> None:
            blocks = [*places(body)]
            for depth, (block, names) in enumerate(blocks):
                for name in names:
                    share = hp["share"] * depth / max(1, len(blocks) - 1)
                    setattr(block, name, DropPath(share))

        return replace(recipe, backbone=recipe.backbone.edited(edit))


def places(body: nn.Module) -> Iterator[tuple[nn.Module, list[str]]]:
    """Blocks in their order, each with the names of its places for a branch to be left out."""
    for block in body.modules():
        children = dict(block.named_children())
        empty = {name for name, value in vars(block).items() if value is None}
        names = [
            name
            for name in [*children, *empty]
            if NAME.fullmatch(name)
            and (name in empty or isinstance(children[name], nn.Identity | DropPath))
        ]
        if names:
            yield block, names


@hookimpl
def harness_tricks() -> list[type[Trick]]:
    return [StochasticDepth]
