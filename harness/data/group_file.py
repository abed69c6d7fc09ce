"""Groups as a CSV file: which examples belong together, each known by its content."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

from harness.data.digests import example_digests
from harness.data.examples import Data, FileInputs
from harness.errors import HarnessError, located

COLUMNS = ("group", "digest", "split", "row", "file")
"""The first two count; the others say to people which example it is."""

REMEDY = "'harness data PATH --groups-to FILE' writes such files"


def group_file(data: Data, numbers: Iterable[int]) -> str:
    """The text of a file that has each example which is not alone in its group, group by group.

    Args:
        numbers: of the group of each example, the official test split's after those to train on.
    """
    examples: dict[int, list[tuple[str, str, int, str]]] = {}
    places = iter(numbers)
    for name, split in (("train", data.train), ("test", data.test)):
        if split is None:
            continue
        files = split.inputs.paths if isinstance(split.inputs, FileInputs) else None
        for row, digest in enumerate(example_digests(split.inputs)):
            file = "" if files is None else str(files[row])
            examples.setdefault(next(places), []).append((digest.hex(), name, row, file))
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    several = [members for members in examples.values() if len(members) > 1]
    for group, members in enumerate(several):
        table.writerows((group, *member) for member in members)
    return text.getvalue()


def names_by_file(data: Data, file: Path) -> list[list[object]]:
    """A name for the group of each example of the training data, and of the official test split
    where there is one; an example that the file does not have is alone.

    Raises:
        HarnessError: the file can't be read, has no such columns, has an example in two groups, or
            has none of these data.
    """
    known = _read(file)
    parts = [data.train, *([data.test] if data.test is not None else [])]
    digests = [[digest.hex() for digest in example_digests(part.inputs)] for part in parts]
    if known and not any(digest in known for part in digests for digest in part):
        raise HarnessError(f"{file}: it groups no example of these data", REMEDY)
    return [[known.get(digest, ("alone", digest)) for digest in part] for part in digests]


def _read(file: Path) -> Mapping[str, str]:
    """The group of each example, by digest."""
    if not file.is_file():
        raise HarnessError(f"there is no file of groups {located(file)}", REMEDY)
    found: dict[str, str] = {}
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            table = csv.DictReader(lines)
            if missing := {*COLUMNS[:2]} - {*(table.fieldnames or ())}:
                columns = " and ".join(sorted(missing))
                raise HarnessError(f"{file}: it has no column {columns}", REMEDY)
            for row in table:
                digest, group = str(row["digest"]).strip(), str(row["group"]).strip()
                if found.setdefault(digest, group) != group:
                    raise HarnessError(
                        f"{file}: line {table.line_num}: the example {digest} is in the groups "
                        f"'{found[digest]}' and '{group}'",
                        "Give both one name: they can't be told apart",
                    )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise HarnessError(f"{file}: it can't be read: {error}", REMEDY) from None
    return found
