"""``harness compare``: two strategies, or two folders, with a test and a verdict in words."""

import json
import shutil

import numpy as np
import pytest
from scipy import stats

from harness.record.schema import Coordinates, Plan, Record
from harness.record.store import Store

SCORES = {
    "probe": [0.80, 0.82, 0.81],
    "full": [0.90, 0.925, 0.908],
    "copy": [0.81, 0.80, 0.82],
}


@pytest.fixture
def made(tmp_path):
    """Writes a folder: for each label an accuracy a seed, None where it failed."""

    def write(name, scores, split="same", problem="digits", trials=8):
        store, cells = Store(tmp_path / name), []
        for label, values in scores.items():
            for seed, accuracy in enumerate(values):
                cell = Coordinates(
                    cell=f"{label}-{seed}",
                    suite=name,
                    label=label,
                    strategy=label,
                    dataset="digits",
                    problem=problem,
                    protocol="transfer",
                    shots=5,
                    backbone="conv4",
                    seed=seed,
                )
                cells.append(cell)
                ok = accuracy is not None
                metrics = {"accuracy": accuracy, "log_loss": 1 - accuracy} if ok else {}
                store.write_record(
                    Record(
                        **cell.model_dump(),
                        status="ok" if ok else "failed",
                        metrics=metrics,
                        split_hash=f"{split}{seed}",
                    )
                )
        store.write_plan(Plan(suite=name, config={"budget": {"trials": trials}}, cells=cells))
        return store.directory

    return write


def told(harness, *words):
    ended = harness("compare", *words, "--format", "json")
    assert (ended.status, ended.err) == (0, "")
    return json.loads(ended.out)


def test_two_strategies_are_paired_by_seed(harness, made):
    found = told(harness, made("one", SCORES), "full", "probe")
    expected = stats.ttest_rel(SCORES["full"], SCORES["probe"])
    low, high = expected.confidence_interval()
    (setting,) = found["settings"]
    assert setting["test"] == "paired t"
    assert setting["p"] == pytest.approx(expected.pvalue)
    assert setting["difference"] == pytest.approx((low + high) / 2)
    assert setting["half_width"] == pytest.approx((high - low) / 2)
    assert setting["finding"] == "better"
    assert found["overall"]["difference"] == pytest.approx(setting["difference"])


def test_the_table_ends_with_a_verdict_in_words(harness, made):
    ended = harness("compare", made("one", SCORES), "full", "probe")
    assert ended.status == 0
    assert ended.out.splitlines()[0] == "accuracy: full minus probe"
    last = ended.out.splitlines()[-1]
    assert last.startswith("full has the higher accuracy over 1 setting: +10.1 ± ")
    assert "points against probe (t test, p < 0.001)." in last


def test_what_is_not_distinguishable_is_called_that(harness, made):
    ended = harness("compare", made("one", SCORES), "copy", "probe")
    assert "copy and probe are not distinguishable in accuracy over 1 setting" in ended.out


def test_a_metric_has_its_own_units(harness, made):
    folder = made("one", SCORES)
    ended = harness("compare", folder, "full", "probe", "--metric", "log_loss")
    assert "full has the lower log_loss over 1 setting: −0.101 ± " in ended.out
    assert "points" not in ended.out


def test_two_folders_are_compared_cell_by_cell(harness, made):
    after = {label: [x + 0.01 * i for i, x in enumerate(v)] for label, v in SCORES.items()}
    found = told(harness, made("one", SCORES), made("two", {**after, "new": [0.5, 0.5, 0.5]}))
    assert [setting["setting"] for setting in found["settings"]] == [
        f"{label} on digits, 5 shots" for label in SCORES
    ]
    assert {setting["test"] for setting in found["settings"]} == {"paired t"}
    assert [round(setting["difference"], 6) for setting in found["settings"]] == [-0.01] * 3
    (note,) = found["notes"]
    assert note.startswith("only in ")
    assert note.endswith("two: new on digits, 5 shots")


def test_a_folder_and_its_copy_are_the_same(harness, made, tmp_path):
    shutil.copytree(made("one", SCORES), tmp_path / "two")
    found = told(harness, tmp_path / "one", tmp_path / "two")
    assert found["overall"]["p"] == 1
    assert {setting["finding"] for setting in found["settings"]} == {"not distinguishable"}


def test_other_splits_are_not_paired(harness, made):
    one = made("one", {"probe": SCORES["probe"]})
    two = made("two", {"probe": SCORES["full"]}, split="other")
    found = told(harness, one, two)
    expected = stats.ttest_ind(SCORES["probe"], SCORES["full"], equal_var=False)
    assert found["settings"][0]["test"] == "Welch"
    assert found["settings"][0]["p"] == pytest.approx(expected.pvalue)
    assert found["overall"]["p"] == pytest.approx(expected.pvalue)
    assert "the splits differ" in found["notes"][0]


