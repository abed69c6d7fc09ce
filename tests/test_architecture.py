"""The house: who may import whom, and how long a module may be."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

import harness_plugins
import pytest

import harness
from harness.registry import load

CORE = Path(harness.__file__).parent
PLUGINS = Path(harness_plugins.__file__).parent

MOST_LINES = 400

FORBIDDEN = {
    "harness.data": {"suite", "plan", "run", "report", "record", "cli"},
    "harness.model": {"suite", "plan", "run", "report", "record", "cli"},
    "harness.record": {"suite", "plan", "run", "report", "cli"},
    "harness.suite": {"plan", "run", "report", "record", "cli"},
    "harness.plan": {"run", "report", "cli"},
    "harness.run": {"report", "cli"},
    "harness.report": {"suite", "plan", "run", "cli"},
    "harness": {"cli"},
}
"""One direction and no way back: what nothing in a package may import."""


def modules(root: Path) -> dict[str, Path]:
    """The files of a package, by the names under which they are imported."""
    found = {}
    for file in sorted(root.rglob("*.py")):
        parts = file.relative_to(root.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imported(file: Path, known: Set[str]) -> set[str]:
    """The modules that a file imports. Those in a function and those for types alone count too:
    they start nothing, but to understand the file is to understand them."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file} has a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in known else node.module or "" for name in names}
    return found


def graph(root: Path) -> dict[str, set[str]]:
    """What each module of a package imports of the same package."""
    files = modules(root)
    return {
        name: (imported(file, files.keys()) & files.keys()) - {name} for name, file in files.items()
    }


def circles(arrows: Mapping[str, Set[str]]) -> Iterator[list[str]]:
    """Modules that reach themselves, each time all that reach each other."""
    reached = {name: reachable(arrows, name) for name in arrows}
    for name, others in reached.items():
        circle = sorted(other for other in others if name in reached[other])
        if circle and name == circle[0]:
            yield circle


def reachable(arrows: Mapping[str, Set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        for name in arrows[waiting.pop()] - seen:
            seen.add(name)
            waiting.append(name)
    return seen


def test_a_circle_is_found_and_its_modules_are_told() -> None:
    arrows = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}
    assert [*circles(arrows)] == [["b", "c"]]


def test_no_module_imports_itself_by_way_of_others() -> None:
    found = [", ".join(circle) for circle in circles(graph(CORE))]
    assert not found, f"these import each other: {'; '.join(found)}"


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_go_one_way(package: str) -> None:
    forbidden = tuple(f"harness.{name}" for name in FORBIDDEN[package])
    found = [
        f"{name} imports {other}"
        for name, others in graph(CORE).items()
        for other in sorted(others)
        if inside(name, package) and any(inside(other, wrong) for wrong in forbidden)
        if not inside(name, "harness.cli")
    ]
    assert found == []


def test_the_core_takes_nothing_from_the_face_that_it_shows_to_authors() -> None:
    """What stands there is imported from where it is: all else would be a circle."""
    users = {name for name, others in graph(CORE).items() if "harness.api" in others}
    assert {name for name in users if not inside(name, "harness.testing")} == set()


def test_built_ins_need_no_more_than_a_strangers_plugin() -> None:
    """But for each other: ``harness.api``, or the one mark that is to be had without PyTorch."""
    found = {
        name: sorted(
            module
            for module in imported(file, {"harness.hookimpl"})
            if module not in {"harness.api", "harness.hookimpl"} and inside(module, "harness")
        )
        for name, file in modules(PLUGINS).items()
    }
    assert {name: names for name, names in found.items() if names} == {}


def test_the_core_names_no_plugin() -> None:
    """What a built-in does, a stranger's plugin can do too: the core knows the names of built-ins
    only where they are a default, or the word has another meaning."""
    names = {name for _, name in load().plugins}
    found = {
        (module, node.value)
        for module, file in modules(CORE).items()
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in names
    }
    assert found == {
        ("harness.cli.suite", "local"),  # the default of --executor
        ("harness.cli.reproduce", "local"),
        ("harness.cli.suite", "inline"),  # what --inline is short for
        ("harness.running", "local"),  # the same, from Python
        ("harness.suite.backbones", "supervised"),  # the default way to make weights
        ("harness.record.provenance", "timm"),  # a package, of which the version is noted
        ("harness.record.provenance", "torchvision"),
        ("harness.registry", "folder"),  # where a plugin comes from
        # Baselines, of which records say nothing.
        ("harness.record.migrate", "from_scratch"),  # as old files have it
        ("harness.record.migrate", "source_only"),
        ("harness.run.preload", "timm"),  # a package
        ("harness.testing", "digits"),  # a function
    }


def test_only_the_registry_knows_where_built_ins_are() -> None:
    naming = {name for name, file in modules(CORE).items() if "harness_plugins" in file.read_text()}
    assert naming == {"harness.registry"}


def inside(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def test_the_core_imports_no_plugin() -> None:
    found = {
        name: sorted(m for m in imported(file, set()) if inside(m, "harness_plugins"))
        for name, file in modules(CORE).items()
    }
    assert {name: names for name, names in found.items() if names} == {}


def test_no_module_is_longer_than_one_idea() -> None:
    lines = {name: len(file.read_text().splitlines()) for name, file in modules(CORE).items()}
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}
