"""torchvision's datasets, read from small files in the formats that they have on disk."""

import bz2
import hashlib
import inspect
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from harness_plugins.datasets.torchvision import DATASETS, Torchvision, harness_datasets
from PIL import Image
from torchvision import datasets

from harness.api import Data, FileInputs, HarnessError, Split
from harness.testing import DatasetChecks

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)


def read(split: Split | None) -> torch.Tensor:
    assert split is not None
    pixels = split.inputs.read(range(len(split.inputs)))
    assert isinstance(pixels, torch.Tensor)
    return pixels


def files(split: Split | None, root: Path) -> list[str]:
    assert split is not None
    assert isinstance(split.inputs, FileInputs)
    assert [tuple(image.shape) for image in split.inputs.read([0])] == [(3, 5, 4)]
    return [path.relative_to(root).as_posix() for path in split.inputs.paths]


def labelled(split: Split | None, data: Data) -> list[str]:
    assert split is not None
    return [data.classes[label] for label in split.labels.tolist()]


def draw(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 5)).save(root / name)


def write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def write_idx(path: Path, array: np.ndarray) -> None:
    """The format of MNIST: a magic number that tells type and rank, the shape, the bytes."""
    write(
        path,
        struct.pack(f">{array.ndim + 1}i", 0x0800 + array.ndim, *array.shape) + array.tobytes(),
    )


def write_mnist(root: Path, kind: str) -> None:
    for half, first, last in (("train", 0, 30), ("t10k", 30, 40)):
        labels = (np.arange(first, last) % 10).astype(np.uint8)
        write_idx(
            root / kind / "raw" / f"{half}-images-idx3-ubyte", PIXELS[first:last, :28, :28, 0]
        )
        write_idx(root / kind / "raw" / f"{half}-labels-idx1-ubyte", labels)


def test_the_plugin_brings_torchvision() -> None:
    assert harness_datasets() == [Torchvision]


class TestTorchvision(DatasetChecks):
    def given(self, tmp_path: Path) -> Torchvision:
        write_mnist(tmp_path, "MNIST")
        return Torchvision("MNIST", root=tmp_path)


@pytest.mark.parametrize("name", DATASETS)
def test_every_listed_dataset_takes_what_it_is_asked_with(name: str) -> None:
    signature = inspect.signature(getattr(datasets, name.partition("-")[0]))
    for keywords in (*DATASETS[name].train, DATASETS[name].test or {}):
        signature.bind(root="data", download=False, **keywords)


# ── images in memory ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "first_class"),
    [("MNIST", "0 - zero"), ("FashionMNIST", "T-shirt/top"), ("KMNIST", "o")],
)
def test_mnist_and_its_kin_are_idx_files(tmp_path: Path, name: str, first_class: str) -> None:
    write_mnist(tmp_path, name)
    data = Torchvision(name, root=tmp_path).load()
    assert np.array_equal(read(data.train).numpy(), PIXELS[:30, None, :28, :28, 0])
    assert np.array_equal(read(data.test).numpy(), PIXELS[30:, None, :28, :28, 0])
    assert len(data.classes) == 10
    assert data.classes[0] == first_class
    assert data.train.labels.tolist() == [*range(10)] * 3


def test_emnist_stands_upright_and_its_letters_start_at_a(tmp_path: Path) -> None:
    """Its files hold images column by column, and a class 'N/A' with the label 0."""
    for half in ("train", "test"):
        raw = tmp_path / "EMNIST" / "raw" / f"emnist-letters-{half}"
        write_idx(Path(f"{raw}-images-idx3-ubyte"), PIXELS[:26, :28, :28, 0])
        write_idx(Path(f"{raw}-labels-idx1-ubyte"), np.arange(1, 27, dtype=np.uint8))
    data = Torchvision("EMNIST-letters", root=tmp_path).load()
    assert data.classes == tuple("abcdefghijklmnopqrstuvwxyz")
    assert data.train.labels.tolist() == [*range(26)]
    assert np.array_equal(read(data.train)[:, 0].numpy(), PIXELS[:26, :28, :28, 0].swapaxes(1, 2))


def test_usps_is_libsvm_text(tmp_path: Path) -> None:
    for name in ("usps.bz2", "usps.t.bz2"):
        ink = " ".join(f"{place}:{value}" for place, value in enumerate([-1] * 255 + [1], start=1))
        write(tmp_path / name, bz2.compress(f"10 {ink}\n1 {ink}\n".encode()))
    data = Torchvision("USPS", root=tmp_path).load()
    assert read(data.train).shape == (2, 1, 16, 16)
    assert read(data.train)[0, 0, 15, 14:].tolist() == [0, 255]
    assert labelled(data.test, data) == ["9", "0"]


