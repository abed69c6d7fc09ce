"""What of the data is learned from: classes for a source, examples for a task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from harness.data.examples import Data, Examples, Inputs, Pool, RawInputs, RawRows
from harness.data.grouped_splits import draw_grouped_split
from harness.data.grouping import Groups
from harness.data.resident import RotatedPool, rows_of
from harness.data.splits import Manifest, draw_split
from harness.data.task import OneClass, Source, Task
from harness.errors import HarnessError, abridged
from harness.shots import Shots

CLASS_SEED = 0
"""Validation classes are the same for every seed of a suite: pretraining must not see them."""


@dataclass(frozen=True)
class ClassSplit:
    """Classes of a dataset under ``episodes``: learned from, selected on, tested on."""

    base: tuple[int, ...]
    val: tuple[int, ...]
    novel: tuple[int, ...]


def class_split(data: Data) -> ClassSplit:
    """Split the classes: those that the dataset holds out are novel.

    A tenth of the others (at least five) validate and the rest are base classes. A dataset that
    holds out nothing has no base classes; 30 % of its classes validate.
    """
    order = torch.randperm(
        len(data.classes), generator=torch.Generator().manual_seed(CLASS_SEED)
    ).tolist()
    held_out = [c for c in order if data.classes[c] in data.held_out]
    others = [c for c in order if data.classes[c] not in data.held_out]
    if held_out:
        validating = min(len(others), max(5, round(0.1 * len(others))))
        return ClassSplit(
            base=tuple(sorted(others[validating:])),
            val=tuple(sorted(others[:validating])),
            novel=tuple(sorted(held_out)),
        )
    validating = round(0.3 * len(others))
    return ClassSplit(
        base=(), val=tuple(sorted(others[:validating])), novel=tuple(sorted(others[validating:]))
    )


def source_classes(data: Data) -> tuple[int, ...]:
    """What a dataset shows as a source: all classes, or its base classes if it holds some out."""
    return class_split(data).base if data.held_out else tuple(range(len(data.classes)))


def source_inputs(data: Data) -> RawInputs:
    """The raw inputs that a dataset shows as a source."""
    if not data.held_out:
        return data.train.inputs
    return RawRows(data.train.inputs, rows_of(data.train.labels, source_classes(data)))


def make_source(data: Data, pool: Pool, *, rotations: bool, device: torch.device) -> Source:
    """Source examples, relabelled ``0 … classes - 1``.

    With ``rotations`` every class counts four times, turned by 0, 90, 180 and 270 degrees
    (Santoro et al. 2016, for Omniglot).
    """
    classes = source_classes(data)
    ids = rows_of(data.train.labels, classes)
    labels = _relabel(data.train.labels[ids], classes)
    rows, names = data.train.places[ids], [data.classes[label] for label in classes]
    if rotations:
        turns = torch.arange(4)[:, None]
        rows = (rows + turns * len(pool)).flatten()
        labels = (labels + turns * len(classes)).flatten()
        names = [f"{name} ({degrees}°)" for degrees in (0, 90, 180, 270) for name in names]
        pool = RotatedPool(pool)
    return Source(Examples(Inputs(pool, rows), labels.to(device)), OneClass(tuple(names)))


def target_split(
    data: Data,
    *,
    shots: Shots,
    seed: int,
    val_fraction: float,
    test_fraction: float,
    val_shots: int | None = None,
    groups: Groups | None = None,
) -> Manifest:
    """Draw what of a target trains, validates and is tested, none of ``groups`` on two sides; see
    :func:`draw_split`."""
    draw = draw_split if groups is None else partial(draw_grouped_split, groups=groups.train)
    return draw(
        data.train.labels,
        shots=shots,
        seed=seed,
        val_fraction=val_fraction,
        val_shots=val_shots,
        test_fraction=test_fraction,
        official_test=len(data.test.labels) if data.test else None,
        names=data.classes,
    )


def source_split(
    data: Data, *, shots: Shots, seed: int, val_fraction: float, groups: Groups | None = None
) -> Manifest:
    """Draw what of a source domain trains and validates; nothing of it is tested."""
    draw = draw_split if groups is None else partial(draw_grouped_split, groups=groups.train)
    return draw(
        data.train.labels,
        shots=shots,
        seed=seed,
        val_fraction=val_fraction,
        val_shots=None,
        test_fraction=0.0,
        official_test=0,
        names=data.classes,
        options=("shots", "val_fraction"),
    )


def transfer_task(data: Data, pool: Pool, manifest: Manifest, device: torch.device) -> Task:
    """The training and validation examples of a split, with their labels and groups."""
    groups = data.train.groups

    def examples(ids: Sequence[int]) -> Examples:
        rows = torch.tensor(ids, dtype=torch.int64)
        own = None if groups is None else groups[rows].to(device)
        return Examples(data.train.placed(pool, rows), data.train.labels[rows].to(device), own)

    return Task(
        train=examples(manifest.train), val=examples(manifest.val), target=OneClass(data.classes)
    )


def adaptation_task(
    source: Data,
    source_pool: Pool,
    labelled: Manifest,
    target: Data,
    target_pool: Pool,
    unlabelled: Manifest,
    device: torch.device,
) -> Task:
    """Labelled examples of a source domain, numbered as the target's classes are, and inputs of
    the target's training part without their labels, in an order that tells nothing of them."""
    task = transfer_task(source, source_pool, labelled, device)
    assert task.val is not None
    numbers = class_numbers(source, target).to(device)
    rows = torch.tensor(unlabelled.train, dtype=torch.int64)
    return replace(
        task,
        train=replace(task.train, labels=numbers[task.train.labels]),
        val=replace(task.val, labels=numbers[task.val.labels]),
        target=OneClass(target.classes),
        unlabelled=target.train.placed(target_pool, rows).by_place(),
        shifted=True,
    )


def class_numbers(
    source: Data, target: Data, called: tuple[str, str] = ("source", "target")
) -> Tensor:
    """For each class of a source domain its number in the target, int64 ``[classes]``.

    Args:
        called: what the two are, for messages.

    Raises:
        HarnessError: the two domains don't have the same classes.
    """
    lacking = {
        called[0]: sorted({*target.classes} - {*source.classes}),
        called[1]: sorted({*source.classes} - {*target.classes}),
    }
    told = [
        f"the {domain} lacks " + abridged(f"'{name}'" for name in names)
        for domain, names in lacking.items()
        if names
    ]
    if told:
        raise HarnessError(
            f"the two domains have other classes: {'; '.join(told)}",
            "Give both the same class names",
        )
    return torch.tensor([target.classes.index(name) for name in source.classes])


def _relabel(labels: Tensor, classes: Sequence[int]) -> Tensor:
    position = torch.full((max(classes) + 1,), -1, dtype=torch.int64)
    position[torch.tensor(classes)] = torch.arange(len(classes))
    return position[labels]
