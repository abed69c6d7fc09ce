"""Find plugins, load them one by one, check what they bring, and say what is wrong with which."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import importlib.util
import inspect
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pluggy

from harness import hookspecs
from harness.errors import HarnessError, did_you_mean

BUILT_IN = (
    "harness_plugins.strategies.from_scratch",
    "harness_plugins.strategies.linear_probe",
    "harness_plugins.strategies.partial_freeze",
    "harness_plugins.strategies.full_finetune",
    "harness_plugins.strategies.maml",
    "harness_plugins.datasets.digits",
    "harness_plugins.datasets.glyphs",
    "harness_plugins.datasets.folder",
    "harness_plugins.datasets.arrays",
    "harness_plugins.datasets.torchvision",
    "harness_plugins.backbones.conv4",
    "harness_plugins.backbones.timm",
    "harness_plugins.executors.local",
)

ENTRY_POINTS = "harness"
"""The entry-point group by which installed packages bring plugins."""

Kind = Literal["strategy", "dataset", "backbone", "executor"]
KINDS: dict[Kind, str] = {
    "strategy": "harness_strategies",
    "dataset": "harness_datasets",
    "backbone": "harness_backbones",
    "executor": "harness_executors",
}


@dataclass(frozen=True)
class Sources:
    """Where to look beside the built-ins and entry points; it pickles, for worker processes."""

    files: tuple[Path, ...] = ()
    directories: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Plugin:
    """One thing that a plugin brings: its class, and where it came from."""

    kind: Kind
    name: str
    cls: type[Any]
    origin: str
    """``built-in``, ``package NAME`` or ``file``."""
    file: Path

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return (inspect.getdoc(self.cls) or "").partition("\n")[0]

    def arguments(self) -> dict[str, dataclasses.Field[Any]]:
        """What a suite may give in ``args``."""
        if not dataclasses.is_dataclass(self.cls):
            return {}
        return {f.name: f for f in dataclasses.fields(self.cls) if f.init}


@dataclass
class Registry:
    """All plugins that could be loaded, and one line for each that could not."""

    manager: pluggy.PluginManager
    plugins: dict[tuple[Kind, str], Plugin] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def names(self, kind: Kind) -> list[str]:
        return [name for this, name in self.plugins if this == kind]

    def get(self, kind: Kind, name: str) -> Plugin:
        """Raises:
        HarnessError: there is no such plugin.
        """
        try:
            return self.plugins[kind, name]
        except KeyError:
            raise HarnessError(
                f"unknown {kind} '{name}'{did_you_mean(name, self.names(kind))}",
                "'harness plugins' lists them all",
            ) from None

    def backbone_for(self, model: str) -> Plugin:
        """The backbone plugin that builds ``model``.

        Raises:
            HarnessError: none does.
        """
        known: list[str] = []
        for plugin in self.plugins.values():
            if plugin.kind == "backbone":
                models = list(plugin.cls().models())
                if model in models:
                    return plugin
                known += models
        raise HarnessError(
            f"unknown model '{model}'{did_you_mean(model, known)}",
            "Name a timm model or one that a backbone plugin brings",
        )


def load(sources: Sources = Sources()) -> Registry:  # noqa: B008 (immutable)
    """Load every plugin that can be loaded.

    What is broken, misspelt or duplicate becomes a line in ``problems``; the rest goes on.
    """
    manager = pluggy.PluginManager("harness")
    manager.add_hookspecs(hookspecs)
    registry = Registry(manager)
    for name in BUILT_IN:
        _attempt(registry, name, "built-in", lambda name=name: importlib.import_module(name))  # type: ignore[misc]
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        origin = f"package {entry.dist.name}" if entry.dist else "package"
        _attempt(registry, f"{entry.name} = {entry.value}", origin, entry.load)
    for file in _plugin_files(sources, registry):
        _attempt(registry, str(file), "file", lambda file=file: _import_file(file))  # type: ignore[misc]
    return registry


@cache
def load_once(sources: Sources) -> Registry:
    """:func:`load`, once a process: for workers, which run many cells."""
    return load(sources)


def _plugin_files(sources: Sources, registry: Registry) -> Iterator[Path]:
    yield from sources.files
    for directory in sources.directories:
        if not directory.is_dir():
            registry.problems.append(f"plugin folder {directory}: there is no such folder")
        yield from sorted(
            file for file in directory.glob("*.py") if not file.name.startswith(("_", "."))
        )


def _attempt(registry: Registry, name: str, origin: str, importer: Any) -> None:
    try:
        module = importer()
        registry.manager.register(module, name=name)
    except HarnessError as error:
        registry.problems.append(f"plugin {name}: {error}")
        return
    except (Exception, SystemExit) as error:
        where = f" (line {line})" if (line := _line_of(error)) else ""
        registry.problems.append(
            f"plugin {name}: cannot be loaded: {type(error).__name__}: {error}{where}"
        )
        return
    file = Path(getattr(module, "__file__", None) or name)
    registry.problems += [f"plugin {name}: {line}" for line in _misspelt(registry, module)]
    _collect(registry, module, origin, file)


def _line_of(error: BaseException) -> int | None:
    """The line of the plugin's own file at which loading it failed."""
    if isinstance(error, SyntaxError):
        return error.lineno
    traceback = error.__traceback__
    lines = []
    while traceback:
        lines.append((traceback.tb_frame.f_code.co_name, traceback.tb_lineno))
        traceback = traceback.tb_next
    return next((line for name, line in reversed(lines) if name == "<module>"), None)


