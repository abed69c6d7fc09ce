"""Splits that no group is on both sides of, stratified as near as whole groups allow."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.data.splits import MORE, OPTIONS, Manifest, vtab_sizes
from harness.errors import HarnessError, abridged
from harness.hashing import seed_of
from harness.shots import Shots

Counts = NDArray[np.int64]
Sums = NDArray[np.float64]

TRIES = 20
"""Orders of groups that are tried before a split is given up."""

KEPT = 5
"""Orders that lead to a split, of which the best is taken."""

MANY = 500
"""Groups of which the first order is good enough."""

EQUAL = 1e-9
"""Sums of squares that differ by less are as good as each other."""

ALONE = "or leave out 'groups', if examples of one group may be learned from and tested"


def draw_grouped_split(
    labels: Tensor,
    groups: Tensor,
    *,
    shots: Shots,
    seed: int,
    val_fraction: float,
    val_shots: int | None,
    test_fraction: float,
    official_test: int | None,
    names: Sequence[str],
    options: Collection[str] = OPTIONS,
) -> Manifest:
    """Draw a split whose parts share no group; see :func:`harness.data.splits.draw_split`.

    Whole groups are assigned to test, validation and training so that every class comes as near as
    it can to its share of each (see :func:`assign`), alike for all numbers of shots: these take
    examples of their part by chance. Where validation has too few for its shots, it takes further
    groups from training. So for one seed all numbers of shots are tested on the same examples, and
    fewer shots are a subset of more unless such groups are taken.

    Args:
        groups: int64 ``[N]``, the number of each training example's group.
        options: what a user may set, for messages.

    Raises:
        HarnessError: groups can't be told apart so that every class is in every part, with as many
            examples as are asked for.
    """
    present, classes = labels.unique(return_inverse=True)
    members, own = groups.unique(return_inverse=True)
    counts = np.zeros((len(members), len(present)), np.int64)
    np.add.at(counts, (own.numpy(), classes.numpy()), 1)
    called = [names[label] for label in present.tolist()]
    tested = 0.0 if official_test is not None else test_fraction
    shares = {"train": (1 - tested) * (1 - val_fraction), "val": (1 - tested) * val_fraction}
    if tested:
        shares["test"] = tested
    part = assign(counts, [*shares.values()], seed_of("groups", seed))
    if part is None:
        raise _too_few_groups(counts, called, len(shares))
    wanted = _wanted(counts, part, shots, val_shots, called)
    if wanted is not None:
        part = _more_to_val(counts, part, *wanted, seed)
        _check(counts, part, *wanted, called, [o for o in options if "shots" in o])
    rows: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    of_part = part[own.numpy()]
    for place, label in enumerate(present.tolist()):
        draw = torch.Generator().manual_seed(seed_of("split", seed, label))
        mine = torch.nonzero(labels == label).flatten()
        mine = mine[torch.randperm(len(mine), generator=draw)]
        sides = {name: mine[of_part[mine.numpy()] == n].tolist() for n, name in enumerate(shares)}
        if wanted is not None:
            training, validating = (int(number[place]) for number in wanted)
            sides["val"] = sides["val"][:validating]
            sides["train"] = sides["train"][len(sides["train"]) - training :]
        for name in shares:
            rows[name] += sides[name]
    test = range(official_test) if official_test is not None else sorted(rows["test"])
    return Manifest(
        train=tuple(sorted(rows["train"])),
        val=tuple(sorted(rows["val"])),
        test=tuple(test),
        official=official_test is not None,
    )


def assign(counts: Counts, shares: Sequence[float], seed: int) -> Counts | None:
    """Assign whole groups to parts so that each class comes near its share of each part.

    Near is by the sum of ``(have - wanted)² / wanted`` over classes and parts. As Sechidis et al.
    (2011) do it, what is rarest comes first: groups of the class that is in fewest, and those that
    are alike in that by chance, each go to where that sum grows least. A class that a part lacks is
    brought by the group that costs least, and then single groups move as long as that lowers the
    sum. Of a few orders the best is taken.

    Args:
        counts: int64 ``[groups, classes]``, examples of each class in each group.
        shares: of each part, with a sum of 1.

    Returns:
        The number of each group's part, int64 ``[groups]``, or ``None`` where no part with every
        class was found in some orders of groups.
    """
    draw = np.random.default_rng(seed)
    wanted = np.outer(shares, counts.sum(0))
    rarity = np.where(counts > 0, (counts > 0).sum(0), len(counts)).min(1)
    found: list[tuple[float, Counts]] = []
    for _ in range(TRIES):
        order = np.lexsort((draw.permutation(len(counts)), rarity))
        part = np.full(len(counts), -1, np.int64)
        have = np.zeros_like(wanted)
        for group in order:
            part[group] = _grown(have, wanted, counts[group]).argmin()
            have[part[group]] += counts[group]
        if _all_in_all(counts, part, have, wanted):
            while _improved(counts, part, have, wanted, order):
                pass
            found.append((float(((have - wanted) ** 2 / wanted).sum()), part))
        if len(found) == (KEPT if len(counts) <= MANY else 1):
            break
    return min(found, key=lambda each: each[0])[1] if found else None


def _grown(have: Sums, wanted: Sums, group: Counts) -> Sums:
    """By how much the sum would grow if a group came to each part, ``[parts]``."""
    grown: Sums = (group * (2 * (have - wanted) + group) / wanted).sum(1)
    return grown


def _moves(counts: Counts, part: Counts, have: Sums, wanted: Sums, group: int) -> Sums:
    """By how much the sum would grow if a group left its part for each other, ``[parts]``; to leave
    a part without a class that it has is infinitely bad."""
    of_group, own = counts[group], part[group]
    left = have[own] - of_group
    moved = have.copy()
    moved[own] = left
    of_parts = _grown(moved, wanted, of_group)
    grown: Sums = of_parts - of_parts[own]
    if ((left == 0) & (of_group > 0)).any():
        grown[:] = np.inf
    grown[own] = np.inf
    return grown


def _all_in_all(counts: Counts, part: Counts, have: Sums, wanted: Sums) -> bool:
    """Move groups until every part has every class; whether that was possible."""
    while (lacking := np.argwhere(have == 0)).size:
        place, label = lacking[0]
        costs = {
            group: float(_moves(counts, part, have, wanted, group)[place])
            for group in np.flatnonzero(counts[:, label]).tolist()
        }
        cheapest = min(costs, key=costs.__getitem__)
        if costs[cheapest] == np.inf:
            return False
        _move(counts, part, have, cheapest, int(place))
    return True


def _improved(
    counts: Counts,
    part: Counts,
    have: Sums,
    wanted: Sums,
    order: Counts,
) -> bool:
    """Move each group to where that lowers the sum most; whether any did."""
    before = part.copy()
    for group in order:
        grown = _moves(counts, part, have, wanted, group)
        if grown.min() < -EQUAL:
            _move(counts, part, have, group, int(grown.argmin()))
    return not np.array_equal(before, part)


def _move(counts: Counts, part: Counts, have: Sums, group: int, place: int) -> None:
    have[part[group]] -= counts[group]
    have[place] += counts[group]
    part[group] = place


def _wanted(
    counts: Counts, part: Counts, shots: Shots, val_shots: int | None, names: Sequence[str]
) -> tuple[Counts, Counts] | None:
    """How many examples of each class train and validate, or ``None``: all that there are."""
    if shots == "all":
        return None
    left = counts[part < 2].sum(0)
    if shots == "vtab1k":
        sizes = vtab_sizes(dict(enumerate(left.tolist())), names)
        return np.array([t for t, _ in sizes.values()]), np.array([v for _, v in sizes.values()])
    return np.full(len(left), shots), np.full(len(left), shots if val_shots is None else val_shots)


def _more_to_val(
    counts: Counts, part: Counts, training: Counts, validating: Counts, seed: int
) -> Counts:
    """Move groups from training to validation where that lacks examples and training can spare
    them."""
    part = part.copy()
    train, val = (counts[part == place].sum(0) for place in (0, 1))
    for group in np.random.default_rng(seed_of("more to val", seed)).permutation(len(counts)):
        of_group = counts[group]
        helps = ((val < validating) & (of_group > 0)).any()
        spared = (train - of_group >= training)[of_group > 0].all()
        if part[group] == 0 and helps and spared:
            part[group] = 1
            train, val = train - of_group, val + of_group
    return part


def _too_few_groups(counts: Counts, names: Sequence[str], parts: int) -> HarnessError:
    groups = (counts > 0).sum(0)
    apart = f"to train on, to validate{' and to test' if parts == 3 else ''}"
    few = [c for c in range(len(names)) if groups[c] < parts]
    if not few:
        return HarnessError(
            f"groups that have several classes can't be told apart {apart} so that each part has "
            "every class",
            f"Split groups up, {ALONE}",
        )
    told = abridged(f"'{names[c]}' ({groups[c]})" for c in few)
    return HarnessError(
        f"classes are in too few groups {apart}, of which each needs one of its own: {told}",
        f"Give them more groups, leave them out, {ALONE}",
    )


def _check(
    counts: Counts,
    part: Counts,
    training: Counts,
    validating: Counts,
    names: Sequence[str],
    options: Sequence[str],
) -> None:
    """Refuse parts that have too few examples of a class."""
    train, val = (counts[part == place].sum(0) for place in (0, 1))
    lacking = np.flatnonzero((train < training) | (val < validating))
    if lacking.size:
        told = abridged(
            f"'{names[c]}' ({train[c]} to train on and {val[c]} to validate, needs {training[c]} "
            f"and {validating[c]})"
            for c in lacking.tolist()
        )
        raise HarnessError(
            f"groups that are told apart leave classes too few examples: {told}",
            f"Lower {' or '.join(options)}, or {MORE[0].lower()}{MORE[1:]}",
        )
