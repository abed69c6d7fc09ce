"""Read a suite from TOML, with all its mistakes told at once."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.errors import HarnessError, Mistakes, did_you_mean
from harness.registry import Registry
from harness.suite.json_values import not_json
from harness.suite.messages import ambiguities, explain, lines
from harness.suite.plugin_names import unknown_names
from harness.suite.schema import Suite

MOST_CELLS = 100_000
"""Cells of one suite: more would take minutes and gigabytes before the first is run."""


def find(name: str) -> Path:
    """A path as it is, else ``./suites/NAME.toml``, else the suite that comes with the harness,
    else ``./NAME.toml``: reports call a suite by its name, wherever its file is.

    Raises:
        HarnessError: there is none of the four.
    """
    bundled = [
        Path(__file__).parent.parent / "suites",
        Path(__file__).parent.parent.parent / "suites",
    ]
    folders = [Path("suites"), *bundled, Path()]
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
    table = load_table(path)
    for each in overrides:
        override(table, each)
    return parse(table, where=str(path), registry=registry)


def load_table(path: Path) -> dict[str, Any]:
    """Read a suite's keys, as they stand in its file.

    Raises:
        HarnessError: it can't be read, or is not valid TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:  # also of bytes and numbers that can't be read
        raise HarnessError(f"{path} is not valid TOML: {error}", "Mend that line") from error
    except OSError as error:
        raise HarnessError(f"cannot read {path}: {error.strerror}", "Check the path") from error


def parse(table: Mapping[str, Any], where: str, registry: Registry | None = None) -> Suite:
    """Check a suite's keys and types.

    Raises:
        Mistakes: everything that is wrong with them, at once.
    """
    unusable = [*not_json(table)]
    try:
        suite = Suite.model_validate(table)
    except ValidationError as error:
        unknown = unknown_names(table, registry) if registry is not None else ()
        wrong = lines(explain(error, unusable), table)
        raise Mistakes(where, dict.fromkeys([*wrong, *unknown])) from None
    if unusable:
        raise Mistakes(where, dict.fromkeys(lines(unusable, table)))
    if mistakes := [*ambiguities(suite), *_too_many(suite)]:
        raise Mistakes(where, mistakes)
    return suite


def _too_many(suite: Suite) -> Iterator[str]:
    backbones = sum(backbone.compared for backbone in suite.backbones)
    settings = backbones * sum(len(problem.shots) for problem in suite.problems)
    cells = settings * len(suite.strategies) * len(suite.every_seed)
    if cells > MOST_CELLS:
        yield f"it has {cells:,} cells, and at most {MOST_CELLS:,} are planned: divide it"


def override(table: dict[str, Any], change: str) -> None:
    """Apply ``KEY=VALUE`` to a suite's table, in place.

    Raises:
        HarnessError: it is not of that form, or there is no such key.
    """
    key, equals, text = change.partition("=")
    remedy = "Write KEY=VALUE with a TOML value, such as --set budget.trials=2"
    if not equals or not key:
        raise HarnessError(f"--set {change}: not of the form KEY=VALUE", remedy)
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        value = text
    try:
        put(table, key, value)
    except HarnessError:
        raise HarnessError(f"--set {change}: there is no '{key}' to set", remedy) from None


def put(table: dict[str, Any], key: str, value: object) -> None:
    """Set a key of a suite's table by its path, such as ``backbones.0.input_size``, in place.

    Raises:
        HarnessError: there is no such key.
    """
    here: Any = table
    *parents, last = key.split(".")
    try:
        for name in parents:
            here = here[int(name)] if isinstance(here, list) else here.setdefault(name, {})
        here[int(last) if isinstance(here, list) else last] = value
    except (ValueError, IndexError, TypeError, AttributeError):
        raise HarnessError(
            f"there is no key '{key}' to set", "Name it from the top, as backbones.0.input_size"
        ) from None
