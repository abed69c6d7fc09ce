"""Examples whose label is probably wrong: confident learning on frozen features."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.data import copies
from harness.data.archives import cache_folder
from harness.data.examples import Fit, Inputs
from harness.data.grouping import Groups
from harness.errors import HarnessError, Unsupported, one_line
from harness.registry import Registry
from harness.run.inputs import model_id
from harness.run.resources import Resources
from harness.start import models
from harness.start.looking import Found
from harness.suite.backbones import BackboneSpec

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

FOLDS = 5
"""Parts of the data, of which each is predicted by what the others teach."""

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
"""Inverse weights of the penalty that are tried, on features of mean 0 and variance 1."""

ITERATIONS = 200
"""Of a logistic regression, at most: what few more would change is less than the noise."""


@dataclass(frozen=True)
class LabelError:
    """An example, by its place (see :mod:`harness.data.copies`), whose label is probably wrong:
    the class that is ``proposed`` instead, and what probability each of both has."""

    place: int
    proposed: int
    given_probability: float
    proposed_probability: float


@dataclass(frozen=True)
class LabelErrors:
    """What was found, the least likely labels first. ``accuracy`` is that of the predictions, as
    far as labels are right: what little it is, so little is to be believed. Classes that are
    ``left_out`` have fewer than :data:`FOLDS` examples that are no copies of each other."""

    backbone: str
    examined: int
    accuracy: float
    left_out: tuple[int, ...]
    found: tuple[LabelError, ...]


def label_errors(
    found: Found,
    registry: Registry,
    model: str | None,
    groups: Groups | None,
    say: Callable[[str], None],
) -> LabelErrors:
    """Find examples of data, in both splits, whose label is probably wrong.

    Args:
        model: whose features are taken, with its published weights; by default that of an installed
            package.
        groups: examples that belong together, which no fold tears apart; nor does any copies.
        say: is told what takes long.

    Raises:
        HarnessError: cleanlab or the model is not there, or there are too few examples.
    """
    if find_spec("cleanlab") is None:
        raise HarnessError(
            "label errors are found by cleanlab, which is not installed",
            "pip install 'transfer-harness[labels]'",
        )
    loaded = found.loaded
    name = model or models.with_weights(loaded.modality, registry)
    if name is None:
        raise models.none_with_weights(loaded.modality, registry)
    labels = torch.cat([split.labels for split in loaded.parts])
    say(f"computing features of {len(labels):,} {loaded.modality}s with {name}")
    features = _features(found, registry, name)
    belongs = copies.belonging(loaded, groups).numpy()
    return suspects(name, features.numpy(), labels.numpy(), belongs)


def suspects(
    name: str, features: NDArray[np.float32], labels: NDArray[np.int64], groups: NDArray[np.int64]
) -> LabelErrors:
    """Find labels that predictions made without them contradict (Northcutt et al. 2021, Confident
    Learning), by cleanlab's default filter.

    Args:
        name: of the model that the features are of.
        features: ``[n, D]``.
        labels: ``[n]``, classes from 0.
        groups: ``[n]``, numbers of what belongs together.

    Raises:
        HarnessError: fewer than two classes have :data:`FOLDS` groups.
    """
    members = Counter(label for label, _ in {*zip(labels.tolist(), groups.tolist(), strict=True)})
    there = sorted({*labels.tolist()})
    kept = [label for label in there if members[label] >= FOLDS]
    if len(kept) < 2:
        raise HarnessError(
            f"label errors can't be told: fewer than two classes have {FOLDS} examples that are no "
            "copies of each other, nor of one group",
            "Bring more examples",
        )
    from cleanlab.filter import find_label_issues

    places = np.flatnonzero(np.isin(labels, kept))
    answers = np.searchsorted(kept, labels[places])
    predicted = _predicted(features[places], answers, groups[places])
    ranked = find_label_issues(
        answers, predicted, return_indices_ranked_by="self_confidence", n_jobs=1
    )
    return LabelErrors(
        backbone=name,
        examined=len(places),
        accuracy=float((predicted.argmax(1) == answers).mean()),
        left_out=tuple(label for label in there if label not in kept),
        found=tuple(
            LabelError(
                place=int(places[row]),
                proposed=int(kept[predicted[row].argmax()]),
                given_probability=float(predicted[row, answers[row]]),
                proposed_probability=float(predicted[row].max()),
            )
            for row in ranked.tolist()
        ),
    )


def _predicted(
    features: NDArray[np.float32], labels: NDArray[np.int64], groups: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Probabilities of each class, ``[n, classes]``, by logistic regressions on the other folds.
    The penalty is the one that predicts the first fold best."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    if len(np.unique(groups)) == len(groups):
        folds = [*StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(features, labels)]
    else:
        grouped = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
        folds = [*grouped.split(features, labels, groups)]
    found = np.zeros((len(labels), int(labels.max()) + 1))

    def fitted(strength: float, learned: NDArray[np.intp]) -> Pipeline:
        model = _regression(strength)
        with warnings.catch_warnings(action="ignore"):  # of iterations that were not enough
            return model.fit(features[learned], labels[learned])

    def predict(model: Pipeline, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        answers = np.zeros((len(rows), found.shape[1]))
        answers[:, model.classes_] = model.predict_proba(features[rows])
        return answers

    learned, held = folds[0]
    tried = [predict(fitted(strength, learned), held) for strength in STRENGTHS]
    right = [answers[np.arange(len(held)), labels[held]] for answers in tried]
    best = int(np.argmax([np.log(each.clip(1e-12)).mean() for each in right]))
    found[held] = tried[best]
    for learned, held in folds[1:]:
        found[held] = predict(fitted(STRENGTHS[best], learned), held)
    return found


def _regression(strength: float) -> Pipeline:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=ITERATIONS))


def _features(found: Found, registry: Registry, model: str) -> Tensor:
    """Features of all inputs, by place, float32 ``[n, D]`` on the CPU; kept for another look."""
    loaded = found.loaded
    plugin = registry.backbone_for(model)
    if plugin.cls.modality != loaded.modality:
        raise HarnessError(
            f"--backbone {model} takes {plugin.cls.modality}, and the data are {loaded.modality}",
            "'harness plugins --kind backbone' tells what each takes",
        )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    resources = Resources(registry, device, cache_folder())
    spec = BackboneSpec(model=model, input_size=models.input_sizes(found)[0])
    try:
        backbone = resources.build(spec, pretrained=True, seed=0)
    except Unsupported as error:
        raise HarnessError(f"--backbone {model}: {one_line(error)}", "Name another") from None
    fit: Fit | None = "pad" if found.is_long else None
    parts = []
    for part, split in zip(("train", "test"), loaded.parts, strict=False):
        pool = resources.pool(loaded, part, backbone, model_id(spec), fit)
        inputs = Inputs(pool, split.places)
        filled = resources.features.fill(backbone, inputs, len(backbone.blocks))
        if filled is None:
            raise HarnessError(
                f"features of {len(inputs):,} inputs do not fit into memory", "Look at fewer"
            )
        parts.append(filled.stored.take(inputs.rows).float().cpu())
    resources.features.keep()
    return torch.cat(parts)
