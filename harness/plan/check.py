"""Check that the parts of a suite go together: that plugins and data have what it asks of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

from harness.contract import GradientStrategy
from harness.data import leakage
from harness.data.episodes import draw_episodes
from harness.data.examples import Data
from harness.data.grouping import Groups
from harness.data.loaded import Loaded
from harness.data.protocols import class_numbers, class_split, source_classes
from harness.errors import HarnessError, did_you_mean
from harness.model.image import channels_fit
from harness.plan import backbones, claims, further_tests
from harness.plan.datasets import Datasets
from harness.plan.resolve import (
    Resolved,
    ResolvedBackbone,
    ResolvedProblem,
    ResolvedSource,
    ResolvedStrategy,
    messages,
    resolve_source,
    source_of,
)
from harness.plan.targets import (
    shared_groups,
    source_manifest,
    target_groups,
    target_manifest,
)
from harness.registry import Registry
from harness.shots import Shots, shots_asked
from harness.suite.backbones import BackboneSpec, SourceWeights
from harness.suite.groups import GroupsSpec
from harness.suite.problems import AdaptationProblem, EpisodesProblem, TransferProblem
from harness.suite.schema import Suite

OTHERS = "Choose another: 'harness plugins' tells what each takes"
"""What helps where two plugins don't go together."""


def check(suite: Suite, resolved: Resolved, registry: Registry, datasets: Datasets) -> list[str]:
    """Tell of every impossible combination of the parts of a suite that were found."""
    found = [*_models(suite, resolved.strategies), *claims.mistakes(suite)]
    return [*found, *_combinations(suite, resolved, registry, datasets)]


def _models(suite: Suite, strategies: Sequence[ResolvedStrategy]) -> Iterator[str]:
    """Tell of models that strategies name and that are not there, and of those that nobody asks
    for, where all strategies can be asked."""
    labels = [backbone.title for backbone in suite.backbones]
    named: set[str] = set()
    for each in strategies:
        for argument, label in each.strategy.backbones().items():
            named.add(label)
            if label not in labels:
                yield (
                    f"strategy '{each.spec.title}': argument '{argument}' names the backbone "
                    f"'{label}', which the suite does not have{did_you_mean(label, labels)}"
                )
    for backbone in suite.backbones:
        unasked = not backbone.compared and backbone.title not in named
        if unasked and len(strategies) == len(suite.strategies):
            yield (
                f"backbone '{backbone.title}' is not compared, and no strategy names it: remove it"
            )
    if not any(backbone.compared for backbone in suite.backbones):
        yield "no backbone is compared: leave compared = false out of one"


def _combinations(
    suite: Suite, resolved: Resolved, registry: Registry, datasets: Datasets
) -> Iterator[str]:
    for backbone in resolved.backbones:
        yield from backbones.mistakes(backbone.spec, registry, datasets)
        for strategy in resolved.strategies:
            yield from _tricks(strategy, backbone, registry, datasets)
    for problem in resolved.problems:
        yield from _splits(suite, datasets, problem)
        yield from _domains(suite, datasets, problem)
        yield from further_tests.mistakes(problem)
        yield from _of_images(suite, problem)
        for backbone in resolved.backbones:
            source = source_of(backbone.spec, problem)
            known = resolve_source(source, datasets) if source else None
            yield from _model(problem, backbone, known, registry, datasets)
            yield from _sources(problem, backbone, known, registry, datasets)
            for strategy in resolved.strategies:
                yield from _strategy(problem, backbone, strategy, known, registry, datasets)


def _tricks(
    strategy: ResolvedStrategy, backbone: ResolvedBackbone, registry: Registry, datasets: Datasets
) -> Iterator[str]:
    """What keeps a strategy's tricks from amending the training of a model."""
    if not isinstance(strategy.strategy, GradientStrategy):
        return
    for trick in strategy.strategy.tricks:
        tried = backbones.try_backbone(backbone.spec, registry, datasets).backbone
        if tried is not None and backbone.factory.cls.modality in trick.modalities:
            for line in messages(trick.check_backbone, tried):
                yield f"trick '{trick.name}', backbone '{backbone.spec.title}': {line}"


def _of_images(suite: Suite, problem: ResolvedProblem) -> Iterator[str]:
    """What is asked of images, where a problem has none."""
    if problem.modality == "image":
        return
    given = f"dataset '{problem.spec.dataset}' is {problem.modality}. Leave it out"
    if suite.budget.augment is not None:
        yield f"budget.augment draws views of images, but {given}"
    if problem.spec.fit is not None:
        yield f"problem '{problem.spec.title}': fit makes images square, but {given}"


