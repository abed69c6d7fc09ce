"""The vote of neighbours against scikit-learn's KNeighborsClassifier."""

import numpy as np
import pytest
import torch
from harness_plugins.strategies.knn_probe import KnnProbe
from sklearn.neighbors import KNeighborsClassifier

from harness.api import HarnessError, OneClass, Task
from harness.testing import StrategyChecks, a_run, digits, shots, small_backbone


class TestKnnProbe(StrategyChecks):
    strategy = KnnProbe()


class TestByDistance(StrategyChecks):
    strategy = KnnProbe()
    settings = {"metric": "euclidean", "k": 1}


@pytest.fixture(scope="module")
def given():
    """A task, queries of which some are examples, and the centred features of both."""
    backbone = small_backbone()
    examples = digits(backbone)
    task, queries = Task(shots(examples, 20, 10), OneClass.of(10)), shots(examples, 30, 10, skip=15)
    with torch.no_grad():
        train, test = (backbone(e.inputs[:]).double().numpy() for e in (task.train, queries))
    return backbone, task, queries, train - train.mean(0), test - train.mean(0)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("k", [1, 7, 500])
def test_votes_are_scikit_learns_and_one_is_divided_among_all(given, k, metric):
    backbone, task, queries, train, test = given
    count = min(k, 200)
    model = KNeighborsClassifier(count, weights="distance", metric=metric, algorithm="brute")
    shares = model.fit(train, task.train.labels).predict_proba(test)
    expected = (count * shares + 1 / 10) / (count + 1)
    predictor = KnnProbe().adapt(backbone, task, {"k": k, "metric": metric}, a_run())
    found = predictor.logits(queries.inputs).double()
    assert np.allclose(found.exp().sum(1), 1, atol=1e-5)
    assert np.allclose(found.exp(), expected, atol=1e-3)


def test_a_class_without_examples_has_a_share_that_is_not_zero(given):
    backbone, task, queries, _, _ = given
    wider = Task(task.train, OneClass.of(11))
    logits = (
        KnnProbe()
        .adapt(backbone, wider, {"k": 4, "metric": "cosine"}, a_run())
        .logits(queries.inputs)
    )
    assert torch.allclose(logits[:, 10].exp(), torch.tensor(1 / 11 / 5))


@pytest.mark.parametrize("text", ["", "no tensors"])
def test_a_file_that_is_no_predictor_is_told(tmp_path, text):
    file = tmp_path / "predictor.safetensors"
    file.write_text(text)
    with pytest.raises(HarnessError, match="cannot read a predictor from"):
        KnnProbe().restore(file, small_backbone(), OneClass.of(3), KnnProbe.defaults, a_run())
