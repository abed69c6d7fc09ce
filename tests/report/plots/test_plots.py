"""Plots show complete groups and nothing else, look alike, and can be told in words."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from harness.record.store import Store
from harness.report.analysis import fronts, results
from harness.report.analysis.details import TRIAL, Details, collect
from harness.report.analysis.results import strategies, summary, tidy
from harness.report.analysis.tuning import consumed, tuning
from harness.report.plots import accuracy, axes, curves, images
from harness.report.plots.figure import MOST_LINES, Facet, Plot, highest
from harness.report.plots.style import INK, Look, looks

FrameOf = Callable[..., pd.DataFrame]


@pytest.fixture(scope="module")
def details(results: Path) -> Details:
    return collect(Store(results))[1]


@pytest.fixture(scope="module")
def every(frame: pd.DataFrame, table: pd.DataFrame, details: Details) -> dict[str, Plot]:
    tuned = tuning(frame, table, details, {})()
    found = [
        accuracy.by_shots(table),
        accuracy.by_seconds(table, fronts.by_seconds(table)),
        accuracy.by_memory(table, fronts.by_memory(table)),
        curves.best_by_trials(table, tuned.by_trials, as_run=tuned.as_run),
        curves.best_by_seconds(table, tuned.by_seconds),
        curves.learning(table, tuned.learning),
    ]
    return {plot.name: plot for plot in found}


@pytest.fixture(scope="module")
def look(frame: pd.DataFrame) -> dict[str, Look]:
    return looks(strategies(frame))


def lines(ax: Axes, look: Look) -> list[np.ndarray]:
    """The points of the lines in one strategy's colour, one array a line."""
    found = [line for line in ax.get_lines() if to_hex(line.get_color()) == look.colour]
    return [np.asarray(line.get_xydata()) for line in found if len(line.get_xdata())]


def test_there_are_six_plots(every: dict[str, Plot]) -> None:
    assert list(every) == [
        "accuracy_by_shots",
        "accuracy_by_seconds",
        "accuracy_by_memory",
        "best_by_trials",
        "best_by_seconds",
        "learning_curves",
    ]
    assert [len(plot.facets) for plot in every.values()] == [2, 5, 5, 5, 5, 5]


def test_accuracy_by_shots_draws_the_means_and_breaks_at_a_gap(
    every: dict[str, Plot], look: dict[str, Look], table: pd.DataFrame
) -> None:
    ax = every["accuracy_by_shots"].figure(look).axes[0]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["1", "5", "all"]
    digits = table[table["problem"] == "digits"].set_index(["label", "shots"])["accuracy"]
    for label in ("linear_probe", "full_finetune"):
        drawn = lines(ax, look[label])[0][:, 1]
        assert drawn == pytest.approx([100 * digits[label, s] for s in (1, 5, "all")], nan_ok=True)
    assert np.isnan(lines(ax, look["full_finetune"])[0][1, 1])


def test_strategies_stand_side_by_side(
    every: dict[str, Plot], look: dict[str, Look], table: pd.DataFrame
) -> None:
    ax = every["accuracy_by_shots"].figure(look).axes[0]
    places = [lines(ax, style)[0][:, 0] for style in look.values()]
    for shots in range(3):
        here = [place[shots] for place in places]
        assert np.diff(here).min() > 0.05
        assert np.abs(np.array(here) - shots).max() < 0.5


@pytest.mark.parametrize("name", ["accuracy_by_seconds", "accuracy_by_memory"])
def test_accuracy_against_cost_draws_no_gap(
    every: dict[str, Plot], look: dict[str, Look], name: str
) -> None:
    first, second = every[name].figure(look).axes[:2]
    assert lines(first, look["full_finetune"])[0].shape == (1, 2)
    assert lines(second, look["full_finetune"]) == []
    assert "full_finetune (1 of 3 failed)" in every[name].facets[1].absent


def test_memory_is_over_the_least_of_its_setting(
    every: dict[str, Plot], look: dict[str, Look], table: pd.DataFrame
) -> None:
    rows = table[(table["setting"] == 0) & (table["gap"] == "")].set_index("label")
    least = rows["peak_host_bytes"].min()
    ax = every["accuracy_by_memory"].figure(look).axes[0]
    for label, bytes_ in rows["peak_host_bytes"].items():
        ((x, _),) = lines(ax, look[str(label)])[0]
        assert x == pytest.approx(100 * (bytes_ - least) / least)
    assert min(lines(ax, look[str(label)])[0][0, 0] for label in rows.index) == 0


