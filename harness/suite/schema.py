"""A suite: what is compared, and the budget of each cell."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    PositiveFloat,
    PositiveInt,
    Tag,
    model_validator,
)

from harness.data.examples import Fit
from harness.model.batch_norm import BatchNorm
from harness.suite.budget import Budget, Limits
from harness.suite.claims import Claim
from harness.suite.groups import Groups
from harness.suite.seeds import AddedSeeds, Seed, Seeds
from harness.suite.table import Fraction, Table


def _listed(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


def _named(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


Shots: TypeAlias = PositiveInt | Literal["all"]
TransferShots: TypeAlias = PositiveInt | Literal["vtab1k", "all"]
Args: TypeAlias = dict[str, Any]


class ReportSpec(Table):
    """What reports may show; no part of a cell's key. ``examples``: test inputs that were
    misclassified, which are kept for it; ``false``, for private data, keeps and shows none."""

    examples: bool = True


class MethodSpec(Table):
    """A pretraining plugin by name, and its arguments."""

    name: str
    args: Args = Field(default_factory=dict)


class SourceWeights(Table):
    """Weights that the harness trains itself, on a dataset, by a pretraining plugin.

    ``steps`` of ``batch_size`` at a peak rate of ``lr``; ``rotations`` makes four classes of
    each, turned by quarters. ``fit`` makes images square, as a problem's does.

    ``seeds`` are how many pretrainings there are, whose seeds are ``seed`` and those after it: a
    cell of seed s uses that of ``seed + s mod seeds``, so that seeds tell the luck of pretraining
    too.
    """

    source: str
    args: Args = Field(default_factory=dict)
    method: Annotated[MethodSpec, BeforeValidator(_named)] = MethodSpec(name="supervised")
    rotations: bool = False
    steps: PositiveInt = 500
    batch_size: PositiveInt = 128
    lr: PositiveFloat = 2e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    seed: Seed = 0
    seeds: PositiveInt = 1
    fit: Fit | None = None

    def meaning(self) -> dict[str, Any]:
        """What a key hashes besides the source's data: of several pretrainings, the seed of this
        one."""
        later = {"fit"} if self.fit is None else set()
        return self.model_dump(mode="json", exclude={"source", "args", "seeds"} | later)


class FileWeights(Table):
    """Weights from a safetensors file."""

    file: Path = Field(strict=False)


def _weights_kind(value: object) -> str:
    if isinstance(value, Mapping):
        return "file" if "file" in value else "source"
    if isinstance(value, FileWeights):
        return "file"
    return "source" if isinstance(value, SourceWeights) else "named"


Weights: TypeAlias = Annotated[
    Annotated[Literal["hub", "random"], Tag("named")]
    | Annotated[FileWeights, Tag("file")]
    | Annotated[SourceWeights, Tag("source")],
    Discriminator(_weights_kind),
]


class BackboneSpec(Table):
    """A model and where its weights come from. With ``compared = false`` it is there only for
    strategies whose arguments name it, such as a teacher.

    ``batch_norm`` of blocks that train is ``frozen``, with the statistics that it has and a weight
    and a bias that train, or in ``train`` mode, by those of each batch. Where nothing is said it is
    frozen with published weights (``hub``, ``file``) under ``transfer``: a few hundred steps of
    small batches give worse statistics than the source did.
    """

    model: str
    weights: Weights = "hub"
    input_size: PositiveInt | None = None
    args: Args = Field(default_factory=dict)
    batch_norm: BatchNorm | None = None
    label: str = ""
    compared: bool = True

    @property
    def title(self) -> str:
        return self.label or self.model

    @property
    def pretrainings(self) -> int:
        """How many there are for a suite's seeds to use in turn."""
        return self.weights.seeds if isinstance(self.weights, SourceWeights) else 1

    def drawn(self, seed: int) -> BackboneSpec:
        """The backbone of a cell of this seed: that of one pretraining, where there are several."""
        if not isinstance(self.weights, SourceWeights) or self.pretrainings == 1:
            return self
        own = self.weights.seed + seed % self.pretrainings
        return self.model_copy(update={"weights": self.weights.model_copy(update={"seed": own})})


