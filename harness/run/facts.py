"""What is known of a cell so far, for its record."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.data.examples import Inputs
from harness.data.task import Task
from harness.predictor import Predictor
from harness.record.schema import Further
from harness.run.outcomes import Selected


@dataclass
class CellFacts:
    """Entries of a :class:`harness.record.schema.Record`, which says what they are.

    ``reused`` are phases whose work an earlier cell did, ``inputs`` the ways in which the inputs of
    its data were held, and ``precision`` is that of its forward passes, once it is known.
    """

    split_hash: str | None = None
    leaks: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    selected: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    further: dict[str, Further] = field(default_factory=dict)
    trainable_params: int | None = None
    total_params: int | None = None
    flops: dict[str, float] = field(default_factory=dict)
    throughput: dict[str, float] = field(default_factory=dict)
    reused: set[str] = field(default_factory=set)
    inputs: set[str] = field(default_factory=set)
    precision: str = "float32"


@dataclass(frozen=True)
class Tested:
    """What was tested, for its costs to be measured: a task, what it was adapted to and its test
    inputs; ``steps`` are those it took, where they are known."""

    selected: Selected
    task: Task
    predictor: Predictor
    inputs: Inputs
    steps: int | None
