"""Archives: what is in them is unpacked once, whole, and nowhere else."""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from harness.data.archives import cache_folder, is_archive, unpacked
from harness.data.unpacking import ArchiveLimits, _entries
from harness.errors import HarnessError

NOISE = random.Random(0).randbytes(200_000)
TREE = {"a/1.txt": b"one", "a/2.txt": b"", "b/1.txt": NOISE, "ä/ŋ 3.txt": b"three"}

Write = Callable[[Path, Mapping[str, bytes]], None]


def zipped(path: Path, tree: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in tree.items():
            archive.writestr(name, content)


def tarred(path: Path, tree: Mapping[str, bytes]) -> None:
    kind = path.suffix.removeprefix(".").replace("tgz", "gz").replace("tar", "")
    mode: Any = f"w:{kind}"
    with tarfile.open(path, mode) as archive:
        for name, content in tree.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def written(path: Path, tree: Mapping[str, bytes] = TREE) -> Path:
    (zipped if path.suffix == ".zip" else tarred)(path, tree)
    return path


def read(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache/archives"


def left(cache: Path) -> list[str]:
    """What is in the cache, but for the locks."""
    return [path.name for path in cache.glob("*") if path.suffix != ".lock"]


KINDS = ("x.zip", "x.tar", "x.tar.gz", "x.TGZ", "x.tar.bz2", "x.tar.xz")


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_holds_what_was_packed(tmp_path: Path, name: str) -> None:
    archive = written(tmp_path / name.lower()).rename(tmp_path / name)
    assert is_archive(archive)
    assert read(unpacked(archive)) == TREE


def test_other_files_and_folders_are_no_archives(tmp_path: Path) -> None:
    (tmp_path / "x.zip").mkdir()
    (tmp_path / "x.rar").write_bytes(b"Rar!")
    assert not any(map(is_archive, tmp_path.iterdir()))
    assert not is_archive(tmp_path / "nowhere.zip")


@pytest.mark.parametrize("prefix", ["top/", "./top/", "outer/top/"])
def test_a_folder_around_everything_is_stepped_into(tmp_path: Path, prefix: str) -> None:
    tree = {prefix + name: content for name, content in TREE.items()}
    assert read(unpacked(written(tmp_path / "x.tar", tree))) == TREE


def test_folders_may_be_members_and_may_be_empty(tmp_path: Path) -> None:
    (tmp_path / "tree/full").mkdir(parents=True)
    (tmp_path / "tree/empty").mkdir()
    (tmp_path / "tree/full/1.txt").write_bytes(b"1")
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.add(tmp_path / "tree", "tree")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as zip_archive:
        for path in sorted((tmp_path / "tree").rglob("*")):
            zip_archive.write(path, path.relative_to(tmp_path))
    for kind in ("tar", "zip"):
        found = unpacked(tmp_path / f"x.{kind}")
        assert sorted(os.listdir(found)) == ["empty", "full"]
        assert read(found) == {"full/1.txt": b"1"}


# ── once, and found again ─────────────────────────────────────────────────────────────────────


def test_the_same_bytes_are_unpacked_once_wherever_they_lie(tmp_path: Path) -> None:
    here, there = written(tmp_path / "here.zip"), tmp_path / "there.zip"
    there.write_bytes(here.read_bytes())
    first = unpacked(here)
    before = {path: path.stat().st_ino for path in first.rglob("*")}
    assert unpacked(there) == first
    assert {path: path.stat().st_ino for path in first.rglob("*")} == before
    assert unpacked(written(tmp_path / "here.zip", {"a/1": b"", "b/1": b""})) != first


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"short")])
def test_what_was_lost_from_the_cache_is_unpacked_again(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    archive = written(tmp_path / "x.zip")
    harm(unpacked(archive) / "b/1.txt")
    assert read(unpacked(archive)) == TREE


def test_the_cache_is_the_users_unless_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARNESS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache_folder() == Path("/caches/transfer-harness")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache/transfer-harness"


def test_many_may_ask_at_once(tmp_path: Path, cache: Path) -> None:
    archive = written(tmp_path / "x.tar.gz")
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: unpacked(archive), range(8)))
    assert len(found) == 1
    assert read(found.pop()) == TREE
    assert len(left(cache)) == 1


KILLED = """
import sys, time
from pathlib import Path
from harness.data import unpacking
from harness.data.archives import unpacked
new = unpacking._new
def slow(make, name, archive):
    if name == "b/1.txt":
        print("in the middle", flush=True)
        time.sleep(60)
    return new(make, name, archive)
unpacking._new = slow
unpacked(Path(sys.argv[1]))
"""


def test_a_process_killed_in_the_middle_does_no_harm(tmp_path: Path, cache: Path) -> None:
    archive = written(tmp_path / "x.zip")
    command = [sys.executable, "-c", KILLED, str(archive)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == b"in the middle\n"
        killed.send_signal(signal.SIGKILL)
    (partial,) = left(cache)
    assert partial.endswith(".partial")
    assert read(unpacked(archive)) == TREE
    assert len(left(cache)) == 1


def test_a_cache_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "file/cache"))
    with pytest.raises(HarnessError, match=r"cannot unpack .*x\.zip: .* HARNESS_CACHE names"):
        unpacked(written(tmp_path / "x.zip"))


