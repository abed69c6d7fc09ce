"""Which of a results folder's models is meant: by default the one that its report recommends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from harness.errors import HarnessError, did_you_mean
from harness.record.elsewhere import ELSEWHERE
from harness.record.schema import Record
from harness.record.store import Store
from harness.report.analysis.recommended import best_first
from harness.report.analysis.report import analyse
from harness.report.format import percent

COLUMNS = ("problem", "shots", "backbone", "label")
"""What may be asked for, in the order in which it is listed."""


@dataclass(frozen=True)
class Choice:
    """A cell that ended ok, and why it was chosen, in a sentence."""

    record: Record
    why: str


def choose(store: Store, asked: Mapping[str, str | None], cell: str | None = None) -> Choice:
    """Choose a cell by its key, or by what is ``asked`` for of :data:`COLUMNS`.

    What is left open has to be one alone, but for the label, which then is what the report
    recommends. Of its seeds the one that validated best is taken, ties to the lowest.

    Raises:
        HarnessError: nothing fits, or several settings do: they are listed.
    """
    report = analyse(store)
    frame = with_results(store, report.frame)
    if cell is not None:
        return _by_key(store, frame, cell)
    frame = one_setting(store, frame, asked)
    setting = int(frame["setting"].iloc[0])
    (standing,) = (one for one in report.decisions.standings if one.setting == setting)
    label, why = asked.get("label"), "as asked for"
    if label is None:
        label, why = standing.take, "which the report recommends"
    others = f"Choose by --label: {', '.join(frame['label'].unique())}"
    if label is None:
        raise HarnessError("of these strategies the report recommends none", others)
    rows = best_first(frame, setting, label)
    if rows.empty:
        raise HarnessError(f"there is no model of '{label}', {why}", others)
    return _of_seeds(store, rows, f"{label}, {why}")


def with_results(store: Store, frame: pd.DataFrame) -> pd.DataFrame:
    """Select the rows of a tidy frame of the cells that ended ok.

    Raises:
        HarnessError: there are none.
    """
    frame = frame[frame["counts"] & (frame["strategy"] != ELSEWHERE)]
    if frame.empty:
        raise HarnessError(f"no cell of {store.directory} ended ok", "Run its suite first")
    return frame


def one_setting(store: Store, frame: pd.DataFrame, asked: Mapping[str, str | None]) -> pd.DataFrame:
    """Select what is ``asked`` for of :data:`COLUMNS`, which has to be of one setting.

    Raises:
        HarnessError: nothing fits, or several settings do: they are listed.
    """
    for name in COLUMNS:
        wanted = asked.get(name)
        if wanted is None:
            continue
        known = frame[name].astype(str)
        if not (known == wanted).any():
            there = sorted(known.unique())
            raise HarnessError(
                f"--{name} {wanted}: no result that is left has it{did_you_mean(wanted, there)}",
                f"Choose of {', '.join(there)}",
            )
        frame = frame[known == wanted]
    if frame["setting"].nunique() > 1:
        raise HarnessError(
            f"{store.directory.name} has results for {frame['setting'].nunique()} settings",
            "Say which: " + "; ".join(_settings(frame)),
        )
    return frame


def _by_key(store: Store, frame: pd.DataFrame, cell: str) -> Choice:
    found = frame[frame["cell"].str.startswith(cell)]
    if len(found) != 1:
        several = f"the keys of {len(found)} cells begin with '{cell}'"
        raise HarnessError(
            several if len(found) else f"no cell that ended ok has a key like '{cell}'",
            "harness export prints the keys of all cells",
        )
    return Choice(_record(store, found.iloc[0]["cell"]), "the cell that was asked for")


def _of_seeds(store: Store, rows: pd.DataFrame, what: str) -> Choice:
    best, number = rows.iloc[0], len(rows)
    own, mean = percent(best["accuracy"]), percent(rows["accuracy"].mean())
    why = f"{what}; seed {best['seed']}, which validated best of {number}: {own} % on its test"
    return Choice(_record(store, best["cell"]), f"{why}, where their mean is {mean} %")


def _record(store: Store, cell: str) -> Record:
    (planned,) = (one for one in store.plan().cells if one.cell == cell)
    record, _ = store.judged(planned)
    assert record is not None
    return record


def _settings(frame: pd.DataFrame) -> list[str]:
    """The options that choose each setting, without those that all have in common."""
    names = [name for name in COLUMNS[:3] if frame[name].astype(str).nunique() > 1]
    rows = frame.drop_duplicates("setting").sort_values("setting")
    return [
        " ".join(f"--{name} {_quoted(str(row[name]))}" for name in names)
        for row in rows.to_dict("records")
    ]


def _quoted(text: str) -> str:
    return text if text.isalnum() else f"'{text}'"
