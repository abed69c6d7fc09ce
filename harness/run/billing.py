"""Bill a cell for each activation once, whoever computed it."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from harness.model.feature_store import ActivationKey


class Billing:
    """One flag for each row of a pool, by what was computed of it."""

    def __init__(self) -> None:
        self._billed: dict[ActivationKey, Tensor] = {}
        self._earlier: dict[str, str] = {}

    def due(self, key: ActivationKey, rows: Tensor, size: int) -> Tensor:
        """Those of ``rows`` of a pool of ``size`` that are not billed yet: from now on they are."""
        if key not in self._billed:
            self._billed[key] = _flags(self._earlier.get(_told(key), ""), size)
        billed = self._billed[key]
        due = rows[~billed[rows]]
        billed[due] = True
        return due

    def read(self) -> dict[str, str]:
        """What is billed by now: one bit a row, in base 64."""
        now = {
            _told(key): base64.b64encode(np.packbits(flags.numpy()).tobytes()).decode()
            for key, flags in self._billed.items()
        }
        return {**self._earlier, **now}

    def add(self, earlier: Mapping[str, str]) -> None:
        """What :meth:`read` said in an earlier process is billed."""
        self._earlier |= earlier


def _told(key: ActivationKey) -> str:
    return ":".join(map(str, key))


def _flags(packed: str, size: int) -> Tensor:
    bits = np.unpackbits(np.frombuffer(base64.b64decode(packed), dtype=np.uint8))
    flags = np.zeros(size, dtype=np.bool_)
    flags[: len(bits)] = bits[:size]
    return torch.from_numpy(flags)
