"""``harness.load``: a results folder as data frames."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

import harness
from harness.errors import HarnessError
from harness.record.schema import Further, Plan, Trial


@pytest.fixture
def folder(store, makes):
    """Two strategies with other hyperparameters; one cell failed, one is pending."""
    cells = [
        makes.cell("a", label="LP"),
        makes.cell("b", label="FT", strategy="full_finetune"),
        makes.cell("c", label="FT", strategy="full_finetune", seed=1),
        makes.cell("d", label="LP", seed=1, shots="all"),
    ]
    store.write_plan(Plan(suite="small", cells=cells))
    probe = [
        Trial(number=0, state="complete", settings={"C": 1, "std": True}, value=0.5, loss=0.7),
        Trial(number=1, state="complete", settings={"C": 2, "std": False}, value=0.75, loss=0.6),
    ]
    store.write_record(makes.record("a", label="LP", trials=probe, selected=1))
    tuned = [
        Trial(number=0, state="complete", settings={"lr": 0.1, "C": 1, "opt": "sgd"}, value=0.5),
        Trial(number=1, state="failed", settings={"lr": 1, "C": 1, "opt": [1]}, reason="no"),
    ]
    made = {"label": "FT", "strategy": "full_finetune"}
    store.write_record(makes.record("b", trials=tuned, selected=0, **made))
    store.write_record(makes.record("c", seed=1, status="failed", trials=[], **made))
    return store


LOGITS = np.array([[2.0, 0.0, -1.0], [0.0, 3.0, 0.5], [1.0, 0.0, 0.0]], dtype=np.float32)


def answered(folder, cell="a"):
    labels, ids = np.array([0, 2, 1]), np.array([7, 3, 5])
    folder.write_predictions(cell, {"logits": LOGITS, "labels": labels, "ids": ids})
    folder.write_split("0f", {"classes": ["cat", "dog", "owl"]})


def test_cells_are_those_of_the_export(folder):
    cells = harness.load(folder.directory).cells
    assert list(cells["status"]) == ["ok", "ok", "failed", "pending"]
    assert {name: str(cells[name].dtype) for name in ("label", "seed", "accuracy", "baseline")} == {
        "label": "string",
        "seed": "Int64",
        "accuracy": "float64",
        "baseline": "boolean",
    }


def test_a_row_a_trial_with_a_column_a_hyperparameter(folder):
    trials = harness.load(str(folder.directory)).trials
    assert list(trials["label"]) == ["LP", "LP", "FT", "FT"]
    assert list(trials["number"]) == [0, 1, 0, 1]
    assert list(trials["selected"]) == [False, True, True, False]
    assert list(trials["value"][:3]) == [0.5, 0.75, 0.5]
    assert trials["reason"].iloc[3] == "no"
    assert list(trials["params_C"]) == [1, 2, 1, 1]
    assert list(trials["params_std"][:2]) == [True, False]
    assert trials["params_std"][2:].isna().all()
    assert list(trials["params_lr"].fillna(-1)) == [-1, -1, 0.1, 1]
    assert list(trials["params_opt"][2:]) == ["sgd", "[1]"]
    assert {name: str(kind) for name, kind in trials.dtypes.items() if "params" in name} == {
        "params_C": "Int64",
        "params_std": "boolean",
        "params_lr": "float64",
        "params_opt": "string",
    }


def test_a_row_a_tested_example(folder):
    answered(folder)
    found = harness.load(folder.directory).predictions
    chances = softmax(LOGITS.astype(float), axis=1)
    assert list(found["cell"]) == ["a"] * 3
    assert list(found["label"]) == ["LP"] * 3
    assert list(found["id"]) == [7, 3, 5]
    assert list(found["true"]) == [0, 2, 1]
    assert list(found["predicted"]) == [0, 1, 0]
    assert list(found["true_class"]) == ["cat", "owl", "dog"]
    assert list(found["predicted_class"]) == ["cat", "dog", "cat"]
    assert list(found["correct"]) == [True, False, False]
    assert found["episode"].isna().all()
    np.testing.assert_allclose(found["confidence"], chances.max(axis=1))
    np.testing.assert_allclose(found["true_probability"], chances[[0, 1, 2], [0, 2, 1]])


def test_episodes_are_numbered_and_their_classes_have_no_names(store, makes):
    cell = {"protocol": "episodes", "ways": 3}
    store.write_plan(Plan(suite="small", cells=[makes.cell("a", **cell)]))
    store.write_record(makes.record("a", **cell))
    store.write_predictions(
        "a",
        {
            "logits": np.stack([LOGITS, -LOGITS]),
            "labels": np.ones((2, 3), int),
            "ids": np.arange(6).reshape(2, 3),
        },
    )
    found = harness.load(store.directory).predictions
    assert list(found["episode"]) == [0, 0, 0, 1, 1, 1]
    assert list(found["id"]) == [*range(6)]
    assert found["true_class"].isna().all()


def test_further_tests_have_rows_of_their_own(store, makes):
    cell = makes.cell("a", tests=("bent",))
    store.write_plan(Plan(suite="small", cells=[cell]))
    bent = {"bent": Further(metrics={"accuracy": 0.25})}
    store.write_record(makes.record("a", tests=("bent",), further=bent))
    arrays = {"logits": LOGITS, "labels": np.array([0, 2, 1]), "ids": np.arange(3)}
    store.write_predictions("a", arrays)
    store.write_predictions("a", arrays | {"labels": np.array([0, 1, 0])}, "bent")
    found = harness.load(store.directory)
    assert list(found.cells["accuracy"]) == [0.75, 0.25]
    right = found.predictions.fillna({"test": ""}).groupby("test")["correct"].sum()
    assert dict(right) == {"": 1, "bent": 3}


def test_types_do_not_depend_on_what_is_there(folder, store, makes):
    answered(folder)
    full = harness.load(folder.directory)
    (empty := type(store)(store.directory.parent / "empty")).write_plan(Plan(suite="small"))
    none = harness.load(empty.directory)
    assert len(none.trials) == len(none.predictions) == len(none.cells) == 0
    of_params = [name for name in full.trials if name.startswith("params_")]
    assert dict(none.trials.dtypes) == dict(full.trials.drop(columns=of_params).dtypes)
    assert [str(kind) for kind in none.predictions.dtypes] == [
        str(kind) for kind in full.predictions.dtypes
    ]
    assert dict(none.cells.dtypes) == dict(full.cells.dtypes)


def test_predictions_that_are_damaged_or_of_no_result_are_left_out(folder):
    answered(folder, "a")
    answered(folder, "c")  # of a cell that failed
    path = folder.directory / "predictions/b.npz"
    path.write_bytes(b"torn")
    with pytest.warns(
        UserWarning, match=r"b\.npz is damaged, or no npz file: its rows are left out"
    ):
        found = harness.load(folder.directory).predictions
    assert set(found["cell"]) == {"a"}


def test_a_frame_survives_parquet(folder, tmp_path):
    answered(folder)
    loaded = harness.load(folder.directory)
    for frame in (loaded.cells, loaded.trials, loaded.predictions):
        frame.to_parquet(tmp_path / "frame.parquet")
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "frame.parquet"), frame)


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(HarnessError, match="holds no results"):
        harness.load(tmp_path)


def test_importing_the_package_imports_nothing_heavy():
    heavy = "import harness, sys; print({'numpy', 'pandas', 'pydantic', 'torch'} & {*sys.modules})"
    told = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert told.stdout == "set()\n"
