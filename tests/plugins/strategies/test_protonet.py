"""Prototypes are class means, and logits squared distances to them: checked in float64."""

import copy

import numpy as np
import pytest
import torch
from harness_plugins.strategies.protonet import ProtoNet, prototype_head
from scipy.special import log_softmax

from harness.api import Diverged, HarnessError, OneClass, Source, Task
from harness.testing import StrategyChecks, a_run, digits, shots, small_backbone


class TestProtoNet(StrategyChecks):
    strategy = ProtoNet(ways=5)
    settings = {"meta_steps": 2}

    def test_predicts_by_the_squared_distance_to_class_means(self):
        backbone = small_backbone()
        examples = digits(backbone)
        task = Task(shots(examples, 3, 4), OneClass.of(4))
        queries = shots(examples, 5, 4, skip=3)
        with torch.no_grad():
            support = backbone(task.train.inputs[:]).double().numpy()
            query = backbone(queries.inputs[:]).double().numpy()
        means = np.stack([support[task.train.labels.numpy() == c].mean(0) for c in range(4)])
        squares = ((query[:, None] - means[None]) ** 2).sum(2)
        logits = self.strategy.adapt(backbone, task, {}, a_run()).logits(queries.inputs)
        expected = log_softmax(-squares, axis=1)
        assert np.allclose(logits.double().log_softmax(1).numpy(), expected, atol=1e-4)

    def test_adapting_computes_no_gradient(self):
        backbone = small_backbone().requires_grad_(False)
        task = Task(shots(digits(backbone), 3, 4), OneClass.of(4))
        self.strategy.adapt(backbone, task, {}, a_run(steps=0))  # and no step either

    def test_meta_training_makes_class_means_tell_more(self):
        """Meta-trained on some images of five digits, adapted to and tested on others."""
        backbone = small_backbone()
        examples = digits(backbone)
        source = Source(shots(examples, 100, 5), OneClass.of(5))
        hp = {"meta_lr": 1e-2, "meta_steps": 100}
        trained = self.strategy.prepare(copy.deepcopy(backbone), source, hp, a_run()).eval()
        query = shots(examples, 30, 5, skip=130)

        def accuracy(start):
            correct = []
            for first in range(100, 120):
                task = Task(shots(examples, 1, 5, skip=first), OneClass.of(5))
                logits = self.strategy.adapt(start, task, {}, a_run()).logits(query.inputs)
                correct.append((logits.argmax(1) == query.labels).float().mean())
            return torch.stack(correct).mean().item()

        assert accuracy(trained) > accuracy(backbone) + 0.1


def test_prototypes_are_the_means_of_unequal_classes():
    features = torch.tensor([[0.0, 2.0], [4.0, 4.0], [2.0, 0.0]], dtype=torch.float64)
    weight, bias = prototype_head(features, torch.tensor([0, 1, 0]), 2)
    assert weight.tolist() == [[2.0, 2.0], [8.0, 8.0]]
    assert bias.tolist() == [-2.0, -32.0]


def test_a_class_without_examples_is_never_predicted():
    """A classifier by distances in NumPy knows the two that have some."""
    features = torch.randn(8, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 2] * 4)
    weight, bias = prototype_head(features, labels, 4)
    far = 100 * torch.randn(50, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    means = [features[labels == label].mean(0) for label in (0, 2)]
    nearest = torch.stack([(far - mean).square().sum(1) for mean in means]).argmin(0)
    found = (far @ weight.T + bias).argmax(1)
    assert found.tolist() == (2 * nearest).tolist()


def test_too_few_source_classes_are_refused():
    backbone = small_backbone()
    source = Source(digits(backbone), OneClass.of(10))
    with pytest.raises(HarnessError, match="too few for episodes of 20 ways"):
        ProtoNet().prepare(backbone, source, ProtoNet.defaults, a_run())


def test_a_loss_that_is_not_a_number_ends_meta_training_at_once():
    backbone = small_backbone()
    hp = {"meta_lr": 1e38, "meta_steps": 100}
    with pytest.raises(Diverged, match=r"by step 2$"):
        ProtoNet(ways=5).prepare(backbone, Source(digits(backbone), OneClass.of(10)), hp, a_run())