def test_folders_of_two_budgets_are_compared_and_it_is_told(harness, made):
    found = told(harness, made("one", SCORES), made("two", SCORES, trials=16))
    assert found["notes"] == ['the budgets differ: {"trials": 8} and {"trials": 16}']


def test_a_gap_is_told_and_no_mean_is_taken_over_the_rest(harness, made):
    folder = made("one", {**SCORES, "broken": [0.5, None, 0.5]})
    ended = harness("compare", folder, "probe", "broken")
    assert (ended.status, ended.out) == (2, "")
    assert "broken has 1 of 3 cells without a result" in ended.complaint


def test_seeds_that_only_one_folder_has_are_left_out(harness, made):
    one = made("one", {"probe": [0.8, 0.82, 0.81]})
    found = told(harness, one, made("two", {"probe": [0.8, 0.83]}))
    assert found["settings"][0]["seeds"] == [0, 1]
    assert "1 cell of a seed that only one side has" in found["notes"][0]


def test_stored_predictions_are_compared_model_by_model(harness, made):
    folder = made("one", SCORES)
    store = Store(folder)
    labels = np.zeros(200, dtype=np.int64)
    for label, right in (("probe", 150), ("full", 190)):
        for seed in range(2):
            logits = np.where(np.arange(200)[:, None] < right, [1.0, 0.0], [0.0, 1.0])
            arrays = {"logits": logits, "labels": labels, "ids": np.arange(200)}
            store.write_predictions(f"{label}-{seed}", arrays)
    found = told(harness, folder, "full", "probe")
    models = found["settings"][0]["models"]
    assert [model["seed"] for model in models] == [0, 1]
    # All 40 examples that one alone gets right are the first's: 2 · ½⁴⁰, for two pairs.
    assert models[0]["p_holm"] == pytest.approx(2 * 2 * 0.5**40)
    assert (models[0]["difference"], models[0]["examples"]) == (pytest.approx(0.2), 200)
    shown = harness("compare", folder, "full", "probe").out
    assert "2 of 2" in shown
    assert "That speaks of these models, not of other seeds." in shown


def test_one_seed_is_not_tested(harness, made):
    folder = made("one", {"a": [0.5], "b": [0.6]})
    assert "Not tested: that takes several seeds" in harness("compare", folder, "a", "b").out
    assert told(harness, folder, "a", "b")["overall"]["p"] is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["full", "prob"], "has no strategy 'prob' (did you mean 'probe'?). 'harness export "),
        (["ful", "prob"], "no strategy 'ful' (did you mean 'full'?), 'prob' (did you mean "),
        (["full", "full"], "'full' can't be compared with itself. Name two strategies"),
        (["full"], "there is no folder 'full'. Name two strategies of a folder, or two folders"),
        (["full", "probe", "--metric", "acuracy"], "has no metric 'acuracy' (did you mean "),
        (["full", "probe", "--metric", "seed"], "has no metric 'seed'"),
    ],
)
def test_wrong_usage_is_one_line(harness, made, words, said):
    ended = harness("compare", made("one", SCORES), *words)
    assert (ended.status, ended.out) == (2, "")
    assert said in ended.complaint


def test_three_names_are_too_many(harness, made):
    ended = harness("compare", made("one", SCORES), "probe", "full", "copy")
    assert ended.status == 2
    assert "name two strategies of a folder, or two folders." in ended.err


def test_folders_with_nothing_in_common_are_refused(harness, made):
    ended = harness("compare", made("one", SCORES), made("two", SCORES, problem="letters"))
    assert ended.status == 2
    assert "have no result in common: only in " in ended.complaint


def test_a_folder_without_a_finished_cell_is_refused(harness, made):
    ended = harness("compare", made("one", SCORES), made("two", {"probe": [None]}))
    assert ended.status == 2
    assert ended.complaint.endswith("two has no finished cell. Run its suite first")


def test_a_folder_without_results_is_refused(harness, made, tmp_path):
    (tmp_path / "empty").mkdir()
    ended = harness("compare", made("one", SCORES), tmp_path / "empty")
    assert ended.status == 2
    assert "holds no results (no plan.json)" in ended.complaint


@pytest.mark.parametrize("odd", ["a, b", "lr=0.1", 'the "best"', "o'hara", " ", "é → 猫", "-x"])
def test_a_label_may_hold_any_signs(harness, made, odd):
    folder = made("one", {odd: SCORES["full"], "probe": SCORES["probe"]})
    ended = harness("compare", "--format", "json", "--", folder, odd, "probe")
    assert (ended.status, json.loads(ended.out)["left"]) == (0, odd)
