"""Image files in a folder a class."""

import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from harness_plugins.datasets.folder import Folder, harness_datasets
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harness.api import FileInputs, HarnessError, Split
from harness.errors import Mistakes
from harness.testing import DatasetChecks

REAL = Path(__file__).parents[3] / "../shared/data"


def draw(root: Path, *names: str) -> Path:
    """Write a tiny image for each name, none like another."""
    for shade, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 3), (shade, 0, 0)).save(path)
    return root


def files(split: Split, root: Path) -> list[str]:
    assert isinstance(split.inputs, FileInputs)
    return [path.relative_to(root).as_posix() for path in split.inputs.paths]


def test_the_plugin_brings_folder() -> None:
    assert harness_datasets() == [Folder]


class TestFolder(DatasetChecks):
    def given(self, tmp_path: Path) -> Folder:
        return Folder(draw(tmp_path, "a/1.png", "b/1.png"), held_out=["b"])


# ── the shapes a tree may have ────────────────────────────────────────────────────────────────


def test_a_folder_a_class(tmp_path: Path) -> None:
    draw(tmp_path, "dog/1.png", "cat/x.jpg", "cat/y.PNG")
    data = Folder(tmp_path).load()
    assert data.classes == ("cat", "dog")
    assert files(data.train, tmp_path) == ["cat/x.jpg", "cat/y.PNG", "dog/1.png"]
    assert data.train.labels.tolist() == [0, 0, 1]
    assert data.train.labels.dtype == torch.int64
    assert data.test is None


def test_train_and_test_make_an_official_test_split(tmp_path: Path) -> None:
    draw(tmp_path, "train/a/1.png", "train/b/1.png", "test/b/1.png", "test/a/1.png")
    data = Folder(str(tmp_path)).load()
    assert data.classes == ("a", "b")
    assert files(data.train, tmp_path) == ["train/a/1.png", "train/b/1.png"]
    assert data.test is not None
    assert files(data.test, tmp_path) == ["test/a/1.png", "test/b/1.png"]
    assert data.test.labels.tolist() == [0, 1]


def test_train_may_stand_alone_and_test_may_lack_a_class(tmp_path: Path) -> None:
    draw(tmp_path, "train/a/1.png", "train/b/1.png")
    assert Folder(tmp_path).load().test is None
    draw(tmp_path, "test/b/1.png")
    test = Folder(tmp_path).load().test
    assert test is not None
    assert test.labels.tolist() == [1]


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    draw(tmp_path, "train/loco.png", "car/beetle.png", "test/tube.png")
    assert Folder(tmp_path).load().classes == ("car", "test", "train")


def test_two_levels_as_in_omniglot(tmp_path: Path) -> None:
    draw(tmp_path, "Greek/character01/1.png", "Greek/character02/1.png", "Latin/character01/1.png")
    data = Folder(tmp_path).load()
    assert data.classes == ("Greek/character01", "Greek/character02", "Latin/character01")


def test_two_levels_in_train_and_test(tmp_path: Path) -> None:
    draw(tmp_path, "train/A/1/x.png", "train/B/1/x.png", "test/B/1/x.png")
    data = Folder(tmp_path).load()
    assert data.classes == ("A/1", "B/1")
    assert data.test is not None
    assert data.test.labels.tolist() == [1]


def test_numbers_in_names_sort_as_numbers(tmp_path: Path) -> None:
    draw(tmp_path, "c10/1.png", "c9/i10.png", "c9/i2.png", "c9/i02.png", "10/1.png", "9/1.png")
    data = Folder(tmp_path).load()
    assert data.classes == ("9", "10", "c9", "c10")
    assert files(data.train, tmp_path)[2:5] == ["c9/i02.png", "c9/i2.png", "c9/i10.png"]


def test_litter_is_passed_over(tmp_path: Path) -> None:
    draw(tmp_path, "a/1.png", "b/1.png", "a/._1.png", ".cache/x/1.png", "__MACOSX/a/1.png")
    for name in ("a/.DS_Store", "a/Thumbs.db", "README.md", "b/labels.csv"):
        (tmp_path / name).write_text("not an image")
    data = Folder(tmp_path).load()
    assert data.classes == ("a", "b")
    assert files(data.train, tmp_path) == ["a/1.png", "b/1.png"]


# What a file system cannot hold is left out, as is what means something else than a class.
name = st.text(
    st.characters(codec="utf-8", exclude_characters='/\\:*?"<>|', exclude_categories=("C", "Z")),
    min_size=1,
    max_size=12,
).filter(lambda name: name[0] != "." and name != "__MACOSX")


