"""Weights from safetensors files: what fits a model, and how it is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from harness.errors import HarnessError, is_systems, one_line
from harness.model.backbone import Backbone

PICKLES = {".bin", ".ckpt", ".pt", ".pth"}
"""How the names of files end that ``torch.save`` writes."""


def load_weights(backbone: Backbone, file: Path) -> None:
    """Load a safetensors file into a backbone's body.

    Names may be those of the body or of a module within it, such as the timm model itself. A
    classifier that the file also has is left out; every weight of the body has to be there.

    Raises:
        HarnessError: the file is damaged, or does not fit the model; names what differs.
    """
    prefix = fitting_prefix(backbone.body, file)
    try:
        found = load_file(file, device=str(next(backbone.parameters()).device))
    except Exception as error:
        raise _unreadable(file, error) from error
    state = {
        name: found[name.removeprefix(prefix)]
        for name in backbone.body.state_dict()
        if name.removeprefix(prefix) in found
    }
    backbone.body.load_state_dict(state, strict=False)


def fitting_prefix(body: nn.Module, file: Path) -> str:
    """What names in the file lack of those in ``body``. Only the file's header is read, and of
    ``body``, on whatever device, only names and shapes.

    Raises:
        HarnessError: the file is damaged, or does not fit the model; names what differs.
    """
    found = _shapes(file)
    wanted = {
        name: list(tensor.shape)
        for name, tensor in body.state_dict().items()
        if not name.endswith("num_batches_tracked")  # counters of steps are not needed
    }
    missing = {
        prefix: _missing(wanted, found, prefix)
        for prefix in ("", *(f"{name}." for name, _ in body.named_children()))
    }
    best = min(missing, key=lambda prefix: len(missing[prefix]))
    if missing[best]:
        raise HarnessError(
            f"{file} does not fit the model: it lacks {len(missing[best])} of {len(wanted)} "
            f"tensors, such as {missing[best][0]}",
            "Check the model's name and arguments",
        )
    return best


def _shapes(file: Path) -> dict[str, list[int]]:
    """The shape of each tensor of a safetensors file, by name."""
    try:
        with safe_open(file, framework="pt") as header:
            return {name: header.get_slice(name).get_shape() for name in header.keys()}  # noqa: SIM118
    except Exception as error:  # what it raises has no base of its own
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: Exception) -> HarnessError:
    remedy = "Look after the file and the disk" if is_systems(error) else "Give a safetensors file"
    if file.suffix in PICKLES:
        remedy += (
            ", such as safetensors.torch.save_file(state, …) writes of state = "
            f"torch.load('{file.name}', weights_only=True)"
        )
    return HarnessError(f"cannot read weights from {file}: {one_line(error)}", remedy)


def _missing(
    wanted: Mapping[str, list[int]], found: Mapping[str, list[int]], prefix: str
) -> list[str]:
    """Names (with shapes) that the file would have to hold, and what it has in their place."""
    lacking = []
    for name, shape in wanted.items():
        given = found.get(name.removeprefix(prefix))
        if given != shape:
            instead = "" if given is None else f" (it has {given})"
            lacking.append(f"{name} {shape}{instead}")
    return lacking
