"""Class weights, against scikit-learn's, the paper's formula and torch's cross-entropy."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness_plugins.tricks.class_weights import ClassWeights, weights
from harness_plugins.tricks.focal import Focal
from harness_plugins.tricks.label_smoothing import LabelSmoothing
from sklearn.utils.class_weight import compute_class_weight

from harness.api import HarnessError, OneClass, Recipe, Task
from harness.testing import TrickChecks, digits, small_backbone

COUNTS = torch.tensor([40, 10, 5, 1])


class TestClassWeights(TrickChecks):
    trick = ClassWeights()

    def given_task(self, **sizes):
        """With fewer examples of some classes: on others it would change nothing."""
        backbone, task = super().given_task(**sizes)
        labels = task.train.labels
        kept = torch.cat([torch.arange(len(labels))[(labels > 1).cpu()], torch.tensor([0])])
        kept = torch.cat([kept, torch.nonzero(labels == 1).flatten().cpu()[:1]])
        return backbone, replace(task, train=task.train.subset(kept))


def a_task(counts=(4, 2, 1, 1)):
    examples = digits(small_backbone())
    parts = [torch.nonzero(examples.labels == c).flatten()[:n] for c, n in enumerate(counts)]
    return Task(examples.subset(torch.cat(parts)), OneClass.of(len(counts)))


def amended(*tricks, task=None):
    """The criterion that tricks, each with its settings, make of a plain training's."""
    recipe = Recipe(small_backbone(), (), lr=0.1)
    for trick, hp in tricks:
        recipe = trick.amend(recipe, task or a_task(), hp, None)
    return recipe.criterion


def a_batch(rows=9, classes=4):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(rows, classes, generator=generator, dtype=torch.float64)
    soft = torch.rand(rows, classes, generator=generator, dtype=torch.float64)
    return logits, torch.arange(rows) % classes, soft / soft.sum(1, keepdim=True)


def test_inverse_frequency_is_that_of_scikit_learn():
    labels = np.repeat(np.arange(4), COUNTS)
    expected = compute_class_weight("balanced", classes=np.arange(4), y=labels)
    assert weights(COUNTS, 1.0).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("beta", [0.9, 0.99, 0.9999])
def test_effective_numbers_are_those_of_the_paper(beta):
    found = weights(COUNTS, beta).double()
    expected = torch.tensor([(1 - beta) / (1 - beta**n) for n in COUNTS.tolist()]).double()
    torch.testing.assert_close(found / found[0], expected / expected[0], rtol=1e-5, atol=0)
    assert (found * COUNTS).sum().item() == pytest.approx(COUNTS.sum().item())


def test_the_loss_is_torchs_weighted_cross_entropy_of_classes_and_of_probabilities():
    logits, labels, soft = a_batch()
    criterion, weight = amended((ClassWeights(), {"beta": 1.0})), torch.tensor([0.5, 1, 2, 2])
    each = F.cross_entropy(logits, labels, weight.double(), reduction="none")
    assert criterion(logits, labels).item() == pytest.approx(each.mean().item())
    expected = F.cross_entropy(logits, soft, weight.double())
    assert criterion(logits, soft).item() == pytest.approx(expected.item())


def test_over_all_examples_it_is_torchs_own_mean():
    """Which divides by the weights of a batch: here those of all examples are as many as them."""
    task = a_task()
    logits = torch.randn(8, 4, generator=torch.Generator().manual_seed(1))
    found = amended((ClassWeights(), {"beta": 0.9}))(logits, task.train.labels)
    weight = weights(torch.tensor([4, 2, 1, 1]), 0.9)
    expected = F.cross_entropy(logits, task.train.labels, weight)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_smoothed_labels_are_weighed_too():
    logits, labels, soft = a_batch()
    smoothed = (LabelSmoothing(), {"share": 0.2})
    criterion = amended(smoothed, (ClassWeights(), {"beta": 1.0}))
    weight = torch.tensor([0.5, 1, 2, 2]).double()
    hard = F.one_hot(labels, 4).double()
    for targets, as_probabilities in ((labels, hard), (soft, soft)):
        expected = F.cross_entropy(logits, as_probabilities, weight, label_smoothing=0.2)
        assert criterion(logits, targets).item() == pytest.approx(expected.item())


def test_with_focal_in_either_order():
    logits, labels, _ = a_batch()
    pair = [(ClassWeights(), {"beta": 1.0}), (Focal(), {"gamma": 2.0})]
    one, other = amended(*pair), amended(*pair[::-1])
    assert one(logits, labels).item() == other(logits, labels).item()


def test_a_class_without_examples_weighs_as_one_of_one():
    assert weights(torch.tensor([2, 0, 1]), 1.0).tolist() == pytest.approx([0.75, 1.5, 1.5])


@pytest.mark.parametrize(
    "criterion", [F.cross_entropy, F.nll_loss, partial(F.cross_entropy, reduction="sum")]
)
def test_another_criterion_is_not_passed_over(criterion):
    recipe = Recipe(small_backbone(), (), lr=0.1, criterion=criterion)
    with pytest.raises(HarnessError, match="class_weights changes the cross-entropy of classes"):
        ClassWeights().amend(recipe, a_task(), {"beta": 1.0}, None)
