"""Parts of a plan for commands that can't see each other's locks: always the same ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from harness.errors import HarnessError
from harness.plan.cell import Cell

KINDS: tuple[Callable[[Cell], tuple[object, ...]], ...] = (
    lambda cell: (cell.problem, cell.protocol, cell.backbone),
    lambda cell: (cell.problem, cell.protocol, cell.backbone, cell.seed),
    lambda cell: (cell.cell,),
)
"""What cells of a part have in common, at best and as far as parts would not differ in size else:
data, weights and features; what is prepared of a seed."""


@dataclass(frozen=True)
class Shard:
    """One of ``count`` parts of a plan, from 1."""

    index: int
    count: int


def parse(text: str) -> Shard:
    """The shard that ``i/n`` names.

    Raises:
        HarnessError: it names none.
    """
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
    shard = Shard(int(found[1]), int(found[2])) if found else None
    if shard is None or not 1 <= shard.index <= shard.count:
        raise HarnessError(
            f"--shard {text}: no such part",
            "Write i/n with 1 ≤ i ≤ n, such as --shard 1/4 for the first of four commands",
        )
    return shard


def cells_of(shard: Shard, cells: Sequence[Cell]) -> list[Cell]:
    """The cells of a shard, in their order in the plan: each cell of ``cells`` is in one shard of
    so many, which depends on all of their keys and on nothing else.

    Cells with the same problem and backbone stay together where no shard becomes larger than its
    even share by that; else those of one seed do, and else any.
    """
    most = -(-len(cells) // shard.count)
    sizes = [0] * shard.count
    mine: set[str] = set()
    for group in sorted(_groups(cells, most), key=lambda keys: (-len(keys), keys)):
        least = min(range(shard.count), key=lambda at: (sizes[at], at))
        sizes[least] += len(group)
        if least == shard.index - 1:
            mine.update(group)
    return [cell for cell in cells if cell.cell in mine]


def _groups(cells: Iterable[Cell], most: int, depth: int = 0) -> list[list[str]]:
    """The keys of cells that stay together, at most so many, sorted."""
    by_kind: dict[tuple[object, ...], list[Cell]] = {}
    for cell in cells:
        by_kind.setdefault(KINDS[depth](cell), []).append(cell)
    found: list[list[str]] = []
    for group in by_kind.values():
        if len(group) > most:
            found += _groups(group, most, depth + 1)
        else:
            found.append(sorted(cell.cell for cell in group))
    return found
