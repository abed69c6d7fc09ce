"""Count stored predictions: recall by class, confusions, and how far confidence is deserved.

Only those that a report shows are read: ten thousand cells hold gigabytes of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.metrics import CALIBRATION_BINS, class_shares, confidence_bins
from harness.record.predictions import class_names, read_predictions
from harness.record.reading import InvalidFile
from harness.report import format
from harness.report.analysis import results
from harness.shots import shots_order

MOST_BYTES = 100_000_000
"""Bytes of predictions that are read, at most."""

Counts = NDArray[np.signedinteger[Any]]
Floats = NDArray[np.float64]
Right = NDArray[np.bool_]
Bins = tuple[Counts, Floats, Counts]
"""Of each bin of confidence the examples in it, the sum of their confidences, and how many of them
were right."""

MOST_BINS, LEAST_HELD = 10, 30
"""Bins of alike many examples that a diagram has, at most, and examples in each, at least."""

Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Predicted:
    """A strategy's test predictions in one setting, its seeds together.

    ``confusion``: ``[C, C]``, how many examples of the row's class were taken for the column's ·
    ``bins``: of equal width, ``[CALIBRATION_BINS]`` · ``quantiles``: with alike many examples.
    """

    setting: int
    facet: str
    shots: Any
    label: str
    classes: tuple[str, ...]
    confusion: Counts
    bins: Bins
    quantiles: Bins

    @property
    def place(self) -> str:
        """``digits, 5 shots``."""
        return format.setting_text(self.facet, self.shots)

    @property
    def by_class(self) -> pd.DataFrame:
        """``class``, ``examples``, ``precision``, ``recall`` and ``f1`` (0–1); NaN where nothing
        was predicted, or nothing was there, to take a share of."""
        true, taken = self.confusion.sum(1), self.confusion.sum(0)
        precision, recall, f1 = class_shares(true, taken, self.confusion.diagonal())
        shares = {"precision": precision, "recall": recall, "f1": f1}
        return pd.DataFrame({"class": self.classes, "examples": true, **shares})

    @property
    def confused(self) -> pd.DataFrame:
        """``true``, ``predicted``, ``examples`` and ``share`` (of the true class): every kind of
        mistake that happened, the most frequent first."""
        wrong = self.confusion - np.diag(self.confusion.diagonal())
        true, taken = np.nonzero(wrong)
        names = np.array(self.classes, dtype=object)
        return pd.DataFrame(
            {
                "true": names[true],
                "predicted": names[taken],
                "examples": wrong[true, taken],
                "share": wrong[true, taken] / self.confusion.sum(1)[true],
            }
        ).sort_values("examples", ascending=False, kind="stable", ignore_index=True)

    @property
    def reliability(self) -> pd.DataFrame:
        """For each bin with alike many examples: mean ``confidence``, ``accuracy``, its 95 %
        interval ``low`` to ``high`` (Wilson 1927), and the ``share`` of examples in it."""
        n, confidence, right = self.quantiles
        p, wider = right / n, 1 + Z**2 / n
        middle = (p + Z**2 / (2 * n)) / wider
        half = Z / wider * np.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
        ends = {"low": middle - half, "high": middle + half}
        found = {"confidence": confidence / n, "accuracy": p, **ends, "share": n / n.sum()}
        return pd.DataFrame(found)

    @property
    def ece(self) -> float:
        """Expected calibration error (Guo et al. 2017, eq. 3) of all these predictions."""
        n, confidence, right = self.bins
        return float(np.abs(right - confidence).sum() / n.sum())


@dataclass(frozen=True)
class Unread:
    """A strategy's test predictions in one setting, which are stored and can't be used."""

    setting: int
    place: str
    label: str
    why: str


def count(logits: NDArray[Any], labels: NDArray[Any]) -> tuple[Counts, Floats, Right]:
    """Count the confusion matrix of ``logits`` ``[N, C]`` for ``labels`` ``[N]``; gives with it how
    confident each answer is, and whether it is right, both ``[N]``."""
    classes = logits.shape[1]
    scores = logits.astype(np.float64)
    guess = scores.argmax(1)
    confidence = 1 / np.exp(scores - scores.max(1, keepdims=True)).sum(1)
    confusion = np.bincount(labels * classes + guess, minlength=classes**2)
    return confusion.reshape(classes, classes), confidence, guess == labels


def binned(place: Counts, confidence: Floats, right: Right, bins: int) -> Bins:
    """Count answers by the bin ``place`` ``[N]`` of each."""
    held, correct = (np.bincount(which, minlength=bins) for which in (place, place[right]))
    sure = np.bincount(place, weights=confidence, minlength=bins).astype(np.float64)
    return held, sure, correct


def quantile_places(confidence: Floats) -> Counts:
    """The bin of each confidence ``[N]`` among bins with alike many of them, numbered without a
    gap; equal confidences share one."""
    bins = max(1, min(MOST_BINS, len(confidence) // LEAST_HELD))
    edges = np.quantile(confidence, np.arange(1, bins) / bins)
    return np.unique(np.searchsorted(edges, confidence), return_inverse=True)[1]


def read(directory: Path, frame: pd.DataFrame) -> tuple[list[Predicted], list[Unread]]:
    """Read the predictions in ``directory`` that are shown of the tidy ``frame``.

    That is, of the first ``results.MOST_FACETS`` facets, the setting with the most shots, and in it
    each strategy whose cells are all ok and have predictions of the same classes. Episodes have
    classes of their own each, and are left out; so is what comes after ``MOST_BYTES`` bytes.
    """
    frame = frame[frame["protocol"] != "episodes"]
    frame = frame[frame["facet"].isin(frame["facet"].unique()[: results.MOST_FACETS])]
    order = frame["shots"].map(shots_order)
    largest = frame[order == order.groupby(frame["facet"]).transform("max")]
    found, unread, left = [], [], MOST_BYTES
    for _, cells in largest.groupby(["setting", "label"], sort=False):
        paths = [directory / name for name in cells["answers"]]
        if not cells["counts"].all() or not all(path.exists() for path in paths):
            continue
        left -= sum(path.stat().st_size for path in paths)
        if left < 0:
            break
        try:
            found.append(_together(directory, cells, paths))
        except InvalidFile as invalid:
            first = cells.iloc[0]
            place = format.setting_text(first["facet"], first["shots"])
            unread.append(Unread(int(first["setting"]), place, str(first["label"]), str(invalid)))
    return found, unread


def count_file(path: Path) -> tuple[Counts, Floats, Right]:
    """Count one cell.

    Raises:
        InvalidFile: its predictions can't be used.
    """
    try:
        arrays = read_predictions(path)
    except InvalidFile as invalid:
        raise InvalidFile(f"{path.name} {invalid}") from None
    logits, labels = arrays["logits"], arrays["labels"]
    if logits.ndim != 2:
        raise InvalidFile(f"{path.name} does not hold logits and a label for each")
    if not np.isfinite(logits).all():
        raise InvalidFile(f"{path.name} holds logits that are no numbers")
    if not 0 <= labels.min() <= labels.max() < logits.shape[1]:
        raise InvalidFile(f"{path.name} holds labels of classes that it has no logits for")
    return count(logits, labels)


def _together(directory: Path, cells: pd.DataFrame, paths: Sequence[Path]) -> Predicted:
    """Add up the counts of one group's cells.

    Raises:
        InvalidFile: one of them can't be used.
    """
    confusions, confidences, rights = zip(*map(count_file, paths), strict=True)
    if len({confusion.shape for confusion in confusions}) > 1:
        raise InvalidFile("its seeds differ in their number of classes")
    confusion = np.sum(confusions, axis=0)
    confidence, right = np.concatenate(confidences), np.concatenate(rights)
    quantiles = quantile_places(confidence)
    first = cells.iloc[0]
    return Predicted(
        setting=int(first["setting"]),
        facet=str(first["facet"]),
        shots=first["shots"],
        label=str(first["label"]),
        classes=class_names(directory, first["split_hash"], len(confusion)),
        confusion=confusion,
        bins=binned(confidence_bins(confidence), confidence, right, CALIBRATION_BINS),
        quantiles=binned(quantiles, confidence, right, quantiles.max() + 1),
    )
