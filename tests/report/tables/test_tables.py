"""The tables hold what the statistics say, in every format, whatever a label is made of."""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats

from harness.record.schema import Coordinates, Record
from harness.record.store import COLUMNS, Store
from harness.report import format
from harness.report.analysis.problems import ranking
from harness.report.analysis.report import analyse
from harness.report.analysis.results import strategies, summary, tidy
from harness.report.analysis.scores import scores
from harness.report.analysis.tests import Decisions
from harness.report.tables import markup
from harness.report.tables.files import average_ranks, render_tables
from harness.report.tables.text import ranks_table, results_table

NASTY = r"a_b & 100% $x^2$ #1 {c} \d ~e <f> [g] | `h` *i*"


@pytest.fixture(scope="module")
def files(results: Path) -> dict[str, str]:
    return render_tables(analyse(Store(results)))


def test_claims_of_results_folders_become_one_document(
    folder: Callable[..., Path], cell: Callable[..., Coordinates], done: Callable[..., Record]
) -> None:
    records = [
        done(cell(label, 5, seed), accuracy + seed / 100)
        for label, accuracy in {"LP": 0.5, "FT": 0.7}.items()
        for seed in range(4)
    ]
    claim = {"left": "FT", "sign": ">", "right": "LP", "where": {}, "source": "a | b"}
    directory = folder(records, records, config={"claims": [claim]})
    tables = render_tables(analyse(Store(directory)))
    (directory / "report/tables").mkdir(parents=True)
    (directory / "report/tables/claims.md").write_text(tables["claims.md"])
    script = Path(__file__).parents[3] / "results/reference/claims.sh"
    wrote = subprocess.run([script, directory], capture_output=True, text=True, check=True).stdout
    assert wrote.startswith("# Published claims")
    assert wrote.endswith(f"\n## {directory.name}\n\n{tables['claims.md']}")
    assert "| FT &gt; LP | digits | 5 shots |" in wrote


def lines(markdown: str) -> list[list[str]]:
    """The cells of a pipe table, its rule left out."""
    rows = [row.strip("|").split(" | ") for row in markdown.splitlines()]
    return [[cell.strip() for cell in row] for place, row in enumerate(rows) if place != 1]


def test_every_table_comes_in_every_format(files: dict[str, str]) -> None:
    names = {
        f"{table}.{kind}"
        for table in (
            *("results", "metrics", "cost", "cells", "comparisons", "overall", "ranks"),
            *("best", "tuned", "consumed"),
        )
        for kind in ("csv", "md", "tex")
    }
    assert files.keys() == names | {"decisions.csv"}


def test_results_are_mean_half_width_and_gain(frame: pd.DataFrame, files: dict[str, str]) -> None:
    head, *body = lines(files["results.md"])
    rows = {row[0]: dict(zip(head, row, strict=True)) for row in body}
    cells = frame[(frame["problem"] == "digits") & (frame["shots"] == 1)]
    probe = cells[cells["label"] == "linear_probe"].sort_values("seed")["accuracy"].to_numpy()
    scratch = cells[cells["label"] == "from_scratch"].sort_values("seed")["accuracy"].to_numpy()
    mean, half = probe.mean(), scipy_stats.t.ppf(0.975, 2) * scipy_stats.sem(probe)
    gain = probe - scratch
    gain_half = scipy_stats.t.ppf(0.975, 2) * scipy_stats.sem(gain)
    got = rows["linear_probe"]
    assert got["digits, 1 shot: accuracy (%)"] == f"{100 * mean:.1f} ± {100 * half:.1f}"
    expected = f"{100 * gain.mean():+.1f} ± {100 * gain_half:.1f}"
    assert got["digits, 1 shot: gain over from_scratch (points)"] == expected


