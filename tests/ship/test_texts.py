"""A model of texts, from a comparison to a folder that reads texts without the harness."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("tokenizers")
pytest.importorskip("transformers")

SUITE = """
name = "texts"
seeds = [0]
strategies = ["linear_probe"]
budget = { trials = 1, steps = 20, batch_size = 16 }

[[backbones]]
model = "bert"
input_size = 12
args = { width = 16, depth = 1, heads = 2 }
weights = { source = "csv_text", args = { train = "source.csv" }, method = "mlm", steps = 2 }

[[problems]]
dataset = "csv_text"
args = { train = "texts.csv" }
shots = 20
"""

WORDS = {"glad": "sun joy bright laugh", "sad": "rain grief dark weep"}


def sentence(draw, mood):
    return " ".join(draw.choice(f"{WORDS[mood]} the a day and".split(), 8))


def test_texts_are_classified_alike_inside_and_outside(harness, tmp_path):
    draw = np.random.default_rng(0)
    for name in ("source", "texts"):
        rows = [(sentence(draw, mood), mood) for mood in WORDS for _ in range(60)]
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *rows])
    (tmp_path / "texts.toml").write_text(SUITE)
    assert harness("suite", "texts.toml").status == 0
    new = [sentence(draw, mood) for mood in WORDS for _ in range(5)]
    (tmp_path / "new.txt").write_text("\n".join(new))
    inside = harness("predict", "results/texts", "new.txt", "--format", "json")
    assert inside.status == 0, inside.err
    shipped = harness("ship", "results/texts", "--to", "out")
    assert shipped.status == 0, shipped.err
    line = [sys.executable, "predict.py", tmp_path / "new.txt"]
    outside = subprocess.run(line, cwd=tmp_path / "out", capture_output=True, text=True)
    assert outside.returncode == 0, outside.stderr
    rows, expected = [*csv.DictReader(outside.stdout.splitlines())], json.loads(inside.out)
    found = [row["class"] for row in rows]
    assert found == [row["class"] for row in expected]
    assert found == ["glad"] * 5 + ["sad"] * 5
    for name in ("typicality", "drift_p"):
        own = [float(row[name]) for row in rows]
        assert own == pytest.approx([row[name] for row in expected], rel=1e-3)
    assert "drift: none is seen in these 10 inputs" in inside.err
    assert "drift: none is seen in these 10 inputs" in outside.stderr
    # A model that was kept needs neither its data nor what its weights were learned from.
    for name in ("source", "texts"):
        (tmp_path / f"{name}.csv").unlink()
    without = harness("predict", "results/texts", "new.txt", "--format", "json")
    assert (without.status, without.out) == (0, inside.out), without.err
