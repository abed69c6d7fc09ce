"""Names of classes: the order of what has no other, and which are two spellings of one."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from fractions import Fraction

from harness.errors import Mistakes

NUMBER = re.compile(r"[+-]?[0-9]{1,99}(\.[0-9]{1,99})?")


def natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """A sort key: ``a2`` before ``a10``, and ``a02`` always on the same side of ``a2``."""
    parts = re.split("0*([0-9]+)", name)
    # Of two numbers the longer is the larger one, however many digits they have.
    return [(len(part) * (place % 2), part) for place, part in enumerate(parts)], name


def one_name(names: Iterable[str], where: str, *, merge: bool | None = None) -> Mapping[str, str]:
    """For each name that of its class: names that nobody would tell apart are one class.

    Such are names that differ in white space at the ends or in its kind, in invisible signs, in
    how an accent is composed, or in how a number is written (``1``, ``1.0``, ``01``; ``nan``,
    ``NaN``). Of a class with several the shortest is taken, and of equally long ones the first.

    Args:
        merge: whether to merge them; ``None`` where the user has no such choice.

    Raises:
        Mistakes: there are such names and they are not to be merged; names all of them.
    """
    spellings: dict[str, list[str]] = {}
    for name in sorted({*names}, key=natural):
        spellings.setdefault(_plain(name), []).append(name)
    remedy = "Rename one" if merge is None else "Rename one, or set merge_classes = true"
    doubles = [
        # ascii() shows what the eye can't: a space, an accent apart from its letter.
        f"classes differ only in spelling: {', '.join(map(ascii, alike))}. {remedy}"
        for alike in spellings.values()
        if len(alike) > 1
    ]
    if doubles and not merge:
        raise Mistakes(where, doubles)
    return {name: min(alike, key=len) for alike in spellings.values() for name in alike}


def _plain(name: str) -> str:
    """The same for all spellings of a name; in ``group/class`` each part for itself."""
    composed = unicodedata.normalize("NFC", name)
    visible = "".join(sign for sign in composed if unicodedata.category(sign) != "Cf")
    return "/".join(_number(" ".join(part.split())) for part in visible.split("/"))


def _number(word: str) -> str:
    if word.casefold() == "nan":
        return "nan"
    return str(Fraction(word)) if NUMBER.fullmatch(word) else word
