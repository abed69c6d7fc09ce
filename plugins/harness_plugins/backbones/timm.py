"""Any model of timm as a backbone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import timm
from timm.data.config import resolve_model_data_config
from timm.models import group_parameters
from timm.models._hub import hf_split
from timm.optim._param_groups import auto_group_layers
from torch import Tensor, nn

from harness.api import (
    SOURCE_HEAD,
    BackboneFactory,
    HarnessError,
    ImageBackbone,
    Unsupported,
    hookimpl,
    one_line,
)
from harness_plugins.backbones import _hub

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""The files in which the hub keeps weights, unless a model says otherwise."""


class TimmBody(nn.Module):
    """A timm model up to its classifier.

    Features are what timm's own classifier would see, ``forward_head(…, pre_logits=True)``:
    their number is not ``num_features`` in many models.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        model: Any = self.model
        features: Tensor = model.forward_head(model.forward_features(images), pre_logits=True)
        return features.flatten(1)


class Timm(BackboneFactory):
    """A timm model by name, such as ``resnet50`` or ``vit_small_patch16_224.augreg_in21k``.

    ``args`` go to the model's constructor; ``input_size`` also does, where the model asks for it. A
    linear classifier of published weights is kept beside them, for ``lwf`` and ``co_tuning``.
    """

    name: ClassVar[str] = "timm"
    citation: ClassVar[str] = "Wightman 2019, PyTorch Image Models"

    def models(self) -> Iterable[str]:
        return [*timm.list_models(), *timm.list_pretrained()]

    def fetch(self, model: str, args: Mapping[str, Any]) -> None:
        _create(model, None, True, dict(args))

    def build(
        self, model: str, *, input_size: int | None, pretrained: bool, args: Mapping[str, Any]
    ) -> ImageBackbone:
        network = _create(model, input_size, pretrained, dict(args))
        config = resolve_model_data_config(
            network,
            args={"in_chans": args.get("in_chans"), "img_size": input_size},
        )
        blocks, extras = _blocks(network), _classifier(network)
        network.reset_classifier(0)
        kept = {name for name, _ in network.named_parameters()}
        backbone = ImageBackbone(
            TimmBody(network),
            blocks=[
                named for names in blocks if (named := [f"model.{n}" for n in names if n in kept])
            ],
            input_size=input_size or config["input_size"][-1],
            mean=_by_channel(config["mean"], config["input_size"][0]),
            std=_by_channel(config["std"], config["input_size"][0]),
            interpolation=config["interpolation"],
        )
        backbone.extras.update(extras)
        return backbone


def _classifier(network: Any) -> dict[str, Tensor]:
    """A linear classifier of the classes of the published weights, or nothing: of other classes it
    is timm's with random weights."""
    head = network.get_classifier()
    published = getattr(network, "pretrained_cfg", {}).get("num_classes")
    if type(head) is not nn.Linear or head.bias is None or head.out_features != published:
        return {}
    return dict(zip(SOURCE_HEAD, (head.weight.detach(), head.bias.detach()), strict=True))


def _create(model: str, input_size: int | None, pretrained: bool, args: dict[str, Any]) -> Any:
    if pretrained and (obstacle := _obstacle(model)):
        raise _unfetched(model, obstacle)
    sized = {**args, "img_size": input_size} if input_size else args
    for options in (sized, args):  # not every constructor knows img_size, and then needs none
        try:
            return timm.create_model(model, pretrained=pretrained, **options)
        except TypeError as error:
            if "img_size" in str(error) and options is not args:
                continue
            raise Unsupported(f"timm cannot build {model} with {options}: {error}") from error
        except OSError as error:  # another run may have better luck
            raise _unfetched(model, one_line(error)) from error
        except (RuntimeError, AssertionError, ValueError) as error:
            raise Unsupported(f"timm cannot build {model} with {options}: {error}") from error
    raise AssertionError("unreachable")


def _obstacle(model: str) -> str:
    """What keeps the hub from being asked for a model's weights, or nothing."""
    config = timm.get_pretrained_cfg(model)
    if config is None or not config.hf_hub_id:
        return ""
    hub_id, revision = hf_split(config.hf_hub_id)
    files = (config.hf_hub_filename,) if config.hf_hub_filename else WEIGHTS
    return _hub.obstacle(hub_id, files, revision)


def _unfetched(model: str, why: str) -> HarnessError:
    return _hub.unfetched(f"the published weights of {model}", why, "give weights = { file = … }")


def _by_channel(values: Sequence[float], channels: int) -> list[float]:
    """A statistic for each input channel; a grey model takes the mean of the colours'."""
    return list(values) if len(values) == channels else [sum(values) / len(values)] * channels


def _blocks(network: Any) -> list[list[str]]:
    """Parameter names by block, input to output, as timm groups them for layer decay."""
    if hasattr(network, "group_matcher"):
        return list(group_parameters(network, network.group_matcher(coarse=True)).values())
    layers: dict[int, list[str]] = {}
    for name, layer in auto_group_layers(network).items():
        layers.setdefault(layer, []).append(name)
    return [layers[layer] for layer in sorted(layers)]


@hookimpl
def harness_backbones() -> list[type[BackboneFactory]]:
    return [Timm]
