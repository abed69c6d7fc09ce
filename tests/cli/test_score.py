"""``harness score``: predictions that were made elsewhere stand beside a suite's own."""

import csv
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss, roc_auc_score

import harness as library
from harness.record.store import Store
from harness.report.analysis.report import analyse
from harness.report.terminal import results as terminal

TRUE = load_digits().target
CLASSES = [str(digit) for digit in range(10)]


def published(results):
    """The published ids of the test examples, by seed."""
    found = {}
    for record in Store(results).records():
        split = json.loads((results / f"splits/{record.split_hash}.json").read_text())
        found[record.seed] = split["test"]
    return dict(sorted(found.items()))


def softmaxes(ids):
    """Answers that are right now and then."""
    logits = np.random.default_rng(0).normal(size=(len(TRUE), 10)) + 2 * np.eye(10)[TRUE]
    chances = np.exp(logits)[ids]
    return chances / chances.sum(1, keepdims=True)


def write(path, header, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture
def probable(results, tmp_path):
    """A file with a row for each example that either seed is tested on."""
    ids = sorted({number for test in published(results).values() for number in test})
    rows = [[number, *chances] for number, chances in zip(ids, softmaxes(ids), strict=True)]
    return write(tmp_path / "other.csv", ["id", *CLASSES], rows)


@pytest.fixture
def named(results, tmp_path):
    """A file with a class for each example of the first seed: wrong where it is a nine."""
    ids = published(results)[0]
    rows = [[number, min(TRUE[number], 8), "sure of it"] for number in ids]
    return write(tmp_path / "raters.csv", ["id", "class", "remark"], rows)


def test_scores_are_those_that_scikit_learn_gives(harness, results, probable):
    ended = harness("score", results, probable, "--label", "tool", "--format", "json")
    assert ended.status == 0, ended.err
    for row, (seed, ids) in zip(json.loads(ended.out), published(results).items(), strict=True):
        assert row["title"] == f"tool (made elsewhere) on digits, 2-shot, seed {seed} (conv4)"
        true, chances = TRUE[ids], softmaxes(ids)
        expected = {
            "accuracy": (chances.argmax(1) == true).mean(),
            "balanced_accuracy": balanced_accuracy_score(true, chances.argmax(1)),
            "f1_macro": f1_score(true, chances.argmax(1), average="macro"),
            "log_loss": log_loss(true, chances),
            "auroc_macro": roc_auc_score(true, chances, multi_class="ovr"),
        }
        found = {name: row["metrics"][name] for name in expected}
        assert found == pytest.approx(expected, abs=1e-9)


def test_they_are_tested_as_all_others_and_told_apart_by_name(harness, results, probable):
    assert harness("score", results, probable, "--label", "tool").status == 0
    report = analyse(Store(results))
    assert report.strategies.labels == ["linear_probe", "full_finetune", "tool (made elsewhere)"]
    pairs = report.decisions.pairwise.set_index(["left", "right"])
    pair = pairs.loc[("linear_probe", "tool (made elsewhere)")]
    accuracy = report.frame.pivot(index="seed", columns="label", values="accuracy")
    apart = accuracy["linear_probe"] - accuracy["tool (made elsewhere)"]
    assert pair["n"] == 2
    assert pair["difference"] == pytest.approx(apart.mean())
    assert pair["outcome"] != "untested"
    assert "tool (made elsewhere)" in terminal(report)
    assert not [fact for fact in report.details.facts if "(not recorded)" in fact.values]


def test_the_report_shows_them_and_that_their_cost_is_not_known(harness, results, named):
    ended = harness("score", results, named, "--label", "raters", "--seed", "0")
    assert ended.status == 0, ended.err
    assert harness("report", results).status == 0
    page = (results / "report/index.html").read_text()
    assert "raters (made elsewhere)" in page
    assert "4 cells ok" in page
    assert "1 result of predictions made elsewhere" in page
    for name in ("results", "cost", "cells", "metrics"):
        assert "raters (made elsewhere)" in (results / f"report/tables/{name}.md").read_text()
    cost = pd.read_csv(results / "report/tables/cost.csv").set_index("label")
    assert cost.loc["raters (made elsewhere)", ["seconds_total", "peak_host_bytes"]].isna().all()
    by_class = pd.read_csv(results / "report/tables/by_class.csv", dtype={"class": str})
    recall = by_class[by_class["label"] == "raters (made elsewhere)"].set_index("class")["recall"]
    assert recall.to_dict() == {**dict.fromkeys(CLASSES, 1.0), "9": 0.0}


def test_bare_classes_have_no_measure_of_confidence(harness, results, named):
    words = ("--label", "raters", "--seed", "0", "--format", "json")
    (row,) = json.loads(harness("score", results, named, *words).out)
    assert row["metrics"]["accuracy"] == (TRUE[published(results)[0]] != 9).mean()
    assert not {"log_loss", "ece", "auroc_macro"} & row["metrics"].keys()


def test_a_row_of_one_seed_keeps_nobody_from_winning(harness, results, named):
    """It could not be tested, and so nobody could be ahead of all others."""
    before = analyse(Store(results)).decisions.standings[0]
    assert harness("score", results, named, "--label", "raters", "--seed", "0").status == 0
    after = analyse(Store(results)).decisions.standings[0]
    assert (after.p, after.winner) == (before.p, before.winner)
    assert after.untested == ("raters (made elsewhere)",)


def test_a_column_tells_the_seed(harness, results, tmp_path):
    rows = [[seed, n, TRUE[n]] for seed, ids in published(results).items() for n in ids]
    path = write(tmp_path / "all.csv", ["seed", "id", "class"], rows)
    ended = harness("score", results, path, "--label", "oracle")
    assert ended.out.splitlines() == [
        f" 100.0 %  oracle (made elsewhere) on digits, 2-shot, seed {seed} (conv4)"
        for seed in (0, 1)
    ]
    assert (
        "Leave out --seed"
        in harness("score", results, path, "--label", "oracle", "--seed", "0").err
    )


def test_the_last_of_a_name_counts_and_a_plan_that_is_written_again_keeps_it(
    harness, results, named, probable
):
    for path in (named, probable):
        harness("score", results, path, "--label", "raters", "--seed", "0")
    ids = published(results)[0]
    assert harness("score", results, named, "--label", "raters", "--seed", "0").status == 0
    store = Store(results)
    store.write_plan(store.plan())
    (cell,) = [cell for cell in store.plan().cells if cell.label == "raters (made elsewhere)"]
    assert store.record(cell.cell).metrics["accuracy"] == (TRUE[ids] != 9).mean()
    assert store.strays() == []
    found = library.load(results).predictions.query("label == 'raters (made elsewhere)'")
    assert found["id"].tolist() == ids


def test_there_is_no_model_of_them(harness, results, named):
    harness("score", results, named, "--label", "raters", "--seed", "0")
    ended = harness("predict", results, named, "--label", "raters (made elsewhere)")
    assert ended.status == 2
    assert "no result that is left has it" in ended.complaint


def test_folders_are_merged_with_them(harness, results, named, tmp_path):
    shutil.copytree(results, tmp_path / "there")
    harness("score", "there", named, "--label", "raters", "--seed", "0")
    assert harness("merge", results, "there", "--to", "joined").status == 0
    joined = Store(tmp_path / "joined")
    assert [cell.label for cell in joined.plan().cells][-1] == "raters (made elsewhere)"
    assert (joined.frame()["status"] == "ok").all()


# ── what is wrong is one line ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows[:-2], "lacks 2 ids of the "),
        (lambda rows: [*rows, [999999, "1"]], "has 1 id not tested with seed 0: 999999"),
        (lambda rows: [*rows, rows[0]], "is there twice. Remove one"),
        (lambda rows: [["x", "1"], *rows], "line 2: the id 'x' is no whole number"),
        (lambda rows: [[rows[0][0], "ten"], *rows[1:]], "line 2: there is no class 'ten'"),
    ],
)
def test_ids_have_to_be_those_of_the_test(harness, results, tmp_path, change, said):
    rows = [[number, TRUE[number]] for number in published(results)[0]]
    path = write(tmp_path / "raters.csv", ["id", "class"], change(rows))
    ended = harness("score", results, path, "--label", "raters", "--seed", "0")
    assert ended.status == 2
    assert said in ended.complaint
    assert not [*(results / "records").glob("elsewhere-*")]


