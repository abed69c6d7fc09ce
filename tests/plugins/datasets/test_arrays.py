"""Images and labels in an npz file."""

import io
import random
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from harness_plugins.datasets.arrays import Arrays, harness_datasets
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from numpy.lib.npyio import NpzFile

from harness.api import Data, HarnessError, Split
from harness.testing import DatasetChecks

REAL = Path(__file__).parents[3] / "../shared/data"


def images(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def saved(path: Path, **content: Any) -> Path:
    np.savez(path, **content)
    return path


def load(folder: Path, **content: Any) -> Data:
    return Arrays(saved(folder / "data.npz", **content)).load()


def read(split: Split) -> torch.Tensor:
    pixels = split.inputs.read(range(len(split.inputs)))
    assert isinstance(pixels, torch.Tensor)
    return pixels


def test_the_plugin_brings_arrays() -> None:
    assert harness_datasets() == [Arrays]


class TestArrays(DatasetChecks):
    def given(self, tmp_path: Path) -> Arrays:
        return Arrays(saved(tmp_path / "data.npz", x_train=images(4, 8, 8), y_train=[1, 2, 1, 2]))


def test_grey_images_and_integer_labels_are_enough(tmp_path: Path) -> None:
    x = images(4, 8, 6)
    data = load(tmp_path, x_train=x, y_train=np.array([7, -1, 7, 30]))
    assert torch.equal(read(data.train), torch.from_numpy(x)[:, None])
    assert data.classes == ("-1", "7", "30")
    assert data.train.labels.tolist() == [1, 0, 1, 2]
    assert data.test is None


def test_a_test_split_is_official_where_there_is_one(tmp_path: Path) -> None:
    data = load(
        tmp_path,
        x_train=images(4, 8, 8),
        y_train=[0, 1, 2, 3],
        x_test=images(2, 8, 8),
        y_test=np.array([3, 1], dtype=np.uint8),
    )
    assert data.test is not None
    assert data.test.labels.tolist() == [3, 1]
    assert read(data.test).shape == (2, 1, 8, 8)


def test_classes_may_have_names(tmp_path: Path) -> None:
    data = load(tmp_path, x_train=images(2, 8, 8), y_train=[5, 3], classes=["cat", "dog"])
    assert data.classes == ("cat", "dog")
    assert data.train.labels.tolist() == [1, 0]


@given(
    x=arrays_of.arrays(
        np.uint8,
        st.tuples(st.integers(2, 4), st.sampled_from([1, 3]), st.integers(4, 9), st.integers(4, 9)),
    ),
    y=st.data(),
)
def test_every_layout_of_the_same_images_is_read_alike(
    tmp_path_factory: pytest.TempPathFactory, x: np.ndarray[Any, Any], y: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("layouts")
    labels = y.draw(
        arrays_of.arrays(
            y.draw(arrays_of.integer_dtypes() | arrays_of.unsigned_integer_dtypes(sizes=(8, 16))),
            len(x),
            unique=True,
        )
    )
    layouts = [x, x.transpose(0, 2, 3, 1)] + ([x[:, 0]] if x.shape[1] == 1 else [])
    for layout in layouts:
        data = load(folder, x_train=layout, y_train=labels)
        assert np.array_equal(read(data.train).numpy(), x)
        named = [int(data.classes[label]) for label in data.train.labels.tolist()]
        assert named == labels.tolist()


GOOD = {"x_train": images(4, 8, 8), "y_train": np.array([0, 1, 0, 1])}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"x_train": None}, "x_train is missing; the file holds y_train"),
        ({"x_test": images(2, 8, 8)}, "y_test is missing; the file holds x_train, y_train, x_test"),
        ({"x_train": images(4, 8, 8) / 255}, "x_train holds float64, not uint8"),
        ({"x_train": images(4, 64)}, r"x_train is \[4, 64\], not \[N, H, W\]"),
        ({"x_train": images(4, 8, 8, 2)}, r"x_train is \[4, 8, 8, 2\], not"),
        ({"x_train": images(4, 3, 8, 3)}, r"\[N, H, W, C\] or \[N, C, H, W\]\?"),
        ({"x_train": images(4, 0, 8)}, "x_train is empty"),
        ({"x_train": images(5, 8, 8)}, "x_train has 5 images, but y_train has 4 labels"),
        ({"y_train": np.array([0.0, 1, 0, 1])}, "y_train holds float64, not integers"),
        ({"y_train": np.array([[0], [1], [0], [1]])}, r"not \[N\]; save y_train.ravel\(\)"),
        ({"y_train": np.array([9, 9, 9, 9])}, "labels of one class only: 9"),
        ({"y_train": np.array(list("abab"))}, "y_train holds <U1, not integers"),
        ({"y_train": np.array([{}, 1, 0, 1])}, "y_train cannot be read: Object arrays"),
        (
            {"x_test": images(2, 8, 8), "y_test": np.array([0, 5])},
            "y_test has labels that y_train lacks: 5",
        ),
        (
            {"x_test": images(2, 8, 8, 3), "y_test": np.array([0, 1])},
            r"x_train has images \[C, H, W\] = \[1, 8, 8\], but x_test \[3, 8, 8\]",
        ),
        ({"classes": ["cat"]}, "classes has 1 names, but y_train 2 distinct labels"),
        (
            {"y_train": np.array([0, 1, 2, 3]), "classes": ["cat", "dog", "dog", "owl"]},
            "classes has names twice: 'dog'",
        ),
        ({"classes": [1, 2]}, "not a list of strings"),
    ],
)
def test_a_mistake_is_one_clear_line(tmp_path: Path, change: dict[str, Any], line: str) -> None:
    content = {name: array for name, array in {**GOOD, **change}.items() if array is not None}
    with pytest.raises(HarnessError, match=line) as caught:
        load(tmp_path, **content)
    assert "data.npz: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_mistakes_come_at_once(tmp_path: Path) -> None:
    with pytest.raises(HarnessError) as caught:
        load(
            tmp_path,
            x_train=images(3, 8, 8).astype(float),
            y_train=[4, 4],
            x_test=images(1, 5, 5, 5, 5),
            classes=["a", "b"],
        )
    head, *lines = str(caught.value).splitlines()
    assert head.endswith("data.npz: 6 mistakes")
    assert [line.split()[0] for line in lines] == [
        "x_train",
        "x_train",
        "y_test",
        "x_test",
        "y_train",
        "classes",
    ]


