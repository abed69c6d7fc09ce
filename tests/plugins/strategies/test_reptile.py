"""Reptile's update, with the steps inside a task written out."""

import numpy as np
import pytest
import torch
from harness_plugins.meta._meta_gradient import batched
from harness_plugins.meta._side_by_side import side_by_side
from harness_plugins.strategies.reptile import Batches, Reptile
from scipy.special import softmax
from torch import nn

from harness.api import (
    Backbone,
    Examples,
    HarnessError,
    Inputs,
    OneClass,
    Source,
    SourceEpisode,
    source_episodes,
)
from harness.data.resident import ResidentPool
from harness.testing import StrategyChecks, a_run


class TestReptile(StrategyChecks):
    strategy = Reptile(tasks=1, shots=4)
    settings = {"meta_steps": 2, "inner_steps": 2}


def linear_features(dtype=torch.float64):
    """Features are Ax, of four numbers two."""
    body = nn.Sequential(nn.Linear(4, 2, bias=False))
    with torch.no_grad():
        body[0].weight.copy_(torch.tensor([[0.5, -1.0, 0.3, 0.2], [0.1, 0.4, -0.7, 1.0]]))
    return Backbone(body, [["0"]], torch.ones(2, 4)).to(dtype)


def by_hand(matrix, support, labels, *, ways, shots, batch, rate, steps):
    """Where gradient descent leads: each step takes the next ``batch`` of each class's shots."""
    weight, bias = np.zeros((ways, 2)), np.zeros(ways)
    for step in range(steps):
        places = [(step * batch + i) % shots for i in range(batch)]
        rows = [label * shots + place for label in range(ways) for place in places]
        x, targets = support[rows], np.eye(ways)[labels[rows]]
        found = x @ matrix.T
        errors = (softmax(found @ weight.T + bias, axis=1) - targets) / len(rows)
        slopes = errors.T @ found, errors.sum(0), (errors @ weight).T @ x
        weight, bias, matrix = (
            weight - rate * slopes[0],
            bias - rate * slopes[1],
            matrix - (rate * slopes[2]),
        )
    return matrix


def an_episode(seed=0, ways=3, shots=5):
    draws = torch.Generator().manual_seed(seed)
    support = torch.randn(ways * shots, 4, dtype=torch.float64, generator=draws)
    none = support[:0], torch.zeros(0, dtype=torch.int64)
    return SourceEpisode(support, torch.arange(ways).repeat_interleave(shots), *none)


@pytest.mark.parametrize("way", [side_by_side, batched])
@pytest.mark.parametrize(("steps", "batch"), [(1, 5), (4, 2), (3, 1)])
def test_the_gradient_is_the_way_back_from_where_the_steps_lead(steps, batch, way):
    backbone, episodes = linear_features(), [an_episode(0), an_episode(1)]
    start = backbone.body[0].weight.detach().numpy()
    learner = Batches(0.4, steps, 3, first_order=True, batch=batch)
    with way(backbone, learner, 2) as meta_gradient:
        total, (gradient,) = meta_gradient(episodes)
    ways = [
        start
        - by_hand(
            start,
            episode.support.numpy(),
            episode.support_labels.numpy(),
            ways=3,
            shots=5,
            batch=batch,
            rate=0.4,
            steps=steps,
        )
        for episode in episodes
    ]
    assert np.allclose(gradient.numpy(), sum(ways), atol=1e-12)
    assert total.item() == pytest.approx(sum((way**2).sum() for way in ways) / 2, rel=1e-9)


def test_a_meta_step_goes_a_part_of_the_way_to_the_mean():
    draws = torch.Generator().manual_seed(0)
    pool = ResidentPool(torch.randn(4 * 6, 4, generator=draws))
    examples = Examples(Inputs(pool, torch.arange(24)), torch.arange(4).repeat_interleave(6))
    source, strategy = Source(examples, OneClass.of(4)), Reptile(ways=3, shots=5, tasks=2)
    hp = {"inner_lr": 0.4, "inner_steps": 3, "meta_lr": 0.6, "meta_steps": 1}
    backbone = linear_features(torch.float32)
    start = backbone.body[0].weight.detach().numpy().copy()
    sampled = source_episodes(
        source, ways=3, shots=5, queries=0, generator=a_run().generator("meta-training episodes")
    )
    ended = [
        by_hand(
            start,
            episode.support.numpy(),
            episode.support_labels.numpy(),
            ways=3,
            shots=5,
            batch=2,
            rate=0.4,
            steps=3,
        )
        for episode in (next(sampled), next(sampled))
    ]
    trained = strategy.prepare(backbone, source, hp, a_run())
    expected = start + 0.6 * (np.mean(ended, 0) - start)
    assert np.abs(expected - start).max() > 0.01
    assert np.allclose(trained.body[0].weight.detach().numpy(), expected, atol=1e-6)


def test_a_source_of_too_few_examples_is_refused_without_a_word_on_queries():
    with pytest.raises(HarnessError) as refused:
        Reptile().check_source([9] * 5)
    assert str(refused.value) == (
        "the source has 5 classes of at least 9 examples: too few for episodes of 5 ways with 10 "
        "shots. Lower shots in the strategy's args, or give a source of more classes and examples"
    )
