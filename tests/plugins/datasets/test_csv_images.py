"""Image files that a CSV file names."""

import csv
from pathlib import Path

import pytest
import torch
from harness_plugins.datasets.csv_images import CsvImages, harness_datasets
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harness.api import FileInputs, HarnessError, Mistakes
from harness.testing import DatasetChecks

GOOD = "path,label\na.png,cat\nb.png,dog\n"


def drawn(folder: Path, *names: str) -> Path:
    """Write a tiny image for each name, none like another."""
    for shade, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 3), (shade, 0, 0)).save(path)
    return folder


def written(folder: Path, content: str) -> Path:
    """A table beside ``a.png`` to ``d.png``."""
    drawn(folder, "a.png", "b.png", "c.png", "d.png")
    path = folder / "table.csv"
    path.write_text(content)
    return path


def named(split, folder: Path) -> list[str]:
    assert isinstance(split.inputs, FileInputs)
    return [path.relative_to(folder).as_posix() for path in split.inputs.paths]


def test_the_plugin_brings_csv_images():
    assert harness_datasets() == [CsvImages]


class TestCsvImages(DatasetChecks):
    def given(self, tmp_path):
        return CsvImages(written(tmp_path, GOOD))


def test_paths_are_taken_from_the_folder_of_the_table(tmp_path, monkeypatch):
    drawn(tmp_path, "tables/near.png", "photos/far.jpg")
    monkeypatch.chdir(tmp_path)
    Path("tables/t.csv").write_text(
        f"path,label\nnear.png,x\n../photos/far.jpg,y\n{tmp_path}/tables/../photos/far.jpg,x\n"
    )
    data = CsvImages("tables/t.csv").load()
    assert data.classes == ("x", "y")
    assert data.train.labels.tolist() == [0, 1, 0]
    assert data.train.labels.dtype == torch.int64
    assert data.test is None
    assert data.train.groups is None
    first, second, third = data.train.inputs.read([0, 1, 2])
    assert first.tolist() == [[[0] * 4] * 3] * 3
    assert torch.equal(second, third)


def test_groups_and_an_official_test_split_are_taken_where_their_columns_are_there(tmp_path):
    table = written(
        tmp_path,
        "path,label,group,split\na.png,cat,Ulm,train\nb.png,dog,Bonn,test\n"
        "c.png,dog,Ulm, train \nd.png,cat,Aachen,test\n",
    )
    data = CsvImages(table).load()
    assert (named(data.train, tmp_path), named(data.test, tmp_path)) == (
        ["a.png", "c.png"],
        ["b.png", "d.png"],
    )
    assert (data.train.labels.tolist(), data.test.labels.tolist()) == ([0, 1], [1, 0])
    groups = ["Aachen", "Bonn", "Ulm"]
    assert [groups[n] for n in data.train.groups.tolist()] == ["Ulm", "Ulm"]
    assert [groups[n] for n in data.test.groups.tolist()] == ["Bonn", "Aachen"]


def test_columns_may_have_other_names_and_company(tmp_path):
    table = written(
        tmp_path,
        "id;file;kind;site;half\n1;a.png;2;x;train\n2;b.png;10;y;train\n3;c.png;2;x;test\n",
    )
    data = CsvImages(table, path="file", label="kind", group="site", split="half").load()
    assert data.classes == ("2", "10")
    assert data.train.groups.tolist() == [0, 1]
    assert named(data.test, tmp_path) == ["c.png"]


@given(
    labels=st.lists(st.sampled_from(["ant", "bee", "cow"]), min_size=2, max_size=6).filter(
        lambda labels: len({*labels}) > 1
    ),
    names=st.lists(
        st.text(
            st.characters(categories=("L", "P"), exclude_characters="/"), min_size=1, max_size=8
        ).filter(lambda name: name.strip(".")),  # Pillow sees no suffix in "..png"
        min_size=6,
        max_size=6,
        unique_by=str.casefold,
    ),
)
def test_what_the_csv_module_writes_is_read_as_it_was(tmp_path_factory, labels, names):
    folder = tmp_path_factory.mktemp("table")
    files = [f"{name}.png" for name in names[: len(labels)]]
    drawn(folder, *files)
    with (folder / "t.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "label"), *zip(files, labels, strict=True)])
    data = CsvImages(folder / "t.csv").load()
    assert named(data.train, folder) == files
    assert [data.classes[label] for label in data.train.labels.tolist()] == labels


def test_nearly_equal_labels_are_refused_or_merged(tmp_path):
    table = written(tmp_path, "path,label\na.png,cat\nb.png,dog\nc.png,cat \n")
    with pytest.raises(HarnessError, match=r"'cat', 'cat '.*merge_classes = true"):
        CsvImages(table).load()
    assert CsvImages(table, merge_classes=True).load().train.labels.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("file,label\na.png,x\n", "no column 'path'; there are: file, label (split at commas)"),
        (GOOD + ",cat\n", "line 4: an empty path; give one or leave the row out"),
        (GOOD + "c.png, \n", "line 4: an empty label; give one or leave the row out"),
        ("path,label,group\na.png,x,\nb.png,y,u\n", "line 2: an empty group; give one or leave"),
        ("path,label\na.png,x\nb.png,x\n", "labels to train on are of one class only: x. Give at"),
        ("path,label\n", "labels to train on are none. Give at least two classes"),
        (
            GOOD + "e.png,cat\nx/f.png,cat\n",
            "2 of 4 images are not there: line 4: e.png; line 5: x/f.png. Paths are taken from /",
        ),
        (
            GOOD + "a.png,dog\n",
            "1 of 3 rows name a file that an earlier row names: line 4: a.png. Leave them out",
        ),
        (
            "path,label,split\na.png,x,train\nb.png,y,train\nc.png,x,val\n",
            "line 4: split is 'val' (known: test, train). Write 'train' or 'test': the harness "
            "draws what validates",
        ),
        (
            "path,label,split\na.png,x,train\nb.png,y,train\nc.png,z,test\n",
            "test images have labels that no training image has: z. Correct them",
        ),
    ],
)
def test_a_mistake_is_one_clear_line(tmp_path, content, line):
    table = written(tmp_path, content)
    with pytest.raises(HarnessError) as caught:
        CsvImages(table).load()
    assert str(caught.value).startswith(f"{table}: {line}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("argument", ["group", "split"])
def test_a_column_that_is_named_has_to_be_there(tmp_path, argument):
    with pytest.raises(Mistakes, match=f"no column 'site'.*Name it in args: {argument} = …"):
        CsvImages(written(tmp_path, GOOD), **{argument: "site"}).load()


def test_images_that_cannot_be_decoded_are_named_with_their_rows(tmp_path):
    table = written(tmp_path, "path,label,split\na.png,x,train\nb.png,y,train\nc.png,x,test\n")
    for name in ("b.png", "c.png"):
        (tmp_path / name).write_bytes((tmp_path / "a.png").read_bytes()[:40])
    with pytest.raises(Mistakes) as caught:
        CsvImages(table).load()
    for line, name, number in zip(caught.value.lines, ("b.png", "c.png"), (3, 4), strict=True):
        assert line.startswith(f"line {number}: the image {name} cannot be decoded (")
        assert line.endswith("). Repair it, or leave the row out")


def test_all_columns_are_there_to_group_by(tmp_path):
    content = "path,label,split,farm\na.png,x,train,1\nb.png,y,train,\nc.png,x,test,2\n"
    data = CsvImages(written(tmp_path, content)).load()
    assert data.train.columns["farm"] == ("1", "")
    assert data.test.columns["farm"] == ("2",)
    assert data.train.groups is None