@pytest.mark.parametrize(
    "content", [b"", b"no zip at all", b"PK\x05\x06" + bytes(18), b"\x80\x04N."]
)
def test_another_kind_of_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data.npz"
    path.write_bytes(content)
    with pytest.raises(HarnessError, match=r"not an npz file|x_train is missing"):
        Arrays(path).load()


def test_a_file_that_the_system_refuses_is_not_taken_for_another_kind(tmp_path: Path) -> None:
    with pytest.raises(
        HarnessError, match=r"cannot read it: .*Is a directory.*Look after the file"
    ):
        Arrays(tmp_path).load()


def test_a_single_array_is_no_npz(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", images(2, 8, 8))
    with pytest.raises(HarnessError, match=r"not an npz file.*numpy.savez"):
        Arrays(tmp_path / "x.npy").load()


def test_a_damaged_npz_is_told_from_a_whole_one(tmp_path: Path) -> None:
    path = saved(tmp_path / "data.npz", **GOOD)
    content = bytearray(path.read_bytes())
    content[200] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(HarnessError, match="x_train cannot be read: Bad CRC-32"):
        Arrays(path).load()


@pytest.mark.parametrize("shape", [(10**15, 8, 8), (2**62, 2, 2), (2**70,), (-1, 8, 8), "x"])
def test_a_header_that_lies_about_its_shape_is_refused(tmp_path: Path, shape: Any) -> None:
    content = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(content, header)
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        archive.writestr("x_train.npy", content.getvalue() + bytes(128))
    with pytest.raises(HarnessError, match="x_train cannot be read: "):
        Arrays(tmp_path / "data.npz").load()


def test_an_npz_larger_than_the_free_memory_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez_compressed(tmp_path / "data.npz", **{**GOOD, "bomb": np.zeros(10**7, np.uint8)})
    assert (tmp_path / "data.npz").stat().st_size < 10**5
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=10**6))
    monkeypatch.setattr(NpzFile, "__getitem__", None)
    with pytest.raises(HarnessError, match=r"holds 10,\d+,\d+ bytes, and 1,000,000 .* Take fewer"):
        Arrays(tmp_path / "data.npz").load()


