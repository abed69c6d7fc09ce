"""The cells of a suite, in order: every combination, each with the key of what it means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import ConfigDict

from harness import __version__
from harness.data.episodes import draw_episodes
from harness.data.examples import Data
from harness.data.loading import Loaded
from harness.data.protocols import class_numbers, class_split, source_split
from harness.data.splits import Shots
from harness.errors import HarnessError, Mistakes, did_you_mean
from harness.plan import configure, keys
from harness.plan.configure import Datasets
from harness.plan.suite import (
    AdaptationProblem,
    BackboneSpec,
    Budget,
    EpisodesProblem,
    FileWeights,
    Problem,
    SourceSpec,
    SourceWeights,
    StrategySpec,
    Suite,
)
from harness.plan.targets import split_meaning, target_manifest
from harness.plugins import Registry
from harness.record.schema import Coordinates, Oracle, Plan


class Cell(Coordinates):
    """One complete experiment: everything that running it needs, and what its key hashes."""

    model_config = ConfigDict(frozen=True)

    strategy_spec: StrategySpec
    problem_spec: Problem
    backbone_spec: BackboneSpec
    source_spec: SourceSpec | None
    budget: Budget
    save_predictors: bool
    meaning: dict[str, Any]

    def config(self) -> dict[str, Any]:
        """Everything that is in force, with defaults filled in."""
        return self.model_dump(
            mode="json",
            include={
                "strategy_spec",
                "problem_spec",
                "backbone_spec",
                "source_spec",
                "budget",
                "seed",
                "shots",
            },
        )


@dataclass(frozen=True)
class Planned:
    """A suite and its cells, ready to run."""

    suite: Suite
    cells: tuple[Cell, ...]

    def to_json(self) -> Plan:
        return Plan(
            suite=self.suite.name,
            description=self.suite.description,
            config=self.suite.model_dump(mode="json", exclude_none=True),
            cells=[
                Coordinates(**{n: getattr(cell, n) for n in Coordinates.model_fields})
                for cell in self.cells
            ],
        )


def plan(suite: Suite, registry: Registry, datasets: Datasets, where: str) -> Planned:
    """Check a suite against the plugins and the data, and lay out its cells.

    Cells that share data, weights and features stand together, so that they are made once.

    Raises:
        Mistakes: every unknown plugin, wrong argument, unreadable dataset and impossible
            combination, at once.
    """
    mistakes = [*_plugin_mistakes(suite, registry, datasets)]
    if not mistakes:
        mistakes = [*_combination_mistakes(suite, registry, datasets)]
    if mistakes:
        raise Mistakes(where, dict.fromkeys(mistakes))
    strategies = [(spec, _strategy_meaning(registry, spec)) for spec in suite.strategies]
    split_meanings = [_split_meanings(suite, datasets, problem) for problem in suite.problems]
    cells = []
    for backbone in suite.backbones:
        weights = backbone_meaning(registry, datasets, backbone)
        for problem, splits in zip(suite.problems, split_meanings, strict=True):
            loaded = datasets.load(problem.dataset, problem.args)
            source = source_of(backbone, problem, loaded)
            shared = {
                "schema": keys.MEANING_VERSION,
                "harness": __version__,
                "data": loaded.digest,
                "problem": problem.model_dump(
                    mode="json", exclude={"dataset", "args", "label", "shots", "source", "splits"}
                ),
                "backbone": weights,
                "source": source_meaning(datasets, source),
                "budget": suite.budget.meaning(),
            }
            cells += [
                _cell(
                    suite,
                    backbone,
                    problem,
                    source,
                    strategy,
                    {**shared, **split, "strategy": meaning, "shots": shots, "seed": seed},
                    _oracle(registry, strategy, problem),
                )
                for seed in suite.seeds
                for shots, split in splits[seed].items()
                for strategy, meaning in strategies
            ]
    if mistakes := [*_doubles(cells)]:
        raise Mistakes(where, mistakes)
    return Planned(suite, tuple(cells))


def _split_meanings(
    suite: Suite, datasets: Datasets, problem: Problem
) -> dict[int, dict[Shots, dict[str, str]]]:
    """What splits from a file add to the meaning of cells, by seed and shots."""
    if isinstance(problem, EpisodesProblem):
        return {seed: {shots: {} for shots in problem.shots} for seed in suite.seeds}
    return {
        seed: {shots: split_meaning(datasets, problem, shots, seed) for shots in problem.shots}
        for seed in suite.seeds
    }


def source_of(backbone: BackboneSpec, problem: Problem, data: Loaded) -> SourceSpec | None:
    """What ``prepare`` learns from: the problem's ``source``, else what the weights come from,
    else the base classes of a dataset that holds some out."""
    if problem.source is not None:
        return problem.source
    if isinstance(backbone.weights, SourceWeights):
        weights = backbone.weights
        return SourceSpec(dataset=weights.source, args=weights.args, rotations=weights.rotations)
    if problem.protocol == "episodes" and data.data.held_out:
        return SourceSpec(dataset=problem.dataset, args=problem.args)
    return None


# ── what is wrong ─────────────────────────────────────────────────────────────────────────────


def _plugin_mistakes(suite: Suite, registry: Registry, datasets: Datasets) -> Iterator[str]:
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


def _combination_mistakes(suite: Suite, registry: Registry, datasets: Datasets) -> Iterator[str]:
    for problem in suite.problems:
        loaded = datasets.load(problem.dataset, problem.args)
        yield from _split_mistakes(suite, datasets, problem, loaded)
        if isinstance(problem, AdaptationProblem):
            for line in _domain_mistakes(registry, datasets, problem):
                yield f"problem '{problem.title}': {line}"
        modality = registry.get("dataset", problem.dataset).cls.modality
        if suite.budget.augment is not None and modality != "image":
            yield (
                "budget.augment draws views of images, but dataset "
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
                yield from _pretraining_mistakes(registry, backbone.weights, modality)
            source = source_of(backbone, problem, loaded)
            yield from _source_mistakes(datasets, problem, backbone, source, loaded)
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


def _split_mistakes(
    suite: Suite, datasets: Datasets, problem: Problem, loaded: Loaded
) -> Iterator[str]:
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
        )


def _domain_mistakes(
    registry: Registry, datasets: Datasets, problem: AdaptationProblem
) -> Iterator[str]:
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


def _pretraining_mistakes(
    registry: Registry, weights: SourceWeights, modality: str
) -> Iterator[str]:
    given = registry.get("dataset", weights.source).cls.modality
    if given != modality:
        yield f"source '{weights.source}' is {given}, but the problem's data is {modality}"
    method = registry.get("pretraining", weights.method.name).cls
    if given not in method.modalities:
        yield (
            f"pretraining '{weights.method.name}' does not take {given}, which source "
            f"'{weights.source}' is"
        )


def _source_mistakes(
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


def _same_examples(one: Loaded, other: Loaded) -> bool:
    """Whether two datasets train on the same examples, whichever classes they hold out."""
    if one.digest == other.digest:
        return True
    first, second = one.data.train, other.data.train
    return torch.equal(first.labels, second.labels) and first.digest() == second.digest()


def _doubles(cells: Sequence[Cell]) -> Iterator[str]:
    """Cells that mean the same under two names: one would be run, and compared with itself."""
    first: dict[str, Cell] = {}
    names: dict[tuple[str, str], None] = {}
    for cell in cells:
        if cell is not (known := first.setdefault(cell.cell, cell)):
            names[_name(known), _name(cell)] = None
    for one, other in names:
        yield f"{one} and {other} are the same experiment under two names: remove one"


def _name(cell: Cell) -> str:
    return f"'{cell.label}' on '{cell.problem}' with '{cell.backbone}'"


# ── what a cell means ─────────────────────────────────────────────────────────────────────────


def _cell(
    suite: Suite,
    backbone: BackboneSpec,
    problem: Problem,
    source: SourceSpec | None,
    strategy: StrategySpec,
    meaning: dict[str, Any],
    oracle: Oracle | None,
) -> Cell:
    return Cell(
        cell=keys.key(meaning),
        suite=suite.name,
        label=strategy.title,
        strategy=strategy.name,
        dataset=problem.dataset,
        problem=problem.title,
        protocol=problem.protocol,
        oracle=oracle,
        shots=meaning["shots"],
        ways=problem.ways if isinstance(problem, EpisodesProblem) else None,
        backbone=backbone.title,
        seed=meaning["seed"],
        strategy_spec=strategy,
        problem_spec=problem,
        backbone_spec=backbone,
        source_spec=source,
        budget=suite.budget,
        save_predictors=suite.save_predictors,
        meaning=meaning,
    )


def _oracle(registry: Registry, strategy: StrategySpec, problem: Problem) -> Oracle | None:
    """What the target's labels are used for, where a problem does not show them."""
    if not isinstance(problem, AdaptationProblem):
        return None
    if registry.get("strategy", strategy.name).cls.sees_target_labels:
        return "labels"
    return "selection" if problem.selection == "target" else None


