"""Which rate and which weight decay each parameter trains with."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from harness.model.classifier import Classifier
from harness.model.recipe import Recipe
from harness.model.regulariser import Regulariser


def parameter_groups(
    model: Classifier, recipe: Recipe, regularisers: Sequence[Regulariser]
) -> list[dict[str, Any]]:
    """What trains, in groups of one rate and one weight decay. An optimiser finds in each, besides
    its ``params``, their ``names``: those of the new head are in ``head``.

    Raises:
        ValueError: there is no rate or decay for a parameter, or one for what is not there.
    """
    trainable = set(recipe.trainable)
    body = dict(model.backbone.body_parameters())
    head = {f"head.{name}": p for name, p in model.head.named_parameters()}
    others = {
        f"regularisers.{number}.{name}": p
        for number, regulariser in enumerate(regularisers)
        for name, p in regulariser.named_parameters()
    }
    training = head | {n: p for n, p in body.items() if n in trainable} | others
    known = {prefix for name in head | body | others for prefix in _prefixes(name)}
    rates = _by_name("lr", recipe.lr, training, known)
    decays = _by_name("weight_decay", recipe.weight_decay, training, known)
    groups: dict[tuple[float, float], dict[str, nn.Parameter]] = {}
    for name, parameter in training.items():
        (_, rate), (said, decay) = rates[name], decays[name]
        if parameter.ndim <= 1 and said != name:
            decay = 0.0
        groups.setdefault((rate, decay), {})[name] = parameter
    return [
        {
            "params": [*parameters.values()],
            "names": [*parameters],
            "lr": rate,
            "weight_decay": decay,
        }
        for (rate, decay), parameters in groups.items()
    ]


def _by_name(
    what: str, values: float | Mapping[str, float], training: Iterable[str], known: Collection[str]
) -> dict[str, tuple[str, float]]:
    """For each parameter, the longest name that has a value, and the value."""
    given = values if isinstance(values, Mapping) else {"": values}
    if unknown := given.keys() - known:
        raise ValueError(f"the model has no {', '.join(sorted(unknown))} to give a {what}")
    found = {n: next((p for p in _prefixes(n) if p in given), None) for n in training}
    if missing := [name for name, said in found.items() if said is None]:
        raise ValueError(f'{", ".join(missing)} has no {what}: give one for "", the rest')
    return {name: (said, given[said]) for name, said in found.items() if said is not None}


def _prefixes(name: str) -> Iterator[str]:
    """The name, those of the modules that it is in, and the empty one."""
    parts = name.split(".")
    return (".".join(parts[:length]) for length in range(len(parts), -1, -1))
