"""Find plugins, load them one by one, check what they bring, and say what is wrong with which."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import importlib.util
import inspect
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pluggy

from harness import hookspecs
from harness.errors import HarnessError, did_you_mean, one_line

BUILT_IN = "harness_plugins"
"""The package of the built-in plugins: a folder a kind, and in it a module a plugin."""

ENTRY_POINTS = "harness"
"""The entry-point group by which installed packages bring plugins."""

Kind = Literal["strategy", "trick", "dataset", "backbone", "pretraining", "executor", "tracker"]
KINDS: dict[Kind, str] = {
    "strategy": "harness_strategies",
    "trick": "harness_tricks",
    "dataset": "harness_datasets",
    "backbone": "harness_backbones",
    "pretraining": "harness_pretrainings",
    "executor": "harness_executors",
    "tracker": "harness_trackers",
}


@dataclass(frozen=True)
class Sources:
    """Where to look beside the built-ins and entry points; it pickles, for worker processes."""

    files: tuple[Path, ...] = ()
    directories: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Registered:
    """One thing that a plugin brings: its class, and where it came from."""

    kind: Kind
    name: str
    cls: type[Any]
    origin: str
    """``built-in``, ``package NAME``, ``file`` or ``folder``."""
    file: Path

    @property
    def summary(self) -> str:
        """The first line of the docstring, without the marks of code."""
        return self.about.partition("\n")[0].replace("``", "")

    @property
    def about(self) -> str:
        """The class's own docstring, not its base's, nor what a dataclass makes up for one."""
        text = vars(self.cls).get("__doc__") or ""
        return "" if text.startswith(f"{self.cls.__name__}(") else inspect.cleandoc(text)

    def located(self, error: Exception) -> str:
        """An error on one line, with the line of the plugin's file that it came by."""
        return f"{one_line(error)}{_at(error, self.file)}"

    def blame(self, what: str, error: Exception) -> HarnessError:
        """An error of the plugin's own making, for people: names the plugin, its file and line."""
        told = f"{self.kind} '{self.name}' {what}: {self.located(error)}"
        return HarnessError(told, f"Mend {self.file}")

    @property
    def missing(self) -> dict[str, str]:
        """Modules that it requires and that are not installed, each with what pip calls it."""
        return {
            module: package
            for module, package in self.cls.requires.items()
            if importlib.util.find_spec(module) is None
        }

    def arguments(self) -> dict[str, dataclasses.Field[Any]]:
        """What a suite may give in ``args``."""
        if not dataclasses.is_dataclass(self.cls):
            return {}
        return {f.name: f for f in dataclasses.fields(self.cls) if f.init}


@dataclass(frozen=True)
class Listener:
    """A plugin's own functions that are called whenever something happens or a report is made."""

    name: str
    origin: str
    file: Path
    hooks: tuple[str, ...]
    summary: str


@dataclass
class Registry:
    """All plugins that could be loaded, and one line for each that could not."""

    manager: pluggy.PluginManager
    plugins: dict[tuple[Kind, str], Registered] = field(default_factory=dict)
    models: dict[str, Registered] = field(default_factory=dict)
    """The backbone plugin that builds each model."""
    listeners: list[Listener] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def names(self, kind: Kind) -> list[str]:
        return [name for this, name in self.plugins if this == kind]

    def get(self, kind: Kind, name: str) -> Registered:
        """Raises:
        HarnessError: there is no such plugin, or a package that it requires is not installed.
        """
        try:
            return _usable(self.plugins[kind, name])
        except KeyError:
            raise HarnessError(
                f"unknown {kind} '{name}'{did_you_mean(name, self.names(kind))}",
                "'harness plugins' lists them all; --plugin FILE loads your own",
            ) from None

    def backbone_for(self, model: str) -> Registered:
        """The backbone plugin that builds ``model``.

        Raises:
            HarnessError: none does, or a package that it requires is not installed.
        """
        try:
            return _usable(self.models[model])
        except KeyError:
            raise HarnessError(
                f"unknown model '{model}'{did_you_mean(model, self.models)}",
                "Name a timm model or one that a backbone plugin brings",
            ) from None


def _usable(plugin: Registered) -> Registered:
    if missing := plugin.missing:
        raise HarnessError(
            f"{plugin.kind} '{plugin.name}' needs {', '.join(missing)}, which is not installed",
            f"pip install {' '.join(map(repr, dict.fromkeys(missing.values())))}",
        )
    return plugin


def built_in(package: str = BUILT_IN) -> Iterator[str]:
    """The modules of the built-in plugins, or of those of a kind; ``_…`` ones serve the others."""
    folders = importlib.import_module(package).__path__
    for module in pkgutil.iter_modules(folders, f"{package}."):
        if module.ispkg:
            yield from built_in(module.name)
        elif not module.name.rpartition(".")[2].startswith("_"):
            yield module.name


