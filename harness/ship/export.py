"""A model as one file that onnxruntime runs."""

from __future__ import annotations

import contextlib
import copy
import io
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from harness.errors import HarnessError, one_line

OPSET = 18


def export(network: nn.Module, example: Tensor, file: Path) -> None:
    """Write a network as ONNX, with ``inputs`` of the form of ``example`` ``[n, ...]``, any number
    of them, and ``logits`` ``[n, classes]``.

    Whether the file answers what the network does is not known before it has been run.

    Raises:
        HarnessError: it can't be exported.
    """
    cpu = _folded(copy.deepcopy(network).cpu().eval())  # the model goes on to be used where it is
    said = io.StringIO()
    try:
        with (
            torch.no_grad(),
            warnings.catch_warnings(),
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
        ):
            warnings.simplefilter("ignore")
            torch.onnx.export(
                cpu,
                (example.cpu(),),
                str(file),
                input_names=["inputs"],
                output_names=["logits"],
                dynamic_axes={"inputs": {0: "n"}, "logits": {0: "n"}},
                opset_version=OPSET,
                dynamo=False,
            )
    except Exception as error:  # whatever a model's own code provokes in the exporter
        raise HarnessError(
            f"the model can't be exported: {one_line(error)}", "Ship another strategy or backbone"
        ) from error


def _folded(network: nn.Module) -> nn.Module:
    """Put what adapters of ``peft`` (LoRA, (IA)³) do to a layer into the layer's own weight, in
    place: one product where there were three."""
    for name, module in [*network.named_modules()]:
        if hasattr(module, "get_base_layer"):
            module.merge()
            parent, _, child = name.rpartition(".")
            setattr(network.get_submodule(parent), child, module.get_base_layer())
    return network