# ── what is refused, in one line, leaving nothing ─────────────────────────────────────────────


@pytest.fixture
def refused(tmp_path: Path, cache: Path) -> Any:
    """Checks that an archive is refused with a remedy, and that no file was written anywhere."""

    def check(archive: Path, complaint: str, **limits: int) -> None:
        before = {path for path in tmp_path.rglob("*") if cache not in path.parents}
        with pytest.raises(HarnessError, match=complaint) as caught:
            unpacked(archive, ArchiveLimits(**limits))
        assert str(archive) in caught.value.message
        assert caught.value.remedy
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 500 + len(str(archive))
        assert left(cache) == []
        after = {path for path in tmp_path.rglob("*") if cache not in path.parents}
        assert after - before <= {cache, cache.parent}

    return check


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.xz"])
@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("../out", "leads out"),
        ("a/../../out", "leads out"),
        ("a/..", "leads out"),
        ("/tmp/out", "leads out"),
        ("//host/out", "leads out"),
        ("C:/out", "leads out"),
        ("c:out", "leads out"),
        ("..\\out", "none that every system"),
        ("a\\b", "none that every system"),
        ("a\nb", "none that every system"),
        ("a\x1b[2Jb", "none that every system"),
        ("a\u202eb\x7f", "none that every system"),
        ("a/" * 5000 + "b", "none that every system"),
        ("a" * 256, "none that every system"),
        ("b/1.txt", "twice"),
        ("b/./1.txt", "twice"),
        ("b/1.txt/c", "twice"),
        ("b", "twice"),
        (".", "twice"),
    ],
)
def test_hostile_names(tmp_path: Path, refused: Any, kind: str, name: str, complaint: str) -> None:
    archive = tmp_path / f"x.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("b/1.txt", b"1")
            info = zipfile.ZipInfo()
            info.filename = name
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("warnings.warn", lambda *_, **__: None)
                file.writestr(info, b"out")
    else:
        tarred(archive, {"b/1.txt": b"1"})
        members = [("b/1.txt", b"1"), (name, b"out")]
        mode: Any = "w:xz" if kind.endswith("xz") else "w"
        with tarfile.open(archive, mode) as tar:
            for each, content in members:
                member = tarfile.TarInfo(each)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    refused(archive, complaint)


def test_a_zip_name_that_ends_elsewhere_for_others_is_refused(tmp_path: Path, refused: Any) -> None:
    archive = written(tmp_path / "x.zip", {"a/1.png_.exe": b"1", "b/1.png": b"1"})
    archive.write_bytes(archive.read_bytes().replace(b"1.png_.exe", b"1.png\0.exe"))
    refused(archive, "none that every system")


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"?"],
)
@pytest.mark.parametrize("target", ["b/1.txt", "../../etc/passwd", "/etc/passwd"])
def test_links_and_devices_of_a_tar(tmp_path: Path, refused: Any, kind: bytes, target: str) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("b/1.txt"))
        odd = tarfile.TarInfo("b/odd")
        odd.type, odd.linkname = kind, target
        archive.addfile(odd)
        # What a link would be followed by, were it made: a file beneath it.
        archive.addfile(tarfile.TarInfo("b/odd/2.txt"))
    refused(tmp_path / "x.tar", "'b/odd' in .* is a link or something else")


def test_links_of_a_zip(tmp_path: Path, refused: Any) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        link = zipfile.ZipInfo("a")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc")
        archive.writestr("a/passwd", "root::0:0")
    refused(tmp_path / "x.zip", "'a' in .* is a link")


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.bz2", "tar.xz"])
def test_bombs_are_stopped_by_what_they_become(tmp_path: Path, refused: Any, kind: str) -> None:
    archive = written(tmp_path / f"x.{kind}", {"a/1": bytes(3_000_000), "b/1": b""})
    assert archive.stat().st_size < 10_000
    refused(archive, r"become more than 1,000,000 bytes", small=1_000_000)
    refused(archive, r"become more than 2,000,000 bytes", total=2_000_000)
    assert read(unpacked(archive, ArchiveLimits(small=4_000_000)))["a/1"] == bytes(3_000_000)


def test_a_zip_bomb_that_understates_its_size(tmp_path: Path, refused: Any) -> None:
    archive = written(tmp_path / "x.zip", {"a/1": bytes(3_000_000)})
    told, lie = (size.to_bytes(4, "little") for size in (3_000_000, 1000))
    archive.write_bytes(archive.read_bytes().replace(told, lie))
    refused(archive, "is damaged: .*CRC", small=1_000_000)


