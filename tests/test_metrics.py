"""Scores against scikit-learn and against cases worked out by hand."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats
from sklearn import linear_model, metrics, model_selection

from harness.metrics import (
    area_under_roc,
    calibration_error,
    density_ratio,
    information,
    mean_scores,
    neighbourhood_density,
    scores,
    weighted_risk,
)


@given(st.integers(0, 1000), st.integers(2, 6), st.integers(2, 40))
def test_agree_with_scikit_learn(seed, classes, examples):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(examples, classes, generator=generator)
    labels = torch.randint(classes, (examples,), generator=generator)
    found = scores(logits, labels)
    truth, guess = labels.numpy(), logits.argmax(1).numpy()
    average = {"y_true": truth, "y_pred": guess, "zero_division": 0}
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth, guess))
    assert found["f1_macro"] == pytest.approx(metrics.f1_score(**average, average="macro"))
    assert found["f1_weighted"] == pytest.approx(metrics.f1_score(**average, average="weighted"))
    assert found["recall_macro"] == pytest.approx(metrics.recall_score(**average, average="macro"))
    for average_over in ("macro", "weighted"):
        asked = {**average, "average": average_over}
        for name in ("precision", "recall"):
            expected = getattr(metrics, f"{name}_score")(**asked)
            assert found[f"{name}_{average_over}"] == pytest.approx(expected)
    if len(np.unique(truth)) > 1:
        probabilities = logits.double().softmax(1).numpy()
        areas = [metrics.roc_auc_score(truth == c, probabilities[:, c]) for c in np.unique(truth)]
        assert found["auroc_macro"] == pytest.approx(np.mean(areas))
    else:
        assert "auroc_macro" not in found
    expected = metrics.log_loss(
        truth, logits.double().softmax(1).numpy(), labels=list(range(classes))
    )
    assert found["log_loss"] == pytest.approx(expected, rel=1e-6)


def test_ties_count_half_in_the_area_under_the_curve():
    """Of the four pairs of a true and a false example two are in order and two are tied."""
    probabilities = np.array([[0.9, 0.1], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5]])
    labels = np.array([0, 0, 1, 1])
    assert area_under_roc(probabilities, labels) == 0.75


def test_balanced_accuracy_counts_classes_alike():
    logits = torch.tensor([[1.0, 0.0]] * 4)  # always says class 0: right in 3 of 4
    found = scores(logits, torch.tensor([0, 0, 0, 1]))
    assert found["accuracy"] == 0.75
    assert found["balanced_accuracy"] == 0.5


def test_calibration_error_of_a_case_by_hand():
    """Two answers at 0.9, one of them right, and two at 0.6, both right."""
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    labels = np.array([0, 1, 0, 0])
    assert calibration_error(probabilities, labels) == pytest.approx((0.8 + 0.8) / 4)


def test_a_certain_and_right_model_is_calibrated():
    assert calibration_error(np.eye(3), np.arange(3)) == 0


def test_episodes_are_averaged_with_a_t_interval():
    accuracies = [0.5, 0.7, 0.9, 0.6]
    means = mean_scores([{"accuracy": a, "log_loss": 1.0} for a in accuracies], "accuracy")
    low, high = stats.t.interval(0.95, 3, np.mean(accuracies), stats.sem(accuracies))
    assert means["accuracy"] == pytest.approx(0.675)
    assert means["accuracy_ci95"] == pytest.approx((high - low) / 2)
    assert not math.isnan(means["log_loss"])


def test_information_is_the_entropy_of_the_mean_less_the_mean_entropy():
    """Against scipy, and by hand: two classes told apart for certain are one bit."""
    logits = torch.randn(7, 4, generator=torch.Generator().manual_seed(0))
    probabilities = special.softmax(logits.double().numpy(), axis=1)
    conditional = stats.entropy(probabilities, axis=1).mean()
    expected = stats.entropy(probabilities.mean(0)) - conditional
    assert information(logits) == pytest.approx((expected, conditional), rel=1e-9)
    sure = torch.tensor([[200.0, -200.0], [-200.0, 200.0]])
    assert information(sure) == pytest.approx((math.log(2), 0.0), abs=1e-9)
    assert information(sure[:1].expand(5, 2)) == pytest.approx((0.0, 0.0), abs=1e-9)


def test_density_is_the_mean_entropy_of_similarities():
    """One row at a time with SciPy, and by hand: where all answers are alike, each of n inputs is
    as near to all n - 1 others."""
    logits = 3 * torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
    points = special.softmax(logits.double().numpy(), axis=1)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    entropies = []
    for row, point in enumerate(points):
        others = np.delete(points, row, axis=0)
        entropies.append(stats.entropy(special.softmax(others @ point / 0.05)))
    assert neighbourhood_density(logits) == pytest.approx(np.mean(entropies), rel=1e-9)
    assert neighbourhood_density(torch.ones(9, 3)) == pytest.approx(math.log(8), rel=1e-9)


def test_what_needs_no_labels_is_skadas_too():
    """Which weighs an input itself by e^-40, adds 1e-7 before it takes logarithms, and takes the
    mean over classes too."""
    skada = pytest.importorskip("skada.metrics")
    logits = 3 * torch.randn(40, 4, generator=torch.Generator().manual_seed(1))
    rows, domains = np.arange(80.0)[:, None], np.repeat([1, -2], 40)

    class Answers:
        def predict_proba(self, rows, **_):
            return logits.double().softmax(1).numpy()[rows[:, 0].astype(int) - 40]

    labels = np.repeat([0, -1], 40)
    density = skada.SoftNeighborhoodDensity()(Answers(), rows, labels, sample_domain=domains)
    assert neighbourhood_density(logits) == pytest.approx(density, rel=1e-6)
    entropy = skada.PredictionEntropyScorer()(Answers(), rows, labels, sample_domain=domains)
    assert -information(logits)[1] / 4 == pytest.approx(entropy, rel=1e-4)


def test_the_ratio_of_two_normal_densities():
    """exp(x - 1/2) for a target around 1 and a source around 0, both of variance 1."""
    draws = np.random.default_rng(0)
    source, target = draws.normal(0, 1, size=(4000, 1)), draws.normal(1, 1, size=(6000, 1))
    found = density_ratio(source, target)
    assert found == pytest.approx(np.exp(source[:, 0] - 0.5), rel=0.3)
    assert found.mean() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("losses", "weights", "risk"),
    [
        ([1, 3], [0.5, 1.5], 2.5),  # their mean is 1: nothing is taken off
        ([1, 3], [1, 3], 1),  # a mean of 5, less 4 for each that the weights' is above 1
        ([1, 3], [2, 2], 4),
        ([7, 7, 7], [0.1, 0.4, 9], 7),
    ],
)
def test_risk_with_weights_as_a_control_variate(losses, weights, risk):
    found = weighted_risk(np.array(losses, dtype=float), np.array(weights, dtype=float))
    assert found == pytest.approx(risk)


def test_risk_is_skadas_too():
    """Which fits its regression to two thirds of the source, and weighs the others. Losses are a
    column here: its own are a row, of which weights, a column, make a square."""
    skada = pytest.importorskip("skada.metrics")
    draws = np.random.default_rng(0)
    features = np.concatenate([draws.normal(0, 1, (90, 3)), draws.normal(0.5, 1, (60, 3))])
    shares = special.softmax(2 * draws.normal(size=(150, 4)), axis=1)
    labels, domains = draws.integers(4, size=150), np.repeat([1, -2], [90, 60])
    labels[90:] = -1

    class Answers:
        module_ = SimpleNamespace(layer_name="features")  # which newer versions ask for

        def predict_features(self, rows):
            return features[rows[:, 0].astype(int)]

        def predict_proba(self, rows, *_, **__):
            return shares[rows[:, 0].astype(int)]

    rows = np.arange(150.0)[:, None]

    def column(truth, told):
        return -np.log(told[np.arange(len(truth)), truth])[:, None]

    scorer = skada.DeepEmbeddedValidation(loss_func=column, random_state=0)
    expected = scorer(Answers(), rows, labels, sample_domain=domains)
    chance = np.random.RandomState(0)
    shown, asked = model_selection.train_test_split(
        np.arange(90), test_size=0.33, random_state=chance
    )
    both = np.concatenate([features[shown], features[90:]])
    told = linear_model.LogisticRegression().fit(both, np.repeat([0, 1], [len(shown), 60]))
    weights = len(shown) / 60 * np.exp(told.decision_function(features[asked]))
    losses = -np.log(shares[asked, labels[asked]])
    assert -weighted_risk(losses, weights) == pytest.approx(expected, rel=1e-4)