# Digits alone may be two spellings of a number.
@given(
    st.lists(
        name.filter(lambda name: not name.isdecimal()),
        min_size=2,
        max_size=5,
        unique_by=lambda name: unicodedata.normalize("NFC", name).casefold(),
    )
)
def test_class_names_survive_the_round_trip_through_folders(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    root = draw(tmp_path_factory.mktemp("tree"), *(f"{name}/1.png" for name in names))
    data = Folder(root, held_out=names[:1]).load()
    assert sorted(data.classes) == sorted(names)
    assert data.held_out == {names[0]}
    for path, label in zip(files(data.train, root), data.train.labels.tolist(), strict=True):
        assert path == f"{data.classes[label]}/1.png"


# ── what is in it ─────────────────────────────────────────────────────────────────────────────


def test_images_are_read_when_asked_for(tmp_path: Path) -> None:
    pixels = np.arange(60, dtype=np.uint8).reshape(5, 4, 3)
    draw(tmp_path, "a/1.png", "b/1.png")
    Image.fromarray(pixels).save(tmp_path / "b/2.png")
    (image,) = Folder(tmp_path).load().train.inputs.read([2])
    assert isinstance(image, torch.Tensor)
    assert torch.equal(image, torch.from_numpy(pixels).permute(2, 0, 1))


def test_content_and_names_make_the_digest_not_the_place(tmp_path: Path) -> None:
    names = "a/1.png", "a/2.png", "b/1.png"
    here, there = draw(tmp_path / "here", *names), draw(tmp_path / "there", *names)
    assert Folder(here).load().digest() == Folder(there).load().digest()
    Image.new("RGB", (4, 3), (99, 0, 0)).save(there / "b/1.png")
    assert Folder(here).load().digest() != Folder(there).load().digest()


def test_classes_or_whole_groups_can_be_held_out(tmp_path: Path) -> None:
    draw(tmp_path, "Greek/1/x.png", "Greek/2/x.png", "Latin/1/x.png", "Latin/2/x.png")
    assert Folder(tmp_path, held_out=["Greek"]).load().held_out == {"Greek/1", "Greek/2"}
    assert Folder(tmp_path, held_out=("Latin/2",)).load().held_out == {"Latin/2"}
    assert Folder(tmp_path, held_out="Latin").load().held_out == {"Latin/1", "Latin/2"}
    with pytest.raises(HarnessError, match=r"'Grek'.*did you mean 'Greek'\?"):
        Folder(tmp_path, held_out=["Grek"]).load()


# ── what is refused, in one line that names it ────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (["1.png", "2.png"], "in no class folder: 1.png"),
        (["a/1.png", "2.png"], "different depths in .*: 2.png, a/1.png"),
        (["a/1.png", "b/c/1.png"], "different depths in .*: a/1.png, b/c/1.png"),
        (["x/train/a/1.png", "x/test/a/1.png"], "too deep: x/test/a/1.png"),
        (["v/w/x/y/1.png", "v/w/x/z/1.png"], "too deep: v/w/x/y/1.png"),
        (["a/1.png"], "labels of one class only: a"),
        (["train/a/1.png", "train/b/1.png", "test/c/1.png"], "class 'c', which train lacks"),
        (["train/cat/1.png", "train/b/1.png", "test/cats/1.png"], r"did you mean 'cat'\?"),
        (["train/a/1.png", "val/a/1.png"], "holds train, val: beside 'train' only 'test' may"),
        (["Train/a/1.png", "Test/a/1.png"], "holds Test, Train: .* Rename"),
        (["test/a/1.png", "test/b/1.png"], "holds test: beside 'train'"),
        (["train/a/1.png", "train/b/1.png", "test/1.png"], "test lie in no class folder: 1.png"),
    ],
)
def test_other_trees_are_refused(tmp_path: Path, names: list[str], complaint: str) -> None:
    with pytest.raises(HarnessError, match=complaint) as caught:
        Folder(draw(tmp_path, *names)).load()
    assert caught.value.remedy or "did you mean" in caught.value.message or "lacks" in complaint
    assert "\n" not in str(caught.value)


def test_a_folder_without_images_is_named(tmp_path: Path) -> None:
    draw(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "c").mkdir()
    (tmp_path / "c/notes.txt").write_text("to be scanned")
    with pytest.raises(HarnessError, match=f"no image in {tmp_path}/c"):
        Folder(tmp_path).load()
    (tmp_path / "empty").mkdir()
    with pytest.raises(HarnessError, match=f"no image in {tmp_path}/empty"):
        Folder(tmp_path / "empty").load()


def test_all_classes_that_are_not_there_come_at_once(tmp_path: Path) -> None:
    names = ["train/a/1.png", "train/b/1.png", "test/a/1.png", "test/c/1.png", "test/d/1.png"]
    with pytest.raises(Mistakes) as caught:
        Folder(draw(tmp_path, *names), held_out=["x", "a", "y"]).load()
    assert caught.value.where == str(tmp_path)
    assert [line.partition(" (known")[0] for line in caught.value.lines] == [
        "test has the class 'c', which train lacks",
        "test has the class 'd', which train lacks",
        "held_out names 'x', which is no class or group",
        "held_out names 'y', which is no class or group",
    ]


