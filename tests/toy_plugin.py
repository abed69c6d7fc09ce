"""A plugin file for the tests: a dataset made of noise, and strategies that misbehave."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
from harness_plugins.strategies.linear_probe import LinearProbe

from harness.api import (
    ArrayInputs,
    BackboneFactory,
    Data,
    Dataset,
    DatasetWrapper,
    HarnessError,
    ImageBackbone,
    Pretraining,
    Split,
    Strategy,
    TextInputs,
    Trick,
    hookimpl,
)


@dataclass(frozen=True)
class Toy(Dataset):
    """Noise: ``each`` images of each of ``classes`` classes, all drawn from ``seed``."""

    name: ClassVar[str] = "toy"

    each: int = 6
    classes: int = 4
    held_out: tuple[str, ...] = ()
    seed: int = 0
    tested: bool = False
    trouble: str = ""
    channels: int = 1
    names: tuple[str, ...] = ()

    def load(self) -> Data:
        if self.trouble:
            raise ValueError(self.trouble)
        count = self.each * self.classes
        generator = torch.Generator().manual_seed(self.seed)
        shape = (count, self.channels, 8, 8)
        pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        split = Split(ArrayInputs(pixels), torch.arange(count) % self.classes)
        return Data(
            train=split,
            test=replace(split) if self.tested else None,
            classes=self.names or tuple(f"class {index}" for index in range(self.classes)),
            held_out=frozenset(self.held_out),
        )


@dataclass(frozen=True)
class Raises(LinearProbe):
    """Fails, as long as there is no file ``mended``."""

    name: ClassVar[str] = "raises"
    mended: str = ""

    def adapt(self, backbone, task, hp, run):
        if not Path(self.mended).is_file():
            raise ZeroDivisionError("it does not add up")
        return super().adapt(backbone, task, hp, run)


class Interrupted(LinearProbe):
    """Somebody presses Ctrl-C as soon as it adapts."""

    name: ClassVar[str] = "interrupted"

    def adapt(self, backbone, task, hp, run):
        raise KeyboardInterrupt


class Learner(LinearProbe):
    """Cannot do without a source."""

    name: ClassVar[str] = "learner"
    needs_source: ClassVar[bool] = True


class Reader(LinearProbe):
    """Works with texts, in episodes."""

    name: ClassVar[str] = "reader"
    modalities: ClassVar[frozenset[str]] = frozenset({"text"})
    protocols: ClassVar[frozenset[str]] = frozenset({"episodes"})


class ToyTexts(Dataset):
    """Two words."""

    name: ClassVar[str] = "toy texts"
    modality: ClassVar[str] = "text"

    def load(self) -> Data:
        return Data(
            train=Split(TextInputs(("yes", "no") * 6), torch.arange(12) % 2),
            classes=("class 0", "class 1"),
        )


@dataclass(frozen=True)
class Inverted(DatasetWrapper):
    """Another dataset with black for white."""

    name: ClassVar[str] = "inverted"
    modalities: ClassVar[frozenset[str]] = frozenset({"image"})
    trouble: str = ""

    def wrap(self, data: Data) -> Data:
        if self.trouble:
            raise ValueError(self.trouble)
        inverted = ArrayInputs(255 - data.train.inputs.images)
        return replace(data, train=replace(data.train, inputs=inverted))


class Reading(Pretraining):
    """For texts alone."""

    name: ClassVar[str] = "reading"
    modalities: ClassVar[frozenset[str]] = frozenset({"text"})

    def pretrain(self, backbone, source, run, *, lr, weight_decay):
        return backbone, {}


class Overflowing(BackboneFactory):
    """Multiplies what it sees by ``scale``, and squares it."""

    name: ClassVar[str] = "overflowing"

    def build(self, model, *, input_size, pretrained, args):
        layer = torch.nn.Bilinear(64, 64, 2)
        torch.nn.init.constant_(layer.weight, args["scale"])

        class Squares(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.layer = layer

            def forward(self, images):
                return self.layer(images.flatten(1), images.flatten(1))

        return ImageBackbone(Squares(), [["layer"]], input_size=8, mean=[0.0], std=[0.1])


class ForDeep(Trick):
    """For backbones of many blocks alone."""

    name: ClassVar[str] = "for deep"

    def check_backbone(self, backbone):
        if len(backbone.blocks) < 9:
            raise HarnessError(f"it has {len(backbone.blocks)} blocks", "Give one of 9 or more")

    def amend(self, recipe, task, hp, run):
        return recipe


@hookimpl
def harness_backbones() -> list[type[BackboneFactory]]:
    return [Overflowing]


@hookimpl
def harness_datasets() -> list[type[Dataset | DatasetWrapper]]:
    return [Toy, ToyTexts, Inverted]


@hookimpl
def harness_pretrainings() -> list[type[Pretraining]]:
    return [Reading]


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [Raises, Interrupted, Learner, Reader]


@hookimpl
def harness_tricks() -> list[type[Trick]]:
    return [ForDeep]
