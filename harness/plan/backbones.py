"""Tries each model of a suite once: builds it with random weights and shows it two examples."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from harness.contract import BackboneFactory
from harness.data.examples import RawRows
from harness.data.protocols import source_inputs
from harness.errors import HarnessError, Unsupported, one_line
from harness.hashing import canonical
from harness.model.backbone import SOURCE_HEAD, Backbone
from harness.model.image import ImageBackbone
from harness.model.weights import fitting_prefix
from harness.plan.datasets import Datasets
from harness.registry import Registered, Registry
from harness.suite.backbones import BackboneSpec, FileWeights, SourceWeights

LARGEST = 2**22
"""Values of two examples that a model is shown at most: two colour images of 836 pixels. More
would take long while planning, and memory that may not be there."""

TEXTS = 64
"""Inputs of a source that a model is given to learn from before it is built to be tried."""


@dataclass(frozen=True)
class Tried:
    """What came of trying a model.

    Attributes:
        backbone: on the ``meta`` device, without its values; ``None`` where it can't be built.
        trouble: why it can't be built or run, in one line; empty where it can.
        finite: whether all features of its examples were, with random weights.
    """

    backbone: Backbone | None
    trouble: str = ""
    finite: bool = True


def mistakes(spec: BackboneSpec, registry: Registry, datasets: Datasets) -> Iterator[str]:
    """Why a backbone can't be built, run, or given its weights: what holds for all its cells."""
    tried = try_backbone(spec, registry, datasets)
    if tried.trouble:
        yield f"backbone '{spec.title}': {tried.trouble}. Check its model, input_size and args"
    elif not tried.finite and (spec.weights == "random" or isinstance(spec.weights, SourceWeights)):
        yield (
            f"backbone '{spec.title}': with random weights, features of noise are not finite. "
            "Check its args, or give it weights"
        )
    if isinstance(spec.weights, FileWeights) and tried.backbone is not None:
        try:
            fitting_prefix(tried.backbone.body, spec.weights.file)
        except HarnessError as error:
            yield f"backbone '{spec.title}': {error}"


def channels(spec: BackboneSpec, registry: Registry, datasets: Datasets) -> int | None:
    """The channels of the images that a model takes; ``None`` where that can't be known."""
    backbone = try_backbone(spec, registry, datasets).backbone
    return backbone.example.shape[1] if isinstance(backbone, ImageBackbone) else None


def brings_head(spec: BackboneSpec, registry: Registry, datasets: Datasets) -> bool:
    """Whether a model comes with the classifier of its published weights."""
    tried = try_backbone(spec, registry, datasets).backbone
    return spec.weights == "hub" and tried is not None and {*SOURCE_HEAD} <= tried.extras.keys()


def try_backbone(spec: BackboneSpec, registry: Registry, datasets: Datasets) -> Tried:
    """Try a model, once in this process for each model, size and arguments."""
    plugin = registry.backbone_for(spec.model)
    args = {**spec.args, **_learned(spec, plugin, datasets)}
    return _tried(plugin, spec.model, spec.input_size, canonical(args))


def _learned(spec: BackboneSpec, plugin: Registered, datasets: Datasets) -> Mapping[str, Any]:
    """What a model takes from its source before it is built: here, of a few of its inputs."""
    learns = plugin.cls.learn is not BackboneFactory.learn
    if not (learns and isinstance(spec.weights, SourceWeights)):
        return {}
    inputs = source_inputs(datasets.load(spec.weights.source, spec.weights.args).data)
    few = RawRows(inputs, torch.arange(min(TEXTS, len(inputs))))
    try:
        learned: Mapping[str, Any] = plugin.cls().learn(few, spec.args)
    except Exception:  # building it then says what it lacks
        return {}
    return learned


@cache
def _tried(plugin: Registered, model: str, input_size: int | None, args: str) -> Tried:
    """Build a model with random weights and run it on its two examples."""
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            backbone: Backbone = plugin.cls().build(
                model, input_size=input_size, pretrained=False, args=json.loads(args)
            )
    except Unsupported as error:
        return Tried(None, " ".join(str(error).split()))
    except HarnessError:  # an obstacle of the moment, such as no network: its cells tell of it
        return Tried(None)
    except Exception as error:
        return Tried(None, f"{model} cannot be built: {one_line(error)}")
    if backbone.example.numel() > LARGEST:
        return Tried(backbone.to("meta"))
    try:
        finite = bool(backbone.try_out().isfinite().all())
    except Exception as error:
        return Tried(backbone.to("meta"), f"{model} cannot be run: {one_line(error)}")
    return Tried(backbone.to("meta"), finite=finite)
