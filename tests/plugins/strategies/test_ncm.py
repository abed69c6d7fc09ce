"""The nearest class mean against scikit-learn's NearestCentroid."""

import numpy as np
import pytest
import torch
from harness_plugins.strategies.ncm import Ncm
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestCentroid
from sklearn.preprocessing import normalize

from harness.api import OneClass, Task
from harness.testing import StrategyChecks, a_run, digits, shots, small_backbone


class TestByCosine(StrategyChecks):
    strategy = Ncm()


class TestByDistance(StrategyChecks):
    strategy = Ncm()
    settings = {"metric": "euclidean"}


@pytest.fixture(scope="module")
def given():
    """A task, queries, and the standardised features of both."""
    backbone = small_backbone()
    examples = digits(backbone)
    task = Task(shots(examples, 20, 10), OneClass.of(10))
    queries = shots(examples, 60, 10, skip=20)
    with torch.no_grad():
        train, test = (backbone(e.inputs[:]).double().numpy() for e in (task.train, queries))
    centre = train.mean(0)
    scale = np.sqrt(((train - centre) ** 2).mean())
    return backbone, task, queries, (train - centre) / scale, (test - centre) / scale


@pytest.mark.filterwarnings("ignore:self.within_class_std_dev_")
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_it_is_scikit_learns_nearest_centroid(given, metric):
    """Of features whose length is that of standardised ones on average."""
    backbone, task, queries, train, test = given
    if metric == "cosine":
        train, test = (normalize(each) * np.sqrt(each.shape[1]) for each in (train, test))
    model = NearestCentroid().fit(train, task.train.labels)
    logits = Ncm().adapt(backbone, task, {"metric": metric}, a_run()).logits(queries.inputs)
    assert np.array_equal(logits.argmax(1), model.predict(test))
    distances = cdist(test, model.centroids_) / np.sqrt(test.shape[1]) ** 0.5
    expected = torch.from_numpy(-(distances**2) / 2).softmax(1)
    assert torch.allclose(logits.double().softmax(1), expected, atol=1e-4)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_a_class_without_examples_is_not_predicted(given, metric):
    backbone, task, queries, _, _ = given
    wider = Task(task.train, OneClass.of(12))
    logits = Ncm().adapt(backbone, wider, {"metric": metric}, a_run()).logits(queries.inputs)
    assert logits.isfinite().all()
    assert logits.argmax(1).max() < 10