def _strategy_meaning(registry: Registry, spec: StrategySpec) -> dict[str, Any]:
    configured = configure.strategy(registry, spec)
    return {
        "name": spec.name,
        "args": spec.args,
        "defaults": configured.defaults(),
        "source": keys.source_digest(registry.get("strategy", spec.name).file),
    }


def backbone_meaning(
    registry: Registry, datasets: Datasets, backbone: BackboneSpec
) -> dict[str, Any]:
    """What a backbone's weights and code depend on."""
    weights, factory = backbone.weights, registry.backbone_for(backbone.model)
    files = factory.cls().files(backbone.args)
    meaning: dict[str, Any] = {
        "model": backbone.model,
        "input_size": backbone.input_size,
        "args": {**backbone.args, **{arg: keys.files_digest(files[arg]) for arg in files}},
        "code": keys.source_digest(factory.file),
    }
    match weights:
        case FileWeights():
            meaning["weights"] = {"file": keys.file_digest(weights.file)}
        case SourceWeights():
            data = datasets.load(weights.source, weights.args).digest
            settings = weights.model_dump(mode="json", exclude={"source", "args"})
            code = keys.source_digest(registry.get("pretraining", weights.method.name).file)
            meaning["weights"] = {"source": data, **settings, "code": code}
        case _:
            meaning["weights"] = weights
    return meaning