def test_sparse_files_are_refused(tmp_path: Path, refused: Any) -> None:
    """Their holes are in no archive: 1 kB becomes 8 GB."""
    member = tarfile.TarInfo("a/1")
    member.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    header[386:410] = b"00000000000\000000000000\0"
    header[483:495] = b"77777777777\0"
    header[148:156] = b" " * 8
    header[148:155] = b"%06o\0" % sum(header)
    (tmp_path / "x.tar").write_bytes(header + bytes(1024))
    refused(tmp_path / "x.tar", "'a/1' in .* is a link or something else")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_are_counted_and_so_are_the_folders_they_need(
    tmp_path: Path, refused: Any, kind: str
) -> None:
    many = written(tmp_path / f"x.{kind}", {f"a/{n}": b"" for n in range(20)})
    refused(many, "more than 20 files and folders", members=20)
    assert len(read(unpacked(many, ArchiveLimits(members=21)))) == 20
    deep = written(tmp_path / f"y.{kind}", {"/".join("abcdefghijkl"): b""})
    unpacked(many).parent.parent.rename(tmp_path / "elsewhere")
    refused(deep, "more than 5 files and folders", members=5)


def test_encrypted_archives_are_refused(tmp_path: Path, refused: Any) -> None:
    archive = written(tmp_path / "x.zip", {"a/1": b"1"})
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    archive.write_bytes(content)
    refused(archive, r"is encrypted. Unpack it and give the folder")


def test_other_compression_within_a_zip_is_refused(tmp_path: Path, refused: Any) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a/1", b"1")
    refused(tmp_path / "x.zip", "other means than deflate")


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("content", [b"", b"PK", b"no archive at all" * 50, bytes(4)])
def test_what_is_no_archive_is_told(
    tmp_path: Path, refused: Any, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, r"is damaged: \w+")


@pytest.mark.parametrize("name", KINDS)
def test_an_archive_cut_anywhere_is_refused(tmp_path: Path, refused: Any, name: str) -> None:
    content = written(tmp_path / name.lower()).read_bytes()
    # Of a tar, the zeros at its end are no loss.
    end = len(content.rstrip(b"\0")) // 512 * 512 if name.endswith(".tar") else len(content)
    for cut in random.Random(1).sample(range(end), 20):
        (tmp_path / name).write_bytes(content[:cut])
        refused(tmp_path / name, "is damaged")


def test_a_tar_with_a_damaged_header_in_its_middle_loses_no_file_silently(
    tmp_path: Path, refused: Any
) -> None:
    archive = written(tmp_path / "x.tar")
    content = bytearray(archive.read_bytes())
    content[content.index(b"b/1.txt")] ^= 1
    archive.write_bytes(content)
    refused(archive, "is damaged: .* no header at byte 1536")


def test_a_zip_whose_directory_skips_an_entry_loses_no_file_silently(
    tmp_path: Path, refused: Any
) -> None:
    """An entry with a long comment swallows the one after it."""
    archive = written(tmp_path / "x.zip", {"a/1": b"1", "b/1": b"1", "c/1": b"1"})
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\1\2") + 32] = 46 + len("b/1")
    archive.write_bytes(content)
    with zipfile.ZipFile(archive) as unaware:
        assert unaware.namelist() == ["a/1", "c/1"]
    refused(archive, "is damaged: .* its directory names 2 of 3")


@pytest.mark.parametrize("count", [0, 65_600])
def test_a_zip_of_very_many_files_is_whole(tmp_path: Path, count: int) -> None:
    """More than 65,534 are counted in a place of their own."""
    archive = written(tmp_path / "x.zip", dict.fromkeys(map(str, range(count)), b""))
    with archive.open("rb") as file, zipfile.ZipFile(file) as opened:
        assert _entries(file, opened.comment) == count


def test_two_tars_in_one_file_lose_none_silently(tmp_path: Path, refused: Any) -> None:
    archive = written(tmp_path / "x.tar")
    archive.write_bytes(archive.read_bytes() * 2)
    refused(archive, "not the end")


@pytest.mark.parametrize("size", [b"\xff" * 12, b"\x80" + b"\xff" * 11])
@pytest.mark.parametrize("kind", [b"0", b"x", b"g", b"L", b"K", b"S"])
def test_sizes_below_zero_or_beyond_reason_end(
    tmp_path: Path, refused: Any, size: bytes, kind: bytes
) -> None:
    """Some versions of tarfile would read them for ever."""
    header = bytearray(tarfile.TarInfo("a/1").tobuf())
    header[124:136], header[156:157] = size, kind
    header[148:156] = b" " * 8
    header[148:155] = b"%06o\0" % sum(header)
    (tmp_path / "x.tar").write_bytes(header + bytes(1024))
    refused(tmp_path / "x.tar", "is damaged|is a link")


def test_an_archive_that_changes_while_it_is_read_is_not_kept(
    tmp_path: Path, refused: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = written(tmp_path / "x.tar")
    from harness.data import archives

    def meddling(*arguments: Any) -> None:
        write(*arguments)
        with archive.open("ab") as file:
            file.write(b"!")

    write = archives.write
    monkeypatch.setattr(archives, "write", meddling)
    refused(archive, "changed while it was read. Run it again")


def test_a_full_disk_is_no_damage(
    tmp_path: Path, refused: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("harness.data.unpacking.Meter.copy", full)
    refused(written(tmp_path / "x.zip"), "cannot unpack .*No space left.* HARNESS_CACHE names")
