"""``harness predict``: from a comparison to classes of new inputs."""

import csv
import io
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from sklearn.datasets import load_digits

SUITE = """
name = "used"
seeds = [0, 1]
strategies = ["linear_probe", "full_finetune"]
budget = { trials = 2, steps = 10, batch_size = 16 }

[[backbones]]
model = "conv4"
weights = "random"
input_size = 16
args = { width = 8 }

[[problems]]
dataset = "digits"
shots = [2, 5]
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The folder in which the suite was run, and what that said."""
    folder = tmp_path_factory.mktemp("used")
    (folder / "used.toml").write_text(SUITE)
    line = [sys.executable, "-c", "from harness.cli import main; main()", "suite", "used.toml"]
    ended = subprocess.run(line, cwd=folder, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return folder, ended.stderr


@pytest.fixture
def used(ran, tmp_path):
    """A copy of it, and three images of its kind, one of them damaged."""
    shutil.copytree(ran[0], tmp_path, dirs_exist_ok=True)
    images = load_digits().images
    (tmp_path / "new").mkdir()
    for number in (1, 10):
        pixels = np.uint8(images[number] * 15)
        Image.fromarray(pixels).save(tmp_path / f"new/{number}.png")
    (tmp_path / "new/2.png").write_bytes((tmp_path / "new/1.png").read_bytes()[:60])
    (tmp_path / "new/notes.txt").write_text("no image")


def rows(ended):
    return list(csv.DictReader(io.StringIO(ended.out)))


def test_each_input_is_a_row_and_what_cannot_be_read_says_so(used, harness):
    ended = harness("predict", "results/used", "new", "--shots", "5", "--label", "linear_probe")
    assert ended.status == 1
    found = rows(ended)
    assert [row["input"] for row in found] == ["new/1.png", "new/2.png", "new/10.png"]
    assert [bool(row["error"]) for row in found] == [False, True, False]
    assert all(0 < float(row["probability"]) <= 1 for row in found if not row["error"])
    assert "passed over, as no images: 1 file\n" in ended.err


def test_the_settings_are_listed_where_several_fit(used, harness):
    ended = harness("predict", "results/used", "new")
    assert ended.status == 2
    assert "--shots 2; --shots 5" in ended.complaint


def test_answers_are_those_that_the_cell_was_tested_with(used, harness, tmp_path):
    """Test examples, written to files, get the classes that the record's predictions have."""
    import harness as library

    results = library.load(tmp_path / "results/used")
    cells = results.cells.query("label == 'full_finetune' and shots == '5'")
    cell = cells.sort_values(["accuracy_val", "seed"], ascending=[False, True]).iloc[0]["cell"]
    tested = results.predictions.query(f"cell == '{cell}'").head(40)
    (tmp_path / "again").mkdir()
    for number in tested["id"]:
        pixels = np.uint8(np.round(load_digits().images[number] * 255 / 16))
        Image.fromarray(pixels).save(tmp_path / f"again/{number:05}.png")
    chosen = ("--shots", "5", "--label", "full_finetune")
    ended = harness("predict", "results/used", "again", *chosen, "--format", "json")
    assert ended.status == 0, ended.err
    answers = json.loads(ended.out)
    found = {row["input"]: row["class"] for row in answers}
    expected = {f"again/{r.id:05}.png": r.predicted_class for r in tested.itertuples()}
    assert found == expected
    assert all(0 < row["typicality"] <= 1 for row in answers)
    (p,) = {row["drift_p"] for row in answers}
    assert p > 0.01
    assert "drift: none is seen in these 40 inputs" in ended.err


def test_what_was_not_kept_is_trained_again_to_the_same_answers(used, harness, tmp_path):
    words = ("predict", "results/used", "new", "--shots", "5", "--label", "full_finetune")
    kept = harness(*words)
    for file in (tmp_path / "results/used/predictors").glob("*"):
        file.unlink()
    again = harness(*words)
    assert "it was trained once more, and answers to its validation examples as then" in again.err
    assert again.out == kept.out


def test_a_model_that_answers_otherwise_than_when_it_was_tested_is_not_used(
    used, harness, tmp_path
):
    for file in (tmp_path / "results/used/predictors").glob("*"):
        with safe_open(file, framework="pt") as opened:
            notes, names = opened.metadata(), opened.keys()
            tensors = {name: opened.get_tensor(name) for name in names}
        tensors["head.bias"] += 1 + torch.arange(10)
        save_file(tensors, file, metadata=notes)
    ended = harness("predict", "results/used", "new", "--shots", "5")
    assert ended.status == 2
    assert "answers otherwise than when it was tested" in ended.err.splitlines()[-1]


def test_only_what_is_recommended_is_kept(ran):
    """One model for each of the two settings."""
    folder, said = ran
    assert len([*(folder / "results/used/predictors").glob("*")]) == 2
    assert "2 models kept" in said


@pytest.mark.parametrize(("setting", "number"), [("none", 0), ("all", 8)])
def test_a_suite_says_what_is_kept(harness, tmp_path, setting, number):
    (tmp_path / "used.toml").write_text(SUITE)
    assert harness("suite", "used.toml", "--set", f"predictors={setting}").status == 0
    assert len([*(tmp_path / "results/used/predictors").glob("*")]) == number


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--shots", "7"), "--shots 7: no result that is left has it"),
        (("--label", "linear_prob"), "did you mean 'linear_probe'"),
        (("--cell", "zz"), "no cell that ended ok has a key like 'zz'"),
    ],
)
def test_a_wrong_choice_is_one_line(used, harness, words, complaint):
    ended = harness("predict", "results/used", "new", *words)
    assert ended.status == 2
    assert complaint in ended.complaint


def test_there_must_be_something_to_classify(used, harness):
    ended = harness("predict", "results/used", "nowhere", "--shots", "5")
    assert ended.status == 2
    assert "nowhere" in ended.err.splitlines()[-1]
