"""Scores of predictions against labels.

Written out: scikit-learn's functions give the same values, and take 10 times as long for 10,000
examples of 10 classes and 50 times as long for 50 of 5, which an episode has, since each checks its
arguments anew. A report shares what needs no PyTorch, which is therefore imported late.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

CALIBRATION_BINS = 15


def scores(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Scores of one test set.

    Args:
        logits: float ``[N, C]``, on the CPU.
        labels: int64 ``[N]``.

    Returns:
        Fractions 0–1: ``accuracy``, ``balanced_accuracy``, ``precision``, ``recall`` and ``f1``
        each as ``_macro`` and ``_weighted`` (by the classes' frequencies), ``auroc_macro``,
        ``ece``; and ``log_loss`` in nats. Macro averages are over the classes that occur in
        ``labels`` or in the predictions, as in scikit-learn; balanced accuracy is over those in
        ``labels``. ``auroc_macro`` is absent where all labels are the same.
    """
    logs = logits.double().log_softmax(1)
    probabilities, truth = logs.exp().numpy(), labels.numpy()
    predicted = probabilities.argmax(1)
    *by_class, support = _by_class(truth, predicted)
    found = {
        "accuracy": float((predicted == truth).mean()),
        "balanced_accuracy": float(by_class[1][support > 0].mean()),
    }
    for name, values in zip(("precision", "recall", "f1"), by_class, strict=True):
        found[f"{name}_macro"] = float(values.mean())
        found[f"{name}_weighted"] = float(np.average(values, weights=support))
    found["log_loss"] = -float(logs.gather(1, labels[:, None]).mean())
    found["ece"] = calibration_error(probabilities, truth)
    if (truth != truth[0]).any():
        found["auroc_macro"] = area_under_roc(probabilities, truth)
    return found


def _by_class(truth: NDArray[np.int64], predicted: NDArray[np.int64]) -> list[NDArray[Any]]:
    """Precision, recall, F1 and how often it is true, of each class that occurs in either: 0 where
    there is nothing to take a share of."""
    most = int(max(truth.max(), predicted.max())) + 1
    true, taken = (np.bincount(labels, minlength=most) for labels in (truth, predicted))
    right = np.bincount(truth[truth == predicted], minlength=most)
    occurs = true + taken > 0
    shares = class_shares(true[occurs], taken[occurs], right[occurs])
    return [*np.nan_to_num(shares), true[occurs]]


def class_shares(
    true: NDArray[Any], taken: NDArray[Any], right: NDArray[Any]
) -> NDArray[np.float64]:
    """Precision, recall and F1 of each class [3, C]; NaN where there is nothing to take a share of.

    Args:
        true, taken, right: how many examples are of each class, are taken for it, and both [C].
    """
    parts, wholes = np.stack([right, right, 2 * right]), np.stack([taken, true, true + taken])
    shares = np.full(parts.shape, np.nan)
    np.divide(parts, wholes, out=shares, where=wholes > 0)
    return shares


def area_under_roc(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Area under the ROC curve of each class against the rest, mean over those in ``labels``.

    The share of pairs in which the class's own example has the greater probability, ties halved
    (Hand & Till 2001, eq. 3).
    """
    areas = []
    for label in np.flatnonzero(np.bincount(labels)):
        scores, truth = probabilities[:, label], labels == label
        mine, others = scores[truth], np.sort(scores[~truth])
        below = others.searchsorted(mine, "left") + others.searchsorted(mine, "right")
        areas.append(below.sum() / (2 * len(mine) * len(others)))
    return float(np.mean(areas))


def calibration_error(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], bins: int = CALIBRATION_BINS
) -> float:
    """Expected calibration error over equal-width bins of confidence (Guo et al. 2017, eq. 3)."""
    confidence = probabilities.max(1)
    correct = probabilities.argmax(1) == labels
    gaps = np.bincount(
        confidence_bins(confidence, bins), weights=correct - confidence, minlength=bins
    )
    return float(np.abs(gaps).sum() / len(labels))


def confidence_bins(
    confidence: NDArray[np.float64], bins: int = CALIBRATION_BINS
) -> NDArray[np.int64]:
    """The bin of each confidence among ``bins`` of equal width, the last with its upper end."""
    return np.minimum((confidence * bins).astype(np.int64), bins - 1)


def information(logits: Tensor) -> tuple[float, float]:
    """How much predictions say without their labels (Bridle et al. 1991).

    Args:
        logits: float ``[N, C]``.

    Returns:
        The mutual information of input and predicted class, H(mean p) − mean H(p), and the second
        term, the conditional entropy; in nats.
    """
    import torch

    logs = logits.double().log_softmax(1)
    probabilities = logs.exp()
    mean = probabilities.mean(0)
    conditional = -(probabilities * logs).sum(1).mean().item()
    return -torch.special.xlogy(mean, mean).sum().item() - conditional, conditional


def neighbourhood_density(logits: Tensor, temperature: float = 0.05) -> float:
    """How dense neighbourhoods of predictions are (Saito et al. 2021, equations 1 to 4).

    Args:
        logits: float ``[N, C]``, of two inputs or more.
        temperature: that of the paper.

    Returns:
        The mean entropy, in nats, of each input's similarity to the others: more where each has
        many that are alike, log(N - 1) at most.
    """
    import torch

    points = torch.nn.functional.normalize(logits.double().softmax(1))
    entropies = []
    for first in range(0, len(points), 256):  # of all by all there may be more than fits
        similar = points[first : first + 256] @ points.T / temperature
        similar.diagonal(first).fill_(-torch.inf)
        entropies.append(torch.special.entr(similar.softmax(1)).sum(1))
    return torch.cat(entropies).mean().item()


def density_ratio(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much more probable each of the source's features ``[n, D]`` is in the target ``[m, D]``,
    ``[n]``: by the odds of a logistic regression that tells the two apart, of standardised features
    (You et al. 2019), fitted to the target and every other example of the source, and
    asked of those that it was not shown.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    ratios = np.empty(len(source))
    for half in range(2):
        shown, asked = source[half::2], slice(1 - half, None, 2)
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        domains = np.repeat([0, 1], [len(shown), len(target)])
        model.fit(np.concatenate([shown, target]), domains)
        odds = np.exp(model.decision_function(source[asked]))
        ratios[asked] = len(shown) / len(target) * odds
    return ratios


def weighted_risk(losses: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """The mean of losses ``[n]`` by weights ``[n]`` whose own mean should be 1: how far it is from
    that is taken off, as a control variate (You et al. 2019)."""
    weighted = weights * losses
    covariance = np.cov(weighted, weights)
    spread = covariance[1, 1]
    eta = -covariance[0, 1] / spread if spread > 0 else 0.0
    return float(weighted.mean() + eta * (weights.mean() - 1))


def mean_scores(episodes: Sequence[dict[str, float]], main: str) -> dict[str, float]:
    """Means over episodes, and of the ``main`` score as ``accuracy_ci95`` the half width of the
    95 % t interval of its mean."""
    from scipy import stats

    means = {name: float(np.mean([e[name] for e in episodes])) for name in episodes[0]}
    values = np.array([e[main] for e in episodes])
    spread = float(values.std(ddof=1)) / math.sqrt(len(values))
    means[f"{main}_ci95"] = float(stats.t.ppf(0.975, len(values) - 1)) * spread
    return means
