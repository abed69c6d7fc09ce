"""A cell's key: a hash of what the cell means, and never of a path, a time or an order."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.hashing import SHORT, canonical, short

if TYPE_CHECKING:
    from harness.contract import Configured

MEANING_VERSION = 1
"""Part of every meaning. To be raised when the same entries come to mean another experiment and
nothing else in them tells, so that every cell has to run again; not when the format of a file
changes, nor when an entry is added, which is another meaning by itself."""


def key(meaning: Mapping[str, Any]) -> str:
    """The key of a meaning: the same whatever the order of its entries."""
    return short(canonical(meaning))


DIGESTS = {
    "backbone.code": "the backbone plugin's code",
    "backbone.weights.code": "the pretraining plugin's code",
    "backbone.weights.file": "the file of weights",
    "backbone.weights.source": "the data that the weights come from",
    "data": "the dataset's data",
    "groups.source": "which examples of the source belong together",
    "groups.target": "which examples belong together",
    "source.data": "the source's data",
    "split": "the ids of the split",
    "strategy.source": "the strategy plugin's code, with its helpers",
}
"""What the hashes in a cell's meaning are of."""


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """One line for each entry in which two meanings differ."""
    before, after = (dict(_flat(json.loads(canonical(meaning)))) for meaning in (old, new))
    for name in sorted({*before, *after}):
        was, now = before.get(name, "absent"), after.get(name, "absent")
        filled = {} in (was, now) and any(other.startswith(f"{name}.") for other in before | after)
        if was != now and not filled:
            told = f"{name} ({DIGESTS[name]})" if name in DIGESTS else name
            yield f"{told}: was {was}, is {now}"


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
        return hashlib.file_digest(file, "sha256").hexdigest()[:SHORT]


def files_digest(paths: Sequence[Path]) -> str:
    """SHA-256 over the names and the bytes of files."""
    parts = sorted(f"{path.name}:{file_digest(path)}" for path in paths)
    return short("".join(parts))


def contents(plugin: Configured) -> dict[str, str]:
    """What is in the files that arguments of a plugin name, as a hash, by argument. Of several the
    names count too, as they tell them apart."""
    return {
        name: file_digest(paths[0]) if len(paths) == 1 else files_digest(paths)
        for name, paths in plugin.files().items()
    }


@cache
def source_digest(file: Path) -> str:
    """SHA-256 of a plugin's source and of every helper that it imports from its own package.

    A plugin file's own package is its folder. Modules reached only by names computed at run time
    are not seen.
    """
    return files_digest([*sources(file.resolve())])


def sources(file: Path) -> set[Path]:
    """A plugin's file, and every helper that it imports from its own package."""
    home, own = _home(file)
    seen: set[Path] = set()
    waiting = [file]
    while waiting:
        path = waiting.pop()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        for name in _imports(path):
            if name.partition(".")[0] in own:
                origin = _origin(name)
                if origin is not None and origin.suffix == ".py" and origin.is_relative_to(home):
                    waiting.append(origin)
    return seen


def _home(file: Path) -> tuple[Path, set[str]]:
    """The folder of a file's own package, and the names by which what is in it is imported."""
    home = file.parent
    if (home / "__init__.py").is_file():
        while (home.parent / "__init__.py").is_file():
            home = home.parent
        return home, {home.name}
    if home.name in ("site-packages", "dist-packages"):  # everybody's home
        return home, {file.stem}
    return home, {path.stem for path in home.iterdir() if path.suffix == ".py" or path.is_dir()}


def _imports(file: Path) -> Iterator[str]:
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return  # a helper that can't be imported: the plugin has done without it so far
    package = _package_of(file)
    for node in ast.walk(tree):
        yield from _imported(node, package)


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