def test_a_relative_root_is_told_with_the_place_that_was_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HarnessError) as caught:
        Folder("data/nowhere").load()
    assert caught.value.message == (
        f"there is no folder {tmp_path}/data/nowhere (a relative path is taken from the current "
        "folder)"
    )


def test_a_missing_root_and_a_file_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=f"there is no folder {tmp_path}/nowhere"):
        Folder(tmp_path / "nowhere").load()
    (tmp_path / "images.rar").write_bytes(b"Rar!")
    with pytest.raises(HarnessError, match=r"images\.rar is a file. Give a folder, or .*\.zip"):
        Folder(tmp_path / "images.rar").load()


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n" + bytes(40), b"text"])
def test_a_file_that_is_no_image_is_named(tmp_path: Path, content: bytes) -> None:
    draw(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "b/2.png").write_bytes(content)
    with pytest.raises(
        HarnessError, match=f"{tmp_path}: 1 of 3 images cannot be decoded: b/2.png "
    ):
        Folder(tmp_path).load()


def harmed(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-20] ^= 0xFF  # in the image data of a PNG, which have a checksum
    path.write_bytes(content)


def torn(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, format="JPEG")
    path.write_bytes(path.read_bytes()[:-2000])


def test_images_that_cannot_be_decoded_are_all_named(tmp_path: Path) -> None:
    """A torn photograph has a header like any other: only decoding it tells."""
    draw(tmp_path, "a/1.png", "b/1.png", "b/2.png")
    harmed(tmp_path / "b/1.png")
    torn(tmp_path / "a/2.jpg")
    Image.fromarray(np.array([[1, 2]], np.int32)).save(tmp_path / "a/3.tif")
    with pytest.raises(HarnessError) as caught:
        Folder(tmp_path).load()
    assert f"{tmp_path}: 3 of 5 images cannot be decoded: a/2.jpg (image file is tr" in str(
        caught.value
    )
    assert "; a/3.tif (its pixels are 32-bit integers of unknown range" in caught.value.message
    assert "; b/1.png (" in caught.value.message
    assert 'set unreadable = "leave_out"' in caught.value.remedy


def test_images_that_cannot_be_decoded_may_be_left_out_and_are_noted(tmp_path: Path) -> None:
    draw(tmp_path, "train/a/1.png", "train/b/1.png", "train/b/2.png", "test/a/1.png")
    clean = Folder(tmp_path).load()
    torn(tmp_path / "train/a/9.jpg")
    torn(tmp_path / "test/b.jpg")
    (tmp_path / "test/b.jpg").rename(tmp_path / "test/a/b.jpg")
    data = Folder(tmp_path, unreadable="leave_out").load()
    assert data.digest() == clean.digest()
    (note,) = data.notes
    assert note.startswith("2 of 6 images cannot be decoded and are left out: train/a/9.jpg (")
    assert "; test/a/b.jpg (" in note
    harmed(tmp_path / "train/a/1.png")
    with pytest.raises(HarnessError, match=f"no image of {tmp_path}/train/a can be decoded"):
        Folder(tmp_path, unreadable="leave_out").load()


# ── what is passed over ───────────────────────────────────────────────────────────────────────


def test_images_are_known_by_their_content_and_the_rest_is_counted(tmp_path: Path) -> None:
    draw(tmp_path, "a/1.png", "b/1.png", "b/2.png", "b/3.png", "b/4.png", "b/5.png", "b/.x/1.png")
    for number, name in enumerate(("b/2.jfif", "b/3.jpe", "b/4", "b/5.scan"), 2):
        image = Image.open(tmp_path / f"b/{number}.png")
        image.save(tmp_path / name, format="JPEG")
        (tmp_path / f"b/{number}.png").unlink()
    Image.new("RGB", (4, 3), (0, 99, 0)).save(tmp_path / "b/6.avif")
    for name in ("a/notes.txt", "b/more.TXT", "b/Makefile", "b/movie.mp4", "a/.DS_Store"):
        (tmp_path / name).write_text("no image")
    data = Folder(tmp_path).load()
    assert files(data.train, tmp_path) == [
        *("a/1.png", "b/1.png", "b/2.jfif", "b/3.jpe", "b/4", "b/5.scan", "b/6.avif")
    ]
    assert data.notes == (
        "4 of 11 files are no images and were passed over: 1 without suffix, 1 .mp4, 2 .txt",
    )