def test_svhn_is_matlab_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {}
    for half in ("train", "test"):
        path = tmp_path / f"{half}_32x32.mat"
        images = PIXELS[:20].transpose(1, 2, 3, 0)
        scipy.io.savemat(path, {"X": images, "y": np.arange(20)[:, None] % 10 + 1})
        known[half] = ["", path.name, md5(path)]
    monkeypatch.setattr(datasets.SVHN, "split_list", known)
    data = Torchvision("SVHN", root=tmp_path).load()
    assert np.array_equal(read(data.test).numpy(), PIXELS[:20].transpose(0, 3, 1, 2))
    assert labelled(data.test, data)[:10] == list("1234567890")


def test_cifar10_is_checked_and_read_by_torchvision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / datasets.CIFAR10.base_folder
    batch = {"data": PIXELS[:10].transpose(0, 3, 1, 2).reshape(10, -1), "labels": [*range(10)]}
    names = [f"class {number}" for number in range(10)]
    write(folder / "data_batch_1", pickle.dumps(batch))
    write(folder / "test_batch", pickle.dumps(batch))
    write(folder / "batches.meta", pickle.dumps({"label_names": names}))
    unchanged = Torchvision("CIFAR10", root=tmp_path)
    with pytest.raises(HarnessError, match="not found or corrupted"):
        unchanged.load()  # these are not the files whose MD5 torchvision knows

    for known, name in (("train_list", "data_batch_1"), ("test_list", "test_batch")):
        monkeypatch.setattr(datasets.CIFAR10, known, [[name, md5(folder / name)]])
    meta = {"filename": "batches.meta", "key": "label_names", "md5": md5(folder / "batches.meta")}
    monkeypatch.setattr(datasets.CIFAR10, "meta", meta)
    data = Torchvision("CIFAR10", root=tmp_path).load()
    assert data.classes == tuple(names)
    assert np.array_equal(read(data.train).numpy(), PIXELS[:10].transpose(0, 3, 1, 2))


# ── image files ───────────────────────────────────────────────────────────────────────────────


def test_eurosat_has_no_official_split(tmp_path: Path) -> None:
    draw(tmp_path / "eurosat/2750", "Forest/Forest_1.jpg", "River/River_1.jpg", "River/River_2.jpg")
    data = Torchvision("EuroSAT", root=tmp_path).load()
    assert data.classes == ("Forest", "River")
    assert data.test is None
    assert labelled(data.train, data) == ["Forest", "River", "River"]
    assert files(data.train, tmp_path)[0] == "eurosat/2750/Forest/Forest_1.jpg"


def test_the_validation_split_of_dtd_joins_its_training_split(tmp_path: Path) -> None:
    textures = tmp_path / "dtd" / "dtd"
    for half, number in (("train", 1), ("val", 2), ("test", 3)):
        names = [f"{name}/{name}_{number}.jpg" for name in ("braided", "woven")]
        draw(textures / "images", *names)
        write(textures / "labels" / f"{half}1.txt", "\n".join(names))
    data = Torchvision("DTD", root=tmp_path).load()
    assert data.classes == ("braided", "woven")
    assert files(data.train, textures / "images") == [
        "braided/braided_1.jpg",
        "braided/braided_2.jpg",
        "woven/woven_1.jpg",
        "woven/woven_2.jpg",
    ]
    assert labelled(data.train, data) == ["braided", "braided", "woven", "woven"]
    assert files(data.test, textures / "images") == ["braided/braided_3.jpg", "woven/woven_3.jpg"]


def test_gtsrb_keeps_its_test_labels_in_a_table(tmp_path: Path) -> None:
    signs = tmp_path / "gtsrb"
    draw(signs / "GTSRB/Training", "00000/00000_00000.ppm", "00001/00000_00000.ppm")
    draw(signs / "GTSRB/Final_Test/Images", "00000.ppm", "00001.ppm")
    write(signs / "GT-final_test.csv", "Filename;Width;ClassId\n00000.ppm;4;1\n00001.ppm;4;0\n")
    data = Torchvision("GTSRB", root=tmp_path).load()
    assert data.classes == ("0", "1")
    assert labelled(data.test, data) == ["1", "0"]
    assert files(data.test, signs / "GTSRB/Final_Test/Images") == ["00000.ppm", "00001.ppm"]


def test_pets_are_listed_with_their_labels(tmp_path: Path) -> None:
    pets = tmp_path / "oxford-iiit-pet"
    draw(pets / "images", "Sphynx_1.jpg", "Sphynx_2.jpg", "great_pug_1.jpg", "great_pug_2.jpg")
    write(pets / "annotations/trainval.txt", "Sphynx_1 1 1 1\ngreat_pug_1 2 2 1\n")
    write(pets / "annotations/test.txt", "great_pug_2 2 2 1\nSphynx_2 1 1 1\n")
    data = Torchvision("OxfordIIITPet", root=tmp_path).load()
    assert data.classes == ("Sphynx", "Great Pug")
    assert files(data.test, pets / "images") == ["Sphynx_2.jpg", "great_pug_2.jpg"]
    assert labelled(data.test, data) == ["Sphynx", "Great Pug"]


