"""The cells of a suite, in order: every combination, each with the key of what it means."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from harness.contract import Strategy
from harness.errors import HarnessError, Mistakes, abridged, did_you_mean
from harness.model.batch_norm import BatchNorm, has_batch_norm
from harness.plan import further_tests, keys
from harness.plan.backbones import try_backbone
from harness.plan.cell import Cell
from harness.plan.check import check
from harness.plan.datasets import Datasets
from harness.plan.fingerprint import (
    backbone_fingerprint,
    source_fingerprint,
    split_fingerprints,
    strategy_fingerprint,
)
from harness.plan.resolve import ResolvedStrategy, batch_norm_of, resolve, source_of, with_titles
from harness.plan.revisions import revisions
from harness.plan.targets import groups_meaning
from harness.record.command import Command
from harness.record.schema import Coordinates, Oracle, Plan
from harness.registry import Registry
from harness.suite.backbones import BackboneSpec
from harness.suite.problems import AdaptationProblem, EpisodesProblem, Problem, SourceSpec
from harness.suite.schema import Suite
from harness.version import __version__


@dataclass(frozen=True)
class Planned:
    """A suite and its cells, ready to run, and a line on each strategy by its label."""

    suite: Suite
    cells: tuple[Cell, ...]
    summaries: Mapping[str, str]
    command: Command | None = None

    @property
    def keys(self) -> frozenset[str]:
        return frozenset(cell.cell for cell in self.cells)

    def to_json(self, needed: Collection[str] | None = None) -> Plan:
        """What the results folder keeps: all cells, or those whose keys are ``needed`` so far."""
        return Plan(
            suite=self.suite.name,
            description=self.suite.description,
            config=self.suite.model_dump(mode="json", exclude_none=True),
            cells=[
                Coordinates(**{n: getattr(cell, n) for n in Coordinates.model_fields})
                for cell in self.cells
                if needed is None or cell.cell in needed
            ],
            command=self.command,
            summaries=dict(self.summaries),
        )


def plan(suite: Suite, registry: Registry, datasets: Datasets, where: str) -> Planned:
    """Check a suite against the plugins and the data, and lay out its cells.

    Cells that share data, weights and features stand together, so that they are made once.

    Raises:
        Mistakes: every unknown plugin, wrong argument, unreadable dataset and impossible
            combination, at once.
    """
    suite = with_titles(suite, registry)
    amended = suite.with_tricks()
    resolved, mistakes = resolve(amended, registry, datasets)
    mistakes += check(amended, resolved, registry, datasets)
    if mistakes:
        raise Mistakes(where, dict.fromkeys(mistakes))
    modes: tuple[BatchNorm, ...] = get_args(BatchNorm)
    # Seeds that take the same turn have the same pretrainings.
    turns = math.lcm(*(backbone.pretrainings for backbone in suite.backbones))
    strategies = {
        turn: [
            (each, {mode: strategy_fingerprint(registry, datasets, each, mode) for mode in modes})
            for each in (strategy.drawn(turn) for strategy in resolved.strategies)
        ]
        for turn in {seed % turns for seed in suite.every_seed}
    }
    every_split = [split_fingerprints(suite, datasets, each.spec) for each in resolved.problems]
    cells = []
    for backbone in suite.backbones:
        if not backbone.compared:
            continue
        drawn = {turn: backbone.drawn(turn) for turn in strategies}
        weights = {turn: backbone_fingerprint(registry, datasets, drawn[turn]) for turn in drawn}
        model = try_backbone(backbone, registry, datasets).backbone
        normed = model is None or has_batch_norm(model)
        for problem, splits in zip(resolved.problems, every_split, strict=True):
            source = source_of(backbone, problem)
            shared = {
                "schema": keys.MEANING_VERSION,
                "harness": __version__,
                "data": problem.loaded.digest,
                "problem": problem.spec.meaning(),
                "source": source_fingerprint(datasets, source, problem.spec.fit),
                "budget": suite.budget.meaning(),
                **further_tests.meaning(problem),
                **groups_meaning(datasets, problem.spec),
            }
            for seed in suite.every_seed:
                turn = seed % turns
                own_weights = {"backbone": weights[turn]}
                for shots, split in splits[seed].items():
                    for strategy, does in strategies[turn]:
                        mode = batch_norm_of(backbone, problem.spec, strategy.strategy)
                        known = revisions(datasets, problem, strategy, suite.budget, shots, seed)
                        own = {"strategy": does[mode], "shots": shots, "seed": seed}
                        # What came later is told where it is used.
                        norms = {"batch_norm": mode} if mode == "frozen" and normed else {}
                        meaning = {**shared, **own_weights, **split, **own, **known, **norms}
                        given = (drawn[turn], problem.spec, source, strategy, mode)
                        cells.append(_cell(suite, *given, meaning))
    if mistakes := [*_doubles(cells)]:
        raise Mistakes(where, mistakes)
    summaries = {each.spec.title: each.summary for each in resolved.strategies if each.summary}
    return Planned(suite, tuple(cells), summaries)


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


def _cell(
    suite: Suite,
    backbone: BackboneSpec,
    problem: Problem,
    source: SourceSpec | None,
    resolved: ResolvedStrategy,
    batch_norm: BatchNorm,
    meaning: dict[str, Any],
) -> Cell:
    strategy, cls = resolved.spec, resolved.plugin.cls
    return Cell(
        cell=keys.key(meaning),
        suite=suite.name,
        label=strategy.title,
        strategy=strategy.name,
        dataset=problem.dataset,
        problem=problem.title,
        protocol=problem.protocol,
        oracle=_oracle(cls, problem),
        baseline=cls.baseline,
        starts_from=cls.starts_from,
        shots=meaning["shots"],
        ways=problem.ways if isinstance(problem, EpisodesProblem) else None,
        backbone=backbone.title,
        seed=meaning["seed"],
        tests=tuple(test.title for test in problem.tests),
        strategy_spec=strategy,
        problem_spec=problem,
        backbone_spec=backbone,
        source_spec=source,
        further_specs=dict(resolved.models),
        batch_norm=batch_norm,
        budget=suite.budget,
        keep_predictor=suite.kept_predictors != "none",
        keep_examples=suite.report.examples,
        meaning=meaning,
    )


def _oracle(strategy: type[Strategy], problem: Problem) -> Oracle | None:
    """What the target's labels are used for, where a problem does not show them."""
    if not isinstance(problem, AdaptationProblem):
        return None
    if strategy.sees_target_labels:
        return "labels"
    return "selection" if problem.selection == "target" else None