class TrickSpec(Table):
    """A trick by name; ``args`` fix hyperparameters or set the plugin's own arguments."""

    name: str
    args: Args = Field(default_factory=dict)


Tricks: TypeAlias = Annotated[
    tuple[Annotated[TrickSpec, BeforeValidator(_named)], ...], Field(strict=False)
]


class StrategySpec(Table):
    """A strategy by name; ``args`` fix hyperparameters or set the plugin's own arguments.
    ``tricks`` amend its training."""

    name: str
    label: str = ""
    args: Args = Field(default_factory=dict)
    tricks: Tricks = ()

    @property
    def title(self) -> str:
        return self.label or "+".join([self.name, *(trick.name for trick in self.tricks)])


class SourceSpec(Table):
    """What ``prepare`` learns from, if it is not what the backbone's weights come from."""

    dataset: str
    args: Args = Field(default_factory=dict)
    rotations: bool = False


class SourceDomain(SourceSpec):
    """The labelled source of ``adaptation``; ``groups`` are of its own examples."""

    groups: Groups = None


class FurtherTest(Table):
    """Other data, of the same classes, that a problem's predictors are tested on beside its own.

    That is their official test split. Where they have none it is all that they train on; but if
    that is the problem's own training data row for row, by its labels, such as a corrupted copy, it
    is the rows that the problem tests, so that nothing that was learned from is tested.
    """

    dataset: str
    args: Args = Field(default_factory=dict)
    label: str = ""

    @property
    def title(self) -> str:
        return self.label or self.dataset


class _Problem(Table):
    """``fit`` makes images that are not square so, those of a source too: ``crop`` takes their
    middle, as is done where nothing is said, ``pad`` puts all of it between bars of the model's
    mean colour, and ``squash`` distorts it. ``tests`` are further tests of what was selected, each
    scored once. ``groups`` tell which examples belong together; see :class:`GroupsSpec`."""

    dataset: str
    args: Args = Field(default_factory=dict)
    label: str = ""
    source: SourceSpec | None = None
    fit: Fit | None = None
    groups: Groups = None
    tests: Annotated[tuple[FurtherTest, ...], Field(strict=False)] = ()

    def meaning(self) -> dict[str, Any]:
        """What a key hashes of how data becomes tasks: what came later counts where it is used."""
        apart = {"dataset", "args", "label", "shots", "source", "splits", "tests", "groups"}
        later = {"fit"} if self.fit is None else set()
        return self.model_dump(mode="json", exclude=apart | later)

    @property
    def title(self) -> str:
        return self.label or self.dataset


class TransferProblem(_Problem):
    """A target dataset with train, validation and test examples.

    ``shots`` are training examples a class, or ``"all"``. ``"vtab1k"`` is 1,000 examples of all
    classes, each class by its share: 800 train and 200 validate (Zhai et al. 2019). What
    validated best is tested as it is; VTAB trains it again on all 1,000 before.

    ``val_fraction`` of the training data validates, or ``val_shots`` examples a class where
    ``shots`` is a number (as many as shots by default). ``test_fraction`` is tested where the
    dataset has no test split of its own. All of this is read from a file instead where
    ``splits`` names one, as ``harness splits`` writes it.
    """

    protocol: Literal["transfer"] = "transfer"
    shots: Annotated[
        tuple[TransferShots, ...], BeforeValidator(_listed), Field(min_length=1, strict=False)
    ] = ("all",)
    val_fraction: Fraction = 0.2
    val_shots: PositiveInt | None = None
    test_fraction: Fraction = 0.2
    splits: Path | None = Field(default=None, strict=False)

    @model_validator(mode="after")
    def _drawn_or_read(self) -> TransferProblem:
        _refuse_beside_splits(self, "val_fraction", "val_shots", "test_fraction")
        return self


def _refuse_beside_splits(problem: TransferProblem | AdaptationProblem, *names: str) -> None:
    """A file of splits leaves nothing to draw: an entry that says how would be passed over."""
    for name in names if problem.splits is not None else ():
        if getattr(problem, name) != type(problem).model_fields[name].default:
            raise ValueError(f"'splits' says what validates and is tested: leave out '{name}'")