def test_every_metric_is_a_mean_over_seeds(frame: pd.DataFrame, files: dict[str, str]) -> None:
    head, *body = lines(files["metrics.md"])
    row = next(dict(zip(head, row, strict=True)) for row in body if row[2] == "linear_probe")
    cells = frame[(frame["problem"] == "digits") & (frame["shots"] == 1)]
    probe = cells[cells["label"] == "linear_probe"]
    assert row["f1 macro (%)"] == f"{100 * probe['f1_macro'].mean():.1f}"
    assert float(row["log loss (nats)"]) == pytest.approx(probe["log_loss"].mean(), rel=5e-3)
    assert row["AUROC macro (%)"] == "–"  # no cell has one


def test_cost_tells_flops_and_throughput_and_no_joules_that_nobody_counted(
    files: dict[str, str],
) -> None:
    head, *body = lines(files["cost.md"])
    row = next(dict(zip(head, row, strict=True)) for row in body if row[2] == "linear_probe")
    assert (row["to fit"], row["to predict one"]) == ("650 MFLOP", "134 kFLOP")
    assert (row["predicted a second, one by one"], row["in bulk"]) == ("412", "12,300")
    assert not any("energy" in name for name in head)


def test_gaps_are_shown_as_gaps(files: dict[str, str]) -> None:
    head, *body = lines(files["results.md"])
    rows = {row[0]: dict(zip(head, row, strict=True)) for row in body}
    assert rows["full_finetune"]["digits, 5 shots: accuracy (%)"] == "1 of 3 failed"
    assert rows["full_finetune"]["digits, 5 shots: gain over from_scratch (points)"] == "–"
    assert rows["maml"]["digits, all data: accuracy (%)"] == "3 of 3 unsupported"
    assert "1 of 3 failed" in files["results.tex"]
    numbers = pd.read_csv(io.StringIO(files["results.csv"]))
    assert (numbers["accuracy"].isna() == numbers["gap"].notna()).all()


def test_csv_holds_the_numbers_themselves(files: dict[str, str], table: pd.DataFrame) -> None:
    read = pd.read_csv(io.StringIO(files["results.csv"]))
    for name in ("accuracy", "accuracy_half", "gain", "gain_half"):
        pd.testing.assert_series_equal(read[name], table[name])
    cost = pd.read_csv(io.StringIO(files["cost.csv"]))
    pd.testing.assert_series_equal(cost["seconds_total"], table["seconds_total"])
    cells = pd.read_csv(io.StringIO(files["cells.csv"]))
    assert list(cells.columns[: len(COLUMNS)]) == COLUMNS
    assert len(cells) == 55


def test_every_comparison_tells_its_test(files: dict[str, str], decisions: Decisions) -> None:
    read = pd.read_csv(io.StringIO(files["comparisons.csv"]))
    pd.testing.assert_series_equal(read["p_holm"], decisions.pairwise["p_holm"])
    assert {"problem", "shots", "backbone", "left", "right", "difference", "n", "p"} <= {*read}
    head, *body = lines(files["comparisons.md"])
    assert len(body) == len(read)
    rows = [dict(zip(head, row, strict=True)) for row in body]
    single = [row for row in rows if row["seeds"] == "1"]
    assert {(row["p (Holm)"], row["finding"]) for row in single} == {("–", "not tested")}


def test_what_holds_over_all_problems_is_a_table(
    files: dict[str, str], decisions: Decisions
) -> None:
    read = pd.read_csv(io.StringIO(files["overall.csv"]))
    rows = [*decisions.gains, *decisions.leader]
    assert list(read["points"]) == pytest.approx([row.points for row in rows])
    head, *body = lines(files["overall.md"])
    assert [row[:2] for row in body] == [[row.left, row.right] for row in rows]
    assert "probability of improvement" in head


def test_a_cached_phase_is_marked(files: dict[str, str]) -> None:
    head, *body = lines(files["cost.md"])
    rows = [dict(zip(head, row, strict=True)) for row in body]
    probe = next(row for row in rows if row["strategy"] == "linear_probe")
    assert probe["features (s)"] == "0.210 †"
    assert not probe["tune (s)"].endswith("†")


