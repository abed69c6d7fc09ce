"""Datasets that the library ``datasets`` reads: from folders, as tests have no network."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

datasets = pytest.importorskip("datasets")

import huggingface_hub  # noqa: E402
from harness_plugins.datasets.huggingface import HuggingFace, harness_datasets  # noqa: E402

from harness.api import FileInputs, HarnessError, TextInputs  # noqa: E402
from harness.plan.datasets import Datasets  # noqa: E402
from harness.registry import load  # noqa: E402
from harness.testing import DatasetChecks  # noqa: E402

MOODS = datasets.ClassLabel(names=["glad", "sad", "unheard of"])


@pytest.fixture(autouse=True)
def caches(tmp_path, monkeypatch):
    """Everything is kept in the test's own folder, and nothing is asked of a network."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hub")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_UPDATE_DOWNLOAD_COUNTS", False)


def texts(words, labels, **more):
    columns = {"text": words, "label": labels, **more}
    return datasets.Dataset.from_dict(columns).cast_column("label", MOODS)


def saved(folder, **splits):
    datasets.DatasetDict(splits).save_to_disk(str(folder))
    return str(folder)


def picture(shade):
    return Image.fromarray(np.full((4, 5, 3), shade, dtype=np.uint8))


def pictures(*shades, column="image", labels=None):
    kinds = datasets.Features({column: datasets.Image(), "label": datasets.Value("int64")})
    columns = {column: [picture(shade) for shade in shades]}
    values = labels or [shade % 2 for shade in shades]
    return datasets.Dataset.from_dict({**columns, "label": values}, features=kinds)


def test_the_plugin_brings_huggingface():
    assert harness_datasets() == [HuggingFace]


class TestHuggingFace(DatasetChecks):
    def given(self, tmp_path):
        return HuggingFace(saved(tmp_path / "data", train=texts(["a", "b"], [0, 1])))


def test_texts_with_the_names_of_their_classes(tmp_path):
    path = saved(
        tmp_path / "data",
        train=texts(["sun", "rain", "snow"], [0, 1, 1]),
        test=texts(["fog"], [1]),
        validation=texts(["hail", "ice"], [1, 1]),
    )
    data = HuggingFace(path).load()
    assert data.train.inputs == TextInputs(("sun", "rain", "snow"))
    assert data.train.labels.tolist() == [0, 1, 1]
    assert data.train.labels.dtype == torch.int64
    assert data.classes == ("glad", "sad"), "those of which there are examples"
    assert data.test.inputs == TextInputs(("fog",))
    assert data.notes == (
        f"splits of {path} that are not used, with their examples: validation (2)",
    )


def test_columns_and_splits_have_the_names_that_arguments_say(tmp_path):
    splits = {
        "learn": texts(["x", "y"], [0, 1], title=["one", "two"]),
        "judge": texts(["z"], [1], title=["three"]),
    }
    path = saved(tmp_path / "data", **{k: v.rename_column("label", "m") for k, v in splits.items()})
    data = HuggingFace(path, input="title", label="m", train="learn", test="judge").load()
    assert data.train.inputs == TextInputs(("one", "two"))
    assert data.test.inputs == TextInputs(("three",))


def test_a_dataset_that_was_saved_without_splits_is_to_train_on(tmp_path):
    texts(["sun", "rain"], [0, 1]).save_to_disk(str(tmp_path / "data"))
    data = HuggingFace(str(tmp_path / "data")).load()
    assert len(data.train.labels) == 2
    assert data.test is None


@pytest.mark.parametrize("kind", ["saved", "parquet"])
def test_images_of_tables_are_kept_as_files_by_their_content(tmp_path, kind):
    train, test = pictures(10, 20, 31), pictures(41)
    folder = tmp_path / "data"
    if kind == "saved":
        saved(folder, train=train, test=test)
    else:
        folder.mkdir()
        train.to_parquet(folder / "train.parquet")
        test.to_parquet(folder / "test.parquet")
    data = HuggingFace(str(folder)).load()
    assert isinstance(data.train.inputs, FileInputs)
    found = [image.unique().tolist() for image in data.train.inputs.read([0, 1, 2])]
    assert found == [[10], [20], [31]]
    assert data.train.inputs.read([0])[0].shape == (3, 4, 5)
    assert data.classes == ("0", "1")
    assert data.train.labels.tolist() == [0, 0, 1]
    files = sorted((tmp_path / "cache/huggingface").rglob("*"))
    changed = [file.stat().st_mtime_ns for file in files]
    HuggingFace(str(folder)).load()
    assert [file.stat().st_mtime_ns for file in files] == changed


def test_a_file_that_was_cut_short_is_written_again(tmp_path):
    path = saved(tmp_path / "data", train=pictures(10, 31))
    before = HuggingFace(path).load()
    for file in before.train.inputs.paths:
        file.write_bytes(b"")
    assert HuggingFace(path).load().digest() == before.digest()