class EpisodesProblem(_Problem):
    """Many N-way K-shot tasks from classes that were held out.

    ``episodes`` of ``ways`` classes with ``shots`` labelled and ``queries`` scored examples
    each; ``val_episodes`` from the validation classes choose the hyperparameters.
    """

    protocol: Literal["episodes"]
    shots: Annotated[
        tuple[PositiveInt, ...], BeforeValidator(_listed), Field(min_length=1, strict=False)
    ] = (1, 5)
    ways: Annotated[int, Field(ge=2)] = 5
    queries: PositiveInt = 15
    episodes: Annotated[int, Field(ge=2)] = 400
    val_episodes: PositiveInt = 40

    @model_validator(mode="after")
    def _tested_on_held_out_classes(self) -> EpisodesProblem:
        if self.tests:
            raise ValueError(
                "'tests' are for the protocols 'transfer' and 'adaptation': episodes test classes "
                "that no predictor has, so make a problem of each further test"
            )
        return self


class AdaptationProblem(_Problem):
    """A labelled source domain and a target domain whose labels are not shown.

    ``shots`` counts the source's labelled examples a class. ``val_fraction`` of either domain
    validates, and ``test_fraction`` of the target is tested where it has no test split of its own.
    Hyperparameters are selected by ``selection``: accuracy on the ``source`` domain; of predictions
    on the target, without its labels, mutual ``information``, low ``entropy`` or the ``density`` of
    their neighbourhoods; log loss on the source as it would be on the target, of deep embedded
    validation (``dev``); or accuracy on ``target``, an oracle that reports mark as such. To compare
    these, give a problem of each a label. ``splits`` names a file that says how the target is
    split, in place of both fractions.
    """

    protocol: Literal["adaptation"]
    source: SourceDomain
    shots: Annotated[
        tuple[Shots, ...], BeforeValidator(_listed), Field(min_length=1, strict=False)
    ] = ("all",)
    selection: Literal["source", "information", "entropy", "density", "dev", "target"] = "source"
    val_fraction: Fraction = 0.2
    test_fraction: Fraction = 0.2
    splits: Path | None = Field(default=None, strict=False)

    @model_validator(mode="after")
    def _drawn_or_read(self) -> AdaptationProblem:
        _refuse_beside_splits(self, "test_fraction")
        return self


def _protocol(value: object) -> str:
    if isinstance(value, Mapping):
        protocol = value.get("protocol", "transfer")
    else:
        protocol = getattr(value, "protocol", "")
    # Of what else stands there, such as a number that is too long to be written, comes no name.
    return protocol if isinstance(protocol, str) else ""


Problem: TypeAlias = Annotated[
    Annotated[TransferProblem, Tag("transfer")]
    | Annotated[EpisodesProblem, Tag("episodes")]
    | Annotated[AdaptationProblem, Tag("adaptation")],
    Discriminator(_protocol),
]


class Suite(Table):
    """Problems × backbones × strategies × seeds, and the budget of each cell.

    ``seeds`` are a list, or :class:`AddedSeeds`: added where they are needed. ``tricks`` amend the
    training of all strategies, before those that a strategy has itself. ``claims`` are held against
    the results in the report; no cell depends on them. ``predictors`` says which of the models that
    cells select are kept on disk: those that the report ``recommended``, ``none`` or ``all`` of
    them, as with ``save_predictors = true`` too.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
    description: str = ""
    seeds: Seeds = (0, 1, 2)
    strategies: Annotated[
        tuple[Annotated[StrategySpec, BeforeValidator(_named)], ...],
        Field(min_length=1, strict=False),
    ]
    tricks: Tricks = ()
    budget: Budget = Field(default_factory=lambda: Budget(trials=8))
    backbones: Annotated[tuple[BackboneSpec, ...], Field(min_length=1, strict=False)]
    problems: Annotated[tuple[Problem, ...], Field(min_length=1, strict=False)]
    claims: Annotated[tuple[Claim, ...], Field(strict=False)] = ()
    predictors: Literal["none", "recommended", "all"] = "recommended"
    save_predictors: bool = False
    limits: Limits = Field(default_factory=Limits)
    report: ReportSpec = Field(default_factory=ReportSpec)

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
