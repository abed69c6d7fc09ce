"""A suite: what is compared, and the budget of each cell."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from harness.suite.backbones import BackboneSpec
from harness.suite.budget import Budget, Limits
from harness.suite.claims import Claim
from harness.suite.problems import Problem
from harness.suite.seeds import AddedSeeds, Seeds
from harness.suite.table import Args, Table, named


class ReportSpec(Table):
    """What reports may show. No part of a cell's key."""

    examples: bool = True
    """Keep test inputs that were misclassified, and show them. ``false``, for private data, keeps
    and shows none."""


class TrickSpec(Table):
    """A trick plugin by name, and its arguments."""

    name: str
    """Name of the trick plugin (``harness plugins --kind trick``)."""

    args: Args = Field(default_factory=dict)
    """Hyperparameters to fix, by name, and arguments of the plugin."""


Tricks: TypeAlias = Annotated[
    tuple[Annotated[TrickSpec, BeforeValidator(named)], ...], Field(strict=False)
]


class StrategySpec(Table):
    """A strategy plugin by name, with its arguments and tricks."""

    name: str
    """Name of the strategy plugin (``harness plugins --kind strategy``)."""

    label: str = ""
    """What reports call it; by default its name and those of its tricks."""

    args: Args = Field(default_factory=dict)
    """Hyperparameters to fix, by name, and arguments of the plugin."""

    tricks: Tricks = ()
    """Tricks that amend its training, after those of the suite: names, or tables."""

    @property
    def title(self) -> str:
        return self.label or "+".join([self.name, *(trick.name for trick in self.tricks)])


class Suite(Table):
    """Problems × backbones × strategies × seeds, and the budget of each cell."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
    """Name of the suite, and of its results folder."""

    description: str = ""
    """What the suite is for, in a sentence or two: the report begins with it."""

    seeds: Seeds = (0, 1, 2)
    """A list of seeds, or ``{ from = 3, to = 10 }``: added where they are needed."""

    strategies: Annotated[
        tuple[Annotated[StrategySpec, BeforeValidator(named)], ...],
        Field(min_length=1, strict=False),
    ]
    """The strategies that are compared: names, or tables."""

    tricks: Tricks = ()
    """Tricks that amend the training of all strategies, before those that a strategy has itself:
    names, or tables."""

    budget: Budget = Field(default_factory=lambda: Budget(trials=8))
    """What every cell gets alike."""

    backbones: Annotated[tuple[BackboneSpec, ...], Field(min_length=1, strict=False)]
    """Models, and where their weights come from."""

    problems: Annotated[tuple[Problem, ...], Field(min_length=1, strict=False)]
    """Data, and how they become tasks."""

    claims: Annotated[tuple[Claim, ...], Field(strict=False)] = ()
    """Published claims that the report holds against the results. No part of a cell's key."""

    predictors: Literal["none", "recommended", "all"] = "recommended"
    """Which of the models that cells select are kept on disk: those that the report recommends,
    none or all."""

    save_predictors: bool = False
    """``true`` is another way to say ``predictors = "all"``."""

    limits: Limits = Field(default_factory=Limits)
    """What a cell may take of the machine. No part of a cell's key."""

    report: ReportSpec = Field(default_factory=ReportSpec)
    """What reports may show. No part of a cell's key."""

    @property
    def kept_predictors(self) -> Literal["none", "recommended", "all"]:
        """Which of the models that cells select stay."""
        return "all" if self.save_predictors else self.predictors

    @property
    def every_seed(self) -> tuple[int, ...]:
        """All seeds that a cell may be asked for."""
        return tuple(range(self.seeds.to)) if isinstance(self.seeds, AddedSeeds) else self.seeds

    def with_tricks(self) -> Suite:
        """The same suite where each strategy has all its tricks itself, and its title."""
        if not self.tricks:
            return self
        strategies = [
            spec.model_copy(update={"label": spec.title, "tricks": (*self.tricks, *spec.tricks)})
            for spec in self.strategies
        ]
        return self.model_copy(update={"strategies": tuple(strategies), "tricks": ()})
