"""Which examples a cell trains, validates and tests on: drawn by the harness, kept as ids."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from harness.errors import HarnessError

Shots = int | Literal["all"]


@dataclass(frozen=True)
class Manifest:
    """Row ids of a split. ``test`` counts in the official test split where ``official`` is set,
    and in the training data otherwise."""

    train: tuple[int, ...]
    val: tuple[int, ...]
    test: tuple[int, ...]
    official: bool

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def digest(self) -> str:
        """SHA-256 over the ids: equal for cells that learned from and were tested on the same."""
        return hashlib.sha256(json.dumps(self.to_json()).encode()).hexdigest()[:16]


def draw_split(
    labels: Tensor,
    *,
    shots: Shots,
    seed: int,
    val_fraction: float,
    val_shots: int | None,
    test_fraction: float,
    official_test: int | None,
) -> Manifest:
    """Draw a stratified split.

    Each class is shuffled by ``seed``; the test share comes first, then validation, and training
    examples are taken from the end. So for one seed all numbers of shots are tested on the same
    examples, and fewer shots are a subset of more.

    Args:
        labels: int64 ``[N]`` of the training data.
        shots: training examples a class, or all that are left.
        val_fraction: the share of what is not test that validates, with ``shots="all"``.
        val_shots: validation examples a class for a number of shots; as many as ``shots`` by
            default, since labels spent on choosing hyperparameters are labels too.
        test_fraction: the share of each class that is tested, if there is no official test.
        official_test: the size of the official test split.

    Raises:
        HarnessError: a class has too few examples.
    """
    parts: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for label in labels.unique().tolist():
        rows = torch.nonzero(labels == label).flatten()
        order = torch.Generator().manual_seed(_class_seed(seed, label))
        rows = rows[torch.randperm(len(rows), generator=order)]
        tested = 0 if official_test is not None else max(1, round(test_fraction * len(rows)))
        rest = rows[tested:]
        if shots == "all":
            validating = max(1, round(val_fraction * len(rest)))
            training = len(rest) - validating
        else:
            validating = shots if val_shots is None else val_shots
            training = shots
        if training < 1 or validating + training > len(rest):
            wanted = "1" if shots == "all" else str(shots)
            raise HarnessError(
                f"class {label} has {len(rows)} examples: too few for {wanted} to train on, "
                f"{validating} to validate and {tested} to test",
                "Ask for fewer shots or val_shots",
            )
        parts["test"] += rows[:tested].tolist()
        parts["val"] += rest[:validating].tolist()
        parts["train"] += rest[len(rest) - training :].tolist()
    test = range(official_test) if official_test is not None else sorted(parts["test"])
    return Manifest(
        train=tuple(sorted(parts["train"])),
        val=tuple(sorted(parts["val"])),
        test=tuple(test),
        official=official_test is not None,
    )


def _class_seed(seed: int, label: int) -> int:
    return int.from_bytes(hashlib.sha256(f"split:{seed}:{label}".encode()).digest()[:7])