def test_caltech101_numbers_its_files(tmp_path: Path) -> None:
    objects = tmp_path / "caltech101/101_ObjectCategories"
    draw(objects, *(f"{name}/image_0001.jpg" for name in ("BACKGROUND_Google", "ant", "barrel")))
    data = Torchvision("Caltech101", root=tmp_path).load()
    assert data.classes == ("ant", "barrel")
    assert files(data.train, objects) == ["ant/image_0001.jpg", "barrel/image_0001.jpg"]


def test_imagenette_is_called_by_the_first_of_its_synonyms(tmp_path: Path) -> None:
    for half in ("train", "val"):
        names = (f"{wnid}/{wnid}_{half}.jpeg" for wnid in datasets.Imagenette._WNID_TO_CLASS)
        draw(tmp_path / "imagenette2" / half, *names)
    data = Torchvision("Imagenette", root=tmp_path).load()
    assert data.classes[3] == "chain saw"
    assert data.test is not None
    assert data.test.labels.tolist() == [*range(10)]


def test_the_place_and_the_order_of_files_do_not_matter(tmp_path: Path) -> None:
    digests = set()
    for root, names in (
        (tmp_path / "a", ["x/1.jpg", "y/1.jpg"]),
        (tmp_path / "b", ["y/1.jpg", "x/1.jpg"]),
    ):
        draw(root / "eurosat/2750", *names)
        digests.add(Torchvision("EuroSAT", root=root).load().digest())
    assert len(digests) == 1


# ── what can go wrong ─────────────────────────────────────────────────────────────────────────


# Caltech101 is left out because torchvision makes an empty folder for it at once.
@pytest.mark.parametrize("name", sorted(set(DATASETS) - {"Caltech101"}))
def test_nothing_is_fetched_unless_asked_for(tmp_path: Path, name: str) -> None:
    remedy = "Put its files" if name == "StanfordCars" else "Set download = true"
    with pytest.raises(HarnessError, match=f"{name} in {tmp_path}.* {remedy}") as caught:
        Torchvision(name, root=tmp_path).load()
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_fails_is_an_error_of_one_line(tmp_path: Path) -> None:
    """StanfordCars is gone from the web, which torchvision knows without asking."""
    with pytest.raises(HarnessError, match=f"Put its files into {tmp_path} yourself") as caught:
        Torchvision("StanfordCars", root=tmp_path, download=True).load()
    assert "cannot be downloaded" in caught.value.message


def test_an_unknown_name_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"'FasionMNIST' \(did you mean 'FashionMNIST'\?\)"):
        Torchvision("FasionMNIST", root=tmp_path).load()


def test_a_damaged_file_is_no_traceback(tmp_path: Path) -> None:
    write_mnist(tmp_path, "MNIST")
    (tmp_path / "MNIST/raw/train-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03short")
    with pytest.raises(HarnessError, match="torchvision cannot read MNIST"):
        Torchvision("MNIST", root=tmp_path).load()


def test_missing_images_are_named_and_counted(tmp_path: Path) -> None:
    objects = tmp_path / "caltech101/101_ObjectCategories"
    draw(objects, *(f"{name}/image_0001.jpg" for name in ("BACKGROUND_Google", "ant", "barrel")))
    (objects / "ant/image_0001.jpg").rename(objects / "ant/image_0002.jpg")
    with pytest.raises(HarnessError, match=r"lacks 1 of 2 images: .*ant/image_0001\.jpg"):
        Torchvision("Caltech101", root=tmp_path).load()


def test_what_torchvision_says_goes_to_stderr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_mnist(tmp_path, "MNIST")
    monkeypatch.setattr(datasets.MNIST, "download", lambda self: print("Files already downloaded"))
    Torchvision("MNIST", root=tmp_path, download=True).load()
    assert capsys.readouterr() == ("", "Files already downloaded\n" * 2)


def test_classes_that_only_the_test_split_has_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Parted:
        classes = ("cat", "dog", "owl")

        def __init__(self, *, train: bool, **keywords: object) -> None:
            self.data = np.zeros((2, 4, 4), dtype=np.uint8)
            self.targets = [0, 1] if train else [2, 3]

    monkeypatch.setattr(datasets, "MNIST", Parted)
    with pytest.raises(HarnessError, match=r"its training split lacks: owl, 3\. "):
        Torchvision("MNIST", root=tmp_path).load()


def test_a_relative_root_is_told_with_the_place_that_was_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = f"MNIST in {tmp_path}/data \\(a relative path is taken from the current folder\\): "
    with pytest.raises(HarnessError, match=said):
        Torchvision("MNIST").load()
