"""Check that a suite can be run: that plugins and data have what it asks of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

import torch

from harness.data.episodes import draw_episodes
from harness.data.examples import Data
from harness.data.loaded import Loaded
from harness.data.protocols import class_numbers, class_split, source_classes, source_split
from harness.errors import HarnessError, did_you_mean, located
from harness.model.image import channels_fit
from harness.plan import backbones, configure
from harness.plan.datasets import Datasets
from harness.plan.fingerprint import source_of
from harness.plan.targets import target_manifest
from harness.registry import Registry
from harness.shots import Shots, shots_asked
from harness.suite.schema import (
    AdaptationProblem,
    BackboneSpec,
    EpisodesProblem,
    FileWeights,
    Problem,
    SourceSpec,
    SourceWeights,
    StrategySpec,
    Suite,
)

OTHERS = "Choose another: 'harness plugins' tells what each takes"
"""What helps where two plugins don't go together."""


def check(suite: Suite, registry: Registry, datasets: Datasets) -> list[str]:
    """Tell of every unknown plugin, wrong argument and unreadable dataset, and of every impossible
    combination of the others."""
    found: list[str] = []
    sound: dict[str, tuple[Any, ...]] = {}
    checks: dict[str, Callable[[Any, Registry, Datasets], Iterator[str]]] = {
        "strategies": _strategy,
        "backbones": _backbone,
        "problems": _problem,
    }
    for kind, messages in checks.items():
        wrong = [[*messages(spec, registry, datasets)] for spec in getattr(suite, kind)]
        found += chain.from_iterable(wrong)
        pairs = zip(getattr(suite, kind), wrong, strict=True)
        sound[kind] = tuple(spec for spec, mistakes in pairs if not mistakes)
    usable = suite.model_copy(update=sound)
    found += _further(suite, usable.strategies, registry)
    found += _combinations(usable, registry, datasets)
    return [*dict.fromkeys(found)]


def _strategy(spec: StrategySpec, registry: Registry, datasets: Datasets) -> Iterator[str]:
    yield from _messages(configure.strategy, registry, spec)


def _backbone(spec: BackboneSpec, registry: Registry, datasets: Datasets) -> Iterator[str]:
    yield from _messages(registry.backbone_for, spec.model)
    weights = spec.weights
    if isinstance(weights, FileWeights) and not weights.file.is_file():
        yield f"backbone '{spec.title}': there is no file {located(weights.file)}"
    if isinstance(weights, SourceWeights):
        yield from _messages(datasets.load, weights.source, weights.args)
        yield from _messages(configure.pretraining, registry, weights.method)


def _problem(spec: Problem, registry: Registry, datasets: Datasets) -> Iterator[str]:
    yield from _messages(datasets.load, spec.dataset, spec.args)
    if spec.source is not None:
        yield from _messages(datasets.load, spec.source.dataset, spec.source.args)


def _messages(function: Any, *args: Any) -> Iterator[str]:
    try:
        function(*args)
    except HarnessError as error:
        yield from error.each()


