"""Damaged and hostile archives, by the hundred, through the dataset that reads them.

Whatever is done to an archive, loading it gives its own data or one error for people, and no file
appears anywhere but in the cache. zip, gz, bz2 and xz have checksums of all content. A plain tar
has them for its headers only: an image's own checksum holds its pixels there, and nothing can hold
that a name and an image belong together, where a piece of another tar was put in between them.
"""

from __future__ import annotations

import io
import random
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from harness_plugins.datasets.folder import Folder
from PIL import Image

from harness.api import FileInputs, HarnessError

Files = dict[str, bytes]

EACH = 40
"""Archives of each kind with each kind of damage."""


def png(shade: int) -> bytes:
    content = io.BytesIO()
    pixels = random.Random(shade).randbytes(6 * 6 * 3)
    Image.frombytes("RGB", (6, 6), pixels).save(content, "png")
    return content.getvalue()


def pixels(files: Files) -> Files:
    return {name: Image.open(io.BytesIO(content)).tobytes() for name, content in files.items()}


TREES: list[Files] = [
    {f"{name}/{n}.png": png(n) for name in ("ant", "bee") for n in range(2)},
    {f"{name}/{n}.png": png(n) for name in ("bee", "cat") for n in range(3)},
]


def zipped(files: Mapping[str, bytes], method: int) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, inside in files.items():
            info = zipfile.ZipInfo()
            info.filename, info.compress_type = name, method
            archive.writestr(info, inside)
    return content.getvalue()


def tarred(files: Mapping[str, bytes], mode: Any, form: int = tarfile.PAX_FORMAT) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode, format=form) as archive:
        for name, inside in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(inside)
            archive.addfile(member, io.BytesIO(inside))
    return content.getvalue()


KINDS: dict[str, tuple[str, Callable[[Files], bytes]]] = {
    "stored zip": (".zip", lambda files: zipped(files, zipfile.ZIP_STORED)),
    "deflated zip": (".zip", lambda files: zipped(files, zipfile.ZIP_DEFLATED)),
    "tar": (".tar", lambda files: tarred(files, "w")),
    "tar.gz": (".tar.gz", lambda files: tarred(files, "w:gz")),
    "tar.bz2": (".tar.bz2", lambda files: tarred(files, "w:bz2")),
    "tar.xz": (".tar.xz", lambda files: tarred(files, "w:xz")),
}


# ── damage ────────────────────────────────────────────────────────────────────────────────────


def flipped(whole: bytes, other: bytes, chance: random.Random) -> bytes:
    content = bytearray(whole)
    for _ in range(chance.choice([1, 1, 2, 8])):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return bytes(content)


def overwritten(whole: bytes, other: bytes, chance: random.Random) -> bytes:
    """As a liar would: sizes, counts and offsets are fields of 1 to 12 bytes."""
    width, at = chance.choice([1, 2, 4, 8, 12]), chance.randrange(len(whole))
    field = chance.choice([b"\0" * width, b"\xff" * width, b"7" * width, chance.randbytes(width)])
    return whole[:at] + field + whole[at + width :]


def cut(whole: bytes, other: bytes, chance: random.Random) -> bytes:
    return whole[: chance.randrange(len(whole))]


def spliced(whole: bytes, other: bytes, chance: random.Random) -> bytes:
    """Pieces of two archives, at times along the blocks of a tar."""
    block = chance.choice([1, 512])
    first = whole[: chance.randrange(0, len(whole), block)]
    return first + other[chance.randrange(0, len(other), block) :]


# ── the check ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, bytes], Files | None]:
    """Loads an archive: the files of its data, or nothing where it is refused."""
    cache = tmp_path / "deep/down/cache"
    monkeypatch.setenv("HARNESS_CACHE", str(cache))
    monkeypatch.chdir(tmp_path)

    def outside() -> set[Path]:
        return {path for path in tmp_path.rglob("*") if cache not in [path, *path.parents]}

    def through(suffix: str, content: bytes) -> Files | None:
        archive = tmp_path / f"x{suffix}"
        archive.write_bytes(content)
        before = outside()
        try:
            data = Folder(archive).load()
        except HarnessError as error:
            found, told = None, str(error)
        else:
            told = ""
            inputs = data.train.inputs
            assert isinstance(inputs, FileInputs)
            assert all(cache in path.resolve().parents for path in inputs.paths)
            found = {f"{path.parent.name}/{path.name}": path.read_bytes() for path in inputs.paths}
        assert "\n" not in told
        assert outside() - before <= set(cache.parents)
        assert not list(cache.glob("archives/*.partial"))
        return found

    return through


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", [flipped, overwritten, cut, spliced])
def test_a_damaged_archive_gives_its_own_data_or_an_error(
    load: Callable[[str, bytes], Files | None], kind: str, damage: Callable[..., bytes]
) -> None:
    suffix, pack = KINDS[kind]
    chance = random.Random(f"{kind} {damage.__name__}")
    packed = [pack(tree) for tree in TREES]
    assert load(suffix, packed[0]) == TREES[0]
    refused = 0
    for _ in range(EACH):
        found = load(suffix, damage(*packed, chance))
        if found is None:
            refused += 1
        elif kind == "tar" and damage is spliced:
            known = [pixels(tree).values() for tree in TREES]
            assert set(pixels(found).values()) <= {*known[0], *known[1]}
        elif kind == "tar":
            assert pixels(found).items() <= pixels(TREES[0]).items()
        else:
            assert found in TREES
    assert refused > EACH // 4


PIECES = ("..", ".", "a", "A", "a ", "ä", "a\u0308", "C:", "~", "con", "\\", "\n", "\0", "a" * 300)


@pytest.mark.parametrize("kind", ["stored zip", "tar", "tar.gz"])
def test_hostile_names_write_nothing_elsewhere(
    load: Callable[[str, bytes], Files | None], kind: str
) -> None:
    suffix, pack = KINDS[kind]
    chance = random.Random(kind)
    for _ in range(EACH):
        names = {
            chance.choice(["", "", "/", "//"]) + "/".join(chance.choices(PIECES, k=3))
            for _ in range(chance.randrange(1, 4))
        }
        hostile = {**TREES[0], **{f"{name}/1.png": png(0) for name in names}}
        load(suffix, pack(hostile))
