"""A model of episodes, adapted to a task of the user's own and shipped with it."""

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
from sklearn.datasets import load_digits

from harness.errors import HarnessError
from harness.model.text import TextBackbone
from harness.ship.labelled import labelled
from harness.testing import small_backbone

SUITE = """
name = "few"
seeds = [0]
budget = { trials = 1, steps = 5, batch_size = 16 }
strategies = [
  { name = "protonet", args = { ways = 4, queries = 4, meta_steps = 60 } },
  { name = "maml", args = { ways = 4, shots = 2, queries = 2, tasks = 2, meta_steps = 60 } },
]

[[backbones]]
model = "conv4"
weights = "random"
input_size = 16
args = { width = 8 }

[[problems]]
dataset = "folder"
args = { root = "photos" }
protocol = "episodes"
shots = 2
ways = 2
queries = 2
episodes = 4
val_episodes = 2
source = { dataset = "folder", args = { root = "others" } }
"""

DATA = ("photos", "others")
"""What the suite learns from, and its source."""

MINE = {"one": 1, "zero": 0}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The folder in which the suite was run, whose data are gone since; the user's examples are in
    ``mine`` and ``new``."""
    folder = tmp_path_factory.mktemp("few")
    data = load_digits()
    for label in range(10):
        images = data.images[data.target == label]
        names = [f"{part}/{label}/{number}.png" for part in DATA for number in range(12)]
        for name, digit in MINE.items():
            if label == digit:
                names += [f"mine/{name}/{number}.png" for number in range(6)]
                names += [f"new/{name}{number}.png" for number in range(10)]
        for name, pixels in zip(names, images, strict=False):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.uint8(pixels * 15)).save(folder / name)
    (folder / "few.toml").write_text(SUITE)
    line = [sys.executable, "-c", "from harness.cli import main; main()", "suite", "few.toml"]
    ended = subprocess.run(line, cwd=folder, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    for part in DATA:
        shutil.rmtree(folder / part)
    return folder


@pytest.fixture
def few(ran, tmp_path):
    shutil.copytree(ran, tmp_path, dirs_exist_ok=True)
    return tmp_path


def classes(text):
    return {row["input"]: row["class"] for row in csv.DictReader(io.StringIO(text))}


@pytest.mark.parametrize("label", ["protonet", "maml"])
def test_it_knows_the_classes_of_the_support(few, harness, label):
    chosen = ("--label", label, "--support", "mine")
    ended = harness("predict", "results/few", "new", *chosen)
    assert ended.status == 0, ended.err
    found = classes(ended.out)
    assert len(found) == 20
    assert np.mean([name.startswith(f"new/{said}") for name, said in found.items()]) >= 0.8
    assert "adapted to 12 examples of 2 classes" in ended.err
    assert "selected on tasks of 2 classes with 2 examples each" in ended.err


def test_without_support_one_line_asks_for_it(few, harness):
    ended = harness("predict", "results/few", "new", "--label", "maml")
    assert ended.status == 2
    last = ended.err.splitlines()[-1]
    assert "adapts to each task anew, and needs labelled examples of yours" in last
    assert last.endswith("--support FOLDER")


def test_the_adapted_model_is_shipped_and_claims_no_accuracy(few, harness):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    chosen = ("--label", "protonet", "--support", "mine")
    ended = harness("ship", "results/few", *chosen, "--to", "out")
    assert ended.status == 0, ended.err
    assert "how accurate it is is not known: of this task no labelled examples" in ended.err
    certificate = json.loads((few / "out/certificate.json").read_text())
    assert certificate["training"]["inputs"] == 12
    assert certificate["passes"] is True
    assert certificate["sealed_test"] == {"none": "of this task no labelled examples were held out"}
    card = (few / "out/README.md").read_text()
    assert "| accuracy | not known: of this task no labelled examples were held out |" in card
    line = [sys.executable, "out/predict.py", "new"]
    outside = subprocess.run(line, cwd=few, capture_output=True, text=True)
    inside = harness("predict", "results/few", "new", *chosen)
    assert classes(outside.stdout) == classes(inside.out)
    refused = harness("ship", "results/few", *chosen, "--to", "small", "--compress", "int8")
    assert "no validation examples to choose a smaller variant on" in refused.err.splitlines()[-1]


def test_labelled_examples_are_in_a_folder_a_class(tmp_path):
    said = []

    def read(folder=tmp_path):
        return labelled(folder, small_backbone(), "text", said.append)

    with pytest.raises(HarnessError, match="there is no folder"):
        read(tmp_path / "none")
    for name, number in (("a10", 2), ("a2", 1)):
        (tmp_path / name).mkdir()
        for place in range(number):
            Image.new("L", (9, 9)).save(tmp_path / name / f"{place}.png")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "a2/notes.txt").write_text("no image")
    found = read()
    assert found.classes == ("a2", "a10")
    assert found.train.labels.tolist() == [0, 1, 1]
    assert said == [f"passed over in {tmp_path / 'a2'}, as no images: 1 file"]
    (tmp_path / "a3").mkdir()
    with pytest.raises(HarnessError, match="there is no example of 'a3'"):
        read()
    (tmp_path / "a3/broken.png").write_bytes((tmp_path / "a2/0.png").read_bytes()[:48])
    with pytest.raises(HarnessError, match=r"cannot read the image .*broken\.png"):
        read()


def word_counts():
    """A model of texts that knows four words, and pads to three tokens."""
    words = ["", "glad", "sun", "grief", "rain"]

    def encode(texts):
        rows = [[words.index(w) for w in text.split() if w in words][:3] for text in texts]
        return torch.tensor([row + [0] * (3 - len(row)) for row in rows])

    class Body(torch.nn.Module):
        def forward(self, ids):
            states = torch.nn.functional.one_hot(ids.long(), len(words)).float()
            return torch.cat([states, (ids != 0).float()[..., None]], dim=-1)

    return TextBackbone(
        Body(), [[""]], encode=encode, vocabulary=5, pad=0, mask=0, special=frozenset({0})
    )


def test_labelled_texts_are_lines_and_rows_of_a_folder_a_class(tmp_path):
    for mood, texts in (("good", ["glad sun", "sun, sun"]), ("bad", ["grief"])):
        (tmp_path / mood).mkdir()
        (tmp_path / mood / "b10.txt").write_text("\n".join(["", *texts, "  "]), "utf-8")
    (tmp_path / "bad/b9.csv").write_text('id,note\n1,"rain, ""grief"""\n2,rain\n')
    (tmp_path / "bad/.hidden.txt").write_text("not read")
    said = []
    found = labelled(tmp_path, word_counts(), "note", said.append)
    assert found.classes == ("bad", "good")
    assert found.train.inputs.read(range(5)) == [
        'rain, "grief"',
        "rain",
        "grief",
        "glad sun",
        "sun, sun",
    ]  # files in natural order
    assert found.train.labels.tolist() == [0, 0, 0, 1, 1]
    assert said == []
    with pytest.raises(HarnessError, match="has no column 'text', but 'id', 'note'"):
        labelled(tmp_path, word_counts(), "text", said.append)
    (tmp_path / "bad/b9.csv").write_bytes(b"note\n\xff\xfe\n")
    with pytest.raises(HarnessError, match=r"b9\.csv"):
        labelled(tmp_path, word_counts(), "note", said.append)
    (tmp_path / "none").mkdir()
    (tmp_path / "bad/b9.csv").unlink()
    with pytest.raises(HarnessError, match="there is no example of 'none'"):
        labelled(tmp_path, word_counts(), "note", said.append)
