"""How many examples are learned from: ``1``, ``5``, ``"vtab1k"``, ``"all"``."""

from __future__ import annotations

from typing import Literal, TypeAlias

Shots: TypeAlias = int | Literal["vtab1k", "all"]
"""Training examples a class; or 1,000 examples of all classes, as in VTAB-1k; or all there are."""

VTAB_TRAIN, VTAB_VAL = 800, 200

_BY_NAME = {"vtab1k": (1e9, "1,000 examples (800/200)"), "all": (float("inf"), "all data")}


def shots_order(shots: Shots) -> float:
    """A sort key: 1, 5, …, then ``vtab1k``, then ``all``."""
    return _BY_NAME[shots][0] if isinstance(shots, str) else float(shots)


def shots_text(shots: Shots, number: str = "{} shots") -> str:
    """``1 shot``, ``5 shots``, ``1,000 examples (800/200)``, ``all data``.

    Args:
        number: how a number of shots is written.
    """
    if isinstance(shots, str):
        return _BY_NAME[shots][1]
    return number.format(int(shots)).removesuffix("s" if shots == 1 else "")


def shots_asked(shots: Shots) -> str:
    """``5 shots``, ``shots = 'all'``: as a suite asks for them, for messages."""
    return f"shots = '{shots}'" if isinstance(shots, str) else f"{shots} shots"
