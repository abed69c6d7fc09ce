"""What a cell leaves behind: a versioned record, one JSON file a cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer

from harness.shots import shots_text

SCHEMA_VERSION = 6
"""Of the files' format: ``migrate.py`` says what to do when it is raised. What a cell means has a
version of its own (``MEANING_VERSION``): finished cells stay finished in a new format."""

Status = Literal[
    "ok", "failed", "timeout", "oom", "crashed", "diverged", "unsupported", "interrupted"
]
TrialState = Literal["complete", "pruned", "failed", "diverged"]


Oracle = Literal["selection", "labels"]


def _encodable(text: str | None) -> str | None:
    return text and text.encode("utf-8", "backslashreplace").decode()


Told: TypeAlias = Annotated[str | None, PlainSerializer(_encodable)]
"""What an error said, which may name a file by bytes that are no text."""


class Trial(BaseModel):
    """One hyperparameter setting that was tried.

    ``value`` is the validation accuracy (0–1), ``loss`` the validation log loss (nats), and
    ``curve`` the (step, accuracy) pairs reported on the way. Where predictions on unlabelled
    inputs select, ``value`` is by what they do and ``loss`` their conditional entropy (nats).
    ``seconds`` is all that the trial took, but for ``prepare``, which trials share; ``fit_seconds``
    leaves out validation. ``at_once`` tells how many examples of a batch went through the model
    together where memory had no room for all of them. ``together`` trials were adapted at once, by
    shared products, and share what that took equally.
    """

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")

    number: int
    state: TrialState
    settings: dict[str, Any]
    value: float | None = None
    loss: float | None = None
    seconds: float = 0.0
    fit_seconds: float = 0.0
    at_once: int | None = None
    together: Annotated[int, Field(ge=1)] = 1
    curve: list[tuple[int, float]] = Field(default_factory=list)
    reason: Told = None


CellKey: TypeAlias = Annotated[str, Field(pattern=r"^[^/\x00]+$")]
"""The name of a cell's files, their endings aside."""

Whole: TypeAlias = Annotated[int, Field(ge=0, lt=2**63)]
"""What a column of a table can hold."""

Count: TypeAlias = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,17}$")]
"""A whole number as JSON writes it in the place of a key."""


class Coordinates(BaseModel):
    """Where a cell stands in its suite. ``cell`` is its key, ``label`` what the suite calls the
    strategy, ``problem`` what it calls the dataset with its protocol. ``oracle`` tells what a
    target's labels were used for under ``adaptation``, which does not show them: to select
    hyperparameters, or all of them to learn from; such results are bounds. Gains are over a
    ``baseline``. The strategy goes on from what another one, ``starts_from``, does. ``tests`` names
    the problem's further tests."""

    cell: CellKey
    suite: str
    label: str
    strategy: str
    dataset: str
    problem: str
    protocol: str
    oracle: Oracle | None = None
    baseline: bool = False
    starts_from: str | None = None
    shots: Whole | Literal["vtab1k", "all"]
    ways: Whole | None = None
    backbone: str
    seed: Whole
    tests: tuple[str, ...] = ()

    @property
    def earlier(self) -> Sequence[str]:
        """Keys that it had before, where what it means is named otherwise now: the last first."""
        return ()

    @property
    def title(self) -> str:
        """One line for people: ``LP on digits, 5-shot, seed 0 (test_resnet)``."""
        shots = shots_text(self.shots, "{}-shot")
        if self.ways:
            shots = f"{self.ways}-way {shots}"
        return f"{self.label} on {self.problem}, {shots}, seed {self.seed} ({self.backbone})"


def _fractions(metrics: dict[str, float]) -> dict[str, float]:
    for name in ("accuracy", "accuracy_val"):
        if not 0 <= metrics.get(name, 0) <= 1:
            raise ValueError(f"{name} is not between 0 and 1")
    return metrics


Metrics: TypeAlias = Annotated[dict[str, float], AfterValidator(_fractions)]


class Further(BaseModel):
    """What a cell came to on a further test: ``metrics`` and ``leaks``, as :class:`Record` has them
    of the problem's own test, and how many ``examples`` it has."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")

    metrics: Metrics = Field(default_factory=dict)
    leaks: dict[str, int] = Field(default_factory=dict)
    examples: Whole = 0


class Record(Coordinates):
    """A cell's end, whatever happened to it.

    ``meaning`` is what the cell's key hashes, so that a rerun can be explained; ``config`` is
    everything that was in force, with defaults filled in. ``metrics`` are of the test split
    (fractions 0–1, ``log_loss`` in nats) and of validation where their name ends in ``_val``;
    in ``episodes`` they are means over episodes and ``accuracy_ci95`` is the half width of the
    mean accuracy's interval. ``seconds`` has ``pretrain``, ``prepare``, ``features``, ``tune``,
    ``fit`` (training with the selected settings alone: a part of ``tune``, or of ``test`` under
    ``episodes``), ``test`` and ``total``
    (all but ``pretrain``, which every strategy on that backbone shares); ``cached`` names the
    phases whose work an earlier cell did and that are billed at what it cost then.
    ``cpu_seconds`` is the CPU time that the cell's own processes took, all threads together,
    ``pretrain`` left out: what an earlier cell did is not in there, and neighbours lengthen it less
    than ``seconds``, which are of wall clock.
    ``peak_device_bytes`` is the most that torch had allocated; ``peak_host_bytes`` the most that
    was resident of the cell's process, libraries included, and what processes that it began had
    for themselves.

    ``flops`` has ``fit`` (adapting once with the selected settings, features included, validation
    not; in ``episodes`` one episode) and ``predict`` (one example), a multiplication and an
    addition being two; ``throughput`` has predicted examples a second by how many at once;
    ``joules`` is what the cell took of a CUDA device, or nothing is known. ``leaks`` counts
    examples that are tested (or validate) and have an identical twin elsewhere, by where;
    ``notes`` are sentences on what of the data was not used. ``further`` has the further tests, by
    their names: of the same predictor, scored once each, and billed to no phase.

    ``attempts`` counts how often the cell was begun anew by ``--retry`` or the suite's own
    ``retries``, this time included; ``log`` names the file, from the results folder, that holds
    what the cell printed.
    """

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")

    schema_version: int = SCHEMA_VERSION
    status: Status
    reason: Told = None
    traceback: Told = None
    attempts: int = 1
    log: str | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    meaning: dict[str, Any] = Field(default_factory=dict)
    split_hash: str | None = None
    trials: list[Trial] = Field(default_factory=list)
    selected: int | None = None
    metrics: Metrics = Field(default_factory=dict)
    further: dict[str, Further] = Field(default_factory=dict)
    seconds: dict[str, float] = Field(default_factory=dict)
    cached: list[str] = Field(default_factory=list)
    peak_device_bytes: Whole | None = None
    peak_host_bytes: Whole | None = None
    trainable_params: Whole | None = None
    total_params: Whole | None = None
    flops: dict[str, float] = Field(default_factory=dict)
    throughput: dict[Count, float] = Field(default_factory=dict)
    joules: float | None = None
    cpu_seconds: float | None = None
    leaks: dict[str, int] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)
    provenance: dict[str, Any] = Field(default_factory=dict)


class Plan(BaseModel):
    """``plan.json`` of a results folder: the suite as it was last asked for, and its cells."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")

    schema_version: int = SCHEMA_VERSION
    suite: str
    description: str = ""
    config: dict[str, Any] = Field(default_factory=dict)
    cells: list[Coordinates] = Field(default_factory=list)
