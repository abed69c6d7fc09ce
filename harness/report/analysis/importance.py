"""Tell which hyperparameters matter, and what tuning chose."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.report.analysis.stats import SAME
from harness.report.format import plural
from harness.report.workers import Submit, serial

ENOUGH = 16
"""Finished trials, of all seeds together, that importances are estimated from at least."""

MOST_GROUPS = 24
"""Strategies in a setting whose importances are estimated, the first of them: each takes a tenth
of a second."""

_TREES = 16
"""The default of ``fanova``, the authors' own implementation. From one forest to another of so
many, importances differ by some 2 points; from one set of 80 trials to another, by 5."""

Floats = NDArray[np.float64]


def tuned(
    cells: pd.DataFrame,
    trials: pd.DataFrame,
    chosen: Mapping[str, Mapping[str, Any]],
    submit: Submit = serial,
) -> Callable[[], pd.DataFrame]:
    """Begin a table with a row for each tuned hyperparameter of each strategy in each setting, and
    return what waits for it. Importances are estimated by ``submit``.

    ``cells``: ``cell``, ``setting`` and ``label`` in the order of the rows; ``trials``: ``cell``,
    ``number``, ``state``, ``value`` and ``settings``; ``chosen``: the selected settings, by cell.

    The result has ``setting``, ``label``, ``name``; ``default`` (the first trial's value);
    ``choices`` (a list of values, one a cell);
    ``importance`` (0–1, see :func:`importances`), or NaN and then ``reason`` says why.
    """
    of_cell = trials.groupby("cell", sort=False).indices
    given = {name: trials[name].to_numpy() for name in ("cell", "state", "value", "settings")}
    groups: list[_Group] = []
    asked: dict[int, tuple[pd.DataFrame, Floats]] = {}
    for (setting, label), group in cells.groupby(["setting", "label"], sort=False)["cell"]:
        at = [of_cell[cell] for cell in group if cell in of_cell]
        if not at:
            continue
        mine = np.sort(np.concatenate(at))
        tried = given["settings"][mine]
        varied = [name for name in tried[0] if _varies([one.get(name) for one in tried])]
        done = mine[(given["state"][mine] == "complete") & pd.notna(given["value"][mine])]
        reason = _hindrance(len(done), len(varied), len(asked))
        if not reason:
            # What a seed's split adds to all its scores is no work of the settings.
            scores = pd.Series(given["value"][done].astype(np.float64))
            scores = scores - scores.groupby(given["cell"][done]).transform("mean")
            settings = pd.DataFrame(given["settings"][done].tolist())
            asked[len(groups)] = settings[varied], scores.to_numpy()
        picked = [chosen[cell] for cell in group if cell in chosen]
        defaults = {name: tried[0][name] for name in varied}
        groups.append(_Group(setting, label, defaults, picked, reason))
    return partial(_rows, groups, submit(_estimated, asked))


class _Group(NamedTuple):
    """A strategy in a setting: the first trial's values of what was tuned, the settings that its
    cells chose, and why no importances are estimated, if so."""

    setting: Hashable
    label: Hashable
    defaults: Mapping[str, Any]
    picked: Sequence[Mapping[str, Any]]
    reason: str


def _rows(
    groups: Sequence[_Group], estimated: Callable[[], Mapping[int, Mapping[str, float]]]
) -> pd.DataFrame:
    by_group = estimated()
    rows = []
    for number, (setting, label, defaults, picked, hindrance) in enumerate(groups):
        found = by_group.get(number, {})
        reason = hindrance or ("" if found else "all scores are the same")
        rows += [
            {
                "setting": setting,
                "label": label,
                "name": name,
                "default": default,
                "choices": [choice[name] for choice in picked if name in choice],
                "importance": found.get(name, np.nan),
                "reason": reason,
            }
            for name, default in defaults.items()
        ]
    columns = ["setting", "label", "name", "default", "choices", "importance", "reason"]
    return pd.DataFrame(rows, columns=columns)


def _estimated(
    asked: Mapping[int, tuple[pd.DataFrame, Floats]],
) -> dict[int, dict[str, float]]:
    return {number: importances(*trials) for number, trials in asked.items()}


def _varies(values: Sequence[Any]) -> bool:
    """Tell whether there are several values, and one in each trial."""
    return None not in values and len({*map(repr, values)}) > 1


def _hindrance(finished: int, varied: int, estimated: int) -> str:
    if varied < 2:
        return "the only one"
    if finished < ENOUGH:
        return f"{plural(finished, 'finished trial')}, {ENOUGH} needed"
    return f"estimated for the first {MOST_GROUPS} only" if estimated >= MOST_GROUPS else ""


def importances(settings: pd.DataFrame, scores: Floats) -> dict[str, float]:
    """Estimate how much of the scores' variance each hyperparameter explains by itself.

    Functional ANOVA of a random forest (Hutter et al. 2014), by Optuna. Numbers go in as their
    ranks, so that they are weighed as they were drawn, on whichever scale that was.

    Args:
        settings: a column a hyperparameter, with several values, a row a trial.
        scores: ``[trials]``.

    Returns:
        Fractions of at most 1 in sum: what is left is interaction. Nothing if all scores are the
        same.
    """
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
    from optuna.importance import FanovaImportanceEvaluator

    if np.ptp(scores) <= SAME:
        return {}
    columns: dict[str, list[Any]] = {}
    spaces: dict[str, BaseDistribution] = {}
    for name, values in settings.items():
        if pd.api.types.is_numeric_dtype(values) and values.dtype != bool:
            columns[str(name)] = ((values.rank() - 0.5) / len(values)).tolist()
            spaces[str(name)] = FloatDistribution(0.0, 1.0)
        else:
            columns[str(name)] = values.map(repr).tolist()
            spaces[str(name)] = CategoricalDistribution(sorted(set(columns[str(name)])))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    for score, *point in zip(scores.tolist(), *columns.values(), strict=True):
        params = dict(zip(columns, point, strict=True))
        trial = optuna.trial.create_trial(value=score, params=params, distributions=spaces)
        study.add_trial(trial)
    evaluator = FanovaImportanceEvaluator(n_trees=_TREES, seed=0)
    return {name: float(value) for name, value in evaluator.evaluate(study).items()}
