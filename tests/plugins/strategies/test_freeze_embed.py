"""Freeze-embed against SGD with momentum written out."""

import copy
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from harness_plugins.strategies.freeze_embed import FreezeEmbed
from torch import nn

from harness.api import ImageBackbone, OneClass, Task, Unsupported, constant, fit
from harness.testing import StrategyChecks, a_run, digits, shots


class TestFreezeEmbed(StrategyChecks):
    strategy = FreezeEmbed()


def layers(*sizes):
    linear = [nn.Linear(before, after) for before, after in pairwise(sizes)]
    body = nn.Sequential(nn.Flatten(), *linear)
    blocks = [[str(number)] for number in range(1, len(sizes))]
    return ImageBackbone(body, blocks, input_size=8, mean=[0.5], std=[0.5]).eval()


def test_its_steps_are_those_of_momentum_above_the_first_block():
    """In float64, on all examples in each step: v ← 0.9 v + g + decay · w, w ← w - lr · v."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = layers(64, 8, 6)
    task = Task(shots(digits(backbone), 4, 3), OneClass.of(3))
    hp = {"lr": 1e-2, "weight_decay": 1e-1}
    recipe = FreezeEmbed().recipe(backbone, task, hp, a_run())
    model = fit(replace(recipe, schedule=constant), task, a_run(steps=4))

    mine = copy.deepcopy(backbone).double()
    head = nn.Linear(6, 3).double()
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    moving = [mine.body[2].weight, mine.body[2].bias, head.weight, head.bias]
    velocities = [torch.zeros_like(p) for p in moving]
    for _ in range(4):
        loss = F.cross_entropy(
            head(mine.body(mine.normalise(task.train.inputs[:]).double())), task.train.labels
        )
        gradients = torch.autograd.grad(loss, moving)
        with torch.no_grad():
            for p, v, g in zip(moving, velocities, gradients, strict=True):
                v.mul_(0.9).add_(g + hp["weight_decay"] * p * (p.ndim > 1))
                p.sub_(hp["lr"] * v)
    names = ["body.2.weight", "body.2.bias", "head.weight", "head.bias"]
    assert model.trained.keys() == set(names)
    for name, p in zip(names, moving, strict=True):
        assert torch.allclose(model.trained[name].double(), p, atol=1e-5)


def test_a_model_of_one_block_is_refused():
    with pytest.raises(Unsupported, match="freezes the first block, and this model has no other"):
        FreezeEmbed().recipe(layers(64, 8), None, FreezeEmbed.defaults, a_run())
