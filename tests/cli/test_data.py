"""``harness data``: what is there twice is told, as text, as JSON and as a page."""

import json
import re

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images


@pytest.fixture
def photos(tmp_path):
    """Parts of two real photographs in ``train`` and ``test``; by hand, of those of ``train``: one
    that is in ``test`` too, one that is in both classes, a recompressed one, one that is damaged
    and a text."""
    root = tmp_path / "photos"
    for label, photo in zip(("china", "flower"), load_sample_images().images, strict=True):
        for number, left in enumerate(range(0, 640, 64)):
            split = "test" if number > 7 else "train"
            path = root / split / label / f"p{number % 5}_{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(photo[192:256, left : left + 64]).save(path)
    china = root / "train/china"
    (root / "test/china/p9_again.png").write_bytes((china / "p0_0.png").read_bytes())
    (root / "train/flower/p9_other.png").write_bytes((china / "p1_1.png").read_bytes())
    Image.open(china / "p2_2.png").resize((80, 80)).save(china / "p9_copy.jpg", quality=80)
    (china / "p9_bad.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    (china / "notes.txt").write_text("none")
    return root


def test_what_is_there_twice_is_told(harness, photos, tmp_path):
    ended = harness("data", photos, "--format", "json", "--page", "page.html")
    assert (ended.status, ended.err) == (0, "")
    told = json.loads(ended.out)
    assert told["classes"] == [
        {"name": "china", "train": 9, "test": 3},
        {"name": "flower", "train": 9, "test": 2},
    ]
    assert told["sizes"][0] == {"width": 64, "height": 64, "images": 22}
    assert len(told["notes"]) == 2

    def names(found):
        return {
            frozenset(example["file"].rsplit("/", 1)[1] for example in each["examples"]): (
                each["crosses"],
                each["contradicts"],
            )
            for each in found
        }

    assert names(told["identical"]) == {
        frozenset({"p0_0.png", "p9_again.png"}): (True, False),
        frozenset({"p1_1.png", "p9_other.png"}): (False, True),
    }
    assert names(told["near"]) == {frozenset({"p2_2.png", "p9_copy.jpg"}): (False, False)}
    page = (tmp_path / "page.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert page.count("<img") == 6
    assert "prefers-color-scheme: dark" in page


def test_the_same_in_sentences_with_groups_of_file_names(harness, photos):
    ended = harness("data", photos, "--pattern", r"^p(\d)_")
    assert ended.status == 0
    lines = ended.out.splitlines()
    assert "1 of 24 images cannot be decoded and are left out" in ended.out
    assert "6 groups, of which 3 are in both splits; the largest has 4 examples" in lines
    assert "2 sets of identical examples: 1 in both splits, 1 with different labels" in lines
    near = "1 pair of images that are nearly the same: 0 in both splits, 0 with different labels"
    assert lines[-1] == near


def test_texts_and_columns_of_a_table(harness, tmp_path):
    rows = [f"{text},{label},{writer}" for text, label, writer in ("aax", "bay", "cbx", "abz")]
    (tmp_path / "t.csv").write_text("\n".join(["text,label,writer", *rows]) + "\n")
    told = json.loads(harness("data", "t.csv", "--groups", "writer", "--format", "json").out)
    assert told["groups"] == {"groups": 3, "shared": 0, "largest": 2}
    (twins,) = told["identical"]
    assert [example["row"] for example in twins["examples"]] == [0, 3]
    assert twins["contradicts"]
    assert told["near"] == told["sizes"] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "there is nothing at"),
        (["a.npz", "--pattern", "x"], "--pattern needs one group in parentheses"),
        (["a.npz", "--pattern", "(x)", "--groups", "y"], "by --groups or by --pattern. Leave one"),
        (["a.npz", "--groups", "y"], "no column 'y' to group by: the data are no table"),
    ],
)
def test_mistakes_are_one_line(harness, tmp_path, words, message):
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8), np.uint8)
    np.savez(tmp_path / "a.npz", x_train=images, y_train=np.array([0, 1, 0, 1]))
    ended = harness("data", *words)
    assert ended.status == 2
    assert message in ended.complaint
