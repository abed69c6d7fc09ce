"""Counts of predictions against scikit-learn's, and what can't be counted is left out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from harness.metrics import CALIBRATION_BINS
from harness.report.analysis import predictions
from harness.report.analysis.results import summary, tidy
from harness.report.page.predictions import CLASSES as CLASSES_SHOWN
from harness.report.page.predictions import PAIRS, chapter
from harness.report.plots.reliability import reliability

FrameOf = Callable[..., pd.DataFrame]
CLASSES = 4


def made(seed: int, classes: int = CLASSES) -> dict[str, Any]:
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, classes, 200)
    logits = draw.normal(size=(200, classes)).astype(np.float32)
    logits[np.arange(200), labels] += 1
    # The last class is never predicted: what a precision of nothing is, is not known.
    logits[:, -1] -= 20
    return {"logits": logits, "labels": labels, "ids": np.arange(200)}


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    def write(frame: pd.DataFrame, arrays: dict[str, dict[str, Any]]) -> Path:
        (tmp_path / "predictions").mkdir()
        for cell, stored in arrays.items():
            np.savez_compressed(tmp_path / f"predictions/{cell}.npz", **stored)
        return tmp_path

    return write


def both(frame: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return {cell: made(place) for place, cell in enumerate(frame["cell"])}


def test_classes_and_confusions_are_scikit_learns(frame_of: FrameOf, folder: Any) -> None:
    frame = frame_of({"a": [0.5, 0.5]})
    stored = both(frame)
    (found,), _ = predictions.read(folder(frame, stored), frame)
    truth = np.concatenate([arrays["labels"] for arrays in stored.values()])
    guess = np.concatenate([arrays["logits"].argmax(1) for arrays in stored.values()])
    assert (found.confusion == confusion_matrix(truth, guess)).all()
    precision, recall, f1, support = precision_recall_fscore_support(
        truth, guess, zero_division=np.nan
    )
    rows = found.by_class
    assert rows["examples"].tolist() == support.tolist()
    for name, expected in (("precision", precision), ("recall", recall), ("f1", f1)):
        assert rows[name].to_numpy() == pytest.approx(expected, nan_ok=True)
    first = found.confused.iloc[0]
    wrong = confusion_matrix(truth, guess) * (1 - np.eye(CLASSES, dtype=int))
    assert first["examples"] == wrong.max()
    assert wrong[int(first["true"]), int(first["predicted"])] == wrong.max()


def test_reliability_is_scikit_learns(frame_of: FrameOf, folder: Any) -> None:
    frame = frame_of({"a": [0.5]})
    stored = both(frame)
    (found,), _ = predictions.read(folder(frame, stored), frame)
    (arrays,) = stored.values()
    odds = softmax(arrays["logits"].astype(np.float64), axis=1)
    right = odds.argmax(1) == arrays["labels"]
    bins = 200 // predictions.LEAST_HELD
    assert 2 < bins < predictions.MOST_BINS
    shown = found.reliability
    accuracy, confidence = calibration_curve(right, odds.max(1), n_bins=bins, strategy="quantile")
    assert shown["accuracy"].to_numpy() == pytest.approx(accuracy)
    assert shown["confidence"].to_numpy() == pytest.approx(confidence)
    counts = np.round(200 * shown["share"].to_numpy()).astype(int)
    assert counts.sum() == 200
    assert counts.max() - counts.min() <= 1
    intervals = [
        binomtest(int(hits), int(n)).proportion_ci(0.95, "wilson")
        for hits, n in zip(np.round(accuracy * counts), counts, strict=True)
    ]
    assert shown[["low", "high"]].to_numpy() == pytest.approx(np.array(intervals))


def test_the_calibration_error_is_of_bins_of_equal_width(frame_of: FrameOf, folder: Any) -> None:
    frame = frame_of({"a": [0.5]})
    stored = both(frame)
    (found,), _ = predictions.read(folder(frame, stored), frame)
    (arrays,) = stored.values()
    odds = softmax(arrays["logits"].astype(np.float64), axis=1)
    right = odds.argmax(1) == arrays["labels"]
    accuracy, confidence = calibration_curve(right, odds.max(1), n_bins=CALIBRATION_BINS)
    counts = np.histogram(odds.max(1), np.linspace(0, 1, CALIBRATION_BINS + 1))[0]
    share = counts[counts > 0] / 200
    assert found.ece == pytest.approx(float((share * abs(accuracy - confidence)).sum()))


@given(st.lists(st.sampled_from([0.25, 0.5, 0.9, 0.99, 1.0]) | st.floats(0.25, 1), min_size=1))
def test_bins_have_no_gap_and_equal_confidences_share_one(confidence: list[float]) -> None:
    given_ = np.array(confidence)
    places = predictions.quantile_places(given_)
    assert set(places) == set(range(places.max() + 1))
    assert places.max() < predictions.MOST_BINS
    order = np.argsort(given_, kind="stable")
    assert (np.diff(places[order]) >= 0).all()
    for value in set(confidence):
        assert len(set(places[given_ == value])) == 1


def test_only_complete_groups_with_the_most_shots_are_read(frame_of: FrameOf, folder: Any) -> None:
    few = frame_of({"a": [0.5]}, shots=1, cell="few")
    many = frame_of({"a": [0.5], "failed": [None], "bare": [0.5]}, shots="all")
    parts = [part.drop(columns=["setting", "facet", "counts"]) for part in (few, many)]
    frame = tidy(pd.concat(parts))
    stored = {cell: made(0) for cell in frame["cell"] if "bare" not in cell}
    found, _ = predictions.read(folder(frame, stored), frame)
    assert [(p.label, p.shots) for p in found] == [("a", "all")]
    (facet,) = reliability(found, summary(frame)).facets
    assert facet.absent == "failed (1 of 1 failed); bare (no predictions stored)"


@pytest.mark.parametrize(
    "broken",
    [
        {"logits": np.zeros((3, 2, 2)), "labels": np.zeros((3, 2), dtype=int)},
        {"logits": np.full((3, 2), np.nan), "labels": np.zeros(3, dtype=int)},
        {"logits": np.zeros((3, 2)), "labels": np.array([0, 1, 2])},
        {"logits": np.zeros((3, 2)), "labels": np.zeros(2, dtype=int)},
        {"logits": np.zeros((0, 2)), "labels": np.zeros(0, dtype=int)},
        {"labels": np.zeros(3, dtype=int)},
        {"logits": np.zeros((3, 2), dtype="U3"), "labels": np.zeros(3, dtype=int)},
        {"logits": np.zeros((3, 2)), "labels": np.zeros(3)},
    ],
)
def test_what_cannot_be_counted_is_left_out(
    frame_of: FrameOf, folder: Any, broken: dict[str, Any]
) -> None:
    frame = frame_of({"a": [0.5]})
    found, (unread,) = predictions.read(folder(frame, {frame["cell"][0]: broken}), frame)
    assert found == []
    assert unread.label == "a"
    assert unread.why.startswith(f"{frame['cell'][0]}.npz ")


def test_a_damaged_file_is_left_out(frame_of: FrameOf, folder: Any) -> None:
    frame = frame_of({"a": [0.5]})
    directory = folder(frame, {})
    (directory / f"predictions/{frame['cell'][0]}.npz").write_bytes(b"PK no archive")
    found, (unread,) = predictions.read(directory, frame)
    assert (found, unread.label, unread.place) == ([], "a", "digits, 5 shots")
    assert unread.why == f"{frame['cell'][0]}.npz is damaged, or no npz file"


def test_a_plot_tells_damaged_predictions_from_those_that_were_not_stored(
    frame_of: FrameOf, folder: Any
) -> None:
    frame = frame_of({"a": [0.5], "torn": [0.5], "bare": [0.5]})
    whole, torn, _ = frame["cell"]
    directory = folder(frame, {whole: made(0), torn: made(1)})
    file = directory / f"predictions/{torn}.npz"
    file.write_bytes(file.read_bytes()[:-9])
    found, unread = predictions.read(directory, frame)
    (facet,) = reliability(found, summary(frame), unread).facets
    assert facet.absent == "torn (predictions damaged); bare (no predictions stored)"


def test_reading_stops_where_there_is_too_much(
    frame_of: FrameOf, folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = frame_of({"a": [0.5], "b": [0.5]})
    directory = folder(frame, both(frame))
    size = next(directory.glob("predictions/*")).stat().st_size
    monkeypatch.setattr(predictions, "MOST_BYTES", int(1.5 * size))
    assert [p.label for p in predictions.read(directory, frame)[0]] == ["a"]


def test_classes_are_named_by_the_split(frame_of: FrameOf, folder: Any) -> None:
    frame = frame_of({"a": [0.5]}, split_hash="abc")
    directory = folder(frame, both(frame))
    assert predictions.read(directory, frame)[0][0].classes == ("0", "1", "2", "3")
    (directory / "splits").mkdir()
    names = ["ant", "bee", "cow", "<b>"]
    (directory / "splits/abc.json").write_text(json.dumps({"classes": names}))
    assert predictions.read(directory, frame)[0][0].classes == tuple(names)


def test_many_classes_are_told_by_their_worst(frame_of: FrameOf, folder: Any) -> None:
    frame = frame_of({"a": [0.5]})
    found, _ = predictions.read(folder(frame, {frame["cell"][0]: made(1, classes=30)}), frame)
    (place,) = chapter(found)
    assert place["classes"] == 30
    assert place["by_class"]["class"].nunique() == CLASSES_SHOWN
    recall = found[0].by_class["recall"]
    told = recall[recall.index.isin(place["by_class"]["class"].astype(int))]
    assert told.max() <= recall.drop(told.index).min()
    assert place["confusions"][0]["matrix"] is None
    assert len(place["confusions"][0]["pairs"]) == PAIRS
