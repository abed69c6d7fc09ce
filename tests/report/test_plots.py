"""Plots show complete groups and nothing else, look alike, and can be told in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from harness.record.store import Store
from harness.report import images, plots
from harness.report.details import Details, collect
from harness.report.plots import Plot
from harness.report.results import summary, tidy
from harness.report.style import INK, Look, looks

FrameOf = Callable[..., pd.DataFrame]


@pytest.fixture(scope="module")
def details(results: Path) -> Details:
    store = Store(results)
    return collect(store, store.plan().cells)


@pytest.fixture(scope="module")
def every(frame: pd.DataFrame, table: pd.DataFrame, details: Details) -> dict[str, Plot]:
    found = plots.all_plots(frame, table, details.trials, details.curves)
    return {plot.name: plot for plot in found}


@pytest.fixture(scope="module")
def look(frame: pd.DataFrame) -> dict[str, Look]:
    return looks(frame)


def lines(ax: Axes, look: Look) -> list[np.ndarray]:
    """The points of the lines in one strategy's colour, one array a line."""
    found = [line for line in ax.get_lines() if to_hex(line.get_color()) == look.colour]
    return [np.asarray(line.get_xydata()) for line in found if len(line.get_xdata())]


def test_there_are_five_plots(every: dict[str, Plot]) -> None:
    assert list(every) == [
        "accuracy_by_shots",
        "accuracy_by_seconds",
        "accuracy_by_memory",
        "tuning_curves",
        "learning_curves",
    ]
    assert [len(plot.facets) for plot in every.values()] == [2, 2, 2, 5, 5]


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


@pytest.mark.parametrize("name", ["accuracy_by_seconds", "accuracy_by_memory"])
def test_accuracy_against_cost_breaks_at_a_gap(
    every: dict[str, Plot], look: dict[str, Look], name: str
) -> None:
    ax = every[name].figure(look).axes[0]
    assert ax.get_xscale() == "log"
    assert np.isnan(lines(ax, look["full_finetune"])[0][1]).all()


def test_gaps_are_named_under_the_axes_and_in_the_words(every: dict[str, Plot]) -> None:
    facet = every["accuracy_by_shots"].facets[0]
    for lost in ("full_finetune, 5 shots (1 of 3 failed)", "maml, 1 shot (1 of 3 pending)"):
        assert lost in facet.absent
        assert lost in facet.alt
    assert "linear_probe (no curve recorded)" in every["learning_curves"].facets[0].absent


def test_words_tell_the_numbers(every: dict[str, Plot], table: pd.DataFrame) -> None:
    first = table.iloc[1]
    mean, half = 100 * first["accuracy"], 100 * first["accuracy_half"]
    told = f"linear_probe, 1 shot: {mean:.1f} ± {half:.1f} %"
    assert told in every["accuracy_by_shots"].facets[0].alt


def test_a_strategy_keeps_its_look(every: dict[str, Plot], look: dict[str, Look]) -> None:
    assert len({style.colour for style in look.values()}) == 5
    assert len({style.marker for style in look.values()}) == 5
    for plot in every.values():
        legend = plot.figure(look).legends[0]
        shown = zip(legend.get_texts(), legend.get_lines(), strict=True)
        assert all(look[text.get_text()].colour == line.get_color() for text, line in shown)


def test_many_strategies_look_different(frame_of: FrameOf) -> None:
    many = looks(frame_of({"from_scratch": [0.5], **{f"s{n}": [0.5] for n in range(24)}}))
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
    plot = plots.accuracy_by_shots(summary(frame))
    ax = plot.figure(looks(frame)).axes[0]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["from_scratch", "a"]
    assert "lost (1 of 2 failed)" in plot.facets[0].absent


def test_nothing_complete_is_no_plot(frame_of: FrameOf) -> None:
    frame = frame_of({"a": [0.5, None]})
    nothing = pd.DataFrame(columns=["cell", "number", "state", "value", "step"])
    assert plots.all_plots(frame, summary(frame), nothing, nothing) == []


def test_device_memory_where_all_have_it(frame_of: FrameOf) -> None:
    frame = frame_of({"a": [0.5], "b": [0.6]}, peak_device_bytes=2e9)
    plot = plots.accuracy_by_memory(summary(frame))
    assert "at 2 GB" in plot.facets[0].alt
    assert plot.figure(looks(frame)).axes[0].get_xlabel() == "peak memory of the accelerator"
    frame.loc[1, "peak_device_bytes"] = np.nan
    assert "at 1 GB" in plots.accuracy_by_memory(summary(frame)).facets[0].alt


def test_more_facets_than_can_be_read_are_counted(frame_of: FrameOf) -> None:
    columns = ["setting", "facet", "counts"]
    parts = [frame_of({"a": [0.5]}, problem=f"p{n}").drop(columns=columns) for n in range(20)]
    plot = plots.accuracy_by_shots(summary(tidy(pd.concat(parts))))
    assert (len(plot.facets), plot.total) == (plots.MOST, 20)


# ── tuning curves ─────────────────────────────────────────────────────────────────────────────


def trials_of(frame: pd.DataFrame, values: Sequence[Sequence[float | None]]) -> pd.DataFrame:
    """Trials of the frame's cells in order; None is a trial that failed."""
    rows = [
        (cell, number, "failed" if value is None else "complete", value)
        for cell, tried in zip(frame["cell"], values, strict=True)
        for number, value in enumerate(tried)
    ]
    return pd.DataFrame(rows, columns=["cell", "number", "state", "value"])


def curve(plot: Plot) -> list[tuple[int, float]]:
    data = plot.facets[0].data
    return [(int(x), round(float(y), 6)) for x, y in zip(data["x"], data["y"], strict=True)]


def test_tuning_curves_by_hand(frame_of: FrameOf) -> None:
    frame = frame_of({"a": [0.5, 0.5]})
    trials = trials_of(frame, [[0.2, 0.6, 0.4], [0.4, None, 0.8]])
    # Best so far .2 .6 .6 and .4 .4 .8: means .3 .5 .7.
    plot = plots.tuning_curves(frame, summary(frame), trials)
    assert curve(plot) == [(1, 30.0), (2, 50.0), (3, 70.0)]


def test_a_tuning_curve_has_every_seed_in_every_point(frame_of: FrameOf) -> None:
    frame = frame_of({"a": [0.5, 0.5]})
    trials = trials_of(frame, [[0.2, 0.6, 0.7, 0.8], [None, 0.4]])
    # The second seed has nothing before its second trial, and no third.
    assert curve(plots.tuning_curves(frame, summary(frame), trials)) == [(2, 50.0)]


def test_a_pruned_trial_is_no_best(frame_of: FrameOf) -> None:
    frame = frame_of({"a": [0.5]})
    trials = trials_of(frame, [[0.2, 0.9]])
    trials.loc[1, "state"] = "pruned"
    assert curve(plots.tuning_curves(frame, summary(frame), trials)) == [(1, 20.0), (2, 20.0)]


# ── files ─────────────────────────────────────────────────────────────────────────────────────


def small() -> Figure:
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([1, 2], label="x", color=INK)
    return figure


def test_the_same_figure_is_the_same_bytes() -> None:
    assert images.svg(small()) == images.svg(small())
    assert images.png(small()) == images.png(small())
    assert images.png(small()).startswith(b"\x89PNG")


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