def _model(
    problem: ResolvedProblem,
    backbone: ResolvedBackbone,
    source: ResolvedSource | None,
    registry: Registry,
    datasets: Datasets,
) -> Iterator[str]:
    """What keeps a model from taking a problem's inputs, or from being pretrained for them."""
    spec, takes = backbone.spec, backbone.factory.cls.modality
    if takes != problem.modality:
        yield (
            f"backbone '{spec.title}' takes {takes}, but dataset '{problem.spec.dataset}' is "
            f"{problem.modality}. {OTHERS}"
        )
    if isinstance(spec.weights, SourceWeights):
        yield from _pretrainings(registry, datasets, spec, spec.weights, problem)
    if takes == problem.modality == "image":
        wanted = backbones.channels(spec, registry, datasets)
        yield from _channels(problem.loaded, problem.spec.dataset, spec, wanted)
        if source is not None:
            yield from _channels(source.loaded, source.spec.dataset, spec, wanted)
        for test in problem.tests:
            yield from _channels(test.loaded, test.spec.dataset, spec, wanted)


def _strategy(
    problem: ResolvedProblem,
    backbone: ResolvedBackbone,
    strategy: ResolvedStrategy,
    source: ResolvedSource | None,
    registry: Registry,
    datasets: Datasets,
) -> Iterator[str]:
    """What keeps a strategy from a problem."""
    spec, cls, title = problem.spec, strategy.plugin.cls, strategy.spec.title
    is_what = f"which dataset '{spec.dataset}' is. {OTHERS}"
    if spec.protocol not in cls.protocols:
        yield (
            f"strategy '{title}' does not work under the protocol '{spec.protocol}' of problem "
            f"'{spec.title}'. {OTHERS}"
        )
    if problem.modality not in cls.modalities:
        yield f"strategy '{title}' does not take {problem.modality}, {is_what}"
    for trick in strategy.spec.tricks:
        if problem.modality not in registry.get("trick", trick.name).cls.modalities:
            yield f"trick '{trick.name}' does not take {problem.modality}, {is_what}"
    headed = cls.takes_source_head and backbones.brings_head(backbone.spec, registry, datasets)
    if cls.needs_source and source is None and not headed:
        yield (
            f"strategy '{title}' learns from a source before it adapts, but problem "
            f"'{spec.title}' with backbone '{backbone.spec.title}' has none: give the problem a "
            "'source' or the backbone weights = { source = … }"
        )
    lacking = spec.protocol == "transfer" and problem.loaded.data.unlabelled is None
    if cls.needs_unlabelled and lacking:
        yield (
            f"strategy '{title}' learns from unlabelled inputs too, and dataset "
            f"'{spec.dataset}' has none. {OTHERS}"
        )
    if source is not None:
        for line in messages(strategy.strategy.check_source, _class_sizes(source)):
            yield f"strategy '{title}', problem '{spec.title}': {line}"


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


def _splits(suite: Suite, datasets: Datasets, resolved: ResolvedProblem) -> Iterator[str]:
    """What keeps a problem's examples from being split as it says."""
    problem = resolved.spec
    where = f"problem '{problem.title}'"
    if isinstance(problem, EpisodesProblem):
        groups = target_groups(datasets, problem)
        for each in problem.shots:
            for line in _episodes(resolved.loaded.data, problem, each, groups):
                yield f"{where}, {shots_asked(each)}, {line}"
    elif problem.splits is None:
        # Shots count in a source domain where there is one, and all of the target is taken.
        counted = ("all",) if isinstance(problem, AdaptationProblem) else problem.shots
        for shots in counted:
            for line in _first(_try_target, suite, datasets, problem, shots, problem.groups):
                yield f"{where}, {shots_asked(shots)}: {line}"
    else:
        for shots in problem.shots:
            for seed in suite.every_seed:
                for line in messages(_try_target, datasets, problem, shots, seed):
                    yield f"{where}: {line}"


def _first(
    draw: Callable[..., object],
    suite: Suite,
    datasets: Datasets,
    problem: TransferProblem | AdaptationProblem,
    shots: Shots,
    groups: GroupsSpec | None,
) -> Iterator[str]:
    """What keeps a split from being drawn by the first seed by which it can't be. Whether there are
    examples enough is the same for all seeds, unless groups are told apart."""
    for seed in (0,) if groups is None else suite.every_seed:
        lines = [*messages(draw, datasets, problem, shots, seed)]
        if lines:
            yield from lines
            return