def test_costs_that_are_nothing_throughout_have_no_column(files: dict[str, str]) -> None:
    head, *body = lines(files["cost.md"])
    assert "pretrain (s)" in head
    assert "peak on device" not in head  # all cells were on a CPU
    assert all(set(column) - {"0", "–"} for column in zip(*body, strict=True))


def test_markdown_shows_a_label_as_it_is() -> None:
    text = markup.markdown(pd.DataFrame({"strategy": [NASTY], "n": ["1"]}))
    assert len(text.splitlines()) == 3
    assert r"\[g\] \| \`h\` \*i\*" in text
    assert "&lt;f&gt;" in text
    assert "a_b" in text
    assert markup.markdown_escape("_a_ b\nc") == r"\_a\_ b c"


def test_latex_escapes_what_it_would_act_on() -> None:
    escaped = markup.latex_escape("a_b & 100% $5 #1 {c} ~ ^ \\")
    assert escaped == (
        r"a\_b \& 100\% \$5 \#1 \{c\} \textasciitilde{} \textasciicircum{} \textbackslash{}"
    )
    assert markup.latex_escape("92.1 ± 0.8 −") == r"92.1 $\pm$ 0.8 $-$"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(
    tmp_path: Path, files: dict[str, str], frame_of: Callable[..., pd.DataFrame]
) -> None:
    nasty = frame_of({NASTY: [0.5, 0.6], "from_scratch": [0.1, None]}, problem=f"on {NASTY}")
    fragments = [text for name, text in files.items() if name.endswith(".tex")]
    fragments.append(markup.latex(results_table(strategies(nasty), summary(nasty))))
    document = (
        r"\documentclass{article}\usepackage[a0paper,landscape]{geometry}"
        r"\usepackage{booktabs,longtable}\begin{document}"
        + "\n\n".join(fragments)
        + r"\end{document}"
    )
    (tmp_path / "all.tex").write_text(document)
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def test_a_terminal_gets_short_lines_with_the_same_numbers(
    table: pd.DataFrame, frame: pd.DataFrame
) -> None:
    shown = results_table(strategies(frame), table)
    text = markup.terminal(shown)
    assert len(text.splitlines()[0]) < len(markup.markdown(shown).splitlines()[0])
    for value in shown.iloc[:, 1]:
        assert str(value) in text


def test_ranks_are_a_table_of_the_best_first(frame_of: Callable[..., pd.DataFrame]) -> None:
    given = {"a": [0.1, 0.2], "b": [0.5, 0.6], "c": [0.3, 0.4]}
    parts = [frame_of(given, problem=f"p{n}") for n in range(6)]
    frame = tidy(pd.concat(parts).drop(columns=["setting", "facet", "counts"]))
    apart = np.array([[False, True, False], [True, False, True], [False, True, False]])
    ranked, few = ranking(scores(frame)), ranking(scores(parts[0]))
    shown = ranks_table(ranked, apart)
    assert shown["strategy"].to_list() == ["b", "c", "a"]
    assert shown["average rank"].to_list() == ["1.00", "2.00", "3.00"]
    assert shown["not told apart from"].to_list() == [format.GAP, "a", "c"]
    assert average_ranks(ranked)["average rank"].to_list() == [1, 2, 3]
    assert ranks_table(few, apart).empty
    assert average_ranks(few).empty


def test_what_was_decided_is_a_table(files: dict[str, str], decisions: Decisions) -> None:
    *settings, overall = csv.DictReader(io.StringIO(files["decisions.csv"]))
    assert len(settings) == len(decisions.standings)
    for row, standing in zip(settings, decisions.standings, strict=True):
        assert row["leader"] == standing.ranking[0]
        assert row["winner"] == (standing.winner or "")
        assert row["tied"] == ", ".join(standing.tied)
        assert row["cheapest"] == (standing.cheapest or "")
        assert float(row["alpha"]) == 0.02
    assert (overall["problem"], overall["leader"]) == ("", decisions.overall.leader)
    assert float(overall["alpha"]) == 0.01
