"""Whose luck intervals and tests count, and whose they don't: seeds redraw some of it only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pandas as pd

from harness.record.files import read_file
from harness.report import format

MOST_BYTES = 100_000_000
"""Bytes of a split that is read, at most."""


def with_examples(directory: Path, frame: pd.DataFrame) -> pd.DataFrame:
    """Add to the tidy frame what is tested in each setting, by the splits that its cells left.

    ``examples``: how many, NaN where no split tells, as of further tests · ``classes``: how many of
    them, likewise · ``shared``: whether its seeds are tested on the same ones. Two seeds are looked
    at: a dataset has a test split of its own, or has none.
    """
    tests: dict[str, list[Any]] = {}
    names: dict[str, list[Any]] = {}
    classes: dict[int, float] = {}
    examples: dict[int, float] = {}
    shared: dict[int, bool] = {}
    own = frame[frame["split_hash"].notna() & (frame["test"] == "")]
    for setting, cells in own.groupby("setting"):
        pair = cells.drop_duplicates("seed")["split_hash"].iloc[:2]
        for digest in set(pair) - tests.keys():
            split = _read(directory / f"splits/{digest}.json")
            tests[digest], names[digest] = _list(split, "test"), _list(split, "classes")
        first, *second = (tests[digest] for digest in pair)
        place = cast("int", setting)
        if first:
            examples[place], shared[place] = float(len(first)), second == [first]
        if known := names[pair.iloc[0]]:
            classes[place] = float(len(known))
    return frame.assign(
        examples=frame["setting"].map(examples).astype("float64"),
        classes=frame["setting"].map(classes).astype("float64"),
        shared=frame["setting"].map(shared).eq(True),
    )


def _read(path: Path) -> Any:
    try:
        return json.loads(read_file(path, MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return None


def _list(split: Any, name: str) -> list[Any]:
    """What a split lists under a name; nothing of what is no split, or does not tell."""
    found = split.get(name) if isinstance(split, dict) else None
    return found if isinstance(found, list) else []


def luck(config: Mapping[str, Any], frame: pd.DataFrame) -> list[str]:
    """Tell what all seeds have in common, so that no interval or test counts its luck.

    Args:
        config: the suite's, as ``plan.json`` has it.
        frame: with what ``with_examples`` adds.
    """
    told, alone = [], []
    seeds = set(frame["seed"])
    for spec in config.get("backbones") or []:
        weights, name = spec.get("weights", "hub"), str(spec.get("label") or spec.get("model"))
        if weights == "random" or not spec.get("compared", True):
            continue
        several = weights.get("seeds", 1) if isinstance(weights, Mapping) else 1
        used = len({seed % several for seed in seeds})
        if used < 2:
            alone.append(name)
        elif used == len(seeds):
            text = "Each seed has a pretraining of {} of its own: intervals count its luck too."
            told.append(text.format(name))
        else:
            text = (
                "The {} seeds share {} pretrainings of {}: intervals count their luck in part, as"
                " seeds with the same weights are less far apart than others."
            )
            told.append(text.format(len(seeds), used, name))
    if alone:
        told.append(
            f"All seeds start from the same weights of {format.listing(alone)}, which come from"
            " one pretraining: what another would have brought is in no interval."
        )
    same = frame[frame["shared"]].drop_duplicates("problem")
    if len(same):
        counts = [
            f"{problem} ({format.plural(int(n), 'example')})"
            for problem, n in zip(same["problem"], same["examples"], strict=True)
        ]
        told.append(
            f"All seeds are tested on the same examples of {format.listing(counts)}: what is said"
            " there holds for these test examples."
        )
    return told
