"""A suite: a TOML file that says what is compared, checked whole before anything runs."""

from __future__ import annotations

import os
import re
import reprlib
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PositiveFloat,
    PositiveInt,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from harness.errors import HarnessError, Mistakes, did_you_mean
from harness.plan.names import unknown_names
from harness.plugins import Registry


class _Table(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        ser_json_inf_nan="constants",
    )


def _listed(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


def _named(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


Shots: TypeAlias = PositiveInt | Literal["all"]
Fraction: TypeAlias = Annotated[float, Field(gt=0, lt=1)]
Seed: TypeAlias = Annotated[int, Field(ge=0, lt=2**32)]
Args: TypeAlias = dict[str, Any]


class Budget(_Table):
    """What every cell gets alike.

    ``trials`` or ``seconds`` of tuning (one of them); ``steps`` optimiser steps a trial at most;
    ``prepare_trials`` different settings of ``prepare``, of which the first are the defaults.
    """

    trials: PositiveInt | None = None
    seconds: PositiveFloat | None = None
    steps: PositiveInt = 200
    batch_size: PositiveInt = 64
    prepare_trials: PositiveInt = 1
    sampler: Literal["random", "tpe"] = "random"
    pruner: Literal["none", "median"] = "none"

    @model_validator(mode="before")
    @classmethod
    def _one_of_two(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        given = {key for key in ("trials", "seconds") if value.get(key) is not None}
        if len(given) == 2:
            raise ValueError("give 'trials' or 'seconds', not both")
        return value if given else {**value, "trials": 8}


class SourceWeights(_Table):
    """Weights that the harness trains itself, on a dataset, with labels.

    ``steps`` of ``batch_size`` at a peak rate of ``lr``; ``rotations`` makes four classes of
    each, turned by quarters.
    """

    source: str
    args: Args = Field(default_factory=dict)
    rotations: bool = False
    steps: PositiveInt = 500
    batch_size: PositiveInt = 128
    lr: PositiveFloat = 2e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    seed: Seed = 0


class FileWeights(_Table):
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


class BackboneSpec(_Table):
    """A model and where its weights come from."""

    model: str
    weights: Weights = "hub"
    input_size: PositiveInt | None = None
    args: Args = Field(default_factory=dict)
    label: str = ""

    @property
    def title(self) -> str:
        return self.label or self.model


class StrategySpec(_Table):
    """A strategy by name; ``args`` fix hyperparameters or set the plugin's own arguments."""

    name: str
    label: str = ""
    args: Args = Field(default_factory=dict)

    @property
    def title(self) -> str:
        return self.label or self.name


class SourceSpec(_Table):
    """What ``prepare`` learns from, if it is not what the backbone's weights come from."""

    dataset: str
    args: Args = Field(default_factory=dict)
    rotations: bool = False


class _Problem(_Table):
    dataset: str
    args: Args = Field(default_factory=dict)
    label: str = ""
    source: SourceSpec | None = None

    @property
    def title(self) -> str:
        return self.label or self.dataset


class TransferProblem(_Problem):
    """A target dataset with train, validation and test examples.

    ``val_fraction`` of the training data validates, or ``val_shots`` examples a class where
    ``shots`` is a number (as many as shots by default). ``test_fraction`` is tested where the
    dataset has no test split of its own.
    """

    protocol: Literal["transfer"] = "transfer"
    shots: Annotated[
        tuple[Shots, ...], BeforeValidator(_listed), Field(min_length=1, strict=False)
    ] = ("all",)
    val_fraction: Fraction = 0.2
    val_shots: PositiveInt | None = None
    test_fraction: Fraction = 0.2


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


def _protocol(value: object) -> str:
    if isinstance(value, Mapping):
        return str(value.get("protocol", "transfer"))
    return str(getattr(value, "protocol", ""))


Problem: TypeAlias = Annotated[
    Annotated[TransferProblem, Tag("transfer")] | Annotated[EpisodesProblem, Tag("episodes")],
    Discriminator(_protocol),
]


class Suite(_Table):
    """Problems × backbones × strategies × seeds, and the budget of each cell."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
    description: str = ""
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1, strict=False)] = (0, 1, 2)
    strategies: Annotated[
        tuple[Annotated[StrategySpec, BeforeValidator(_named)], ...],
        Field(min_length=1, strict=False),
    ]
    budget: Budget = Field(default_factory=lambda: Budget(trials=8))
    backbones: Annotated[tuple[BackboneSpec, ...], Field(min_length=1, strict=False)]
    problems: Annotated[tuple[Problem, ...], Field(min_length=1, strict=False)]
    save_predictors: bool = False


# ── reading ───────────────────────────────────────────────────────────────────────────────────


def find(name: str) -> Path:
    """A path as it is, else ``./suites/NAME.toml``, else the suite that comes with the harness.

    Raises:
        HarnessError: there is none of the three.
    """
    bundled = [
        Path(__file__).parent.parent / "suites",
        Path(__file__).parent.parent.parent / "suites",
    ]
    folders = [Path("suites"), *bundled]
    for path in (Path(name), *(folder / f"{name}.toml" for folder in folders)):
        if os.path.isfile(path):
            return path
    known = {path.stem for folder in folders for path in folder.glob("*.toml")}
    raise HarnessError(
        f"there is no suite '{name}'{did_you_mean(name, known)}",
        "Give the path of a TOML file or the name of a suite that comes with the harness",
    )


def read(path: Path, overrides: Sequence[str] = (), registry: Registry | None = None) -> Suite:
    """Read a suite and apply ``KEY=VALUE`` overrides such as ``budget.trials=2``.

    With a ``registry``, the mistakes of a suite that has some include unknown plugins.

    Raises:
        Mistakes: everything that is wrong with its keys and types, at once.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:  # also of bytes and numbers that can't be read
        raise HarnessError(f"{path} is not valid TOML: {error}", "Mend that line") from error
    except OSError as error:
        raise HarnessError(f"cannot read {path}: {error.strerror}", "Check the path") from error
    for override in overrides:
        _override(table, override)
    return parse(table, where=str(path), registry=registry)


def parse(table: Mapping[str, Any], where: str, registry: Registry | None = None) -> Suite:
    """Check a suite's keys and types.

    Raises:
        Mistakes: everything that is wrong with them, at once.
    """
    try:
        suite = Suite.model_validate(table)
    except ValidationError as error:
        unknown = unknown_names(table, registry) if registry is not None else ()
        raise Mistakes(where, dict.fromkeys([*_explain(error), *unknown])) from None
    if mistakes := list(_ambiguities(suite)):
        raise Mistakes(where, mistakes)
    return suite


def _override(table: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    remedy = "Write KEY=VALUE with a TOML value, such as --set budget.trials=2"
    if not equals or not key:
        raise HarnessError(f"--set {override}: not of the form KEY=VALUE", remedy)
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        value = text
    here: Any = table
    *parents, last = key.split(".")
    try:
        for name in parents:
            here = here[int(name)] if isinstance(here, list) else here.setdefault(name, {})
        here[int(last) if isinstance(here, list) else last] = value
    except (ValueError, IndexError, TypeError, AttributeError):
        raise HarnessError(f"--set {override}: there is no '{key}' to set", remedy) from None


# ── what is wrong ─────────────────────────────────────────────────────────────────────────────

Location: TypeAlias = tuple[int | str, ...]
"""Where pydantic found a mistake: keys and indices, and the branch it took of each union."""


def _explain(error: ValidationError) -> Iterator[str]:
    """One line a mistake, in the words of the file, without repeating a union's alternatives."""
    lines: dict[str, str] = {}
    for detail in error.errors(include_url=False):
        if detail["type"] == "too_short" and detail["input"]:
            continue  # the items are there: each has a line of its own
        lines.setdefault(_place(detail["loc"]), _message(detail))
    return (f"{place}: {message}" for place, message in lines.items())


def _place(location: Location) -> str:
    """``problems[0].shots``: a location in the words of the file."""
    match location:
        case ("problems", int(), _, "shots", int(), _):
            location = (*location[:2], *location[3:5])
        case ("problems", int(), _, *_):
            location = (*location[:2], *location[3:])
        case ("backbones", int(), "weights", _, *_):
            location = (*location[:3], *location[4:])
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            bare = part if re.fullmatch("[A-Za-z0-9_-]+", part) else repr(part)
            path += f".{bare}" if path else bare
    return path


MESSAGES = {
    "missing": "is missing",
    "bool_type": "should be true or false",
    "float_type": "should be a number",
    "int_type": "should be a whole number",
    "string_type": "should be a string",
    "path_type": "should be a path",
    "dict_type": "should be a table",
    "model_type": "should be a table",
    "tuple_type": "should be a list",
    "too_short": "should not be empty",
    "string_pattern_mismatch": "should be letters, digits, '.', '_', '-', and begin with no sign",
}


def _message(detail: ErrorDetails) -> str:
    kind, location, found = detail["type"], detail["loc"], detail["input"]
    match kind, location:
        case "extra_forbidden", (*_, key):
            return f"unknown key{_nearest(str(key), location)}"
        case (("missing" | "too_short"), _):
            return MESSAGES[kind]
        case "value_error", _:
            return str(detail["msg"]).removeprefix("Value error, ")
        case "union_tag_invalid", _ if isinstance(found, Mapping):
            protocol = reprlib.repr(found["protocol"])
            return f"unknown protocol {protocol}{did_you_mean(protocol, PROTOCOLS)}"
        case "union_tag_invalid", _:
            message = "should be a table"
        case "tuple_type", (str(key),) if isinstance(found, Mapping):
            return f"should be a list of tables: write [[{key}]]"
        case "model_type", ("strategies", _):
            message = "should be a name or a table"
        case _, ("backbones", _, "weights", "named"):
            message = "should be 'hub', 'random', { source = … } or { file = … }"
        case _, ("problems", _, "transfer", "shots", int(), _):
            message = "should be a whole number above 0, or 'all'"
        case _:
            message = MESSAGES.get(kind, re.sub("^(Input|String) ", "", str(detail["msg"])))
    return f"{message}, not {reprlib.repr(found)}"


PROTOCOLS: dict[str, type[BaseModel]] = {"transfer": TransferProblem, "episodes": EpisodesProblem}


def _nearest(key: str, location: Location) -> str:
    """What an unknown key may have been meant to be, or where it belongs."""
    table: type[BaseModel] = Suite
    match location:
        case ("backbones", _, ("source" | "file")):
            return f" (write weights = {{ {key} = … }})"
        case ("budget", _):
            table = Budget
        case ("strategies", _, _):
            table = StrategySpec
        case ("backbones", _, "weights", "file", _):
            table = FileWeights
        case ("backbones", _, "weights", _, _):
            table = SourceWeights
        case ("backbones", _, _):
            table = BackboneSpec
        case ("problems", _, _, "source", _):
            table = SourceSpec
        case ("problems", _, protocol, _):
            table = PROTOCOLS[str(protocol)]
    known = [*table.model_fields, *(["file"] if table is SourceWeights else [])]
    if table is not Suite and key in Suite.model_fields:
        return " (it belongs to the suite: put it above the first [table])"
    if table is Suite and key in Budget.model_fields:
        return " (it belongs in [budget])"
    return did_you_mean(key, known)


def _ambiguities(suite: Suite) -> Iterator[str]:
    """Things of one kind that a table could not tell apart."""
    label = ": give each a 'label' of its own"
    yield from _repeated("seeds", suite.seeds)
    yield from _repeated("strategies", [spec.title for spec in suite.strategies], label)
    yield from _repeated("backbones", [spec.title for spec in suite.backbones], label)
    rows = []
    for index, problem in enumerate(suite.problems):
        yield from _repeated(f"problems[{index}].shots", problem.shots)
        ways = f", {problem.ways} ways" if isinstance(problem, EpisodesProblem) else ""
        rows += [
            f"{problem.title} ({problem.protocol}{ways}, {shots} shots)"
            for shots in dict.fromkeys(problem.shots)
        ]
    yield from _repeated("problems", rows, label)


def _repeated(kind: str, things: Sequence[object], hint: str = "") -> Iterator[str]:
    for thing, count in Counter(things).items():
        if count > 1:
            yield f"{kind}: {thing!r} stands there {count} times{hint}"