def _try_target(
    datasets: Datasets, problem: TransferProblem | AdaptationProblem, shots: Shots, seed: int
) -> None:
    """Split a target, and refuse groups on two sides of what was given where that is asked."""
    manifest = target_manifest(datasets, problem, shots, seed)
    shared = shared_groups(datasets, problem, manifest)
    if shared and problem.groups is not None and problem.groups.shared == "refuse":
        told = leakage.told(shared, test=len(manifest.test), val=len(manifest.val))
        raise HarnessError(
            f"the split that is given shares groups: {'; '.join(told)}",
            "Give another split, or leave out shared = 'refuse'",
        )


def _episodes(
    data: Data, problem: EpisodesProblem, shots: int, groups: Groups | None
) -> Iterator[str]:
    """What keeps episodes from being drawn of the classes that select and of those that are
    tested. Whether groups can be told apart depends on the classes of each episode."""
    split = class_split(data)
    for part, classes in (("validation", split.val), ("test", split.novel)):
        try:
            draw_episodes(
                data.train.labels,
                classes,
                ways=problem.ways,
                shots=shots,
                queries=problem.queries,
                episodes=1 if groups is None else problem.episodes,
                seed=0,
                names=data.classes,
                groups=None if groups is None else groups.train,
            )
        except HarnessError as error:
            held_out = ", or hold out others" if data.held_out and part == "test" else ""
            yield f"{part} classes: {error}{held_out}"


def _domains(suite: Suite, datasets: Datasets, resolved: ResolvedProblem) -> Iterator[str]:
    """What is wrong with a source domain."""
    problem, source = resolved.spec, resolved.source
    if not isinstance(problem, AdaptationProblem):
        return
    assert source is not None
    where, name = f"problem '{problem.title}'", source.spec.dataset
    if source.modality != resolved.modality:
        yield (
            f"{where}: source '{name}' is {source.modality}, but dataset '{problem.dataset}' is "
            f"{resolved.modality}. {OTHERS}"
        )
        return
    for line in messages(class_numbers, source.loaded.data, resolved.loaded.data):
        yield f"{where}: {line}"
    for shots in problem.shots:
        for line in _first(source_manifest, suite, datasets, problem, shots, problem.source.groups):
            yield f"{where}: source '{name}', {shots_asked(shots)}: {line}"


def _pretrainings(
    registry: Registry,
    datasets: Datasets,
    backbone: BackboneSpec,
    weights: SourceWeights,
    problem: ResolvedProblem,
) -> Iterator[str]:
    given = datasets.load(weights.source, weights.args).modality
    if given != problem.modality:
        yield (
            f"backbone '{backbone.title}': source '{weights.source}' is {given}, but dataset "
            f"'{problem.spec.dataset}' is {problem.modality}. {OTHERS}"
        )
    method = registry.get("pretraining", weights.method.name).cls
    if given not in method.modalities:
        yield (
            f"pretraining '{weights.method.name}' does not take {given}, which source "
            f"'{weights.source}' is. {OTHERS}"
        )


def _sources(
    problem: ResolvedProblem,
    backbone: ResolvedBackbone,
    source: ResolvedSource | None,
    registry: Registry,
    datasets: Datasets,
) -> Iterator[str]:
    """Refuse weights or a source that were shown what the problem tests on."""
    spec, weights = problem.spec, backbone.spec.weights
    shown = [(source.spec.dataset, source.loaded)] if source is not None else []
    if isinstance(weights, SourceWeights):
        shown.append((weights.source, datasets.load(weights.source, weights.args)))
    episodes = spec.protocol == "episodes"
    apart = episodes and bool(problem.loaded.data.held_out)
    for name, given in shown:
        known = apart and given.digest == problem.loaded.digest
        if _same_examples(given, problem.loaded) and not known:
            arguments = registry.get("dataset", spec.dataset).arguments()
            held_out = episodes and "held_out" in arguments
            remedy = ", or hold out the same classes in both" if held_out else ""
            yield (
                f"problem '{spec.title}' and its source '{name}' are the same data: what is "
                f"tested would be learned from. Choose another source{remedy}"
            )


def _class_sizes(source: ResolvedSource) -> list[int]:
    """How many examples a source has of each class that ``prepare`` is shown."""
    data = source.loaded.data
    counts = data.train.labels.bincount(minlength=len(data.classes))
    return counts[list(source_classes(data))].tolist() * (4 if source.spec.rotations else 1)


def _same_examples(one: Loaded, other: Loaded) -> bool:
    """Whether two datasets train on the same examples, whichever classes they hold out."""
    if one.digest == other.digest:
        return True
    first, second = one.data.train, other.data.train
    return torch.equal(first.labels, second.labels) and first.digest() == second.digest()
