"""A cell: one complete experiment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ConfigDict

from harness.model.batch_norm import BatchNorm
from harness.plan.keys import key
from harness.record.migrate import earlier
from harness.record.schema import Coordinates
from harness.suite.backbones import BackboneSpec
from harness.suite.budget import Budget
from harness.suite.problems import Problem, SourceSpec
from harness.suite.schema import StrategySpec


class Cell(Coordinates):
    """Everything that running one experiment needs, and what its key hashes."""

    model_config = ConfigDict(frozen=True)

    strategy_spec: StrategySpec
    problem_spec: Problem
    backbone_spec: BackboneSpec
    source_spec: SourceSpec | None
    further_specs: dict[str, BackboneSpec]
    """Models besides the one that is adapted, by their labels."""
    batch_norm: BatchNorm
    budget: Budget
    keep_predictor: bool
    """Until the report says which are recommended."""
    keep_examples: bool
    """Of what was misclassified, for reports."""
    meaning: dict[str, Any]

    @property
    def earlier(self) -> Sequence[str]:
        return [*map(key, earlier(self.meaning))]

    def config(self) -> dict[str, Any]:
        """Everything that is in force, with defaults filled in."""
        return self.model_dump(
            mode="json",
            include={
                "strategy_spec",
                "problem_spec",
                "backbone_spec",
                "source_spec",
                *(["further_specs"] if self.further_specs else []),
                "batch_norm",
                "budget",
                "seed",
                "shots",
            },
        )
