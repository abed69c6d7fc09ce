"""What the names in a suite stand for: plugins, configured, and data, loaded; each found once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from harness.contract import Strategy
from harness.data.loaded import Loaded
from harness.dataset_wrapper import DatasetWrapper
from harness.errors import HarnessError, located
from harness.model.batch_norm import BatchNorm
from harness.plan import configure
from harness.plan.configure import ConfiguredStrategy
from harness.plan.datasets import Datasets
from harness.registry import Registered, Registry
from harness.suite.backbones import BackboneSpec, FileWeights, SourceWeights
from harness.suite.problems import AdaptationProblem, FurtherTest, Problem, SourceDomain, SourceSpec
from harness.suite.schema import StrategySpec, Suite

T = TypeVar("T")


@dataclass(frozen=True)
class ResolvedStrategy:
    """A strategy with its tricks, as it is tuned, and as where batch norm is ``frozen``. ``models``
    are those of the suite that its arguments name, by label, as far as the suite has them."""

    spec: StrategySpec
    plugin: Registered
    tricks: tuple[Registered, ...]
    configured: ConfiguredStrategy
    frozen: ConfiguredStrategy
    models: Mapping[str, BackboneSpec]

    @property
    def strategy(self) -> Strategy:
        return self.configured.strategy

    @property
    def summary(self) -> str:
        """What it does, in a sentence, and one for each trick."""
        tricks = [f"With {each.name}: {each.summary}" for each in self.tricks if each.summary]
        return " ".join([self.plugin.summary, *tricks]).strip()

    def drawn(self, seed: int) -> ResolvedStrategy:
        """As a cell of this seed has it: with the pretrainings that are its models'."""
        models = {label: spec.drawn(seed) for label, spec in self.models.items()}
        return replace(self, models=models)


@dataclass(frozen=True)
class ResolvedBackbone:
    """A model, and what builds it."""

    spec: BackboneSpec
    factory: Registered


@dataclass(frozen=True)
class ResolvedSource:
    """Data to learn from before a task is seen."""

    spec: SourceSpec
    loaded: Loaded

    @property
    def modality(self) -> str:
        return self.loaded.modality


@dataclass(frozen=True)
class ResolvedTest:
    """A further test with its data."""

    spec: FurtherTest
    loaded: Loaded

    @property
    def modality(self) -> str:
        return self.loaded.modality


@dataclass(frozen=True)
class ResolvedProblem:
    """A problem with its data, the source that it names and its further tests."""

    spec: Problem
    loaded: Loaded
    source: ResolvedSource | None
    tests: tuple[ResolvedTest, ...]

    @property
    def modality(self) -> str:
        return self.loaded.modality


@dataclass(frozen=True)
class Resolved:
    """The parts of a suite whose names and arguments are right, in its order."""

    strategies: tuple[ResolvedStrategy, ...]
    backbones: tuple[ResolvedBackbone, ...]
    problems: tuple[ResolvedProblem, ...]


def with_titles(suite: Suite, registry: Registry) -> Suite:
    """The same suite where a problem on wrapped data that has no label is called after all of them,
    such as ``long_tailed(digits)``."""
    problems = [
        spec
        if spec.label or (title := _title(registry, spec.dataset, spec.args)) == spec.dataset
        else spec.model_copy(update={"label": title})
        for spec in suite.problems
    ]
    return suite.model_copy(update={"problems": tuple(problems)})


def _title(registry: Registry, dataset: str, args: Mapping[str, Any]) -> str:
    """The name of a dataset and, if it is a wrapper, of what it wraps. What is wrong with the
    arguments is told where it is loaded."""
    plugin, inner = registry.plugins.get(("dataset", dataset)), args.get("dataset")
    if plugin is None or not issubclass(plugin.cls, DatasetWrapper) or not isinstance(inner, str):
        return dataset
    further = args.get("args")
    return f"{dataset}({_title(registry, inner, further if isinstance(further, dict) else {})})"


def resolve(suite: Suite, registry: Registry, datasets: Datasets) -> tuple[Resolved, list[str]]:
    """The parts of a suite, and one line for each unknown plugin, wrong argument and unreadable
    file or dataset: what it is about is left out."""
    mistakes: list[str] = []

    def sound(parts: Iterator[T | str]) -> tuple[T, ...]:
        found: list[T] = []
        for part in parts:
            mistakes.append(part) if isinstance(part, str) else found.append(part)
        return tuple(found)

    strategies = sound(_strategies(suite, registry))
    backbones = sound(_backbones(suite, registry, datasets))
    problems = sound(_problems(suite, registry, datasets))
    return Resolved(strategies, backbones, problems), mistakes


