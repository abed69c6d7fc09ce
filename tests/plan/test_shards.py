"""Shards are disjoint, together all cells, nearly even, and the same whatever the order."""

import random
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.hashing import short
from harness.plan.shards import Shard, cells_of, parse


def plan(problems, backbones, seeds, strategies):
    """Cells of a suite, as far as shards look at them."""
    return [
        SimpleNamespace(
            problem=f"p{p}",
            protocol="transfer",
            backbone=f"b{b}",
            seed=s,
            cell=short(f"{p}{b}{s}{n}"),
        )
        for p in range(problems)
        for b in range(backbones)
        for s in range(seeds)
        for n in range(strategies)
    ]


sizes = st.integers(1, 4)


@given(sizes, sizes, sizes, sizes, st.integers(1, 12), st.randoms())
def test_each_cell_is_in_one_shard_whatever_the_order(a, b, c, d, count, chance):
    cells = plan(a, b, c, d)
    shards = [cells_of(Shard(index, count), cells) for index in range(1, count + 1)]
    keys = [[cell.cell for cell in shard] for shard in shards]
    assert sorted(key for shard in keys for key in shard) == sorted(cell.cell for cell in cells)
    mixed = chance.sample(cells, len(cells))
    again = [cells_of(Shard(index, count), mixed) for index in range(1, count + 1)]
    assert [{cell.cell for cell in shard} for shard in again] == [{*shard} for shard in keys]
    most = -(-len(cells) // count)
    assert max(map(len, shards)) < 2 * most


def test_what_is_prepared_stays_together_where_it_can():
    cells = plan(2, 2, 3, 5)
    for count, kind in ((4, lambda c: (c.problem, c.backbone)), (12, lambda c: c.seed)):
        shards = [cells_of(Shard(index, count), cells) for index in range(1, count + 1)]
        assert {len(shard) for shard in shards} == {len(cells) // count}
        assert all(len({(c.problem, c.backbone) for c in shard}) == 1 for shard in shards)
        assert all(len({kind(cell) for cell in shard}) == 1 for shard in shards)


def test_more_shards_than_cells_leave_some_empty():
    cells = plan(1, 1, 1, 2)
    assert sorted(len(cells_of(Shard(i, 5), cells)) for i in range(1, 6)) == [0, 0, 0, 1, 1]


@pytest.mark.parametrize(("text", "shard"), [("1/1", (1, 1)), (" 3/4 ", (3, 4)), ("04/4", (4, 4))])
def test_what_names_a_shard(text, shard):
    assert parse(text) == Shard(*shard)


@pytest.mark.parametrize(
    "text", ["0/4", "5/4", "1/0", "1", "a/b", "1/2/3", "-1/2", "1.0/2", "", "1/99999999", "1 / 2"]
)
def test_nonsense_is_refused_in_a_line(text):
    with pytest.raises(HarnessError, match="Write i/n with 1 ≤ i ≤ n"):
        parse(text)


def test_shards_follow_from_keys_alone():
    """The same suite, planned on another machine, has the same parts: this one is written down."""
    cells = plan(1, 2, 2, 2)
    random.Random(3).shuffle(cells)
    found = [{cell.backbone for cell in cells_of(Shard(index, 2), cells)} for index in (1, 2)]
    assert sorted(found, key=str) == [{"b0"}, {"b1"}]
