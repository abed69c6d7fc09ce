"""Backbones of a suite, and where their weights come from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Discriminator, Field, PositiveFloat, PositiveInt, Tag

from harness.data.examples import Fit
from harness.model.batch_norm import BatchNorm
from harness.suite.seeds import Seed
from harness.suite.table import Args, Table, named


class MethodSpec(Table):
    """A pretraining plugin by name, and its arguments."""

    name: str
    """Name of the pretraining plugin (``harness plugins --kind pretraining``)."""

    args: Args = Field(default_factory=dict)
    """Arguments of the plugin; ``harness describe NAME`` lists them."""


class SourceWeights(Table):
    """Weights that the harness trains itself, on a dataset, by a pretraining plugin."""

    source: str
    """Name of the dataset plugin that weights are learned from."""

    args: Args = Field(default_factory=dict)
    """Arguments of the dataset plugin."""

    method: Annotated[MethodSpec, BeforeValidator(named)] = MethodSpec(name="supervised")
    """The pretraining plugin: its name, or a table with its arguments."""

    rotations: bool = False
    """Make four classes of each, turned by quarters."""

    steps: PositiveInt = 500
    """Optimiser steps."""

    batch_size: PositiveInt = 128
    """Examples a step."""

    lr: PositiveFloat = 2e-3
    """Peak learning rate."""

    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    """Weight decay of the optimiser."""

    seed: Seed = 0
    """Seed of the first pretraining."""

    seeds: PositiveInt = 1
    """How many pretrainings there are, whose seeds are ``seed`` and those after it. A cell of seed
    *s* uses that of ``seed + s mod seeds``, so that intervals count the luck of pretraining too."""

    fit: Fit | None = None
    """How images that are not square become so, as ``fit`` of a problem."""

    def meaning(self) -> dict[str, Any]:
        """What a key hashes besides the source's data: of several pretrainings, the seed of this
        one."""
        later = {"fit"} if self.fit is None else set()
        return self.model_dump(mode="json", exclude={"source", "args", "seeds"} | later)


class FileWeights(Table):
    """Weights from a safetensors file."""

    file: Path = Field(strict=False)
    """Path of the file, from the folder that the command runs in."""


def _weights_kind(value: object) -> str:
    if isinstance(value, Mapping):
        return "file" if "file" in value else "source"
    if isinstance(value, FileWeights):
        return "file"
    return "source" if isinstance(value, SourceWeights) else "named"


Weights: TypeAlias = Annotated[
    Annotated[Literal["hub", "random"], Tag("named")]
    | Annotated[FileWeights, Tag("file")]
    | Annotated[SourceWeights, Tag("source")],
    Discriminator(_weights_kind),
]


class BackboneSpec(Table):
    """A model and where its weights come from."""

    model: str
    """Name of a timm model, or of one that a backbone plugin brings."""

    weights: Weights = "hub"
    """Where weights come from: ``"hub"`` (those that were published for the model), ``"random"``,
    ``{ file = "w.safetensors" }``, or ``{ source = "DATASET", … }``, which the harness trains
    itself."""

    input_size: PositiveInt | None = None
    """Side of the square that images are brought to, in pixels; of texts, the most tokens. By
    default what the model was published with."""

    args: Args = Field(default_factory=dict)
    """Arguments of the model."""

    batch_norm: BatchNorm | None = None
    """What batch norm does in blocks that train: ``frozen`` keeps the statistics that it has, while
    its weight and bias train; ``train`` goes by the statistics of each batch. By default frozen
    with published weights (``hub``, ``file``) under ``transfer``, where a few hundred steps of
    small batches give worse statistics than the source did, else ``train``."""

    label: str = ""
    """What reports call it; by default the model's name."""

    compared: bool = True
    """``false``: no cells of its own; it is there for strategies whose arguments name it, such as a
    teacher."""

    @property
    def title(self) -> str:
        return self.label or self.model

    @property
    def pretrainings(self) -> int:
        """How many there are for a suite's seeds to use in turn."""
        return self.weights.seeds if isinstance(self.weights, SourceWeights) else 1

    def drawn(self, seed: int) -> BackboneSpec:
        """The backbone of a cell of this seed: that of one pretraining, where there are several."""
        if not isinstance(self.weights, SourceWeights) or self.pretrainings == 1:
            return self
        own = self.weights.seed + seed % self.pretrainings
        return self.model_copy(update={"weights": self.weights.model_copy(update={"seed": own})})
