"""A hash of each example's input, so that identical ones are found."""

from __future__ import annotations

import hashlib
from typing import Protocol, runtime_checkable

from torch import Tensor

from harness.data.examples import ArrayInputs, RawInputs, RawRows, TextInputs

BATCH = 256


@runtime_checkable
class Hashed(Protocol):
    """Raw inputs that know a hash of each without reading it, as those of files do."""

    @property
    def digests(self) -> tuple[bytes, ...]: ...


def example_digests(inputs: RawInputs) -> tuple[bytes, ...]:
    """A hash of each input. Files are told apart by their bytes and not by their pixels, so that
    they need not be decoded; they are no twins of what is held in memory."""
    match inputs:
        case Hashed():
            return inputs.digests
        case RawRows():
            all_of_them = example_digests(inputs.raw)
            return tuple(all_of_them[row] for row in inputs.rows.tolist())
        case ArrayInputs():
            shape = str(list(inputs.images.shape[1:])).encode()
            pixels = inputs.images.contiguous().numpy()
            return tuple(_hash(shape, image) for image in pixels)
        case TextInputs():
            return tuple(_of_one(text) for text in inputs.texts)
    batches = (range(i, min(i + BATCH, len(inputs))) for i in range(0, len(inputs), BATCH))
    return tuple(_of_one(one) for rows in batches for one in inputs.read(rows))


def _of_one(one: Tensor | str) -> bytes:
    if isinstance(one, str):
        return _hash(b"", one.encode("utf-8", "surrogatepass"))
    return _hash(str(list(one.shape)).encode(), one.contiguous().numpy())


def _hash(kind: bytes, content: object) -> bytes:
    digest = hashlib.blake2b(kind, digest_size=16)
    digest.update(content)  # type: ignore[arg-type]  # an array of whole bytes is a buffer
    return digest.digest()