def test_gaps_are_named_under_the_axes_and_in_the_words(every: dict[str, Plot]) -> None:
    facet = every["accuracy_by_shots"].facets[0]
    for lost in ("full_finetune with 5 shots (1 of 3 failed)", "maml with 1 shot (1 of 3 pending)"):
        assert lost in facet.absent
        assert lost in facet.alt
    assert "linear_probe (no curve recorded)" in every["learning_curves"].facets[0].absent


def test_what_is_missing_for_one_reason_is_told_together() -> None:
    lost = [("ncm", "no curve"), ("lora", "1 of 3 failed"), ("svm_probe", "no curve")]
    facet = Facet.of("digits", pd.DataFrame(), "Curves", [], lost)
    assert facet.absent == "ncm and svm_probe (no curve); lora (1 of 3 failed)"


def test_words_tell_the_numbers(every: dict[str, Plot], table: pd.DataFrame) -> None:
    first = table.iloc[1]
    mean, half = 100 * first["accuracy"], 100 * first["accuracy_half"]
    told = f"linear_probe with 1 shot: {mean:.1f} ± {half:.1f} %"
    assert told in every["accuracy_by_shots"].facets[0].alt


def test_a_strategy_keeps_its_look(every: dict[str, Plot], look: dict[str, Look]) -> None:
    assert len({style.colour for style in look.values()}) == 5
    assert len({style.marker for style in look.values()}) == 5
    for plot in every.values():
        legend = plot.figure(look).legends[0]
        shown = zip(legend.get_texts(), legend.get_lines(), strict=True)
        assert all(look[text.get_text()].colour == line.get_color() for text, line in shown)


def test_many_strategies_look_different(frame_of: FrameOf) -> None:
    many = looks(
        strategies(frame_of({"from_scratch": [0.5], **{f"s{n}": [0.5] for n in range(24)}}))
    )
    assert len({(style.colour, style.marker, style.dash) for style in many.values()}) == 25
    assert sum(style.colour == many["from_scratch"].colour for style in many.values()) == 1


def test_nothing_overlaps(every: dict[str, Plot], look: dict[str, Look]) -> None:
    for plot in every.values():
        figure = plot.figure(look)
        figure.draw_without_rendering()
        boxes = [ax.get_tightbbox() for ax in figure.axes if ax.axison]
        boxes.append(figure.legends[0].get_window_extent())
        page = figure.bbox
        for place, box in enumerate(boxes):
            assert box is not None
            assert box.x0 >= page.x0 - 1
            assert box.x1 <= page.x1 + 1
            assert not any(box.overlaps(other) for other in boxes[place + 1 :])


def test_one_value_of_shots_is_a_row_of_dots(frame_of: FrameOf) -> None:
    frame = frame_of({"from_scratch": [0.1, 0.2], "a": [0.5, 0.6], "lost": [0.1, None]})
    plot = accuracy.by_shots(summary(frame))
    ax = plot.figure(looks(strategies(frame))).axes[0]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["from_scratch", "a"]
    assert "lost (1 of 2 failed)" in plot.facets[0].absent


def test_nothing_complete_is_no_plot(frame_of: FrameOf) -> None:
    table = summary(frame_of({"a": [0.5, None]}))
    assert not accuracy.by_shots(table).facets
    assert not accuracy.by_seconds(table, fronts.by_seconds(table)).facets


def by_memory(frame: pd.DataFrame) -> Plot:
    table = summary(frame)
    return accuracy.by_memory(table, fronts.by_memory(table))


def test_device_memory_where_all_have_it(frame_of: FrameOf) -> None:
    frame = frame_of({"a": [0.5], "b": [0.6]}, peak_device_bytes=2e9)
    plot = by_memory(frame)
    assert "at 2 GB" in plot.facets[0].alt
    xlabel = plot.figure(looks(strategies(frame))).axes[0].get_xlabel()
    assert xlabel == "peak memory of the accelerator, over the least"
    frame.loc[1, "peak_device_bytes"] = np.nan
    assert "at 1 GB" in by_memory(frame).facets[0].alt


def test_more_facets_than_can_be_read_are_counted(frame_of: FrameOf) -> None:
    columns = ["setting", "facet", "counts"]
    parts = [frame_of({"a": [0.5]}, problem=f"p{n}").drop(columns=columns) for n in range(20)]
    plot = accuracy.by_shots(summary(tidy(pd.concat(parts))))
    assert (len(plot.facets), plot.total) == (results.MOST_FACETS, 20)