def select(cells: Sequence[Cell], conditions: Sequence[str]) -> list[Cell]:
    """The cells that meet all ``KEY=VALUE`` conditions; a value may be a comma-separated list, in
    which a comma that is part of what a cell has does not separate.

    Raises:
        HarnessError: a key is not one of a cell's coordinates, or nothing is left; of several
            conditions that can't be met, all are told.
    """
    chosen = list(cells)
    known_keys = [name for name in Coordinates.model_fields if name != "tests"]
    refused: list[HarnessError] = []
    for condition in conditions:
        name, equals, value = condition.partition("=")
        if not equals or name not in known_keys:
            refused.append(
                HarnessError(
                    f"--only {condition}: not KEY=VALUE with a key among {', '.join(known_keys)}",
                    "For example --only label=maml --only shots=1,5",
                )
            )
            continue
        known = {str(getattr(cell, name)) for cell in cells}
        values = listed(value, known)
        if unknown := [value for value in values if value not in known]:
            told = abridged(f"'{value}'{did_you_mean(value, known)}" for value in unknown)
            refused.append(
                HarnessError(
                    f"--only {condition}: no cell has the {name} {told}",
                    "--dry-run lists the cells",
                )
            )
        chosen = [cell for cell in chosen if str(getattr(cell, name)) in values]
    if len(refused) > 1:
        raise Mistakes("--only", [line for error in refused for line in error.each()])
    if refused:
        raise refused[0]
    if not chosen:
        raise HarnessError(f"no cell meets {' and '.join(conditions)}", "--dry-run lists the cells")
    return chosen


def listed(value: str, known: Collection[str]) -> list[str]:
    """The items of a comma-separated list, where ``known`` ones may hold commas themselves."""
    parts = value.split(",")
    items: list[str] = []
    while parts:
        lengths = range(len(parts), 0, -1)
        taken = next((n for n in lengths if ",".join(parts[:n]) in known), 1)
        items.append(",".join(parts[:taken]))
        parts = parts[taken:]
    return items
