"""Problems of a suite: data, and the protocol by which they become tasks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Discriminator, Field, PositiveInt, Tag, model_validator

from harness.data.examples import Fit
from harness.suite.groups import Groups
from harness.suite.table import Args, Fraction, Table, listed

Shots: TypeAlias = PositiveInt | Literal["all"]
TransferShots: TypeAlias = PositiveInt | Literal["vtab1k", "all"]


class SourceSpec(Table):
    """What ``prepare`` learns from, if it is not what the backbone's weights come from."""

    dataset: str
    """Name of the dataset plugin."""

    args: Args = Field(default_factory=dict)
    """Arguments of the dataset plugin."""

    rotations: bool = False
    """Make four classes of each, turned by quarters."""


class SourceDomain(SourceSpec):
    """The labelled source of ``adaptation``."""

    groups: Groups = None
    """Which of the source's own examples belong together, as ``groups`` of a problem."""


class FurtherTest(Table):
    """Other data, of the same classes, that a problem's predictors are tested on beside its own.

    That is their official test split. Where they have none it is all that they train on; but if
    that is the problem's own training data row for row, by its labels, such as a corrupted copy, it
    is the rows that the problem tests, so that nothing that was learned from is tested.
    """

    dataset: str
    """Name of the dataset plugin."""

    args: Args = Field(default_factory=dict)
    """Arguments of the dataset plugin."""

    label: str = ""
    """What reports call it; by default the dataset's name."""

    @property
    def title(self) -> str:
        return self.label or self.dataset


class _Problem(Table):
    """What problems of all protocols have."""

    dataset: str
    """Name of the dataset plugin (``harness plugins --kind dataset``)."""

    args: Args = Field(default_factory=dict)
    """Arguments of the dataset plugin; ``harness describe NAME`` lists them."""

    label: str = ""
    """What reports call it; by default the dataset's name."""

    source: SourceSpec | None = None
    """What ``prepare`` of a strategy learns from, if it is not what the backbone's weights come
    from."""

    fit: Fit | None = None
    """How images that are not square become so, those of a source too: ``crop`` takes their middle
    (the default), ``pad`` puts all of it between bars of the model's mean colour, ``squash``
    distorts it."""

    groups: Groups = None
    """Which examples belong together, so that no split puts them on both sides: a column of a CSV
    file by its name, ``true`` for groups that the data tell themselves, or a table."""

    tests: Annotated[tuple[FurtherTest, ...], Field(strict=False)] = ()
    """Further tests of what was selected, each scored once."""

    def meaning(self) -> dict[str, Any]:
        """What a key hashes of how data becomes tasks: what came later counts where it is used."""
        apart = {"dataset", "args", "label", "shots", "source", "splits", "tests", "groups"}
        later = {"fit"} if self.fit is None else set()
        return self.model_dump(mode="json", exclude=apart | later)

    @property
    def title(self) -> str:
        return self.label or self.dataset


class TransferProblem(_Problem):
    """A target dataset with train, validation and test examples."""

    protocol: Literal["transfer"] = "transfer"
    """How data becomes tasks."""

    shots: Annotated[
        tuple[TransferShots, ...], BeforeValidator(listed), Field(min_length=1, strict=False)
    ] = ("all",)
    """Training examples a class, or ``"all"``: one value or several, each a setting of its own.
    ``"vtab1k"`` is 1,000 examples of all classes, each class by its share: 800 train and 200
    validate (Zhai et al. 2019). What validated best is tested as it is; VTAB trains it again on all
    1,000 before."""

    val_fraction: Fraction = 0.2
    """Share of what is not tested that validates, where ``shots`` is ``"all"``."""

    val_shots: PositiveInt | None = None
    """Validation examples a class, where ``shots`` is a number: by default as many as shots."""

    test_fraction: Fraction = 0.2
    """Share of each class that is tested, where the dataset has no test split of its own."""

    splits: Path | None = Field(default=None, strict=False)
    """A file of splits, as ``harness splits`` writes it, that takes the place of all drawing."""

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
    """Many N-way K-shot tasks from classes that were held out."""

    protocol: Literal["episodes"]
    """How data becomes tasks."""

    shots: Annotated[
        tuple[PositiveInt, ...], BeforeValidator(listed), Field(min_length=1, strict=False)
    ] = (1, 5)
    """Labelled examples of each class of an episode: one value or several, each a setting of its
    own."""

    ways: Annotated[int, Field(ge=2)] = 5
    """Classes of an episode."""

    queries: PositiveInt = 15
    """Scored examples of each class of an episode."""

    episodes: Annotated[int, Field(ge=2)] = 400
    """Test episodes, from classes that neither weights nor selection have seen."""

    val_episodes: PositiveInt = 40
    """Episodes from the validation classes, which select hyperparameters."""

    @model_validator(mode="after")
    def _tested_on_held_out_classes(self) -> EpisodesProblem:
        if self.tests:
            raise ValueError(
                "'tests' are for the protocols 'transfer' and 'adaptation': episodes test classes "
                "that no predictor has, so make a problem of each further test"
            )
        return self


class AdaptationProblem(_Problem):
    """A labelled source domain and a target domain whose labels are not shown."""

    protocol: Literal["adaptation"]
    """How data becomes tasks."""

    source: SourceDomain
    """The labelled domain."""

    shots: Annotated[
        tuple[Shots, ...], BeforeValidator(listed), Field(min_length=1, strict=False)
    ] = ("all",)
    """Labelled examples a class of the source, or ``"all"``: one value or several, each a setting
    of its own."""

    selection: Literal["source", "information", "entropy", "density", "dev", "target"] = "source"
    """What hyperparameters are selected by: accuracy on the ``source`` domain; of predictions on
    the target, without its labels, mutual ``information``, low ``entropy`` or the ``density`` of
    their neighbourhoods; log loss on the source as it would be on the target, of deep embedded
    validation (``dev``); or accuracy on ``target``, an oracle that reports mark as such. To compare
    these, give a problem of each a label."""

    val_fraction: Fraction = 0.2
    """Share of either domain that validates."""

    test_fraction: Fraction = 0.2
    """Share of the target that is tested, where it has no test split of its own."""

    splits: Path | None = Field(default=None, strict=False)
    """A file of splits, as ``harness splits`` writes it, that says how the target is split in place
    of both fractions."""

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
