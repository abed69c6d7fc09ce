"""What a cell leaves behind: a versioned record, one JSON file a cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer

from harness.record.command import Command
from harness.shots import shots_text

SCHEMA_VERSION = 8
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
    """One hyperparameter setting that was tried."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")

    number: int
    """From 0, the strategy's defaults."""

    state: TrialState
    """How it ended."""

    settings: dict[str, Any]
    """Hyperparameters, by name."""

    value: float | None = None
    """What it is selected by: validation accuracy (0–1), or, where predictions on unlabelled inputs
    select, what they come to."""

    loss: float | None = None
    """Validation log loss (nats), or, where predictions on unlabelled inputs select, their
    conditional entropy (nats). Ties of ``value`` go to the lower one."""

    seconds: float = 0.0
    """All that the trial took, but for ``prepare``, which trials share."""

    fit_seconds: float = 0.0
    """What it took without validation."""

    at_once: int | None = None
    """Examples of a batch that went through the model together, where memory had no room for all of
    them."""

    together: Annotated[int, Field(ge=1)] = 1
    """Trials that were adapted at once, by shared products; they share what that took equally."""

    curve: list[tuple[int, float]] = Field(default_factory=list)
    """Pairs of (step, validation accuracy) on the way."""

    reason: Told = None
    """Why it was pruned, failed or diverged."""


CellKey: TypeAlias = Annotated[str, Field(pattern=r"^[^/\x00]+$")]
"""The name of a cell's files, their endings aside."""

Whole: TypeAlias = Annotated[int, Field(ge=0, lt=2**63)]
"""What a column of a table can hold."""

Count: TypeAlias = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,17}$")]
"""A whole number as JSON writes it in the place of a key."""


class Coordinates(BaseModel):
    """Where a cell stands in its suite."""

    cell: CellKey
    """The cell's key: a hash of all that it means."""

    suite: str
    """Name of the suite."""

    label: str
    """What the suite calls the strategy."""

    strategy: str
    """Name of the strategy plugin."""

    dataset: str
    """Name of the dataset plugin."""

    problem: str
    """What the suite calls the dataset with its protocol."""

    protocol: str
    """How data became tasks: ``transfer``, ``episodes`` or ``adaptation``."""

    oracle: Oracle | None = None
    """What a target's labels were used for under ``adaptation``, which does not show them: to
    select hyperparameters (``selection``), or all of them to learn from (``labels``). Such results
    are bounds."""

    baseline: bool = False
    """Whether gains are over this strategy."""

    starts_from: str | None = None
    """The strategy from whose result this one goes on."""

    shots: Whole | Literal["vtab1k", "all"]
    """Labelled examples a class."""

    ways: Whole | None = None
    """Classes of an episode."""

    backbone: str
    """What the suite calls the backbone."""

    seed: Whole
    """The seed that all chance of the cell comes from."""

    tests: tuple[str, ...] = ()
    """Names of the problem's further tests."""

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
    """What a cell came to on a further test."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")

    metrics: Metrics = Field(default_factory=dict)
    """As ``metrics`` of the record, which are of the problem's own test."""

    leaks: dict[str, int] = Field(default_factory=dict)
    """As ``leaks`` of the record."""

    examples: Whole = 0
    """Examples that the test has."""


class Record(Coordinates):
    """A cell's end, whatever happened to it."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")

    schema_version: int = SCHEMA_VERSION
    """Version of the file's format."""

    status: Status
    """How the cell ended."""

    reason: Told = None
    """Why it is not ok, in a line."""

    traceback: Told = None
    """Where it failed."""

    attempts: int = 1
    """How often the cell was begun anew by ``--retry`` or the suite's own ``retries``, this time
    included."""

    log: str | None = None
    """The file, from the results folder, that holds what the cell printed."""

    config: dict[str, Any] = Field(default_factory=dict)
    """Everything that was in force, with defaults filled in."""

    meaning: dict[str, Any] = Field(default_factory=dict)
    """What the cell's key hashes, so that a rerun can be explained."""

    split_hash: str | None = None
    """A hash of the ids that were learned from, validated on and tested."""

    trials: list[Trial] = Field(default_factory=list)
    """All that was tried, in order."""

    selected: int | None = None
    """Number of the trial that validation selected."""

    metrics: Metrics = Field(default_factory=dict)
    """Of the test split (fractions 0–1, ``log_loss`` in nats), and of validation where a name ends
    in ``_val``. In ``episodes`` they are means over episodes, and ``accuracy_ci95`` is the half
    width of the mean accuracy's interval."""

    further: dict[str, Further] = Field(default_factory=dict)
    """The further tests, by name: of the same predictor, scored once each, and billed to no
    phase."""

    seconds: dict[str, float] = Field(default_factory=dict)
    """Seconds of wall clock by phase: ``pretrain``, ``prepare``, ``features``, ``tune``, ``fit``
    (training with the selected settings alone: a part of ``tune``, or of ``test`` under
    ``episodes``), ``test``, and ``total`` (all but ``pretrain``, which every strategy on that
    backbone shares)."""

    cached: list[str] = Field(default_factory=list)
    """Phases whose work an earlier cell did; they are billed at what it cost then."""

    peak_device_bytes: Whole | None = None
    """The most bytes that torch had allocated on the device."""

    peak_host_bytes: Whole | None = None
    """The most bytes of the host that were resident of the cell's process, libraries included, and
    what processes that it began had for themselves."""

    trainable_params: Whole | None = None
    """Parameters of the tested predictor that trained, a head's and adapters' included."""

    total_params: Whole | None = None
    """Parameters of the backbone alone: where a large head trains with it, more have trained."""

    flops: dict[str, float] = Field(default_factory=dict)
    """``fit`` (adapting once with the selected settings, features included, validation not; in
    ``episodes`` one episode) and ``predict`` (one example); a multiplication and an addition are
    two."""

    throughput: dict[Count, float] = Field(default_factory=dict)
    """Predicted examples a second, by how many at once."""

    joules: float | None = None
    """What the cell took of a CUDA device; nothing where that is not known."""

    cpu_seconds: float | None = None
    """CPU time that the cell's own processes took, all threads together, ``pretrain`` left out:
    what an earlier cell did is not in there, and neighbours lengthen it less than ``seconds``."""

    leaks: dict[str, int] = Field(default_factory=dict)
    """Examples that are tested (or validate) and have an identical twin elsewhere, by where."""

    notes: list[str] = Field(default_factory=list)
    """Sentences on what of the data was not used."""

    provenance: dict[str, Any] = Field(default_factory=dict)
    """Versions of the code and of packages, the machine, and the time."""


class Plan(BaseModel):
    """``plan.json`` of a results folder: the suite as it was last asked for, and its cells."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")

    schema_version: int = SCHEMA_VERSION
    """Version of the file's format."""

    suite: str
    """Name of the suite."""

    description: str = ""
    """What the suite says that it is for."""

    config: dict[str, Any] = Field(default_factory=dict)
    """The suite with defaults filled in."""

    cells: list[Coordinates] = Field(default_factory=list)
    """All cells that it has."""

    command: Command | None = None
    """The command that asked for it; nothing where that was no command, or is not known."""

    summaries: dict[str, str] = Field(default_factory=dict)
    """What each strategy does, in a line, by its label, as far as its plugin says so."""
