"""Importances find what scores are made of, whichever scale a hyperparameter is drawn on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from harness.report.analysis import importance

FrameOf = Callable[..., pd.DataFrame]


def drawn(trials: int = 40) -> tuple[pd.DataFrame, np.ndarray]:
    """Scores of which ``lr`` makes 80 % of the variance, and ``kind`` the rest."""
    draw = np.random.default_rng(0)
    log, kind = draw.uniform(-5, -1, trials), draw.integers(0, 2, trials)
    settings = pd.DataFrame({"lr": 10**log, "decay": draw.random(trials), "kind": kind == 1})
    parts = [(values - values.mean()) / values.std() for values in (log, kind)]
    return settings, 2 * parts[0] + parts[1]


def test_importances_are_shares_of_the_variance() -> None:
    found = importance.importances(*drawn(200))
    assert found["lr"] == pytest.approx(0.8, abs=0.1)
    assert found["kind"] == pytest.approx(0.2, abs=0.1)
    assert found["decay"] < 0.05
    assert found == importance.importances(*drawn(200))


def test_scores_that_are_all_the_same_have_no_importances() -> None:
    settings, scores = drawn()
    assert importance.importances(settings, np.zeros_like(scores)) == {}
    rounding = np.resize([0.0, 1.1e-16, -1.1e-16], len(scores))  # what a mean taken off leaves
    assert importance.importances(settings, rounding) == {}


def tried(frame: pd.DataFrame, settings: pd.DataFrame, scores: np.ndarray) -> pd.DataFrame:
    """Trials of the frame's cells: the draws in turn."""
    per = len(scores) // len(frame)
    settings = settings.assign(fixed=1)
    return pd.DataFrame(
        {
            "cell": np.repeat(frame["cell"].to_numpy(), per),
            "number": np.tile(np.arange(per), len(frame)),
            "state": "complete",
            "value": scores,
            "settings": settings.to_dict("records"),
        }
    )


def test_seeds_are_pooled_and_what_they_differ_by_is_no_importance(frame_of: FrameOf) -> None:
    frame = frame_of({"a": [0.5, 0.5]})
    settings, scores = drawn()
    trials = tried(frame, settings, scores + 1000 * (np.arange(40) >= 20))
    one, two = frame["cell"]
    chosen = {one: {"lr": 1.0, "kind": True}, two: {"lr": 3.0, "kind": True}}
    rows = importance.tuned(frame, trials, chosen)().set_index("name")
    assert list(rows.index) == ["lr", "decay", "kind"]
    assert rows.loc["lr", "importance"] > 0.5
    assert rows.loc["lr", "choices"] == [1.0, 3.0]
    assert rows.loc["lr", "default"] == settings["lr"][0]
    assert (rows["reason"] == "").all()


def test_too_few_finished_trials_have_no_importance(frame_of: FrameOf) -> None:
    frame = frame_of({"a": [0.5, 0.5]})
    trials = tried(frame, *drawn())
    trials.loc[trials.index >= 15, "state"] = "failed"
    rows = importance.tuned(frame, trials, {})()
    assert rows["importance"].isna().all()
    assert set(rows["reason"]) == {"15 finished trials, 16 needed"}


def test_a_single_hyperparameter_needs_no_importance(frame_of: FrameOf) -> None:
    frame = frame_of({"a": [0.5, 0.5]})
    settings, scores = drawn()
    rows = importance.tuned(frame, tried(frame, settings[["lr"]], scores), {})()
    assert rows["reason"].tolist() == ["the only one"]


def test_only_the_first_are_estimated(frame_of: FrameOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importance, "MOST_GROUPS", 1)
    frame = frame_of({"a": [0.5], "b": [0.5]})
    rows = importance.tuned(frame, tried(frame, *drawn()), {})()
    known = rows.groupby("label")["importance"].count()
    assert known.to_dict() == {"a": 3, "b": 0}
    assert set(rows["reason"]) == {"", "estimated for the first 1 only"}
