"""Pack a results folder into one archive, of which the same results have the same bytes."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

from harness.errors import HarnessError
from harness.record.files import make_folder
from harness.record.store import Store, predictions_file
from harness.share.lock import lock

ENVIRONMENT = "environment.txt"
"""The lock's name in a bundle."""

LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip archive knows."""


def bundle(store: Store, to: Path) -> None:
    """Pack what a plan's cells left, but for models and caches, and the report.

    Beneath one folder with the suite's name, sorted, with one time for all: no byte depends on when
    or where it was packed, as far as zlib and what is installed do not differ.

    Raises:
        HarnessError: the folder holds no results, or there is a file ``to`` already.
    """
    if to.suffix != ".zip":
        raise HarnessError(f"--to {to}: a bundle is a zip archive", f"Say --to {to}.zip")
    if to.exists():
        raise HarnessError(f"{to} is there already", "Give a file that is not: --to FILE.zip")
    plan = store.plan()
    make_folder(to.parent)
    making = to.with_name(f"{to.name}.making")
    with zipfile.ZipFile(making, "w", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, f"{plan.suite}/{ENVIRONMENT}", lock().encode())
        for name in sorted({*_names(store)}):
            path = store.directory / name
            if path.is_file():
                _add(archive, f"{plan.suite}/{name}", path.read_bytes())
    os.replace(making, to)


def _names(store: Store) -> Iterator[str]:
    """The files of a results folder that are packed, as far as they are there."""
    yield "plan.json"
    for cell in store.plan().cells:
        yield f"records/{cell.cell}.json"
        yield f"logs/{cell.cell}.log"
        yield from (predictions_file(cell.cell, test) for test in (None, *cell.tests))
        record, _ = store.judged(cell)
        if record is not None:
            yield f"splits/{record.split_hash}.json"
    for path in (store.directory / "report").rglob("*"):
        if not path.name.startswith("."):  # one that is still being written
            yield path.relative_to(store.directory).as_posix()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    told = zipfile.ZipInfo(name, LONG_AGO)
    told.create_system, told.external_attr = 3, 0o644 << 16  # whoever packs it
    archive.writestr(told, content, zipfile.ZIP_DEFLATED, compresslevel=6)