@pytest.mark.parametrize(
    ("header", "row", "said"),
    [
        (["id", "answer"], ["1", "1"], "neither a column 'class' nor one for each class: '0'"),
        (["number", "class"], ["1", "1"], "it has no column 'id'"),
        (["id", "class", "class"], ["1", "1", "1"], "it has the column 'class' twice"),
        (["id", *CLASSES], ["1", *["1.0"] * 10], "a sum of 1, but of 10"),
        (["id", *CLASSES], ["1", *["x"] * 10], "'x' is no probability of '0'"),
        (["id", *CLASSES], ["1", *["nan"] * 10], "a sum of 1, but of nan"),
    ],
)
def test_a_file_of_another_kind_is_told(harness, results, tmp_path, header, row, said):
    path = write(tmp_path / "other.csv", header, [row])
    ended = harness("score", results, path, "--label", "tool")
    assert ended.status == 2
    assert said in ended.complaint


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--label", "raters", "--seed", "7"), "--seed 7: there are no predictions of such a seed"),
        (("--label", "raters", "--shots", "3"), "--shots 3: no result that is left has it"),
        (("--label", " "), "--label ' ' is no name"),
    ],
)
def test_so_is_a_setting_that_is_not_there(harness, results, named, words, said):
    ended = harness("score", results, named, *words)
    assert ended.status == 2
    assert said in ended.complaint


def test_and_a_record_that_was_edited(harness, results, named):
    harness("score", results, named, "--label", "raters", "--seed", "0")
    (file,) = (results / "records").glob("elsewhere-*")
    file.write_text(file.read_text().replace('"ok"', '"failed"'))
    ended = harness("export", results)
    assert ended.status == 2
    assert "Remove it, and score those predictions again" in ended.complaint
