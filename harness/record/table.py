"""The tidy frame as a file: the same types and the same digits in every format."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

TEXT = set(
    "cell suite strategy label dataset problem protocol shots backbone status reason split_hash "
    "leaks notes cached oracle log starts_from".split()
)
WHOLE = set(
    "ways seed peak_device_bytes peak_host_bytes trainable_params total_params trials "
    "trials_failed attempts".split()
)

FLAGS = {"baseline"}


def to_csv(frame: pd.DataFrame) -> str:
    return typed(frame).to_csv(index=False, lineterminator="\n")


def to_json(frame: pd.DataFrame) -> str:
    """A list of objects, one a row; what a cell does not have is null."""
    table = typed(frame).astype(object)
    rows = table.where(table.notna(), None).to_dict("records")
    shots = frame["shots"]  # a number or "all", as in the suite: only columns have one type
    return json.dumps([{**row, "shots": n} for row, n in zip(rows, shots, strict=True)], indent=1)


def to_parquet(frame: pd.DataFrame) -> bytes:
    content = io.BytesIO()
    typed(frame).to_parquet(content, index=False)
    return content.getvalue()


def typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Every column of one type, which does not depend on the cells that happen to be done."""
    types = dict.fromkeys(frame.columns, "float64")
    types |= dict.fromkeys(TEXT, "string") | dict.fromkeys(WHOLE, "Int64")
    types |= dict.fromkeys(FLAGS, "boolean")
    return frame.astype(types)
