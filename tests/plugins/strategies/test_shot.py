"""SHOT: loss and labels by the paper's equations in NumPy, and its second half in a bare loop."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import scipy.stats
import torch
from harness_plugins.strategies.shot import CentroidLabels, Shot, nearest_centroids, uncertainty
from scipy.spatial.distance import cdist
from scipy.special import softmax
from sklearn.metrics import log_loss
from torch.nn.functional import cross_entropy

from harness.api import OneClass, Recipe, Task, Unsupported, cosine, fit
from harness.testing import (
    RegulariserChecks,
    StrategyChecks,
    a_run,
    digits,
    residual_backbone,
    shots,
)

HP = {"lr": 3e-3, "weight_decay": 1e-2, "weight": 0.5}


class TestShot(StrategyChecks):
    strategy = Shot()


class TestCentroidLabels(RegulariserChecks):
    def given(self, backbone, task, run):
        return CentroidLabels(task.train.inputs, 16, run.steps)


def test_the_loss_is_the_paper_s():
    draws = np.random.default_rng(0)
    logits, labels = 3 * draws.normal(size=(6, 4)), draws.integers(4, size=6)
    shares = softmax(logits, axis=1)
    unsure = scipy.stats.entropy(shares, axis=1).mean()
    diverse = scipy.stats.entropy(shares.mean(0))
    expected = unsure - diverse + 0.7 * log_loss(labels, shares, labels=range(4))
    given = torch.from_numpy(logits).float(), torch.from_numpy(labels)
    assert uncertainty(*given, weight=0.7).item() == pytest.approx(expected, rel=1e-5)


def test_the_slope_is_finite_where_predictions_are_certain():
    logits = torch.tensor([[500.0, 0.0, -500.0], [600.0, 0.0, -900.0]], requires_grad=True)
    uncertainty(logits, torch.tensor([0, 0]), weight=1.0).backward()
    assert logits.grad.isfinite().all()


def centroid_labels(features, shares):
    """The paper's pseudo-labels, class by class."""
    classes = [*range(shares.shape[1])]
    for _ in range(2):
        kept = [c for c in classes if shares[:, c].sum() > 0]
        centroids = [(shares[:, [c]] * features).sum(0) / shares[:, c].sum() for c in kept]
        labels = np.array(kept)[cdist(features, centroids, "cosine").argmin(1)]
        shares = np.eye(len(classes))[labels]
    return labels


@pytest.mark.parametrize("seed", range(5))
def test_labels_are_of_the_nearest_centroids(seed):
    draws = np.random.default_rng(seed)
    features, logits = draws.normal(size=(30, 3)), 2 * draws.normal(size=(30, 8))
    found = nearest_centroids(*(torch.from_numpy(a) for a in (features, logits)))
    expected = centroid_labels(features, softmax(logits, axis=1))
    assert found.tolist() == expected.tolist()


def test_a_class_of_nobody_has_no_centroid():
    """The second input points away from the only centroid there is, and is of its class."""
    features = torch.tensor([[3.0, 0.0], [-1.0, 0.0]])
    logits = torch.tensor([[500.0, -500.0]] * 2)
    assert nearest_centroids(features, logits).tolist() == [0, 0]


@pytest.fixture(scope="module")
def given():
    """A task, what the source alone gives, and what SHOT makes of it: without norms, whose
    averages of rounding errors would tell what is nearest."""
    backbone = residual_backbone()
    examples = digits(backbone)
    target = shots(examples, 10, 5, skip=60).inputs
    task = Task(shots(examples, 8, 5), OneClass.of(5), unlabelled=target, shifted=True)
    smoothed = partial(cross_entropy, label_smoothing=0.1)
    names, decay = backbone.parameters_from(0), HP["weight_decay"]
    first = Recipe(backbone, names, lr=HP["lr"], weight_decay=decay, criterion=smoothed, steps=20)
    source = fit(first, task, a_run(steps=40, batch_size=64))
    found = Shot().adapt(backbone, task, HP, a_run(steps=40, batch_size=64))
    return backbone, task, source, found


def test_the_second_half_is_a_bare_loop(given):
    """Twenty steps over all 50 inputs of the target, each an epoch with labels of its own."""
    _, task, source, found = given
    body, head = source.backbone.copied(), source.head
    inputs = task.unlabelled[:]
    matrices = [p for p in body.parameters() if p.ndim > 1]
    others = [p for p in body.parameters() if p.ndim == 1]
    optimizer = torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": HP["weight_decay"]},
            {"params": others, "weight_decay": 0.0},
        ]
    )
    for step in range(20):
        with torch.no_grad():
            features = body.eval()(inputs)
            shares = head(features).double().softmax(1)
        told = centroid_labels(features.double().numpy(), shares.numpy())
        labels = torch.from_numpy(told)
        logits = head(body.train()(inputs))
        shares = logits.softmax(1)
        mean = shares.mean(0)
        loss = (mean * mean.log()).sum() - (shares * shares.log()).sum(1).mean()
        loss = loss + HP["weight"] * cross_entropy(logits, labels)
        for group in optimizer.param_groups:
            group["lr"] = HP["lr"] * cosine(step / 20)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    before = dict(source.backbone.body_parameters())
    for name, parameter in found.backbone.body_parameters():
        assert not torch.equal(parameter, before[name])
        assert torch.allclose(parameter, dict(body.body_parameters())[name], atol=1e-5), name
    assert torch.equal(found.head.weight, source.head.weight)
    assert torch.equal(found.head.bias, source.head.bias)


def test_it_becomes_surer_of_the_target_and_of_all_classes(given):
    _, task, source, found = given

    def both(model):
        shares = model.logits(task.unlabelled).double().softmax(1).numpy()
        unsure = scipy.stats.entropy(shares, axis=1).mean()
        return unsure, scipy.stats.entropy(shares.mean(0)) - unsure

    (before, known), (after, learned) = both(source), both(found)
    assert after < before
    assert learned > known


def test_without_a_target_it_is_refused(given):
    backbone, task, _, _ = given
    with pytest.raises(Unsupported, match="shot needs unlabelled inputs of a target domain"):
        Shot().adapt(backbone, replace(task, unlabelled=None), HP, a_run())
