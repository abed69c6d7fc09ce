"""Transfer components against the paper's eigenproblem over examples, and SciPy."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
import torch
from harness_plugins.strategies.tca import Tca, transfer_components
from sklearn.linear_model import LogisticRegression

from harness.api import Diverged, Unsupported
from harness.testing import StrategyChecks, a_run, digits


class TestTca(StrategyChecks):
    strategy = Tca()


def by_the_paper(source, target, count, mu):
    """``X'W`` of the first generalised eigenvectors ``W`` of ``KHK w = λ(KLK + μI) w``."""
    n, m = len(source), len(target)
    both = np.concatenate([source, target])
    kernel = np.array([[float(a @ b) for b in both] for a in both])
    distance = np.empty((n + m, n + m))
    for i in range(n + m):
        for j in range(n + m):
            if i < n and j < n:
                distance[i, j] = 1 / n**2
            elif i >= n and j >= n:
                distance[i, j] = 1 / m**2
            else:
                distance[i, j] = -1 / (n * m)
    centring = np.eye(n + m) - 1 / (n + m)
    penalised = kernel @ distance @ kernel + mu * np.eye(n + m)
    _, vectors = scipy.linalg.eigh(kernel @ centring @ kernel, penalised)
    return both.T @ vectors[:, ::-1][:, :count]


@pytest.mark.parametrize(
    ("n", "m", "width", "count", "mu"), [(9, 7, 4, 3, 1.0), (5, 6, 20, 4, 10.0), (8, 8, 3, 3, 0.1)]
)
def test_it_is_the_papers_eigenproblem(n, m, width, count, mu):
    """Up to signs: both scale vectors by ``W'(KLK + μI)W = I``."""
    random = np.random.default_rng(n)
    source, target = random.normal(size=(n, width)), random.normal(size=(m, width)) + 0.5
    found = transfer_components(torch.from_numpy(source), torch.from_numpy(target), count, mu)
    expected = by_the_paper(source, target, count, mu)
    signs = np.sign((found.numpy() * expected).sum(0))
    assert np.allclose(found.numpy() * signs, expected, rtol=1e-6, atol=1e-8)


def test_where_only_the_domains_differ_nothing_of_that_is_kept():
    random = np.random.default_rng(0)
    source, target = random.normal(size=(2, 200, 3))
    source, target = source - source.mean(0), target - target.mean(0)
    target[:, 0] += 50
    directions = transfer_components(torch.from_numpy(source), torch.from_numpy(target), 2, 1e-3)
    directions = directions / directions.norm(dim=0)
    assert directions[0].abs().max() < 0.01


def test_features_in_fewer_directions_than_components_have_as_many():
    random = np.random.default_rng(0)
    source = torch.from_numpy(random.normal(size=(6, 2)) @ random.normal(size=(2, 5)))
    assert transfer_components(source, source + 0.0, 4, 1.0).shape == (5, 2)


@pytest.fixture(scope="module")
def given():
    checks = StrategyChecks()
    checks.strategy = Tca()
    return checks.given_task(classes=5, each=12, val=0)


def test_the_classifier_is_scikit_learns_on_the_components(given):
    backbone, task = given
    hp = {"components": 4, "mu": 1.0, "l2": 1e-2}
    queries = digits(backbone).inputs.subset(torch.arange(300, 360))
    with torch.no_grad():
        source, target, asked = (
            backbone(each[:]).double().numpy()
            for each in (task.train.inputs, task.unlabelled, queries)
        )
    centre = source.mean(0)
    scale = np.sqrt(((source - centre) ** 2).mean())
    source, target, asked = ((each - centre) / scale for each in (source, target, asked))
    directions = by_the_paper(source, target, 4, 1.0)
    spread = (source @ directions).std(0)
    model = LogisticRegression(C=1 / (len(source) * 1e-2), tol=1e-10, max_iter=10_000)
    model.fit(source @ directions / spread, task.train.labels)
    expected = model.predict_log_proba(asked @ directions / spread)
    found = Tca().adapt(backbone, task, hp, a_run()).logits(queries).log_softmax(1)
    assert np.allclose(found.numpy(), expected, atol=0.03)


def test_it_refuses_what_it_cannot_learn_from(given):
    backbone, task = given
    with pytest.raises(Unsupported, match="unlabelled inputs of a target domain"):
        Tca().adapt(backbone, replace(task, unlabelled=None), Tca.defaults, a_run())
    broken = backbone.copied()
    with torch.no_grad():
        next(broken.parameters()).fill_(float("nan"))
    with pytest.raises(Diverged, match="features are not finite"):
        Tca().adapt(broken, task, Tca.defaults, a_run())