def _further(suite: Suite, usable: Sequence[StrategySpec], registry: Registry) -> Iterator[str]:
    """Tell of models that usable strategies name and that are not there, and of those that nobody
    asks for, where all strategies can be asked."""
    labels = [backbone.title for backbone in suite.backbones]
    named: set[str] = set()
    for spec in usable:
        for argument, label in configure.strategy(registry, spec).strategy.backbones().items():
            named.add(label)
            if label not in labels:
                yield (
                    f"strategy '{spec.title}': argument '{argument}' names the backbone '{label}', "
                    f"which the suite does not have{did_you_mean(label, labels)}"
                )
    for backbone in suite.backbones:
        unasked = not backbone.compared and backbone.title not in named
        if unasked and len(usable) == len(suite.strategies):
            yield (
                f"backbone '{backbone.title}' is not compared, and no strategy names it: remove it"
            )
    if not any(backbone.compared for backbone in suite.backbones):
        yield "no backbone is compared: leave compared = false out of one"


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
                f"'{problem.dataset}' is {modality}. Leave it out"
            )
        if problem.fit is not None and modality != "image":
            yield (
                f"problem '{problem.title}': fit makes images square, but dataset "
                f"'{problem.dataset}' is {modality}. Leave it out"
            )
        for backbone in suite.backbones:
            factory = registry.backbone_for(backbone.model)
            if factory.cls.modality != modality:
                yield (
                    f"backbone '{backbone.title}' takes {factory.cls.modality}, but dataset "
                    f"'{problem.dataset}' is {modality}. {OTHERS}"
                )
            if isinstance(backbone.weights, SourceWeights):
                yield from _pretrainings(registry, backbone, backbone.weights, problem)
            source = source_of(backbone, problem, loaded)
            yield from _sources(registry, datasets, problem, backbone, source, loaded)
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
                        f"strategy '{spec.title}' does not work under the protocol "
                        f"'{problem.protocol}' of problem '{problem.title}'. {OTHERS}"
                    )
                if modality not in strategy.modalities:
                    yield (
                        f"strategy '{spec.title}' does not take {modality}, which dataset "
                        f"'{problem.dataset}' is. {OTHERS}"
                    )
                for each in spec.tricks:
                    if modality not in registry.get("trick", each.name).cls.modalities:
                        yield (
                            f"trick '{each.name}' does not take {modality}, which dataset "
                            f"'{problem.dataset}' is. {OTHERS}"
                        )
                if strategy.needs_source and source is None:
                    yield (
                        f"strategy '{spec.title}' learns from a source before it adapts, but "
                        f"problem '{problem.title}' with backbone '{backbone.title}' has none: "
                        "give the problem a 'source' or the backbone weights = { source = … }"
                    )
                if source is not None:
                    configured = configure.strategy(registry, spec).strategy
                    sizes = _class_sizes(datasets, source)
                    for line in _messages(configured.check_source, sizes):
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
    where = f"problem '{problem.title}'"
    if isinstance(problem, EpisodesProblem):
        for each in problem.shots:
            for line in _episodes(loaded.data, problem, each):
                yield f"{where}, {shots_asked(each)}, {line}"
    elif problem.splits is None:  # whether there are examples enough is the same for all seeds
        # Shots count in a source domain where there is one, and all of the target is taken.
        counted = ("all",) if isinstance(problem, AdaptationProblem) else problem.shots
        for shots in counted:
            for line in _messages(target_manifest, datasets, problem, shots, 0):
                yield f"{where}, {shots_asked(shots)}: {line}"
    else:
        for shots in problem.shots:
            for seed in suite.seeds:
                for line in _messages(target_manifest, datasets, problem, shots, seed):
                    yield f"{where}: {line}"


def _episodes(data: Data, problem: EpisodesProblem, shots: int) -> Iterator[str]:
    """What keeps episodes from being drawn of the classes that select and of those that are
    tested."""
    split = class_split(data)
    for part, classes in (("validation", split.val), ("test", split.novel)):
        try:
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
        except HarnessError as error:
            held_out = ", or hold out others" if data.held_out and part == "test" else ""
            yield f"{part} classes: {error}{held_out}"


def _domains(registry: Registry, datasets: Datasets, problem: AdaptationProblem) -> Iterator[str]:
    """What is wrong with a source domain."""
    spec = problem.source
    modality = registry.get("dataset", problem.dataset).cls.modality
    if (given := registry.get("dataset", spec.dataset).cls.modality) != modality:
        yield (
            f"source '{spec.dataset}' is {given}, but dataset '{problem.dataset}' is {modality}. "
            f"{OTHERS}"
        )
        return
    source = datasets.load(spec.dataset, spec.args).data
    target = datasets.load(problem.dataset, problem.args).data
    yield from _messages(class_numbers, source, target)
    for shots in problem.shots:
        for line in _messages(_try_source, source, problem, shots):
            yield f"source '{spec.dataset}', {shots_asked(shots)}: {line}"


def _try_source(source: Data, problem: AdaptationProblem, shots: Shots) -> None:
    source_split(source, shots=shots, seed=0, val_fraction=problem.val_fraction)


def _pretrainings(
    registry: Registry, backbone: BackboneSpec, weights: SourceWeights, problem: Problem
) -> Iterator[str]:
    given = registry.get("dataset", weights.source).cls.modality
    if given != (modality := registry.get("dataset", problem.dataset).cls.modality):
        yield (
            f"backbone '{backbone.title}': source '{weights.source}' is {given}, but dataset "
            f"'{problem.dataset}' is {modality}. {OTHERS}"
        )
    method = registry.get("pretraining", weights.method.name).cls
    if given not in method.modalities:
        yield (
            f"pretraining '{weights.method.name}' does not take {given}, which source "
            f"'{weights.source}' is. {OTHERS}"
        )


def _sources(
    registry: Registry,
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
    plugin = registry.get("dataset", problem.dataset)
    apart = problem.protocol == "episodes" and bool(loaded.data.held_out)
    for name, args in shown:
        given = datasets.load(name, args)
        if _same_examples(given, loaded) and not (apart and given.digest == loaded.digest):
            held_out = problem.protocol == "episodes" and "held_out" in plugin.arguments()
            remedy = ", or hold out the same classes in both" if held_out else ""
            yield (
                f"problem '{problem.title}' and its source '{name}' are the same data: what is "
                f"tested would be learned from. Choose another source{remedy}"
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
