"""A suite: a TOML file that says what is compared, checked whole before anything runs."""

from __future__ import annotations

import re
import tomllib
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


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _listed(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


def _named(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


Shots: TypeAlias = PositiveInt | Literal["all"]
Fraction: TypeAlias = Annotated[float, Field(gt=0, lt=1)]
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
        if isinstance(value, Mapping) and {"trials", "seconds"} <= set(value):
            raise ValueError("give 'trials' or 'seconds', not both")
        if isinstance(value, Mapping) and not {"trials", "seconds"} & set(value):
            return {"trials": 8, **value}
        return value


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
    seed: int = 0


class FileWeights(_Table):
    """Weights from a safetensors file."""

    file: Path = Field(strict=False)


def _weights_kind(value: Any) -> str:
    if isinstance(value, Mapping):
        return "file" if "file" in value else "source"
    return {FileWeights: "file", SourceWeights: "source"}.get(type(value), "named")


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
    shots: Annotated[tuple[Shots, ...], BeforeValidator(_listed), Field(min_length=1, strict=False)]
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


def _protocol(value: Any) -> str | None:
    if isinstance(value, Mapping):
        return value.get("protocol", "transfer")
    return getattr(value, "protocol", None)


Problem: TypeAlias = Annotated[
    Annotated[TransferProblem, Tag("transfer")] | Annotated[EpisodesProblem, Tag("episodes")],
    Discriminator(_protocol),
]


class Suite(_Table):
    """Problems × backbones × strategies × seeds, and the budget of each cell."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    description: str = ""
    seeds: Annotated[tuple[int, ...], Field(min_length=1, strict=False)] = (0, 1, 2)
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
    candidates = [Path(name), *(folder / f"{name}.toml" for folder in folders)]
    for path in candidates:
        if path.is_file():
            return path
    known = {path.stem for folder in folders for path in folder.glob("*.toml")}
    raise HarnessError(
        f"there is no suite '{name}'{did_you_mean(name, known)}",
        "Give the path of a TOML file or the name of a suite that comes with the harness",
    )


def read(path: Path, overrides: Sequence[str] = ()) -> Suite:
    """Read a suite and apply ``KEY=VALUE`` overrides such as ``budget.trials=2``.

    Raises:
        Mistakes: everything that is wrong with its keys and types, at once.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise HarnessError(f"{path} is not valid TOML: {error}", "Mend that line") from error
    except OSError as error:
        raise HarnessError(f"cannot read {path}: {error.strerror}", "Check the path") from error
    for override in overrides:
        _override(table, override)
    return parse(table, where=str(path))


def parse(table: Mapping[str, Any], where: str) -> Suite:
    """Check a suite's keys and types.

    Raises:
        Mistakes: everything that is wrong with them, at once.
    """
    try:
        suite = Suite.model_validate(table)
    except ValidationError as error:
        raise Mistakes(where, _explain(error)) from None
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
    except tomllib.TOMLDecodeError:
        value = text
    here: Any = table
    *parents, last = key.split(".")
    for step, name in enumerate([*parents, last]):
        final = step == len(parents)
        try:
            if isinstance(here, list):
                index = int(name)
                if final:
                    here[index] = value
                else:
                    here = here[index]
            elif final:
                here[name] = value
            else:
                here = here.setdefault(name, {})
        except (ValueError, IndexError, TypeError, AttributeError):
            raise HarnessError(f"--set {override}: there is no '{key}' to set", remedy) from None


_TAGS = {"transfer", "episodes", "named", "file", "source", "int", "literal['all']"}


def _explain(error: ValidationError) -> Iterator[str]:
    """One line a mistake, in the words of the file, without repeating a union's alternatives."""
    seen: set[str] = set()
    for detail in error.errors(include_url=False):
        place = _place(detail["loc"])
        if place in seen:
            continue
        seen.add(place)
        yield f"{place}: {_message(detail)}"


def _place(location: Sequence[int | str]) -> str:
    path = ""
    for position, part in enumerate(location):
        if isinstance(part, int):
            path += f"[{part}]"
        elif not (
            part in _TAGS | {"constrained-int", "function-before"}
            and position > 0
            and (isinstance(location[position - 1], int) or location[position - 1] == "weights")
        ):
            path += f".{part}" if path else part
    return path or "suite"


def _message(detail: ErrorDetails) -> str:
    kind, location = detail["type"], detail["loc"]
    match kind:
        case "extra_forbidden":
            word = str(location[-1])
            return f"unknown key{did_you_mean(word, _keys_at(location))}"
        case "missing":
            return "is missing"
        case "union_tag_invalid":
            found = detail.get("ctx", {}).get("tag", "")
            known = ["transfer", "episodes"]
            return f"unknown protocol '{found}'{did_you_mean(str(found), known)}"
        case "value_error":
            return str(detail["msg"]).removeprefix("Value error, ")
    found = detail["input"]
    message = re.sub(r"^Input s", "s", str(detail["msg"]))
    return message if isinstance(found, Mapping) else f"{message}, not {found!r}"


_MODELS: dict[str, type[BaseModel]] = {
    "budget": Budget,
    "backbones": BackboneSpec,
    "strategies": StrategySpec,
    "transfer": TransferProblem,
    "episodes": EpisodesProblem,
    "weights": SourceWeights,
    "source": SourceSpec,
}


def _keys_at(location: Sequence[int | str]) -> list[str]:
    """The keys that are known where an unknown one stands."""
    names = [part for part in location[:-1] if isinstance(part, str)]
    if "weights" in names:
        return [*SourceWeights.model_fields, "file"]
    model = next((_MODELS[name] for name in reversed(names) if name in _MODELS), Suite)
    return list(model.model_fields)


def _ambiguities(suite: Suite) -> Iterator[str]:
    """Things of one kind that a table could not tell apart."""
    yield from _repeated("strategies", [spec.title for spec in suite.strategies])
    yield from _repeated("backbones", [spec.title for spec in suite.backbones])
    yield from _repeated("seeds", [str(seed) for seed in suite.seeds])
    rows = [
        f"{problem.title} ({problem.protocol}, {shots} shots)"
        for problem in suite.problems
        for shots in problem.shots
    ]
    yield from _repeated("problems", rows)


def _repeated(kind: str, titles: Sequence[str]) -> Iterator[str]:
    for title in sorted({title for title in titles if titles.count(title) > 1}):
        hint = "" if kind == "seeds" else ": give each a 'label' of its own"
        yield f"{kind}: {title!r} stands there {titles.count(title)} times{hint}"