# ── Pareto fronts ─────────────────────────────────────────────────────────────────────────────

POINTS = {  # accuracy and seconds
    "cheap": (0.5, 1.0),
    "twin": (0.5, 1.0),
    "dear": (0.5, 2.0),
    "good": (0.8, 3.0),
    "worse": (0.7, 4.0),
    "best": (0.9, 9.0),
    "bound": (0.99, 1.0),
}


@pytest.fixture
def pareto(frame_of: FrameOf) -> pd.DataFrame:
    frame = frame_of({label: [accuracy] for label, (accuracy, _) in POINTS.items()})
    frame["seconds_total"] = [seconds for _, seconds in POINTS.values()]
    frame.loc[frame["label"] == "bound", "oracle"] = "labels"
    return summary(frame)


def test_the_front_is_marked_and_told(pareto: pd.DataFrame, frame_of: FrameOf) -> None:
    plot = accuracy.by_seconds(pareto, fronts.by_seconds(pareto))
    assert "On the front: cheap, twin, good and best" in plot.facets[0].alt
    ax = plot.figure(looks(strategies(frame_of({label: [0.5] for label in POINTS})))).axes[0]
    assert [text.get_text() for text in ax.texts] == ["cheap", "twin", "good", "best"]


# ── intervals and names ───────────────────────────────────────────────────────────────────────


def test_bars_are_the_intervals(
    every: dict[str, Plot], look: dict[str, Look], table: pd.DataFrame
) -> None:
    ax = every["accuracy_by_shots"].figure(look).axes[0]
    rows = table[(table["problem"] == "digits") & (table["label"] == "linear_probe")]
    (bars,) = (found for found in ax.collections if isinstance(found, LineCollection))
    drawn = [
        segment[:, 1]
        for segment, colour in zip(bars.get_segments(), bars.get_colors(), strict=True)
        if to_hex(colour) == look["linear_probe"].colour
    ]
    expected = 100 * rows[["accuracy_low", "accuracy_high"]].to_numpy()
    assert np.array(drawn) == pytest.approx(expected)


def test_lines_are_named_where_they_end(every: dict[str, Plot], look: dict[str, Look]) -> None:
    """From the lowest end to the highest, and no two names on one line of text."""
    ax = every["best_by_trials"].figure(look).axes[0]
    ends = {label: lines(ax, style)[0][-1, 1] for label, style in look.items() if lines(ax, style)}
    names = [text.get_text() for text in ax.texts]
    assert names == sorted(ends, key=ends.__getitem__)
    heights = [text.xyann[1] for text in ax.texts]
    assert np.diff(heights).min() >= axes.LINE - 1e-9


places = st.lists(st.floats(0, 1), min_size=1, max_size=7).map(sorted)


@given(places)
def test_names_have_room_and_stay_inside(given_places: list[float]) -> None:
    found = axes.apart(np.array(given_places), 0.1)
    assert np.diff(found).min(initial=1) >= 0.1 - 1e-9
    assert found.max() <= 1
    assert found.min() >= 0
    if np.diff(given_places).min(initial=1) >= 0.1:
        assert found == pytest.approx(given_places)


def test_of_many_lines_the_highest_are_drawn() -> None:
    labels = [f"s{n}" for n in range(MOST_LINES + 2)]
    rows = pd.DataFrame({"label": [*labels, "no line"]})
    kept, note = highest(rows, pd.Series(range(len(labels)), labels))
    assert kept["label"].tolist() == [*labels[2:], "no line"]
    assert note == "Drawn: the 7 of 9 that end highest"
    assert highest(rows[2:], pd.Series(range(7), labels[2:]))[1] == ""


# ── learning ──────────────────────────────────────────────────────────────────────────────────


def test_a_learning_curve_is_that_of_the_middle_seed(frame_of: FrameOf) -> None:
    frame = frame_of({"a": [0.5, 0.5, 0.5], "b": [0.5, 0.5]})
    ends = [0.9, 0.7, 0.8, 0.6, 0.5]
    points = [
        (cell, step, value * step / 2)
        for cell, value in zip(frame["cell"], ends, strict=True)
        for step in (1, 2)
    ]
    found = Details(
        pd.DataFrame(columns=TRIAL),
        pd.DataFrame(points, columns=["cell", "step", "value"]),
        *({}, [], [], [], {}),
    )
    drawn = tuning(frame, summary(frame), found, {})().learning.points
    assert drawn[["label", "x"]].to_numpy().tolist() == [["a", 1], ["a", 2], ["b", 1], ["b", 2]]
    assert drawn["y"].tolist() == pytest.approx([40, 80, 25, 50])