def messages(function: Callable[..., Any], *args: Any) -> Iterator[str]:
    """What keeps a function from doing something, in a line each."""
    try:
        function(*args)
    except HarnessError as error:
        yield from error.each()


def resolve_source(spec: SourceSpec, datasets: Datasets) -> ResolvedSource:
    """A source that a suite names.

    Raises:
        HarnessError: it is unknown, its arguments are wrong, or it cannot be read.
    """
    return ResolvedSource(spec, datasets.load(spec.dataset, spec.args))


def batch_norm_of(backbone: BackboneSpec, problem: Problem, strategy: Strategy) -> BatchNorm:
    """What batch norm does in blocks that train: what the suite says, or else what suits the
    weights. Random ones have no statistics that could be kept, and a method may leave no choice."""
    own: BatchNorm | None = strategy.batch_norm
    if own is not None:
        return own
    published = backbone.weights == "hub" or isinstance(backbone.weights, FileWeights)
    if backbone.weights == "random" or not strategy.uses_weights:
        return "train"
    suited: BatchNorm = "frozen" if published and problem.protocol == "transfer" else "train"
    return backbone.batch_norm or suited


def source_of(backbone: BackboneSpec, problem: ResolvedProblem) -> SourceSpec | None:
    """What ``prepare`` learns from: the problem's ``source``, else what the weights come from,
    else the base classes of a dataset that holds some out."""
    spec, weights = problem.spec, backbone.weights
    if spec.source is not None:
        return spec.source
    if isinstance(weights, SourceWeights):
        return SourceSpec(dataset=weights.source, args=weights.args, rotations=weights.rotations)
    if spec.protocol == "episodes" and problem.loaded.data.held_out:
        return SourceSpec(dataset=spec.dataset, args=spec.args)
    return None


def _strategies(suite: Suite, registry: Registry) -> Iterator[ResolvedStrategy | str]:
    models = {backbone.title: backbone for backbone in suite.backbones}
    for spec in suite.strategies:
        try:
            configured = configure.strategy(registry, spec)
        except HarnessError as error:
            yield from error.each()
            continue
        named = configured.strategy.backbones().values()
        plugin = registry.get("strategy", spec.name)
        known = {label: models[label] for label in models if label in named}
        frozen = configure.strategy(registry, spec, "frozen")
        tricks = tuple(registry.get("trick", each.name) for each in spec.tricks)
        yield ResolvedStrategy(spec, plugin, tricks, configured, frozen, known)


def _backbones(
    suite: Suite, registry: Registry, datasets: Datasets
) -> Iterator[ResolvedBackbone | str]:
    for spec in suite.backbones:
        mistakes = [*messages(registry.backbone_for, spec.model)]
        match spec.weights:
            case FileWeights(file=file) if not file.is_file():
                mistakes.append(f"backbone '{spec.title}': there is no file {located(file)}")
            case SourceWeights() as weights:
                mistakes += messages(datasets.load, weights.source, weights.args)
                mistakes += messages(configure.pretraining, registry, weights.method)
        if mistakes:
            yield from mistakes
        else:
            yield ResolvedBackbone(spec, registry.backbone_for(spec.model))


def _grouped(spec: Problem, datasets: Datasets) -> Iterator[str]:
    """What keeps the examples of a problem from being grouped as it says."""
    domains: list[tuple[str, SourceDomain | Problem]] = [("", spec)]
    if isinstance(spec, AdaptationProblem):
        domains.append((", source", spec.source))
    for name, domain in domains:
        for line in messages(datasets.groups, domain.dataset, domain.args, domain.groups):
            yield f"problem '{spec.title}'{name}: {line}"


def _problems(
    suite: Suite, registry: Registry, datasets: Datasets
) -> Iterator[ResolvedProblem | str]:
    for spec in suite.problems:
        mistakes = [*messages(datasets.load, spec.dataset, spec.args)]
        if spec.source is not None:
            mistakes += messages(datasets.load, spec.source.dataset, spec.source.args)
        for test in spec.tests:
            mistakes += messages(datasets.load, test.dataset, test.args)
        if not mistakes:
            mistakes += _grouped(spec, datasets)
        if mistakes:
            yield from mistakes
            continue
        source = resolve_source(spec.source, datasets) if spec.source else None
        tests = [ResolvedTest(test, datasets.load(test.dataset, test.args)) for test in spec.tests]
        loaded = datasets.load(spec.dataset, spec.args)
        yield ResolvedProblem(spec, loaded, source, tuple(tests))
