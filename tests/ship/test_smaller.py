"""Smaller variants of a model that was compared: made, measured, chosen, and tested once."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from harness_plugins.strategies.logistic_probe import LogisticProbe

from harness.contract import Trick
from harness.record.store import Store
from harness.registry import Sources, load_once
from harness.ship import opened as opening
from harness.ship.choose import choose
from harness.ship.measuring import run
from harness.ship.student import distilling, student

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("torch_pruning")

SUITE = """
name = "other"
seeds = [0, 1]
strategies = ["from_scratch", "trial_ensemble", "knn_probe"]
budget = { trials = 2, steps = 5, batch_size = 16 }

[[backbones]]
model = "conv4"
weights = "random"
input_size = 16
args = { width = 8, channels = 3 }

[[problems]]
dataset = "folder"
args = { root = "photos" }
shots = 5
"""


@pytest.fixture
def folder(compared, tmp_path):
    shutil.copytree(compared, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_the_smallest_that_passes_is_tested_once_and_runs_elsewhere(folder, harness):
    ways = ("--prune", "0.3", "--compress", "int8", "--student", "conv4")
    chosen = ("--label", "full_finetune", "--delta", "100")
    ended = harness("ship", "results/shipped", *chosen, "--to", "out", *ways)
    assert ended.status == 0, ended.err
    found = json.loads((folder / "out/certificate.json").read_text())["smaller"]
    rows = {variant["name"]: variant for variant in found["variants"]}
    assert [*rows] == ["model", "model.int8", "model.pruned-0.3", "model.student-conv4"]
    assert all(row["validation"]["examples"] == 15 for row in [*rows.values()][1:])
    assert all(row["verdict"] == "passes" for row in [*rows.values()][1:])
    bytes_ = {name: row["costs"]["bytes"] for name, row in rows.items()}
    assert found["chosen"] == min(bytes_, key=bytes_.get)
    assert bytes_["model.pruned-0.3"] < 0.7 * bytes_["model"]
    assert found["test"]["examples"] == 24
    # It has learned: its head began at zero, and said the first class of all.
    assert rows["model.pruned-0.3"]["validation"]["accuracy"] > 5 / 15
    assert [*(folder / "out").glob("model.*.onnx")] == [folder / f"out/{found['chosen']}.onnx"]
    assert all(row["costs"]["memory"]["32"] > 0 for row in rows.values())
    card = (folder / "out/README.md").read_text()
    assert "| graph | size | 1 input | memory | 32 inputs | memory | accuracy |" in card
    line = [sys.executable, "predict.py", "--variant", "model", folder / "photos/red/0.png"]
    assert subprocess.run(line, cwd=folder / "out", capture_output=True).returncode == 0


def test_a_student_comes_nearer_to_its_teacher_than_by_labels_alone(folder, monkeypatch):
    monkeypatch.chdir(folder)
    store = Store(folder / "results/shipped")
    record = choose(store, {"label": "full_finetune"}).record
    with opening.opened(record, store, load_once(Sources()), "cpu") as cell:
        model = opening.tested(cell, print)
        file, task = folder / "student.onnx", model.without_validation()
        student("conv4", store).make(model, folder, file)
        taught = torch.from_numpy(run(file, model.prepared(model.learned).numpy()))
        # The model's own weights before, with the same batches: only the teacher is missing.
        (alone,) = model.trials.adapt(model.backbone, [task], model.selected.settings)
        run_context, teacher = cell.opening.run_context, model.predictor.backbone
        probe = LogisticProbe().adapt(teacher, task, LogisticProbe.defaults, run_context)
        answers = (probe.logits(task.train.inputs) / 4).softmax(1)

        def apart(logits):
            return F.kl_div((logits / 4).log_softmax(1), answers, reduction="batchmean").item()

        without = alone.logits(task.train.inputs)
        assert (taught - without).abs().max() > 0.1 * without.abs().max()
        assert apart(taught) < apart(without)


def test_what_cannot_be_made_smaller_is_refused_in_one_line(folder, harness):
    (folder / "other.toml").write_text(SUITE)
    assert harness("suite", "other.toml", "--only", "seed=0").status == 0

    def refused(label, *ways):
        ended = harness("ship", "results/other", "--label", label, "--to", "out", *ways)
        assert ended.status == 2
        return ended.err.splitlines()[-1]

    alone = harness("ship", "results/other", "--to", "out")  # a seed is missing
    assert "of these strategies the report recommends none. Choose by --label: " in alone.err
    prune = ("--prune", "0.3")
    assert "from_scratch does not start from the backbone" in refused("from_scratch", *prune)
    assert "trial_ensemble gives a model that is not one" in refused("trial_ensemble", *prune)
    conv4 = ("--student", "conv4")
    assert "trial_ensemble gives a model that is not one" in refused("trial_ensemble", *conv4)
    assert "knn_probe has no training of its own" in refused("knn_probe", *conv4)
    said = refused("from_scratch", "--student", "test_resnett")
    assert "unknown model 'test_resnett' (did you mean 'test_resnet'?)" in said
    grey = ("--student", "conv4=random")
    assert "conv4 takes inputs of [1, 16, 16], and the model those of [3, 16, 16]" in refused(
        "from_scratch", *grey
    )


def test_any_trick_that_takes_a_teacher_can_distil():
    registry = load_once(Sources())
    plugin = registry.get("trick", distilling(registry))
    assert issubclass(plugin.cls, Trick)
    assert plugin.cls(teacher="other").backbones() == {"teacher": "other"}