def source_meaning(datasets: Datasets, source: SourceSpec | None) -> dict[str, Any] | None:
    """What ``prepare`` sees."""
    if source is None:
        return None
    digest = datasets.load(source.dataset, source.args).digest
    return {"data": digest, "rotations": source.rotations}


def select(cells: Sequence[Cell], conditions: Sequence[str]) -> list[Cell]:
    """The cells that meet all ``KEY=VALUE`` conditions; a value may be a comma-separated list.

    Raises:
        HarnessError: a key is not one of a cell's coordinates, or nothing is left.
    """
    chosen = list(cells)
    for condition in conditions:
        name, equals, value = condition.partition("=")
        if not equals or name not in Coordinates.model_fields:
            raise HarnessError(
                f"--only {condition}: not KEY=VALUE with a key among "
                f"{', '.join(Coordinates.model_fields)}",
                "For example --only label=maml --only shots=1,5",
            )
        known = {str(getattr(cell, name)) for cell in cells}
        values = value.split(",")
        if unknown := [value for value in values if value not in known]:
            raise HarnessError(
                f"--only {condition}: no cell has the {name} '{unknown[0]}'"
                f"{did_you_mean(unknown[0], known)}",
                "--dry-run lists the cells",
            )
        chosen = [cell for cell in chosen if str(getattr(cell, name)) in values]
    if not chosen:
        raise HarnessError(f"no cell meets {' and '.join(conditions)}", "--dry-run lists the cells")
    return chosen
