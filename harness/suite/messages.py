"""Explain what is wrong with a suite's keys and types, in the words of its file."""

from __future__ import annotations

import re
import reprlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from harness.errors import did_you_mean
from harness.suite.backbones import BackboneSpec, FileWeights, MethodSpec, SourceWeights
from harness.suite.budget import Budget
from harness.suite.claims import Claim, ClaimPlace
from harness.suite.groups import GroupsSpec
from harness.suite.problems import (
    AdaptationProblem,
    EpisodesProblem,
    FurtherTest,
    SourceDomain,
    SourceSpec,
    TransferProblem,
)
from harness.suite.schema import StrategySpec, Suite, TrickSpec
from harness.suite.seeds import AddedSeeds

Location: TypeAlias = tuple[int | str, ...]
"""Where pydantic found a mistake: keys and indices, and the branch it took of each union."""

Mistake: TypeAlias = tuple[Location, str]
"""The keys and indices that a mistake has in the file, and what it is."""


def explain(error: ValidationError, known: Collection[Mistake] = ()) -> Iterator[Mistake]:
    """``known`` mistakes and all others, in the words of the file: of a union's alternatives the
    first, and none that is about the same as one that is known."""
    yield from known
    told: set[Location] = set()
    for detail in error.errors(include_url=False):
        if detail["type"] == "too_short" and detail["input"]:
            continue  # the items are there: each has a line of its own
        place = _in_file(detail["loc"])
        if place not in told and not any(_nested(place, other) for other, _ in known):
            told.add(place)
            yield place, _message(detail)


def _nested(one: Location, other: Location) -> bool:
    """Whether one of two places lies in the other, or they are the same."""
    return all(mine == its for mine, its in zip(one, other, strict=False))


def lines(mistakes: Iterable[Mistake], table: Mapping[str, Any]) -> Iterator[str]:
    """``problems[0].shots ('digits'): should not be empty``: a line each, with what the table
    calls its part."""
    for place, message in mistakes:
        title = _title(table, place)
        yield f"{written(place)}{f' ({title!r})' if title else ''}: {message}"


LISTS = ("strategies", "backbones", "problems", "claims")
"""Keys of a suite that hold tables."""

NAMES = {"problems": "dataset", "backbones": "model", "strategies": "name"}
"""For each list of a suite what its tables are called by where they have no label."""


def _title(table: Mapping[str, Any], place: Location) -> str:
    """What the part of a suite is called that a place lies in; of a table that may be wrong in any
    way."""
    match place:
        case (str(kind), int(index), *_) if kind in NAMES:
            entry = table[kind][index]
            names = [entry.get("label"), entry.get(NAMES[kind])] if isinstance(entry, dict) else []
            return next((name for name in names if name and isinstance(name, str)), "")
    return ""


def _in_file(location: Location) -> Location:
    """``problems 0 shots``: the keys and indices of the file, without the branches of unions."""
    match location:
        case ("problems", int(), _, "shots", int(), _):
            return (*location[:2], *location[3:5])
        case ("problems", int(), _, *_):
            return (*location[:2], *location[3:])
        case ("backbones", int(), "weights", _, *_):
            return (*location[:3], *location[4:])
        case ("seeds", _, *_):
            return (location[0], *location[2:])
        case ("claims", int(), "where", "shots", _):
            return location[:4]
    return location


def written(keys: Location) -> str:
    """``problems[0].shots``: keys and indices as one writes them."""
    path = ""
    for part in keys:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            bare = part if re.fullmatch("[A-Za-z0-9_-]+", part) else repr(part)
            path += f".{bare}" if path else bare
    return path


MESSAGES = {
    "missing": "is missing",
    "bool_type": "should be true or false",
    "bool_parsing": "should be true or false",
    "float_type": "should be a number",
    "float_parsing": "should be a number",
    "int_type": "should be a whole number",
    "int_parsing": "should be a whole number",
    "int_from_float": "should be a whole number",
    "string_type": "should be a string",
    "path_type": "should be a path",
    "dict_type": "should be a table",
    "model_type": "should be a table",
    "tuple_type": "should be a list",
    "too_short": "should not be empty",
    "string_pattern_mismatch": "should be letters, digits, '.', '_', '-', and begin with no sign",
}


def in_words(detail: ErrorDetails) -> str:
    """``should be a whole number``: what is wrong with one value, wherever it is."""
    told = re.sub("^(Input|String) |^Value error, ", "", str(detail["msg"]))
    return MESSAGES.get(detail["type"], told.partition(" for <class")[0])