def load(sources: Sources = Sources(), package: str = BUILT_IN) -> Registry:
    """Load every plugin that can be loaded: those built in, which are those of ``package``,
    installed ones, and ``sources``.

    What is broken, misspelt or duplicate becomes a line in ``problems``; the rest goes on.
    """
    manager = pluggy.PluginManager("harness")
    manager.add_hookspecs(hookspecs)
    registry = Registry(manager)
    for name in built_in(package):
        _attempt(registry, name, "built-in", partial(importlib.import_module, name))
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        origin = f"package {entry.dist.name}" if entry.dist else "package"
        _attempt(registry, f"{entry.name} = {entry.value}", origin, entry.load)
    for file, origin in _plugin_files(sources, registry).items():
        _attempt(registry, str(file), origin, partial(_import_file, file))
    return registry


@cache
def load_once(sources: Sources) -> Registry:
    """:func:`load`, once a process: for workers, which run many cells."""
    return load(sources)


def _plugin_files(sources: Sources, registry: Registry) -> dict[Path, str]:
    """Every file that was asked for, once, and how it was."""
    files = dict.fromkeys((file.resolve() for file in sources.files), "file")
    for directory in sources.directories:
        if not directory.is_dir():
            registry.problems.append(f"plugin folder {directory}: there is no such folder")
        for file in sorted(directory.glob("*.py")):
            if not file.name.startswith(("_", ".")):
                files.setdefault(file.resolve(), "folder")
    return files


def _attempt(registry: Registry, name: str, origin: str, importer: Callable[[], Any]) -> None:
    problems: list[str] = []
    try:
        plugin = importer()
        registry.manager.register(plugin, name=name)
        problems += _misspelt(plugin)
        if origin == "file" and not problems and not registry.manager.get_hookcallers(plugin):
            problems.append("it has no function marked @hookimpl, so it brings nothing")
        problems += _collect(registry, plugin, name, origin)
        registry.listeners += _listening(registry, plugin, name, origin)
    except HarnessError as error:
        problems.append(str(error))
    except (Exception, SystemExit) as error:
        if registry.manager.has_plugin(name):  # half registered: a hook of it has wrong arguments
            registry.manager.unregister(name=name)
        problems.append(f"cannot be loaded: {one_line(error)}{_at(error, Path(name))}")
    where = f" ({origin})" if origin.startswith("package") else ""
    registry.problems += [f"plugin {name}{where}: {problem}" for problem in problems]


def _at(error: BaseException, file: Path) -> str:
    """`` (line 7)``: where in ``file``, or else in which module's own code, an error was raised."""
    if isinstance(error, SyntaxError):
        return ""  # its message says so
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == str(file) or frame.name == "<module>"
    ]
    if not frames:
        return ""
    module = "" if frames[-1].filename == str(file) else f"{frames[-1].filename}, "
    return f" ({module}line {frames[-1].lineno})"


def _import_file(file: Path) -> ModuleType:
    """Import a user's file by its stem, so that dataclasses and worker processes find it too."""
    if not file.is_file():
        remedy = "Give a folder to --plugins-dir" if file.is_dir() else "Check the path"
        raise HarnessError("there is no such file", remedy)
    if file.suffix != ".py" or "." in file.stem:
        raise HarnessError("its name is not that of a Python module", "Call it NAME.py")
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


def _misspelt(plugin: object) -> Iterator[str]:
    """What looks like a hook but is none."""
    specified = [name for name in vars(hookspecs) if name.startswith("harness_")]
    for name in dir(plugin):
        function = getattr(plugin, name, None)
        if not inspect.isroutine(function):
            continue
        marked: Any = getattr(function, "harness_impl", None)
        if marked and name not in specified:
            yield f"there is no hook '{name}'{did_you_mean(name, specified)}"
        elif name.startswith("harness_") and not marked:
            yield f"'{name}' lacks @hookimpl, so nothing calls it"
        elif marked and (marked["wrapper"] or marked["hookwrapper"]):
            yield f"'{name}' wraps the calls of others, which is not done here: use plain @hookimpl"


def _listening(registry: Registry, plugin: object, name: str, origin: str) -> Iterator[Listener]:
    """What a plugin hears: its hooks other than those by which it brings things."""
    called = [caller.name for caller in registry.manager.get_hookcallers(plugin) or ()]
    if hooks := tuple(hook for hook in called if hook not in KINDS.values()):
        file = Path(getattr(plugin, "__file__", None) or name)
        about = inspect.cleandoc(getattr(plugin, "__doc__", None) or "").partition("\n")[0]
        yield Listener(file.stem, origin, file, hooks, about)


