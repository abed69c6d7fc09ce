"""The LDA probe against scikit-learn's LinearDiscriminantAnalysis."""

import pytest
import torch
from harness_plugins.strategies.lda_probe import LdaProbe
from harness_plugins.strategies.ncm import Ncm
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from harness.api import OneClass, Task, Unsupported
from harness.testing import StrategyChecks, a_run, digits, shots, small_backbone


class TestLdaProbe(StrategyChecks):
    strategy = LdaProbe()


@pytest.mark.parametrize("examples", [10, 100], ids=["fewer examples", "more examples"])
@pytest.mark.parametrize("shrinkage", [1e-2, 1.0])
def test_solves_as_scikit_learns_discriminant_analysis_does(examples, shrinkage):
    """Fewer, or more, examples than features, in classes of different sizes."""
    draws = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (examples,), generator=draws)
    features = torch.randn(examples, 20, generator=draws, dtype=torch.float64) + labels[:, None]
    features -= features.mean(0)
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage)
    model.fit(features.numpy(), labels.numpy())
    settings = [{"shrinkage": 0.5}, {"shrinkage": shrinkage}]
    _, (weight, bias) = LdaProbe().solve(features, labels, 3, settings)
    assert torch.allclose(weight, torch.from_numpy(model.coef_), atol=1e-8)
    assert torch.allclose(bias, torch.from_numpy(model.intercept_), atol=1e-8)


@pytest.mark.filterwarnings("ignore:Variables are collinear")
def test_predicts_as_scikit_learn_does_on_the_features_themselves():
    """The scale of all features is of no account."""
    backbone = small_backbone()
    examples = digits(backbone)
    task, queries = Task(shots(examples, 30, 10), OneClass.of(10)), shots(examples, 5, 10, skip=30)
    with torch.no_grad():
        train, test = (backbone(e.inputs[:]).double().numpy() for e in (task.train, queries))
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.1)
    expected = torch.from_numpy(model.fit(train, task.train.labels.numpy()).predict_proba(test))
    found = LdaProbe().adapt(backbone, task, {"shrinkage": 0.1}, a_run()).logits(queries.inputs)
    assert torch.allclose(found.double().softmax(1), expected, atol=1e-4)


def test_without_a_spread_within_classes_it_is_the_nearest_class_mean():
    backbone = small_backbone()
    examples = digits(backbone)
    task, queries = Task(shots(examples, 1, 10), OneClass.of(10)), shots(examples, 30, 10, skip=1)
    found = LdaProbe().adapt(backbone, task, LdaProbe.defaults, a_run()).logits(queries.inputs)
    means = Ncm().adapt(backbone, task, {"metric": "euclidean"}, a_run()).logits(queries.inputs)
    assert torch.allclose(found.softmax(1), means.softmax(1), atol=1e-4)


def test_a_class_without_examples_is_not_predicted():
    backbone = small_backbone()
    examples = digits(backbone)
    task = Task(shots(examples, 20, 10), OneClass.of(12))
    logits = LdaProbe().adapt(backbone, task, LdaProbe.defaults, a_run()).logits(examples.inputs)
    assert logits.isfinite().all()
    assert logits.argmax(1).max() < 10


@pytest.mark.parametrize("shrinkage", [0.0, 1.5])
def test_a_share_that_is_none_is_refused(shrinkage):
    backbone = small_backbone()
    task = Task(shots(digits(backbone), 2, 2), OneClass.of(2))
    with pytest.raises(Unsupported, match="shrinkage must be above 0, and at most 1"):
        LdaProbe().adapt(backbone, task, {"shrinkage": shrinkage}, a_run())