def test_images_in_a_folder_a_class_stay_where_they_are(tmp_path):
    for place, shade in {"train/cat/1": 1, "train/dog/1": 2, "test/dog/1": 3}.items():
        file = tmp_path / f"data/{place}.png"
        file.parent.mkdir(parents=True)
        picture(shade).save(file)
    data = HuggingFace(str(tmp_path / "data")).load()
    assert data.classes == ("cat", "dog")
    assert data.train.labels.tolist() == [0, 1]
    assert [path.parent.name for path in data.train.inputs.paths] == ["cat", "dog"]
    assert data.test.labels.tolist() == [1]
    assert not (tmp_path / "cache/huggingface").exists()


def test_rows_of_files_with_labels_that_are_words_or_numbers(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "train.csv").write_text("text,label\nsun,10\nrain,9\nsnow,10\n")
    data = HuggingFace(str(folder)).load()
    assert data.classes == ("9", "10")
    assert data.train.labels.tolist() == [1, 0, 1]
    rows = [{"text": "sun", "mood": "glad"}, {"text": "rain", "mood": "blue"}]
    (folder / "train.csv").unlink()
    (folder / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = HuggingFace(str(folder), input="text", label="mood").load()
    assert (data.classes, data.train.labels.tolist()) == (("blue", "glad"), [1, 0])


def test_it_is_of_images_or_text_as_the_data_are(tmp_path):
    loaded = Datasets(load())
    found = [
        loaded.load("huggingface", {"path": saved(tmp_path / name, train=train)}).modality
        for name, train in (("a", texts(["x", "y"], [0, 1])), ("b", pictures(0, 1)))
    ]
    assert found == ["text", "image"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            {"train": "trian"},
            "it has no split 'trian' (did you mean 'train'?). Name one in args: t",
        ),
        ({"test": "dev"}, "it has no split 'dev' (known: hidden, train). Name one in args: test"),
        ({"test": "train"}, "train and test are the same split, 'train'. Name another one"),
        ({"label": "mood"}, "there is no column 'mood'; there are: text, label, by. Name one in"),
        ({"input": "txt"}, "there is no column 'txt'; there are: text, label, by. Name one in arg"),
        ({"input": "label"}, "column 'label' has neither images nor texts. Name another in args"),
        (
            {"test": "hidden", "input": "text"},
            "1 of 2 examples of split 'hidden' have no label: rows 1. Name another split in args",
        ),
    ],
)
def test_a_mistake_is_one_line_that_names_it(tmp_path, arguments, line):
    path = saved(
        tmp_path / "data",
        train=texts(["sun", "rain"], [0, 1], by=["a", "b"]),
        hidden=texts(["fog", "mist"], [0, -1], by=["a", "b"]),
    )
    with pytest.raises(HarnessError) as caught:
        HuggingFace(path, **arguments).load()
    assert "\n" not in str(caught.value)
    assert line in str(caught.value)


@pytest.mark.parametrize(
    ("splits", "line"),
    [
        (
            {"train": texts(["sun", "rain"], [0, 1], by=["a", "b"])},
            "has several columns of inputs: text, by. Name one in args: input = …",
        ),
        (
            {"train": texts(["sun", "rain"], [0, 1]).remove_columns("text")},
            "has no images or texts. Name one in args: input = …; there are: label",
        ),
        (
            {"train": texts(["sun", None], [0, 1])},
            "1 of 2 examples of split 'train' are empty: rows 1. Leave them out",
        ),
        (
            {"train": texts(["sun", "rain"], [0, 1]), "test": texts(["?"], [2])},
            "split 'test' has labels that 'train' lacks: 2. Name another split",
        ),
    ],
)
def test_data_that_cannot_be_used_are_refused_in_one_line(tmp_path, splits, line):
    with pytest.raises(HarnessError) as caught:
        HuggingFace(saved(tmp_path / "data", **splits)).load()
    assert "\n" not in str(caught.value)
    assert line in str(caught.value)


def test_an_image_that_cannot_be_decoded_is_named_by_its_row(tmp_path):
    torn = {"bytes": b"\x89PNG torn", "path": None}
    kinds = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    good = pictures(10).cast_column("image", datasets.Image(decode=False))[0]["image"]
    rows = {"image": [good, torn], "label": [0, 1]}
    path = saved(tmp_path / "data", train=datasets.Dataset.from_dict(rows, features=kinds))
    with pytest.raises(HarnessError, match="row 1 of split 'train': the image cannot be decoded"):
        HuggingFace(path).load()


def test_without_a_network_one_line_says_so():
    with pytest.raises(HarnessError) as caught:
        HuggingFace("nobody/no-such-dataset").load()
    line = str(caught.value)
    assert line.startswith(
        "dataset nobody/no-such-dataset, which is no folder here, cannot be fetched or read: "
    )
    assert line.endswith("or name a folder that save_to_disk wrote")
    assert "\n" not in line