def _collect(registry: Registry, plugin: object, name: str, origin: str) -> Iterator[str]:
    """Enter what a plugin brings, and say what is wrong with the rest."""
    file = getattr(plugin, "__file__", None)
    for kind, hook in KINDS.items():
        function = getattr(plugin, hook, None)
        if function is None or not hasattr(function, "harness_impl"):
            continue
        try:
            classes = list(function())
        except (Exception, SystemExit) as error:
            yield f"{hook} failed: {one_line(error)}{_at(error, Path(file or name))}"
            continue
        for cls in classes:
            try:
                mistake = check(kind, cls) or _enter(
                    registry,
                    Registered(kind, cls.name, cls, origin, Path(file or inspect.getfile(cls))),
                )
            except Exception as error:
                mistake = f"{kind} class {cls.__name__}: {one_line(error)}"
            if mistake:
                yield mistake


def _enter(registry: Registry, plugin: Registered) -> str | None:
    """Enter a plugin, or say which other one has its name or builds one of its models."""
    models = dict.fromkeys(plugin.cls().models()) if plugin.kind == "backbone" else {}
    if plugin.origin == "built-in":  # one of them may bear the name of a model of timm's thousands
        models = {m: None for m in models if m not in registry.names("backbone")}
    known = {
        f"{plugin.kind} '{plugin.name}'": registry.plugins.get((plugin.kind, plugin.name)),
        **{f"model '{model}'": registry.models.get(model) for model in models},
    }
    for thing, other in known.items():
        if other is not None:
            return (
                f"{thing} is already brought by {other.file}, which stays in force; "
                "rename one of them"
            )
    registry.plugins[plugin.kind, plugin.name] = plugin
    registry.models.update(dict.fromkeys(models, plugin))
    return None


def check(kind: Kind, cls: Any) -> str | None:
    """What is wrong with a class that a plugin brings, or ``None``."""
    from harness import contract
    from harness.dataset_wrapper import DatasetWrapper
    from harness.executor import Executor

    bases: tuple[Any, ...] = {
        "strategy": (contract.Strategy,),
        "trick": (contract.Trick,),
        "dataset": (contract.Dataset, DatasetWrapper),
        "backbone": (contract.BackboneFactory,),
        "pretraining": (contract.Pretraining,),
        "executor": (Executor,),
        "tracker": (contract.Tracker,),
    }[kind]
    if not (isinstance(cls, type) and issubclass(cls, bases)):
        names = " or ".join(f"harness.api.{base.__name__}" for base in bases)
        return f"{cls!r} is not a subclass of {names}"
    if missing := sorted(getattr(cls, "__abstractmethods__", ())):
        return f"{kind} class {cls.__name__} does not define {', '.join(missing)}"
    if not isinstance(getattr(cls, "name", None), str):
        return f"{kind} class {cls.__name__} has no 'name'"
    if issubclass(cls, contract.Strategy):
        if twice := set(cls.prepare_space) & set(cls.space):
            return f"strategy '{cls.name}' has {sorted(twice)} in both spaces"
        if contract.overrides(cls, "conclude") and "episodes" in cls.protocols:
            return (
                f"strategy '{cls.name}' defines conclude, which takes one task: leave 'episodes' "
                "out of its protocols"
            )
        if unknown := set(cls.frozen_space) - set(cls.space):
            return f"strategy '{cls.name}' has {sorted(unknown)} in frozen_space alone"
        space = {**cls.prepare_space, **cls.space}
        frozen = {**cls.defaults, **cls.frozen_defaults}
        return _check_space(kind, cls, space, cls.defaults) or _check_space(
            kind, cls, {**space, **cls.frozen_space}, frozen
        )
    if issubclass(cls, contract.Trick):
        return _check_space(kind, cls, cls.space, cls.defaults)
    return None


def _check_space(
    kind: Kind, cls: Any, space: Mapping[str, Any], defaults: Mapping[str, Any]
) -> str | None:
    from harness.choices import invalid_choices  # here, as a report needs no Optuna

    if set(space) != set(defaults):
        wrong = ", ".join(sorted(set(space) ^ set(defaults)))
        return f"{kind} '{cls.name}': its defaults and its spaces differ in {wrong}"
    for name, distribution in space.items():
        default = defaults[name]
        try:
            inside = distribution._contains(distribution.to_internal_repr(default))
        except (TypeError, ValueError):
            inside = False
        if not inside:
            return (
                f"{kind} '{cls.name}': the default of {name}, {default!r}, lies outside "
                f"{distribution}"
            )
        for mistake in invalid_choices(name, default, distribution):
            return f"{kind} '{cls.name}': {mistake}"
    return None