def _message(detail: ErrorDetails) -> str:
    kind, location, found = detail["type"], detail["loc"], detail["input"]
    match kind, location:
        case "extra_forbidden", (*_, key):
            return f"unknown key{_nearest(str(key), location)}"
        case (("missing" | "too_short"), _):
            return MESSAGES[kind]
        case "value_error", _:
            return in_words(detail)
        case "union_tag_invalid", _ if isinstance(found, Mapping):
            protocol = reprlib.repr(found["protocol"])
            return f"unknown protocol {protocol}{did_you_mean(protocol, PROTOCOLS)}"
        case "union_tag_invalid", _:
            message = "should be a table"
        case "tuple_type", ("seeds", _):
            message = "should be a list, or { from = …, to = … }"
        case "tuple_type", (str(key),) if key in LISTS and isinstance(found, Mapping):
            return f"should be a list of tables: write [[{key}]]"
        case "model_type", (
            ("strategies", _)
            | ("tricks", _)
            | ("strategies", _, "tricks", _)
            | ("backbones", _, "weights", "source", "method")
        ):
            message = "should be a name or a table"
        case _, ("backbones", _, "weights", "named"):
            message = "should be 'hub', 'random', { source = … } or { file = … }"
        case _, ("problems", _, "transfer", "shots", int(), _) | ("claims", _, "where", "shots", _):
            message = "should be a whole number above 0, 'vtab1k' or 'all'"
        case _, ("problems", _, "adaptation", "shots", int(), _):
            message = "should be a whole number above 0, or 'all'"
        case _:
            message = in_words(detail)
    return f"{message}, not {reprlib.repr(found)}"


PROTOCOLS: dict[str, type[BaseModel]] = {
    "transfer": TransferProblem,
    "episodes": EpisodesProblem,
    "adaptation": AdaptationProblem,
}


def _nearest(key: str, location: Location) -> str:
    """What an unknown key may have been meant to be, or where it belongs."""
    table: type[BaseModel] = Suite
    match location:
        case ("backbones", _, ("source" | "file")):
            return f" (write weights = {{ {key} = … }})"
        case ("budget", _):
            table = Budget
        case ("seeds", _, _):
            table = AddedSeeds
        case ("strategies", _, "tricks", _, _) | ("tricks", _, _):
            table = TrickSpec
        case ("strategies", _, _):
            table = StrategySpec
        case ("backbones", _, "weights", "source", "method", _):
            table = MethodSpec
        case ("backbones", _, "weights", "file", _):
            table = FileWeights
        case ("backbones", _, "weights", _, _):
            table = SourceWeights
        case ("backbones", _, _):
            table = BackboneSpec
        case ("problems", _, "adaptation", "source", _):
            table = SourceDomain
        case ("problems", _, _, "source", _):
            table = SourceSpec
        case ("problems", _, _, "groups", _) | ("problems", _, _, "source", "groups", _):
            table = GroupsSpec
        case ("problems", _, _, "tests", _, _):
            table = FurtherTest
        case ("claims", _, "where", _):
            table = ClaimPlace
        case ("claims", _, _):
            table = Claim
        case ("problems", _, protocol, _):
            table = PROTOCOLS[str(protocol)]
    names = [field.alias or name for name, field in table.model_fields.items()]
    known = [*names, *(["file"] if table is SourceWeights else [])]
    if table is not Suite and key in Suite.model_fields:
        return " (it belongs to the suite: put it above the first [table])"
    if table is Suite and key in Budget.model_fields:
        return " (it belongs in [budget])"
    return did_you_mean(key, known)


def ambiguities(suite: Suite) -> Iterator[str]:
    """Things of one kind that a table could not tell apart."""
    label = ": give each a 'label' of its own"
    yield from _repeated("seeds", suite.every_seed)
    yield from _repeated("strategies", [spec.title for spec in suite.strategies], label)
    for spec in suite.with_tricks().strategies:
        yield from _repeated(
            f"tricks of strategy '{spec.title}'", [trick.name for trick in spec.tricks]
        )
    yield from _repeated("backbones", [spec.title for spec in suite.backbones], label)
    rows = []
    for problem in suite.problems:
        yield from _repeated(f"shots of problem '{problem.title}'", problem.shots)
        tests = [test.title for test in problem.tests]
        yield from _repeated(f"tests of problem '{problem.title}'", tests, label)
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