def test_files_beside_train_and_test_are_counted_and_where_there_are_none_nothing_is_said(
    tmp_path: Path,
) -> None:
    draw(tmp_path, "train/a/1.png", "train/b/1.png", "test/a/1.png")
    assert Folder(tmp_path).load().notes == ()
    (tmp_path / "README.md").write_text("cats and dogs")
    assert Folder(tmp_path).load().notes == (
        "1 of 4 files are no images and were passed over: 1 .md",
    )


# ── near-equal classes ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("one", "other"), [("cat", "cat "), ("caf\u00e9", "cafe\u0301"), ("1", "01")]
)
def test_nearly_equal_classes_are_refused_or_merged(tmp_path: Path, one: str, other: str) -> None:
    draw(tmp_path, f"train/{one}/1.png", f"train/{other}/2.png", "train/dog/3.png")
    with pytest.raises(Mistakes) as caught:
        Folder(tmp_path).load()
    assert f"{one!a}" in str(caught.value)
    assert f"{other!a}" in str(caught.value)
    draw(tmp_path, f"test/{other}/4.png")
    data = Folder(tmp_path, merge_classes=True).load()
    assert set(data.classes) == {one, "dog"}
    assert data.test is not None
    assert data.classes[data.test.labels.item()] == one
    assert data.train.labels.bincount().tolist() == [2 if c == one else 1 for c in data.classes]


def test_a_link_to_a_parent_ends(tmp_path: Path) -> None:
    draw(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "a/up").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(HarnessError, match="different depths"):
        Folder(tmp_path).load()


def test_a_class_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    draw(tmp_path, "a/1.png", "b\udcff/1.png")
    with pytest.raises(HarnessError, match=r"folders in .* are not UTF-8: 'b\\udcff'\. Rename"):
        Folder(tmp_path).load()


def test_an_image_of_a_kind_that_would_run_a_program_is_not_opened(tmp_path: Path) -> None:
    """Pillow hands PostScript to an interpreter, whatever the file is called."""
    draw(tmp_path, "a/1.png", "b/1.png")
    Image.new("RGB", (4, 3)).save(tmp_path / "b/2.png", format="EPS")
    with pytest.raises(HarnessError, match=r"b/2\.png \(it is not one of JPEG, PNG"):
        Folder(tmp_path).load()


# ── archives ──────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


TREES = [
    ["cat/1.png", "cat/2.png", "dog/1.png", "README.md"],
    ["train/a/1.png", "train/b/1.png", "test/b/1.png"],
    ["Greek/1/x.png", "Greek/2/x.png", "Latin/1/x.png"],
]


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar", "bztar", "xztar"])
@pytest.mark.parametrize("inside", [".", "top"])
@pytest.mark.parametrize("names", TREES)
def test_an_archive_has_the_data_of_its_folder(
    tmp_path: Path, cache: Path, kind: str, inside: str, names: list[str]
) -> None:
    tree = draw(tmp_path / "tree/top", *(name for name in names if name.endswith("png")))
    if "README.md" in names:
        (tree / "README.md").write_text("cats and dogs")
    archive = shutil.make_archive(str(tmp_path / "x"), kind, tree if inside == "." else tree.parent)
    packed, plain = Folder(archive).load(), Folder(tree).load()
    assert packed.classes == plain.classes
    assert packed.digest() == plain.digest()


def test_complaints_name_places_in_the_archive_and_not_in_the_cache(
    tmp_path: Path, cache: Path
) -> None:
    tree = draw(tmp_path / "tree", "a/1.png", "b/1.png")
    (tree / "b/2.png").write_bytes(b"no image")
    archive = shutil.make_archive(str(tmp_path / "x"), "zip", tree)
    with pytest.raises(
        HarnessError, match=f"{archive}: 1 of 3 images cannot be decoded: b/2.png "
    ) as caught:
        Folder(archive).load()
    assert str(cache) not in str(caught.value)


# ── real data, where there is some ────────────────────────────────────────────────────────────

needs_real_data = pytest.mark.skipif(not REAL.exists(), reason="no ../shared/data")


@pytest.mark.realdata
@needs_real_data
def test_omniglot_has_242_characters_in_8_alphabets(cache: Path) -> None:
    data = Folder(REAL / "omniglot-small.zip", held_out=["Balinese"]).load()
    assert len(data.classes) == 242
    assert len({name.split("/")[0] for name in data.classes}) == 8
    assert data.train.labels.bincount().tolist() == [20] * 242
    assert len(data.held_out) == 24


@pytest.mark.realdata
@needs_real_data
def test_cifar10_has_an_official_test_split(cache: Path) -> None:
    data = Folder(REAL / "cifar10-12k.zip").load()
    assert data.train.labels.bincount().tolist() == [1000] * 10
    assert data.test is not None
    assert data.test.labels.bincount().tolist() == [200] * 10
