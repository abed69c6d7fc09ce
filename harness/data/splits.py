"""Which examples a cell trains, validates and tests on: drawn by the harness, kept as ids."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from harness.errors import HarnessError

Shots: TypeAlias = int | Literal["vtab1k", "all"]
"""Training examples a class; or 1,000 examples of all classes, as in VTAB-1k; or all there are."""

VTAB_TRAIN, VTAB_VAL = 800, 200


@dataclass(frozen=True)
class Manifest:
    """Row ids of a split. ``test`` counts in the official test split where ``official`` is set,
    and in the training data otherwise."""

    train: tuple[int, ...]
    val: tuple[int, ...]
    test: tuple[int, ...]
    official: bool

    def to_json(self) -> dict[str, Any]:
        return {"train": self.train, "val": self.val, "test": self.test, "official": self.official}

    def digest(self, data: str) -> str:
        """SHA-256 over the ids and the digest of the data that they count in: equal for cells
        that learned from and were tested on the same examples."""
        ids = {"data": data, **self.to_json()}
        return hashlib.sha256(json.dumps(ids).encode()).hexdigest()[:16]


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
        shots: training examples a class, or all that are left; ``"vtab1k"`` is 800 to train on
            and 200 to validate, each class by its share (Zhai et al. 2019 draw them over all
            classes by chance).
        val_fraction: the share of what is not test that validates, with ``shots="all"``.
        val_shots: validation examples a class for a number of shots; as many as ``shots`` by
            default, since labels spent on choosing hyperparameters are labels too.
        test_fraction: the share of each class that is tested, if there is no official test.
        official_test: the size of the official test split.

    Raises:
        HarnessError: a class has too few examples, or all of them together.
    """
    shuffled, tested = {}, {}
    order = torch.Generator()
    ordered, by_class = labels.sort(stable=True)
    present, sizes = ordered.unique_consecutive(return_counts=True)
    for label, rows in zip(present.tolist(), by_class.split(sizes.tolist()), strict=True):
        order.manual_seed(_class_seed(seed, label))
        shuffled[label] = rows[torch.randperm(len(rows), generator=order)].tolist()
        tested[label] = 0 if official_test is not None else max(1, round(test_fraction * len(rows)))
    left = {label: len(rows) - tested[label] for label, rows in shuffled.items()}
    shares = _vtab_sizes(left) if shots == "vtab1k" else {}
    parts: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for label, rows in shuffled.items():
        rest = rows[tested[label] :]
        match shots:
            case "vtab1k":
                training, validating = shares[label]
            case "all":
                validating = max(1, round(val_fraction * len(rest)))
                training = len(rest) - validating
            case _:
                validating = shots if val_shots is None else val_shots
                training = shots
        if training < 1 or validating + training > len(rest):
            wanted = "1" if shots == "all" else str(shots)
            raise HarnessError(
                f"class {label} has {len(rows)} examples: too few for {wanted} to train on, "
                f"{validating} to validate and {tested[label]} to test",
                "Ask for fewer shots or val_shots",
            )
        parts["test"] += rows[: tested[label]]
        parts["val"] += rest[:validating]
        parts["train"] += rest[len(rest) - training :]
    test = range(official_test) if official_test is not None else sorted(parts["test"])
    return Manifest(
        train=tuple(sorted(parts["train"])),
        val=tuple(sorted(parts["val"])),
        test=tuple(test),
        official=official_test is not None,
    )


def _vtab_sizes(left: dict[int, int]) -> dict[int, tuple[int, int]]:
    """Examples to train on and to validate, by class."""
    shown = VTAB_TRAIN + VTAB_VAL
    if sum(left.values()) < shown or len(left) > VTAB_TRAIN or min(left.values()) < 1:
        raise HarnessError(
            f"{sum(left.values())} examples of {len(left)} classes are left to learn from: too "
            f"few for {VTAB_TRAIN} to train on and {VTAB_VAL} to validate",
            "Ask for a number of shots, or for 'all'",
        )
    each = apportion(shown, [*left.values()], [*left.values()])
    validating = apportion(VTAB_VAL, each, [count - 1 for count in each])
    pairs = zip(each, validating, strict=True)
    return {label: (count - val, val) for label, (count, val) in zip(left, pairs, strict=True)}


def apportion(total: int, sizes: Sequence[int], most: Sequence[int]) -> list[int]:
    """Divide ``total`` in proportion to ``sizes``, by largest remainders, ties to the first.

    Nobody gets more than ``most``, and everybody one where ``total`` and ``most`` allow.
    """
    least = [min(1, limit) for limit in most]
    if sum(least) > total:
        least = [0] * len(sizes)
    whole = sum(sizes)
    given = [
        min(limit, max(floor, total * size // whole))
        for size, floor, limit in zip(sizes, least, most, strict=True)
    ]

    def owed(index: int) -> int:
        return total * sizes[index] - given[index] * whole

    while (missing := total - sum(given)) != 0:
        if missing > 0:
            given[max((i for i in range(len(given)) if given[i] < most[i]), key=owed)] += 1
        else:
            given[min((i for i in range(len(given)) if given[i] > least[i]), key=owed)] -= 1
    return given


def _class_seed(seed: int, label: int) -> int:
    return int.from_bytes(hashlib.sha256(f"split:{seed}:{label}".encode()).digest()[:7])
