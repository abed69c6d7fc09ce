"""Read and write safetensors files with notes and a checksum in their header."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from harness.data.examples import tensor_digest
from harness.record.files import write_atomically


class Damaged(Exception):
    """A file that is not there, not whole, or not as it was written."""


def write_checksummed(path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, Any]) -> None:
    """Write tensors, and notes that JSON can hold; what was there before is replaced at once.

    Raises:
        CannotWrite: the machine can't; the old file still is there.
    """
    # Copies, because a file has no tensors that share memory, as tied weights do.
    copies = {name: _plain(tensor) for name, tensor in tensors.items()}
    told = json.dumps(notes)
    write_atomically(path, save(copies, {"notes": told, "seal": _checksum(copies, told)}))


def read_checksummed(path: Path) -> tuple[dict[str, Tensor], Any]:
    """The tensors, on the CPU, and the notes.

    Raises:
        Damaged: the file can't be believed.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            header = file.metadata() or {}
    except Exception as error:  # what a damaged file raises depends on where the damage is
        raise Damaged(f"{path.name} can't be read: {error}") from error
    told = header.get("notes", "")
    if header.get("seal") != _checksum(tensors, told):
        raise Damaged(f"{path.name} is not what was written")
    return tensors, json.loads(told)


def _plain(tensor: Tensor) -> Tensor:
    copy = tensor.detach().to("cpu", copy=True)
    return copy.contiguous(memory_format=torch.contiguous_format)


def _checksum(tensors: Mapping[str, Tensor], told: str) -> str:
    """SHA-256 over names, dtypes, shapes, bytes and the notes. It is no signature."""
    content = hashlib.sha256(told.encode())
    for name in sorted(tensors):
        content.update(f"\0{name}:{tensor_digest(tensors[name])}".encode())
    return content.hexdigest()
