"""Proto-MAML's head is that of prototypes, and what it learns goes through it: in float64."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness_plugins.meta._meta_gradient import batched, task_loss
from harness_plugins.meta._side_by_side import side_by_side
from harness_plugins.strategies.proto_maml import FromPrototypes, ProtoMaml
from harness_plugins.strategies.protonet import ProtoNet
from torch import nn

from harness.api import (
    Backbone,
    Classifier,
    HarnessError,
    ImageBackbone,
    OneClass,
    SourceEpisode,
    Task,
)
from harness.testing import StrategyChecks, a_run, digits, shots, small_backbone


class TestProtoMaml(StrategyChecks):
    strategy = ProtoMaml(tasks=1)
    settings = {"meta_steps": 2}


def without_norms():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Flatten(), nn.Linear(256, 6)), nn.Sequential(nn.Tanh())
    body = nn.Sequential(*layers)
    return ImageBackbone(body, [["0"], ["1"]], input_size=16, mean=[0.5], std=[0.5]).eval()


def test_the_head_is_that_of_prototypes_and_answers_as_protonet_does():
    backbone = without_norms()
    task = Task(shots(digits(backbone), 3, 4), OneClass.of(4))
    queries = shots(digits(backbone), 5, 4, skip=3)
    hp = {"adapt_lr": 0.1, "adapt_steps": 1}
    recipe = ProtoMaml().recipe(backbone, task, hp, a_run())
    with torch.no_grad():
        features = backbone(task.train.inputs[:]).double().numpy()
    means = np.stack([features[task.train.labels.numpy() == label].mean(0) for label in range(4)])
    assert np.allclose(recipe.head.weight.detach().numpy(), 2 * means, atol=1e-6)
    assert np.allclose(recipe.head.bias.detach().numpy(), -(means**2).sum(1), atol=1e-6)
    ours = Classifier(recipe, task, a_run()).logits(queries.inputs)
    theirs = ProtoNet().adapt(backbone, task, {}, a_run()).logits(queries.inputs)
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_without_steps_the_loss_is_of_squared_distances_by_the_support_sets_statistics():
    backbone = small_backbone().double()
    examples = digits(backbone)
    support, query = shots(examples, 2, 3), shots(examples, 4, 3, skip=2)
    episode = SourceEpisode(support.inputs[:], support.labels, query.inputs[:], query.labels)
    loss = task_loss(backbone, dict(backbone.body_parameters()), episode, FromPrototypes(0.1, 0, 3))
    own = small_backbone().double()
    for module in own.modules():
        module.momentum = 1.0  # of a norm: the statistics of the last pass
    means = own.train()(episode.support).unflatten(0, (3, 2)).mean(1)
    distances = (own.eval()(episode.query)[:, None] - means).square().sum(2)
    assert loss.item() == pytest.approx(F.cross_entropy(-distances, query.labels).item(), rel=1e-9)


@pytest.mark.parametrize("way", [side_by_side, batched])
@pytest.mark.parametrize("first_order", [False, True])
def test_a_steps_gradient_is_partial_and_the_meta_gradient_is_whole(first_order, way):
    """Features Ax; a step takes the head for a constant, and the meta-gradient does not."""
    draws = torch.Generator().manual_seed(0)
    matrix = torch.randn(2, 4, dtype=torch.float64, generator=draws)
    support, query = (torch.randn(6, 4, dtype=torch.float64, generator=draws) for _ in range(2))
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    body = nn.Sequential(nn.Linear(4, 2, bias=False))
    backbone = Backbone(body, [["0"]], torch.ones(2, 4)).double()
    with torch.no_grad():
        body[0].weight.copy_(matrix)

    def inner(a, w, b):
        return F.cross_entropy(support @ a.T @ w.T + b, labels)

    def outer(a):
        means = (support @ a.T).unflatten(0, (3, 2)).mean(1)
        values = a, 2 * means, -means.square().sum(1)
        for _ in range(2):
            slopes = torch.func.grad(inner, (0, 1, 2))(*values)
            slopes = [slope.detach() for slope in slopes] if first_order else slopes
            values = [value - 0.1 * slope for value, slope in zip(values, slopes, strict=True)]
        a, w, b = values
        return F.cross_entropy(query @ a.T @ w.T + b, labels)

    expected, loss = torch.func.grad_and_value(outer)(matrix)
    learner = FromPrototypes(0.1, 2, 3, first_order)
    with way(backbone, learner, 1) as meta_gradient:
        found, (gradient,) = meta_gradient([SourceEpisode(support, labels, query, labels)])
    assert found.item() == pytest.approx(loss.item(), rel=1e-12)
    assert torch.allclose(gradient, expected, rtol=1e-9, atol=1e-12)


def test_too_few_source_classes_are_refused():
    with pytest.raises(HarnessError, match="too few for episodes of 20 ways"):
        ProtoMaml(ways=20).check_source([30] * 10)
