"""Why a suite can't be run as it stands: what it asks of plugins and data that they don't have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from harness.data.episodes import draw_episodes
from harness.data.examples import Data
from harness.data.loading import Loaded
from harness.data.protocols import class_numbers, class_split, source_classes, source_split
from harness.data.splits import Shots
from harness.errors import HarnessError, Mistakes
from harness.model.backbone import channels_fit
from harness.plan import backbones, configure
from harness.plan.configure import Datasets
from harness.plan.meaning import source_of
from harness.plan.suite import (
    AdaptationProblem,
    BackboneSpec,
    EpisodesProblem,
    FileWeights,
    Problem,
    SourceSpec,
    SourceWeights,
    Suite,
)
from harness.plan.targets import target_manifest
from harness.plugins import Registry


def refusals(suite: Suite, registry: Registry, datasets: Datasets) -> list[str]:
    """Every unknown plugin, wrong argument and unreadable dataset; where there is none of these,
    every impossible combination."""
    found = [*_plugins(suite, registry, datasets)] or [*_combinations(suite, registry, datasets)]
    return [*dict.fromkeys(found)]


def _plugins(suite: Suite, registry: Registry, datasets: Datasets) -> Iterator[str]:
    for spec in suite.strategies:
        yield from _complaint(configure.strategy, registry, spec)
    for backbone in suite.backbones:
        yield from _complaint(registry.backbone_for, backbone.model)
        weights = backbone.weights
        if isinstance(weights, FileWeights) and not weights.file.is_file():
            yield f"backbone '{backbone.title}': there is no file {weights.file}"
        if isinstance(weights, SourceWeights):
            yield from _complaint(datasets.load, weights.source, weights.args)
            yield from _complaint(configure.pretraining, registry, weights.method)
    for problem in suite.problems:
        yield from _complaint(datasets.load, problem.dataset, problem.args)
        if problem.source is not None:
            yield from _complaint(datasets.load, problem.source.dataset, problem.source.args)


def _complaint(function: Any, *args: Any) -> Iterator[str]:
    try:
        function(*args)
    except Mistakes as error:
        yield from (f"{error.where}: {line}" for line in error.lines)
    except HarnessError as error:
        yield str(error)


def _combinations(suite: Suite, registry: Registry, datasets: Datasets) -> Iterator[str]:
    for backbone in suite.backbones:
        yield from backbones.mistakes(backbone, registry, datasets)
    for problem in suite.problems:
        loaded = datasets.load(problem.dataset, problem.args)
        yield from _splits(suite, datasets, problem, loaded)
        if isinstance(problem, AdaptationProblem):
            for line in _domains(registry, datasets, problem):
                yield f"problem '{problem.title}': {line}"
        modality = registry.get("dataset", problem.dataset).cls.modality
        if suite.budget.augment is not None and modality != "image":
            yield (
                "budget.augment draws views of images, but dataset "
                f"'{problem.dataset}' is {modality}"
            )
        if problem.fit is not None and modality != "image":
            yield (
                f"problem '{problem.title}': fit makes images square, but dataset "
                f"'{problem.dataset}' is {modality}"
            )
        for backbone in suite.backbones:
            factory = registry.backbone_for(backbone.model)
            if factory.cls.modality != modality:
                yield (
                    f"backbone '{backbone.title}' takes {factory.cls.modality}, but dataset "
                    f"'{problem.dataset}' is {modality}"
                )
            if isinstance(backbone.weights, SourceWeights):
                yield from _pretrainings(registry, backbone.weights, modality)
            source = source_of(backbone, problem, loaded)
            yield from _sources(datasets, problem, backbone, source, loaded)
            if factory.cls.modality == modality == "image":
                shown = [(problem.dataset, problem.args)]
                shown += [(source.dataset, source.args)] if source is not None else []
                wanted = backbones.channels(backbone, registry, datasets)
                for name, args in shown:
                    yield from _channels(datasets.load(name, args), name, backbone, wanted)
            for spec in suite.strategies:
                strategy = registry.get("strategy", spec.name).cls
                if problem.protocol not in strategy.protocols:
                    yield (
                        f"strategy '{spec.name}' does not work under the protocol "
                        f"'{problem.protocol}' of problem '{problem.title}'"
                    )
                if modality not in strategy.modalities:
                    yield (
                        f"strategy '{spec.name}' does not take {modality}, which dataset "
                        f"'{problem.dataset}' is"
                    )
                if strategy.needs_source and source is None:
                    yield (
                        f"strategy '{spec.name}' learns from a source before it adapts, but "
                        f"problem '{problem.title}' with backbone '{backbone.title}' has none: "
                        "give the problem a 'source' or the backbone weights = { source = … }"
                    )
                if source is not None:
                    check = configure.strategy(registry, spec).strategy.check_source
                    sizes = _class_sizes(datasets, source)
                    for line in _complaint(check, sizes):
                        yield f"strategy '{spec.title}', problem '{problem.title}': {line}"


def _channels(
    loaded: Loaded, dataset: str, backbone: BackboneSpec, wanted: int | None
) -> Iterator[str]:
    """What keeps a model from taking images of their channels."""
    for given in sorted(loaded.channels):
        if wanted is not None and not channels_fit(given, wanted):
            yield (
                f"backbone '{backbone.title}' takes images of {wanted} channels, but those of "
                f"dataset '{dataset}' have {given}: only grey and colour (1 and 3) are turned "
                "into each other. Give a model or data with as many"
            )


def _splits(suite: Suite, datasets: Datasets, problem: Problem, loaded: Loaded) -> Iterator[str]:
    """What keeps a problem's examples from being split as it says."""
    if isinstance(problem, EpisodesProblem):
        for each in problem.shots:
            for line in _complaint(_try_episodes, loaded.data, problem, each):
                yield f"problem '{problem.title}', {each} shots: {line}"
    elif problem.splits is None:  # whether there are examples enough is the same for all seeds
        for shots in problem.shots:
            for line in _complaint(target_manifest, datasets, problem, shots, 0):
                yield f"problem '{problem.title}', {shots} shots: {line}"
    else:
        for shots in problem.shots:
            for seed in suite.seeds:
                for line in _complaint(target_manifest, datasets, problem, shots, seed):
                    yield f"problem '{problem.title}': {line}"