NO_CURVES = pd.DataFrame(columns=["cell", "step", "value"])

# ── tuning ────────────────────────────────────────────────────────────────────────────────────


def test_best_curves_tell_their_ends(frame_of: FrameOf) -> None:
    frame = frame_of({"a": [0.5], "b": [None]})
    tried = [
        (frame["cell"][0], number, "complete", value, seconds, {}, True)
        for number, (value, seconds) in enumerate([(0.2, 1.0), (0.6, 3.0)])
    ]
    nothing = Details(pd.DataFrame(tried, columns=TRIAL), NO_CURVES, {}, [], [], [], {})
    table = summary(frame)
    tuned = tuning(frame, table, nothing, {})()
    by_trials = curves.best_by_trials(table, tuned.by_trials, as_run=False)
    by_seconds = curves.best_by_seconds(table, tuned.by_seconds)
    for plot, end in ((by_trials, "2 trials"), (by_seconds, "4 s")):
        (facet,) = plot.facets
        assert f"a: 60.0 % after {end}" in facet.alt
        assert facet.absent == "b (1 of 1 failed)"


def test_trials_that_depend_on_each_other_are_told_as_run(
    frame: pd.DataFrame, table: pd.DataFrame, details: Details
) -> None:
    found = tuning(frame, table, details, {"sampler": "tpe"})()
    plot = curves.best_by_trials(table, found.by_trials, as_run=found.as_run)
    assert found.as_run
    assert "in the order that the trials were run" in plot.caption
    group = details.trials[details.trials["cell"] == frame["cell"][0]].sort_values("number")
    drawn = plot.facets[0].data
    first = drawn[drawn["label"] == frame["label"][0]]
    cells = frame[(frame["setting"] == frame["setting"][0]) & (frame["label"] == "from_scratch")]
    values = details.trials[details.trials["cell"].isin(cells["cell"])]
    best = values.pivot(index="number", columns="cell", values="value").astype(float).cummax()
    assert len(first) == len(group)
    assert first["y"].to_numpy() == pytest.approx(100 * best.mean(axis=1).to_numpy())


def test_what_tuning_consumed_is_counted(frame_of: FrameOf) -> None:
    frame = frame_of({"a": [0.5, None, 0.5], "b": [0.5]})
    one, two, three, _ = frame["cell"]
    trials = pd.DataFrame(
        [
            (one, "complete", 1.0),
            (one, "pruned", 2.0),
            (two, "failed", 7.0),
            (two, "diverged", 3.0),
            (three, "complete", 4.0),
        ],
        columns=["cell", "state", "seconds"],
    )
    (row,) = consumed(frame, trials).to_dict("records")
    expected = {"cells": 3, "complete": 2, "pruned": 1, "failed": 1, "diverged": 1}
    assert row == {"setting": 0, "label": "a", **expected, "seconds_sum": 17, "seconds_median": 4}


# ── files ─────────────────────────────────────────────────────────────────────────────────────


def small() -> Figure:
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([1, 2], label="x", color=INK)
    return figure


def test_the_same_figure_is_the_same_bytes() -> None:
    assert images.svg(small(), "x") == images.svg(small(), "x")
    assert images.png(small(), "x") == images.png(small(), "x")
    assert images.png(small(), "x").startswith(b"\x89PNG")


def test_files_say_in_words_what_they_show() -> None:
    told = "a < b: 92.1 ± 0.8 %"
    assert b"a &lt; b: 92.1 \xc2\xb1 0.8 %" in images.svg(small(), told)
    with Image.open(io.BytesIO(images.png(small(), told))) as image:
        assert image.info["Description"] == told


def test_inline_svg_needs_nothing_and_stays_apart_from_others() -> None:
    alt = 'a <b> & "c"'
    one, two = images.inline_svg(small(), "one", alt), images.inline_svg(small(), "two", alt)
    assert "http" not in one
    assert INK not in one
    assert "currentColor" in one
    assert 'aria-label="a &lt;b&gt; &amp; &#34;c&#34;"' in one
    ids = [set(re.findall(r'\bid="([^"]*)"', text)) for text in (one, two)]
    assert not ids[0] & ids[1]
    assert set(re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', one)) != set()
    for pair in re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', one):
        assert set(pair) - {""} <= ids[0]