def _import_file(file: Path) -> ModuleType:
    """Import a user's file by its stem, so that dataclasses and worker processes find it too."""
    file = file.resolve()
    if not file.is_file():
        raise HarnessError("there is no such file", "Check the path given to --plugin")
    known = sys.modules.get(file.stem)
    if known is not None and getattr(known, "__file__", None) == str(file):
        return known
    folder = str(file.parent)
    added = folder not in sys.path
    if added:
        sys.path.append(folder)
    importlib.invalidate_caches()
    spec = importlib.util.find_spec(file.stem) if known is None else known.__spec__
    if spec is None or spec.origin != str(file):
        if added:
            sys.path.remove(folder)
        raise HarnessError(
            f"its name is that of another module, {file.stem!r}"
            + (f" ({spec.origin})" if spec and spec.origin else ""),
            "Rename the file",
        )
    return importlib.import_module(file.stem)


def _misspelt(registry: Registry, module: object) -> Iterable[str]:
    """Functions that look like hooks but that nothing will call."""
    specified = [name for name in vars(hookspecs) if name.startswith("harness_")]
    for name in dir(module):
        function = getattr(module, name)
        marked = bool(getattr(function, "harness_impl", None))
        if marked and name not in specified:
            yield f"there is no hook '{name}'{did_you_mean(name, specified)}"
        elif name.startswith("harness_") and inspect.isfunction(function) and not marked:
            yield f"'{name}' lacks @hookimpl, so nothing calls it"


def _collect(registry: Registry, module: object, origin: str, file: Path) -> None:
    for kind, hook in KINDS.items():
        function = getattr(module, hook, None)
        if function is None or not getattr(function, "harness_impl", None):
            continue
        try:
            classes = list(function())
        except Exception as error:
            registry.problems.append(
                f"plugin {file}: {hook} failed: {type(error).__name__}: {error}"
            )
            continue
        for cls in classes:
            mistake = check(kind, cls)
            if mistake:
                registry.problems.append(f"plugin {file}: {mistake}")
                continue
            known = registry.plugins.get((kind, cls.name))
            if known is not None:
                registry.problems.append(
                    f"plugin {file}: {kind} '{cls.name}' is already brought by {known.file}, "
                    "which stays in force; rename one of them"
                )
                continue
            registry.plugins[kind, cls.name] = Plugin(kind, cls.name, cls, origin, file)


def check(kind: Kind, cls: Any) -> str | None:
    """What is wrong with a class that a plugin brings, or ``None``."""
    from harness import api

    base = {
        "strategy": api.Strategy,
        "dataset": api.Dataset,
        "backbone": api.BackboneFactory,
        "executor": api.Executor,
    }[kind]
    if not (isinstance(cls, type) and issubclass(cls, base)):
        return f"{cls!r} is not a subclass of harness.api.{base.__name__}"
    if inspect.isabstract(cls):
        missing = ", ".join(sorted(cls.__abstractmethods__))
        return f"{kind} class {cls.__name__} does not define {missing}"
    if not isinstance(getattr(cls, "name", None), str):
        return f"{kind} class {cls.__name__} has no 'name'"
    if issubclass(cls, api.Strategy):
        return _check_spaces(cls)
    return None


def _check_spaces(cls: Any) -> str | None:
    twice = set(cls.prepare_space) & set(cls.space)
    if twice:
        return f"strategy '{cls.name}' has {sorted(twice)} in both spaces"
    space = {**cls.prepare_space, **cls.space}
    if set(space) != set(cls.defaults):
        wrong = ", ".join(sorted(set(space) ^ set(cls.defaults)))
        return f"strategy '{cls.name}': its defaults and its spaces differ in {wrong}"
    for name, distribution in space.items():
        if not distribution._contains(distribution.to_internal_repr(cls.defaults[name])):
            return f"strategy '{cls.name}': the default of {name} lies outside {distribution}"
    return None
