"""How the inputs of a backbone are prepared, and names for those that are prepared alike."""

from __future__ import annotations

from functools import partial

from harness.data.examples import Fit
from harness.data.loaded import Loaded
from harness.data.streamed import Preprocess
from harness.errors import Unsupported
from harness.hashing import canonical
from harness.model.backbone import Backbone
from harness.model.image import ImageBackbone
from harness.suite.backbones import BackboneSpec, SourceWeights


def preparation(backbone: Backbone, fit: Fit | None) -> Preprocess:
    """What makes prepared inputs of raw ones.

    Raises:
        Unsupported: images are to fit in a way, and the backbone is none of the harness's own kind.
    """
    if fit is None:
        return backbone.preprocess
    if not isinstance(backbone, ImageBackbone):
        raise Unsupported(f"a problem's fit = '{fit}' is for backbones that are ImageBackbones")
    return partial(backbone.preprocess, fit=fit)


def inputs_of(model: str, loaded: Loaded, part: str, fit: Fit | None) -> str:
    """Which prepared inputs these are: the ``part`` of the data, for a :func:`model_id`."""
    return f"{model}:{loaded.digest}:{part}{reading(loaded, fit)}"


def reading(loaded: Loaded, fit: Fit | None) -> str:
    """How inputs are decoded and prepared, where that is not what it always was: what was stored
    of them before is of others."""
    return "".join(f":{name}" for name in (*loaded.corrections, *([fit] if fit else [])))


def model_id(spec: BackboneSpec) -> str:
    """What preprocessing depends on: the model, and what it may have learned from its source."""
    parts = {"model": True, "input_size": True, "args": True}
    if isinstance(spec.weights, SourceWeights):
        return canonical(
            spec.model_dump(mode="json", include={**parts, "weights": {"source", "args"}})
        )
    return canonical(spec.model_dump(mode="json", include=parts))
