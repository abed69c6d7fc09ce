"""Models that give all test examples one class are found by their metrics, and told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from hypothesis import given
from hypothesis import strategies as some

from harness.metrics import scores
from harness.record.schema import Coordinates, Record
from harness.record.store import Store
from harness.report.analysis.constant import constant
from harness.report.analysis.report import analyse


def of(predicted: list[int], labels: list[int]) -> bool:
    """Whether a model of these predictions counts as constant."""
    logits = torch.from_numpy(np.eye(1 + max(predicted + labels))[predicted])
    known = {"classes": len(set(labels)), "counts": True}
    frame = pd.DataFrame([{**scores(logits, torch.tensor(labels)), **known}])
    return bool(constant(frame).iloc[0])


@given(some.lists(some.integers(0, 4), min_size=2, max_size=40), some.data())
def test_one_class_throughout_is_constant_and_nothing_else_is(labels, data):
    classes = sorted(set(labels))
    taken = data.draw(some.sampled_from(classes))
    assert of([taken] * len(labels), labels) is (len(classes) > 1)
    size = len(labels)
    other = data.draw(some.lists(some.sampled_from(classes), min_size=size, max_size=size))
    assert of(other, labels) is (len(classes) > 1 and len(set(other)) == 1)


def test_chance_is_not_constant():
    assert not of([0, 1, 0, 1], [0, 0, 1, 1])


def test_two_classes_of_four_are_not_one_of_two():
    """Although accuracy, precision and F1 are those of one."""
    assert not of([0, 0, 2, 2], [0, 1, 2, 3])


def told(
    folder: Callable[..., Path],
    cell: Callable[..., Coordinates],
    done: Callable[..., Record],
    accuracies: dict[str, list[float]],
) -> tuple[str, str]:
    """What is advised, and what is said of the suite, where ``lazy`` always says the same."""
    records = []
    for label, given_ in accuracies.items():
        for seed, accuracy in enumerate(given_):
            made = done(cell(label, 5, seed), accuracy)
            if label == "lazy":
                f1 = 2 * accuracy / (1 + accuracy) / 2
                lazy = {"balanced_accuracy": 0.5, "precision_macro": accuracy / 2, "f1_macro": f1}
                made = made.model_copy(update={"metrics": {**made.metrics, **lazy}})
            records.append(made)
    found = analyse(Store(folder(records, records))).findings
    return tuple(
        " ".join(one.striptags().replace("\u00a0", " ") for one in sentences)
        for sentences in (found.advice, found.suite)
    )


def test_who_is_recommended_there_is_warned_of(folder, cell, done):
    advised, _ = told(folder, cell, done, {"lazy": [0.6] * 3, "keen": [0.5, 0.51, 0.52]})
    assert advised.endswith(
        "Beware: lazy, recommended there, gives all test examples one class in digits, 5 shots"
        " (3 of 3 seeds): its accuracy is the share of that class, and not learned."
    )


def test_others_are_told_below(folder, cell, done):
    advised, said = told(folder, cell, done, {"lazy": [0.6] * 3, "keen": [0.8, 0.81, 0.82]})
    assert "one class" not in advised
    assert "lazy gives all test examples one class in digits, 5 shots (3 of 3 seeds)" in said
