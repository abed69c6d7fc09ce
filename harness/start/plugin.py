"""Pages for plugins to be filled in: each runs as it is, and passes the checks of its kind."""

from __future__ import annotations

import importlib.util
import keyword
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined

from harness.errors import HarnessError
from harness.record.files import write_atomically
from harness.version import __version__

if TYPE_CHECKING:
    from harness.registry import Registry

Kind = Literal["strategy", "trick", "dataset", "backbone", "executor"]

CHECKS: Mapping[Kind, tuple[str, str]] = {
    "strategy": ("StrategyChecks", "strategy = {cls}()"),
    "trick": ("TrickChecks", "trick = {cls}()"),
    "dataset": ("DatasetChecks", "dataset = {cls}()"),
    "backbone": ("BackboneChecks", 'factory, model = {cls}, "{name}"'),
    "executor": ("ExecutorChecks", "executor = {cls}()"),
}
"""The checks of each kind in :mod:`harness.testing`, and how they are given the plugin."""


def pages(kind: Kind, name: str, *, package: bool = False) -> dict[Path, str]:
    """The files of a new plugin, by their paths: a module, or what an installable package takes."""
    templates = Environment(
        loader=PackageLoader("harness.start"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    checks, given = CHECKS[kind]
    cls = "".join(part.capitalize() for part in name.split("_"))

    def page(template: str) -> str:
        return templates.get_template(f"{template}.jinja").render(
            kind=kind,
            name=name,
            cls=cls,
            distribution=name.replace("_", "-"),
            version=__version__,
            checks=checks,
            given=given.format(cls=cls, name=name),
        )

    imports = page(f"{kind}.py").partition("\n\n\n")[0]
    if re.search(rf"\b{cls}\b", imports):
        cls += kind.capitalize()
    module = {Path(f"{name}.py"): page(f"{kind}.py")}
    if not package:
        return module
    files = {
        **module,
        Path(f"test_{name}.py"): page("test.py"),
        Path("pyproject.toml"): page("pyproject.toml"),
    }
    return {name.replace("_", "-") / path: content for path, content in files.items()}


def write(
    kind: Kind, name: str, folder: Path, registry: Registry, *, package: bool = False
) -> list[Path]:
    """Write the files of a new plugin into ``folder``; the module is the first of them.

    Raises:
        HarnessError: it can't go by that name, or a file of that name is there already.
    """
    _check_name(kind, name, registry)
    files = {folder / path: page for path, page in pages(kind, name, package=package).items()}
    if there := [str(path) for path in files if path.exists()]:
        raise HarnessError(
            f"{', '.join(there)} is there already, and nothing is written over",
            "Choose another name, or another folder by --to",
        )
    if (found := importlib.util.find_spec(name)) is not None:
        raise HarnessError(
            f"'{name}' is the name of another module ({found.origin})", "Choose another name"
        )
    for path, page in files.items():
        write_atomically(path, page.encode())
    return [*files]


def _check_name(kind: Kind, name: str, registry: Registry) -> None:
    """Refuse what is no name of a module, or that of another plugin of the kind."""
    if not re.fullmatch("[a-z][a-z0-9_]{0,59}", name) or keyword.iskeyword(name):
        raise HarnessError(
            f"'{name}' can't be the name of a plugin and of its file",
            f"Use small letters, digits and underscores, as in my_{kind}",
        )
    known = registry.plugins.get((kind, name))
    if kind == "backbone":
        known = known or registry.models.get(name)
    if known is not None:
        raise HarnessError(
            f"there is a {kind} '{name}' already, in {known.file}", "Choose another name"
        )
