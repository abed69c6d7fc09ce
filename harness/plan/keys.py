"""A cell's key: a hash of what the cell means, and never of a path, a time or an order."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

LENGTH = 16
"""Hex digits: with 10,000 cells, two keys agree by chance once in 10¹¹."""


def key(meaning: Mapping[str, Any]) -> str:
    """The key of a meaning: the same whatever the order of its entries."""
    return hashlib.sha256(canonical(meaning).encode()).hexdigest()[:LENGTH]


def canonical(meaning: Mapping[str, Any]) -> str:
    return json.dumps(meaning, sort_keys=True, separators=(",", ":"), default=str)


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """One line for each entry in which two meanings differ."""
    before, after = dict(_flat(old)), dict(_flat(new))
    for name in sorted({*before, *after}):
        was, now = before.get(name, "absent"), after.get(name, "absent")
        if was != now:
            yield f"{name}: was {was}, is {now}"


def _flat(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping) and value:
        for part, inner in value.items():
            yield from _flat(inner, f"{name}.{part}" if name else str(part))
    else:
        yield name, value


@cache
def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:LENGTH]


@cache
def source_digest(file: Path) -> str:
    """SHA-256 of a plugin's source and of every helper that it imports from its own package.

    A plugin file's own package is its folder. Modules reached only by names computed at run time
    are not seen.
    """
    content = hashlib.sha256()
    for path in sorted(_closure(file.resolve()), key=lambda path: path.name):
        content.update(f"{path.name}:{file_digest(path)}".encode())
    return content.hexdigest()[:LENGTH]


def _closure(file: Path) -> set[Path]:
    seen: set[Path] = set()
    waiting = [file]
    while waiting:
        path = waiting.pop()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        waiting += _own_imports(path)
    return seen


def _own_imports(file: Path) -> Iterator[Path]:
    package = _package_of(file)
    root = package.partition(".")[0]
    siblings = {sibling.stem for sibling in file.parent.glob("*.py")}
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        for name in _imported(node, package):
            own = name.partition(".")[0]
            if (root and own == root) or (not root and own in siblings):
                origin = _origin(name)
                if origin is not None and origin.suffix == ".py":
                    yield origin


def _package_of(file: Path) -> str:
    """The dotted package that a file lies in, by its ``__init__.py`` files."""
    parts: list[str] = []
    folder = file.parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    return ".".join(parts)


def _imported(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        parents = package.split(".") if package else []
        base = ".".join(parents[: len(parents) - node.level + 1]) if node.level else ""
        module = ".".join(part for part in (base, node.module) if part)
        if module:
            yield module
        yield from (f"{module}.{alias.name}".lstrip(".") for alias in node.names)


def _origin(name: str) -> Path | None:
    module = sys.modules.get(name)
    if module is not None:
        found = getattr(module, "__file__", None)
        return Path(found).resolve() if found else None
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, AttributeError, ValueError):
        return None
    return Path(spec.origin).resolve() if spec and spec.origin and spec.has_location else None
