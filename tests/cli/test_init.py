"""``harness init``: a look at data, and a suite for them that ``harness validate`` accepts."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.plan.step_cost import StepCost
from harness.start import proposal


@pytest.fixture
def quick(monkeypatch):
    """A machine that takes as long everywhere: what is proposed follows from the data alone."""
    monkeypatch.setattr(proposal, "measure", lambda *given: StepCost(step=1e-3, forward=3e-4))


def photos(root, width=48, height=48, **counts):
    draws = np.random.default_rng(0)
    for label, count in counts.items():
        (root / label).mkdir(parents=True)
        for number in range(count):
            pixels = draws.integers(0, 256, (height, width, 3), np.uint8)
            Image.fromarray(pixels).save(root / label / f"{number}.png")
    return root


def begun(harness, *words):
    """The suite that is written, which ``harness validate`` has accepted, and what was said."""
    ended = harness("init", *words)
    assert ended.status == 0, ended.err
    (file,) = ended.out.splitlines()
    checked = harness("validate", file)
    assert (checked.status, checked.err) == (0, ""), checked.err
    return tomllib.loads(Path(file).read_text()), ended.err.splitlines()


def test_a_folder_of_photographs(harness, quick, tmp_path):
    photos(tmp_path / "data" / "my leaves", oak=30, birch=20)
    suite, said = begun(harness, "data/my leaves")
    assert suite["name"] == "my-leaves"
    assert suite["problems"] == [
        {
            "label": "my-leaves",
            "dataset": "folder",
            "args": {"root": "data/my leaves"},
            "shots": [5, "all"],
        }
    ]
    assert suite["backbones"][0]["weights"] == "hub"
    assert suite["backbones"][0]["input_size"] == 96  # enlarged, as weights want it
    assert "from_scratch" in suite["strategies"]
    assert said[:3] == [
        "data/my leaves: 50 images of 2 classes to learn from",
        "data/my leaves: from 20 of class 'birch' to 30 of class 'oak'",
        "data/my leaves: colour images of 48 × 48 pixels",
    ]
    assert said[-1] == "next: harness suite my-leaves.toml"


def test_long_images_are_padded_and_unbalanced_classes_told(harness, quick, tmp_path):
    photos(tmp_path / "leaves", 96, 48, oak=40, birch=4)
    suite, _ = begun(harness, "leaves")
    assert suite["problems"][0]["fit"] == "pad"
    assert suite["problems"][0]["shots"] == [1, "all"]  # three birches are left beside the tested
    assert "has 10 times as many examples" in (tmp_path / "leaves.toml").read_text()


def test_an_archive_is_called_by_its_name(harness, quick, tmp_path):
    import shutil

    photos(tmp_path / "all" / "leaves", oak=12, birch=12)
    shutil.make_archive(str(tmp_path / "leaves.v2"), "gztar", tmp_path / "all")
    suite, _ = begun(harness, "leaves.v2.tar.gz")
    assert suite["name"] == "leaves.v2"
    assert suite["problems"][0]["args"] == {"root": "leaves.v2.tar.gz"}


def test_an_npz_with_a_test_split(harness, quick, tmp_path):
    draws = np.random.default_rng(0)
    arrays = {
        "x_train": draws.integers(0, 256, (60, 28, 28), np.uint8),
        "y_train": np.arange(60) % 3,
        "x_test": draws.integers(0, 256, (30, 28, 28), np.uint8),
        "y_test": np.arange(30) % 3,
    }
    np.savez(tmp_path / "marks.npz", **arrays)
    suite, said = begun(harness, "marks.npz")
    assert suite["problems"][0]["dataset"] == "arrays"
    assert said[:3] == [
        "marks.npz: 60 images of 3 classes to learn from, and 30 to test on",
        "marks.npz: 20 of each class",
        "marks.npz: grey images of 28 × 28 pixels",
    ]


def test_a_csv_file_of_images_whose_columns_are_guessed(harness, quick, tmp_path):
    photos(tmp_path / "scans", a=12, b=12)
    rows = [f"scans/{label}/{n}.png;{label};{n}" for label in "ab" for n in range(12)]
    (tmp_path / "scans.csv").write_text("\n".join(["image;diagnosis;number", *rows]) + "\n")
    suite, _ = begun(harness, "scans.csv", "--output", "mine.toml")
    assert suite["name"] == "mine"
    assert suite["problems"][0]["dataset"] == "csv_images"
    assert suite["problems"][0]["args"] == {
        "file": "scans.csv",
        "path": "image",
        "label": "diagnosis",
    }


def test_csv_files_of_texts(harness, quick, tmp_path):
    pytest.importorskip("all_minilm_l6_v2")
    pytest.importorskip("transformers")
    for half in ("train", "test"):
        rows = [
            f'{n},"It is {half} number {n}, of some",{"good bad".split()[n % 2]}' for n in range(40)
        ]
        (tmp_path / f"{half}.csv").write_text("\n".join(["id,Review,verdict", *rows]) + "\n")
    suite, said = begun(harness, "train.csv")
    assert suite["problems"][0]["dataset"] == "csv_text"
    assert suite["problems"][0]["args"] == {
        "train": "train.csv",
        "test": "test.csv",
        "text": "Review",
        "label": "verdict",
    }
    assert "input_size" not in suite["backbones"][0]
    assert said[0] == "train.csv: 40 texts of 2 classes to learn from, and 40 to test on"


def test_less_time_takes_less(harness, tmp_path, monkeypatch):
    """Steps that are ten times as long for twice the pixels: few minutes leave small images, and
    fewer still only probes."""
    photos(tmp_path / "leaves", 300, 300, oak=30, birch=30)

    def slow(model, input_size, args, registry, device):
        return StepCost(step=1e-3 * (input_size / 96) ** 3, forward=3e-4 * (input_size / 96) ** 3)

    monkeypatch.setattr(proposal, "measure", slow)
    tried = {}
    for minutes in (600, 15, 0.5, 0.001):
        suite, said = begun(
            harness, "leaves", "--minutes", str(minutes), "--output", f"m{minutes}.toml"
        )
        tried[minutes] = suite, said
    cost = {
        minutes: (
            suite["backbones"][0]["input_size"],
            len(suite["strategies"]),
            suite["budget"]["trials"] * suite["budget"]["steps"] * len(suite["seeds"]),
        )
        for minutes, (suite, _) in tried.items()
    }
    assert cost[600] == (224, 5, 5 * 8 * 300)
    assert cost[15][1] == 5
    assert cost[15][2] < cost[600][2]
    assert cost[0.5][1] < 5
    for minutes in (0.5, 0.001):
        (line,) = (line for line in tried[minutes][1] if line.startswith("left out: "))
        needed = int(re.search(r"for which (\d+) minutes", line)[1])
        suite, _ = begun(
            harness, "leaves", "--minutes", str(needed), "--output", f"n{minutes}.toml"
        )
        assert len(suite["strategies"]) == 5
    assert "but nothing takes less" in tried[0.001][1][-2]


def test_a_step_of_the_model_is_timed(harness, tmp_path):
    """The real measurement, whatever it comes to here."""
    photos(tmp_path / "leaves", oak=12, birch=12)
    suite, said = begun(harness, "leaves", "--minutes", "0.001")
    assert suite["backbones"][0]["input_size"] == 96
    assert " cells, about " in said[-2]


def test_a_bundled_suite_is_copied(harness, tmp_path):
    ended = harness("init", "--from", "quickstart")
    assert (ended.status, ended.out) == (0, "quickstart.toml\n")
    assert "Handwritten digits" in (tmp_path / "quickstart.toml").read_text()
    again = harness("init", "--from", "quickstart")
    assert again.complaint == (
        "harness: quickstart.toml is there already, and nothing is written over. Name another by "
        "--output"
    )


def test_nothing_is_written_where_data_cannot_be_read(harness, tmp_path):
    (tmp_path / "one" / "class").mkdir(parents=True)
    (tmp_path / "notes.pdf").write_text("no data")
    said = {
        "nowhere": "there is nothing at ",
        "one": "no image in ",
        "notes.pdf": "no dataset reads notes.pdf. Give a folder with a folder of images a class",
    }
    for data, beginning in said.items():
        ended = harness("init", data)
        assert (ended.status, ended.out) == (2, "")
        assert ended.complaint.startswith(f"harness: {beginning}")
    assert harness("init").complaint.startswith("harness: name DATA, or a suite by --from")
    assert [*tmp_path.glob("*.toml")] == []


def test_a_strangers_dataset_may_read_what_no_other_does(harness, quick, tmp_path, plugin_file):
    photos(tmp_path / "slides.many" / "in", oak=12, birch=12)
    (tmp_path / "slides.dot").write_text("slides.many/in")
    file = plugin_file(
        "dots",
        """
        from pathlib import Path
        from harness.api import hookimpl

        @hookimpl
        def harness_datasets_for(path):
            if path.suffix == ".dot":
                return [("folder", {"root": path.read_text()})]
            return []
        """,
    )
    suite, _ = begun(harness, "slides.dot", "--plugin", file)
    assert suite["problems"][0]["args"] == {"root": "slides.many/in"}