def test_a_damaged_npz_gives_its_own_data_or_an_error(tmp_path: Path) -> None:
    path, chance = saved(tmp_path / "data.npz", **GOOD), random.Random(0)
    whole, digest = path.read_bytes(), Arrays(path).load().digest()
    refused = 0
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(chance.choice([1, 1, 4])):
            content[chance.randrange(len(content))] = chance.choice([0, 255, chance.randrange(256)])
        path.write_bytes(content[: chance.choice([len(content)] * 3 + [chance.randrange(9999)])])
        try:
            assert Arrays(path).load().digest() == digest
        except HarnessError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("path", ["nowhere.npz", "."])
def test_a_missing_file_is_named(tmp_path: Path, path: str) -> None:
    with pytest.raises(HarnessError, match=str(tmp_path)):
        Arrays(str(tmp_path / path)).load()


@pytest.mark.realdata
@pytest.mark.skipif(not REAL.exists(), reason="no ../shared/data")
def test_mnist_is_read_as_it_is() -> None:
    data = Arrays(REAL / "mnist-9k.npz").load()
    assert data.classes == tuple("0123456789")
    assert read(data.train).shape == (7000, 1, 28, 28)
    assert data.test is not None
    assert len(data.test.labels) == 2000


def test_of_many_labels_that_are_wrong_the_number_is_told(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="y_train lacks: 2, 3, 4, 5, 6 and 3 more"):
        load(tmp_path, **GOOD, x_test=images(8, 8, 8), y_test=np.arange(2, 10))


def test_a_relative_path_is_told_with_the_place_that_was_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HarnessError) as caught:
        Arrays("data/nowhere.npz").load()
    assert caught.value.message == (
        f"there is no file {tmp_path}/data/nowhere.npz (a relative path is taken from the current "
        "folder)"
    )


class TestMore:
    """Groups, and images without labels."""

    CONTENT = {"x_train": images(4, 8, 8), "y_train": [1, 2, 1, 2]}

    def test_are_given_with_the_rest(self, tmp_path: Path) -> None:
        data = load(
            tmp_path, **self.CONTENT, groups_train=[7, 7, 9, 9], x_unlabelled=images(3, 8, 8)
        )
        assert data.train.groups is not None
        assert data.train.groups.tolist() == [7, 7, 9, 9]
        assert data.unlabelled is not None
        assert len(data.unlabelled) == 3
        assert data.parts == ("train", "unlabelled")

    def test_are_part_of_the_digest_where_there_are_some(self, tmp_path: Path) -> None:
        more = {"groups_train": [7, 7, 9, 9], "x_unlabelled": images(3, 8, 8)}
        plain = load(tmp_path, **self.CONTENT).digest()
        each = [load(tmp_path, **self.CONTENT, **{n: v}).digest() for n, v in more.items()]
        assert len({plain, *each}) == 3

    def test_what_does_not_fit_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(HarnessError) as caught:
            load(tmp_path, **self.CONTENT, groups_train=[7, 7, 9], x_unlabelled=images(3, 9, 9))
        path = tmp_path / "data.npz"
        assert [line.removeprefix(f"{path}: ") for line in caught.value.each()] == [
            "y_train has 4 labels, but groups_train has 3 entries",
            "x_train has images [C, H, W] = [1, 8, 8], but x_unlabelled [1, 9, 9]",
        ]
