"""Archives of files: unpacked once into a cache, and found again by their content."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import closing
from io import BufferedReader
from pathlib import Path

from filelock import FileLock

from harness.data.unpacking import ARCHIVES, LIMITS, ArchiveLimits, Meter, members, write
from harness.errors import HarnessError, is_systems, one_line


def is_archive(path: Path) -> bool:
    """Whether a file is an archive, by its name."""
    return path.is_file() and path.name.lower().endswith(ARCHIVES)


def cache_folder() -> Path:
    """Where archives are unpacked: ``HARNESS_CACHE``, else a folder in the user's own cache."""
    if given := os.environ.get("HARNESS_CACHE"):
        return Path(given).expanduser().absolute()
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(caches).expanduser().absolute() / "transfer-harness"


def unpacked(archive: Path, limits: ArchiveLimits = LIMITS) -> Path:
    """The folder that holds what is in ``archive``: unpacked now, or before from the same bytes.

    Where all of it is in one folder, that folder. Several processes may ask at once. One that is
    killed leaves an unfinished folder, which nobody takes for a finished one, and which the next
    who asks removes.

    Raises:
        HarnessError: the archive is damaged, encrypted or has links in it, a name in it leads out
            of the folder or is there twice, it becomes larger than ``limits``, or the cache cannot
            be written.
    """
    try:
        with archive.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            place = cache_folder() / "archives" / digest[:32]
            if not _whole(place):
                place.parent.mkdir(parents=True, exist_ok=True)
                with FileLock(place.with_suffix(".lock")):
                    if not _whole(place):
                        _unpack(file, archive, digest, place, limits)
        return _innermost(place / "tree")
    except OSError as error:
        raise HarnessError(
            f"cannot unpack {archive}: {one_line(error)}",
            "HARNESS_CACHE names the folder that archives are unpacked into",
        ) from error


def _whole(place: Path) -> bool:
    """Whether all that was unpacked is there: a cache is a place that people and systems clean."""
    try:
        return bool(json.loads((place / "sizes.json").read_bytes()) == _sizes(place / "tree"))
    except (FileNotFoundError, ValueError):
        return False


def _sizes(tree: Path) -> dict[str, int]:
    """The bytes of each file beneath ``tree``."""
    paths = (Path(folder, name) for folder, _, names in os.walk(tree) for name in names)
    return {path.relative_to(tree).as_posix(): path.stat().st_size for path in paths}


def _unpack(
    file: BufferedReader, archive: Path, digest: str, place: Path, limits: ArchiveLimits
) -> None:
    """Unpack to a folder beside ``place``, and rename it when it is complete."""
    partial = place.with_suffix(".partial")
    for remains in (partial, place):
        if remains.exists():
            shutil.rmtree(remains)
    try:
        (partial / "tree").mkdir(parents=True)
        meter = Meter(archive, limits)
        try:
            with closing(members(file, meter, partial)) as found:
                write(found, partial / "tree", meter)
        except HarnessError:
            raise
        except Exception as error:  # the readers let through whatever a damaged file provokes
            if is_systems(error):
                raise
            raise HarnessError(
                f"{archive} is damaged: {one_line(error)[:200]}", "Fetch it again"
            ) from error
        file.seek(0)
        if hashlib.file_digest(file, "sha256").hexdigest() != digest:
            raise HarnessError(f"{archive} changed while it was read", "Run it again")
        (partial / "sizes.json").write_text(json.dumps(_sizes(partial / "tree")))
        partial.rename(place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _innermost(tree: Path) -> Path:
    """The folder down to which there is one folder only."""
    while len(names := os.listdir(tree)) == 1 and (tree / names[0]).is_dir():
        tree /= names[0]
    return tree
