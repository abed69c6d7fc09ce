"""Frames as files: the same types and the same digits in every format."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

TEXT = set(
    "cell suite strategy label dataset problem protocol shots backbone status reason split_hash "
    "leaks notes cached oracle log starts_from test state left sign right source verdict".split()
)
WHOLE = set(
    "ways seed peak_device_bytes peak_host_bytes trainable_params total_params trials "
    "trials_failed attempts number at_once together".split()
)

FLAGS = {"baseline", "selected"}


def to_csv(frame: pd.DataFrame) -> str:
    """A ``typed`` frame as CSV: what a row does not have is empty."""
    return frame.to_csv(index=False, lineterminator="\n")


def to_json(frame: pd.DataFrame) -> str:
    """A ``typed`` frame as a list of objects, one a row; what a row does not have is null."""
    table = frame.astype(object)
    rows = table.where(table.notna(), None).to_dict("records")
    # A number or "all", as in the suite: only columns have one type.
    shots = (int(text) if text.isdigit() else text for text in frame["shots"])
    return json.dumps([{**row, "shots": n} for row, n in zip(rows, shots, strict=True)], indent=1)


def to_parquet(frame: pd.DataFrame) -> bytes:
    """A ``typed`` frame as Parquet."""
    content = io.BytesIO()
    frame.to_parquet(content, index=False)
    return content.getvalue()


def typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Every column of one type, which does not depend on the cells that happen to be done."""
    types = dict.fromkeys(frame.columns, "float64")
    for kind, names in (("string", TEXT), ("Int64", WHOLE), ("boolean", FLAGS)):
        types |= dict.fromkeys(names.intersection(frame.columns), kind)
    return frame.astype(types)