def _try_episodes(data: Data, problem: EpisodesProblem, shots: int) -> None:
    split = class_split(data)
    for classes in (split.val, split.novel):
        draw_episodes(
            data.train.labels,
            classes,
            ways=problem.ways,
            shots=shots,
            queries=problem.queries,
            episodes=1,
            seed=0,
            names=data.classes,
        )


def _domains(registry: Registry, datasets: Datasets, problem: AdaptationProblem) -> Iterator[str]:
    """What is wrong with a source domain."""
    spec = problem.source
    modality = registry.get("dataset", problem.dataset).cls.modality
    if (given := registry.get("dataset", spec.dataset).cls.modality) != modality:
        yield f"source '{spec.dataset}' is {given}, but dataset '{problem.dataset}' is {modality}"
        return
    source = datasets.load(spec.dataset, spec.args).data
    target = datasets.load(problem.dataset, problem.args).data
    yield from _complaint(class_numbers, source, target)
    for shots in problem.shots:
        for line in _complaint(_try_source, source, problem, shots):
            yield f"source '{spec.dataset}', {shots} shots: {line}"


def _try_source(source: Data, problem: AdaptationProblem, shots: Shots) -> None:
    source_split(source, shots=shots, seed=0, val_fraction=problem.val_fraction)


def _pretrainings(registry: Registry, weights: SourceWeights, modality: str) -> Iterator[str]:
    given = registry.get("dataset", weights.source).cls.modality
    if given != modality:
        yield f"source '{weights.source}' is {given}, but the problem's data is {modality}"
    method = registry.get("pretraining", weights.method.name).cls
    if given not in method.modalities:
        yield (
            f"pretraining '{weights.method.name}' does not take {given}, which source "
            f"'{weights.source}' is"
        )


def _sources(
    datasets: Datasets,
    problem: Problem,
    backbone: BackboneSpec,
    source: SourceSpec | None,
    loaded: Loaded,
) -> Iterator[str]:
    """Refuse weights or a source that were shown what the problem tests on."""
    shown = [(source.dataset, source.args)] if source is not None else []
    if isinstance(backbone.weights, SourceWeights):
        shown.append((backbone.weights.source, backbone.weights.args))
    apart = problem.protocol == "episodes" and bool(loaded.data.held_out)
    for name, args in shown:
        given = datasets.load(name, args)
        if _same_examples(given, loaded) and not (apart and given.digest == loaded.digest):
            yield (
                f"problem '{problem.title}' and its source '{name}' are the same data: what is "
                "tested would be learned from. Choose another source, or use 'episodes' and hold "
                "out the same classes in both"
            )


def _class_sizes(datasets: Datasets, source: SourceSpec) -> list[int]:
    """How many examples a source has of each class that ``prepare`` is shown."""
    data = datasets.load(source.dataset, source.args).data
    counts = data.train.labels.bincount(minlength=len(data.classes))
    return counts[list(source_classes(data))].tolist() * (4 if source.rotations else 1)


def _same_examples(one: Loaded, other: Loaded) -> bool:
    """Whether two datasets train on the same examples, whichever classes they hold out."""
    if one.digest == other.digest:
        return True
    first, second = one.data.train, other.data.train
    return torch.equal(first.labels, second.labels) and first.digest() == second.digest()
