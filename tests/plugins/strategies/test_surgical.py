"""Surgical fine-tuning: which blocks each part has."""

import pytest
from harness_plugins.strategies.surgical import Surgical
from torch import nn

from harness.api import ImageBackbone, OneClass, Task, Unsupported
from harness.testing import StrategyChecks, a_run, digits, shots, small_backbone


class TestSurgical(StrategyChecks):
    strategy = Surgical()


class TestFirst(StrategyChecks):
    strategy = Surgical()
    settings = {"part": "first"}


def layers(count):
    """A backbone of so many blocks."""
    body = nn.Sequential(nn.Flatten(), nn.Linear(64, 8))
    for _ in range(count - 1):
        body.append(nn.Linear(8, 8))
    blocks = [[str(number)] for number in range(1, count + 1)]
    return ImageBackbone(body, blocks, input_size=8, mean=[0.5], std=[0.5]).eval()


@pytest.mark.parametrize(
    ("count", "parts"),
    [
        (3, ([0], [1], [2])),
        (4, ([0], [1, 2], [3])),
        (5, ([0], [1, 2, 3], [4])),
        (6, ([0, 1], [2, 3], [4, 5])),
        (13, ([0, 1, 2, 3], [4, 5, 6, 7, 8], [9, 10, 11, 12])),
    ],
)
def test_a_part_is_a_third_of_the_blocks(count, parts):
    backbone = layers(count)
    for part, expected in zip(("first", "middle", "last"), parts, strict=True):
        hp = {**Surgical.defaults, "part": part}
        recipe = Surgical().recipe(backbone, None, hp, a_run())
        assert sorted({backbone.block_of(name) for name in recipe.trainable}) == expected


@pytest.mark.parametrize(("part", "moved"), [("first", 0), ("middle", 1), ("last", 2)])
def test_no_other_block_moves(part, moved):
    backbone = small_backbone()
    task = Task(shots(digits(backbone), 4, 5), OneClass.of(5))
    model = Surgical().adapt(backbone, task, {**Surgical.defaults, "part": part}, a_run(steps=3))
    before = backbone.state_dict()
    changed = {name for name, t in model.backbone.state_dict().items() if not t.equal(before[name])}
    assert {backbone.block_of(name) for name in changed} == {moved}


def test_a_model_of_two_blocks_is_refused():
    with pytest.raises(Unsupported, match="needs three blocks or more, and this model has 2"):
        Surgical().recipe(layers(2), None, Surgical.defaults, a_run())
