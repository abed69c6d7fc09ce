"""A folder with all that a model needs elsewhere: its graph, its classes, how inputs are prepared,
and the program that runs it."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from harness.data import pixels
from harness.errors import HarnessError
from harness.model.image import ImageBackbone
from harness.model.text import TextBackbone
from harness.predictor import Exportable
from harness.run.reopened import Restored
from harness.ship.basis import Ready
from harness.ship.export import export
from harness.ship.runtime import drift, predict, resizing


def write(ready: Ready, coverage: float, folder: Path) -> None:
    """Write a bundle, but for its card and its certificate.

    Raises:
        HarnessError: the model can't be exported.
    """
    model, calibration, reference = ready.model, ready.calibration, ready.reference
    if not isinstance(model.predictor, Exportable):
        raise HarnessError(
            f"{model.record.label} gives a model that is no network, which can't be exported",
            "Ship another strategy; harness predict uses this one",
        )
    told = {
        "format": 1,
        "name": model.record.title,
        "classes": list(model.classes),
        **_inputs(model),
        "temperature": calibration.temperature,
        "threshold": calibration.threshold,
        "coverage": coverage,
        "drift": None if reference is None else asdict(reference),
    }
    folder.mkdir(parents=True)
    (folder / "model.json").write_text(json.dumps(told, indent=1, ensure_ascii=False), "utf-8")
    network = model.predictor.network()
    export(network, model.backbone.example, folder / "model.onnx")
    if isinstance(model.backbone, TextBackbone):
        (folder / "tokenizer.json").write_text(str(model.backbone.tokenizer), "utf-8")
    state = network.state_dict().items()
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state}
    save_file(tensors, folder / "model.safetensors")
    for module in (predict, drift, pixels, resizing):
        source = Path(str(module.__file__))
        shutil.copyfile(source, folder / source.name)


def _inputs(model: Restored) -> dict[str, Any]:
    """How inputs are prepared, for ``predict.py``."""
    backbone, fit = model.backbone, model.cell.problem_spec.fit
    if isinstance(backbone, ImageBackbone):
        if type(backbone).preprocess is not ImageBackbone.preprocess:
            raise HarnessError(
                f"{model.record.backbone} prepares images in a way of its own",
                "Ship a model of a backbone that does not",
            )
        return {
            "kind": "image",
            "input": {
                "side": backbone.input_size,
                "channels": len(backbone.mean),
                "fit": fit,
                "interpolation": backbone.interpolation.value,
                "bars": backbone.mean.round().flatten().int().tolist(),
            },
        }
    if isinstance(backbone, TextBackbone) and backbone.tokenizer is not None:
        return {"kind": "text", "input": {"tokens": backbone.example.shape[1]}}
    raise HarnessError(
        f"{model.record.backbone} does not say how it prepares inputs",
        "Ship a model of another backbone; harness predict uses this one",
    )
