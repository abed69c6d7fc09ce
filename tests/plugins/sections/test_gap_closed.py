"""Shares of the gap, worked out by hand."""

import re
from pathlib import Path

import pandas as pd
import pytest
from harness_plugins.sections.gap_closed import harness_report_sections

from harness.record.store import COLUMNS


def frame_of(*rows, protocol="adaptation"):
    """A frame of ``(label, seed, accuracy)``, and what else a row changes; no accuracy: failed."""
    cells = [
        {
            "label": label,
            "strategy": label,
            "seed": seed,
            "accuracy": accuracy,
            "status": "failed" if accuracy is None else "ok",
            "protocol": protocol,
            "problem": "usps",
            "shots": "all",
            "backbone": "conv4",
            **(changes[0] if changes else {}),
        }
        for label, seed, accuracy, *changes in rows
    ]
    return pd.DataFrame(cells, columns=list(COLUMNS))


BOUNDS = (
    ("source_only", 0, 0.50),
    ("source_only", 1, 0.60),
    ("target_supervised", 0, 0.90),
    ("target_supervised", 1, 0.80),
)
"""The gaps are 0.4 and 0.2: 0.3 in the mean."""


def section(*rows):
    (found,) = harness_report_sections(frame_of(*rows), Path())
    return found


def table(*rows):
    """The cells of the table, as text; each row a strategy's."""
    lines = re.findall(r"<tr>(<td.*?)</tr>", section(*rows).html)
    return [re.findall(r"<td[^>]*>(.*?)</td>", line) for line in lines]


def notes(*rows):
    return re.findall(r'<p class="note">(.*?)</p>', section(*rows).html)


def test_the_share_is_of_the_mean_gap_over_the_seeds():
    # gains of 0.20 and 0.10 in gaps of 0.4 and 0.2: 0.15 / 0.30
    rows = (*BOUNDS, ("dann", 0, 0.70), ("dann", 1, 0.70))
    assert table(*rows) == [["usps", "conv4", "dann", "50.0", "2"]]
    assert notes(*rows) == []


def test_it_may_be_more_than_the_labels_are_worth_and_less_than_nothing():
    better = (("dann", 0, 0.90), ("dann", 1, 0.95))  # (0.925 - 0.55) / 0.30
    worse = (("coral", 0, 0.50), ("coral", 1, 0.55))  # (0.525 - 0.55) / 0.30
    assert [row[2:] for row in table(*BOUNDS, *better, *worse)] == [
        ["dann", "125.0", "2"],
        ["coral", "−8.3", "2"],
    ]


def test_only_seeds_that_all_three_share_count():
    # With seed 0 alone: 0.30 / 0.40. Seed 1 failed, and seed 2 has no bounds.
    rows = (*BOUNDS, ("dann", 0, 0.80), ("dann", 1, None), ("dann", 2, 0.99))
    assert table(*rows) == [["usps", "conv4", "dann", "75.0", "1 of 3"]]


def test_problems_shots_and_backbones_are_apart():
    def moved(**place):
        bounds = [(label, seed, accuracy - 0.1, place) for label, seed, accuracy in BOUNDS]
        return *bounds, ("dann", 0, 0.45, place)  # 0.05 / 0.40

    rows = (*BOUNDS, ("dann", 0, 0.60), *moved(shots=5), *moved(backbone="vit"))  # 0.10 / 0.40
    assert table(*rows, *moved(problem="svhn")) == [
        ["usps", "conv4", "dann", "25.0", "1"],
        ["usps, 5 shots", "conv4", "dann", "12.5", "1"],
        ["usps", "vit", "dann", "12.5", "1"],
        ["svhn", "conv4", "dann", "12.5", "1"],
    ]


def test_a_gap_that_is_none_is_not_divided_by():
    rows = (("source_only", 0, 0.9), ("target_supervised", 0, 0.9), ("dann", 0, 0.95))
    assert table(*rows) == [["usps", "conv4", "dann", "–", "1"]]
    (note,) = notes(*rows)
    assert "target_supervised is no better than source_only" in note


def test_a_setting_without_one_bound_says_so():
    rows = (*BOUNDS, ("dann", 0, 0.7), ("source_only", 0, 0.5, {"problem": "svhn"}))
    rows += (("dann", 0, 0.6, {"problem": "svhn"}),)
    assert table(*rows)[1] == ["svhn", "conv4", "dann", "–", "0 of 1"]
    assert notes(*rows) == [
        "svhn (conv4): with no seed are dann, source_only and target_supervised all ok."
    ]


def test_bounds_go_by_the_plugin_and_are_called_what_the_suite_calls_them():
    lower = {"strategy": "source_only"}
    rows = (("plain", 0, 0.5, lower), ("target_supervised", 0, 0.9), ("dann", 0, 0.7))
    assert table(*rows) == [["usps", "conv4", "dann", "50.0", "1"]]
    assert "<b>plain</b>" in section(*rows).html


@pytest.mark.parametrize("absent", ["source_only", "target_supervised"])
def test_there_is_no_section_without_both_bounds(absent):
    rows = [row for row in (*BOUNDS, ("dann", 0, 0.7)) if row[0] != absent]
    assert harness_report_sections(frame_of(*rows), Path()) == []


def test_there_is_no_section_without_anything_between_the_bounds():
    assert harness_report_sections(frame_of(*BOUNDS), Path()) == []


def test_there_is_no_section_for_other_protocols():
    rows = (*BOUNDS, ("dann", 0, 0.7))
    assert harness_report_sections(frame_of(*rows, protocol="transfer"), Path()) == []
    assert harness_report_sections(frame_of(), Path()) == []


def test_names_are_escaped():
    script = "<script>alert(1)</script>"
    place = {"problem": script, "backbone": script}
    rows = [(label, seed, accuracy, place) for label, seed, accuracy in BOUNDS]
    rows += [(script, 0, 0.7, place), ("x & y", 5, 0.7, place)]
    html = section(*rows).html
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 3 + 2 + 2  # the cells of two rows, and a note's place
    assert "x &amp; y" in html


def test_a_gap_of_rounding_is_none():
    """29 of 60 with and without the labels: as floats the means differ in the last bit."""
    without, having = [7 / 20, 17 / 20, 5 / 20], [8 / 20, 16 / 20, 5 / 20]
    rows = [
        (label, seed, accuracy)
        for label, accuracies in (
            ("source_only", without),
            ("dann", without),
            ("target_supervised", having),
        )
        for seed, accuracy in enumerate(accuracies)
    ]
    assert [row[3] for row in table(*rows)] == ["–"]
    assert "no better than source_only" in notes(*rows)[0]
