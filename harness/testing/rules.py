"""Hold a plugin against the checks of its kind without a test runner, as ``harness check`` does.

A rule is a check: its name says what has to be, and its docstring what helps where it is not.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.model.threads import computing_with
from harness.plan import configure
from harness.registry import Registered, Registry
from harness.suite.schema import StrategySpec, TrickSpec
from harness.testing.checks import BackboneChecks, DatasetChecks, PretrainingChecks
from harness.testing.executors import ExecutorChecks
from harness.testing.strategies import StrategyChecks, TrickChecks


@dataclass(frozen=True)
class Outcome:
    """Whether a plugin keeps a rule, what was seen, and what helps if it does not keep it."""

    rule: str
    held: bool
    seen: str = ""
    remedy: str = ""


def outcomes(plugin: Registered, args: Mapping[str, Any], registry: Registry) -> Iterator[Outcome]:
    """Check a plugin by each rule of its kind, one after the other, on one CPU thread as a cell is
    computed by default.

    Args:
        args: what a suite would give it.

    Raises:
        HarnessError: it is not installed, its arguments are wrong, or there are no checks for its
            kind, or none for texts.
    """
    registry.get(plugin.kind, plugin.name)
    checks = _checks(plugin, args, registry)
    met: set[str] = set()
    for name, function in rules(checks):
        remedy = " ".join((function.__doc__ or "").split())
        with computing_with(1):
            seen, raised = _seen(plugin, checks, function)
        if raised and seen in met:
            remedy = "It is the error of an earlier rule"
        elif raised:  # the rule may not have come as far as to what it is about
            remedy = (
                f"Mend {plugin.file}; or, if this is the only rule to meet that error: {remedy}"
            )
            met.add(seen)
        yield Outcome(name, not seen, seen, remedy if seen else "")
    if issubclass(checks, StrategyChecks) and not met:
        with computing_with(1), contextlib.redirect_stdout(sys.stderr):
            trained = checks().trained()
        yield Outcome("tells what it trains", True, trained)


def rules(checks: type[Any]) -> Iterator[tuple[str, Callable[..., None]]]:
    """The checks of a class in the order in which they are written, each with what it asks for in
    words; one that is overridden stands where it first stood."""
    found: dict[str, Callable[..., None]] = {}
    for base in reversed(checks.__mro__):
        names = [name for name in vars(base) if name.startswith("test_")]
        found |= {name: getattr(checks, name) for name in names}
    for name, function in found.items():
        yield name.removeprefix("test_").replace("_", " "), function


def _seen(plugin: Registered, checks: type[Any], check: Callable[..., None]) -> tuple[str, bool]:
    """What keeps a check from passing, nothing if it passes; and whether that is an error that was
    raised. What it prints goes to standard error, as standard output is data."""
    try:
        with (
            contextlib.redirect_stdout(sys.stderr),
            tempfile.TemporaryDirectory(prefix="harness-check-") as folder,
        ):
            wanted = "tmp_path" in inspect.signature(check).parameters
            check(checks(), *([Path(folder)] if wanted else []))
    except AssertionError as error:
        return " ".join(str(error).split()) or plugin.located(error), False
    except Exception as error:
        return plugin.located(error), True
    return "", False


def _checks(plugin: Registered, args: Mapping[str, Any], registry: Registry) -> type[Any]:
    """The checks of a plugin's kind, with the plugin filled in."""
    modalities = getattr(plugin.cls, "modalities", {"image"})
    base: type[Any]
    match plugin.kind:
        case "dataset":
            base, given = DatasetChecks, {"dataset": configure.configure(plugin, args)}
        case "backbone":
            models = [*plugin.cls().models()]
            model = plugin.name if plugin.name in models else models[0]
            base, given = BackboneChecks, {"factory": plugin.cls, "model": model, "args": args}
        case "executor":
            base, given = ExecutorChecks, {"executor": configure.configure(plugin, args)}
        case kind if kind != "tracker" and "image" not in modalities:
            raise HarnessError(
                f"{kind} '{plugin.name}' takes texts alone, and checks try it on images",
                "Inherit the checks of harness.testing in a test, and override what is given",
            )
        case "strategy":
            found = configure.strategy(registry, StrategySpec(name=plugin.name, args={**args}))
            base, given = StrategyChecks, {"strategy": found.strategy, "settings": found.fixed}
        case "trick":
            trick, fixed = configure.trick(registry, TrickSpec(name=plugin.name, args={**args}))
            settings = {f"{plugin.name}.{name}": value for name, value in fixed.items()}
            base, given = TrickChecks, {"trick": trick, "settings": settings}
        case "pretraining":
            base, given = PretrainingChecks, {"pretraining": configure.configure(plugin, args)}
        case kind:
            raise HarnessError(
                f"there are no checks for a {kind}", f"'harness describe {plugin.name}' shows it"
            )
    return type(f"{plugin.cls.__name__}Checks", (base,), given)
