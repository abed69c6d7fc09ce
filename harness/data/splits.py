"""Which examples a cell trains, validates and tests on: drawn by the harness, kept as ids."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from harness.errors import HarnessError, abridged
from harness.hashing import seed_of, short
from harness.shots import VTAB_TRAIN, VTAB_VAL, Shots

MORE = "Give them more examples, or leave them out"
"""What helps where nothing that a suite says does."""

OPTIONS = ("shots", "val_shots", "val_fraction", "test_fraction")
"""Entries of a problem that say how its examples are split."""


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
        return short(json.dumps(ids))


def draw_split(
    labels: Tensor,
    *,
    shots: Shots,
    seed: int,
    val_fraction: float,
    val_shots: int | None,
    test_fraction: float,
    official_test: int | None,
    names: Sequence[str],
    options: Collection[str] = OPTIONS,
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
        names: those of the classes, for messages.
        options: what a user may set of all these, for messages.

    Raises:
        HarnessError: classes have too few examples, or all of them together.
    """
    shuffled, tested = {}, {}
    order = torch.Generator()
    ordered, by_class = labels.sort(stable=True)
    present, sizes = ordered.unique_consecutive(return_counts=True)
    for label, rows in zip(present.tolist(), by_class.split(sizes.tolist()), strict=True):
        order.manual_seed(seed_of("split", seed, label))
        shuffled[label] = rows[torch.randperm(len(rows), generator=order)].tolist()
        tested[label] = 0 if official_test is not None else max(1, round(test_fraction * len(rows)))
    left = {label: len(rows) - tested[label] for label, rows in shuffled.items()}
    shares = vtab_sizes(left, names) if shots == "vtab1k" else {}
    needed: dict[int, tuple[int, int, int]] = {}
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
            needed[label] = max(1, training), validating, tested[label]
        parts["test"] += rows[: tested[label]]
        parts["val"] += rest[:validating]
        parts["train"] += rest[len(rest) - training :]
    if needed:
        drawn_by = ("shots", "val_shots") if isinstance(shots, int) else ("val_fraction",)
        raise _too_few(
            {label: len(shuffled[label]) for label in needed},
            needed,
            names,
            [option for option in (*drawn_by, "test_fraction") if option in options],
        )
    test = range(official_test) if official_test is not None else sorted(parts["test"])
    return Manifest(
        train=tuple(sorted(parts["train"])),
        val=tuple(sorted(parts["val"])),
        test=tuple(test),
        official=official_test is not None,
    )


def _too_few(
    sizes: Mapping[int, int],
    needed: Mapping[int, tuple[int, int, int]],
    names: Sequence[str],
    options: Collection[str],
) -> HarnessError:
    """Of classes that can't be split: how many examples each has, and needs to train on, to
    validate and to test; and which of ``options`` helps, if any does."""
    train, val, test = (max(parts) for parts in zip(*needed.values(), strict=True))
    told = abridged(
        f"'{names[label]}' ({size}, needs {sum(needed[label])})" for label, size in sizes.items()
    )
    largest = {"shots": train, "val_shots": val, "val_fraction": val, "test_fraction": test}
    enough = min(sizes.values()) >= (3 if test else 2)  # for one of each
    helps = [option for option in options if enough and largest[option] > 1]
    return HarnessError(
        f"classes have too few examples to train on, to validate{' and to test' if test else ''}: "
        f"{told}",
        f"Lower {' or '.join(helps)}, or give them more examples" if helps else MORE,
    )


def vtab_sizes(left: dict[int, int], names: Sequence[str]) -> dict[int, tuple[int, int]]:
    """Examples to train on and to validate, by class."""
    shown = VTAB_TRAIN + VTAB_VAL
    if none := [f"'{names[label]}'" for label, count in left.items() if count < 1]:
        raise HarnessError(f"nothing is left to learn from of {abridged(none)}", MORE)
    if sum(left.values()) < shown or len(left) > VTAB_TRAIN:
        raise HarnessError(
            f"{sum(left.values())} examples of {len(left)} classes are left to learn from: too "
            f"few for {VTAB_TRAIN} of all classes to train on and {VTAB_VAL} to validate",
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
