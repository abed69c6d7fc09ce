"""Turn the names and ``args`` of a suite into plugin instances, or say what is wrong with them."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    IntDistribution,
)
from pydantic import TypeAdapter, ValidationError

from harness.choices import own_choice, own_settings
from harness.errors import HarnessError, did_you_mean, located
from harness.registry import Registered, Registry
from harness.suite.messages import in_words

if TYPE_CHECKING:
    from harness.contract import Pretraining, Strategy, Trick
    from harness.model.batch_norm import BatchNorm
    from harness.suite.backbones import MethodSpec
    from harness.suite.schema import StrategySpec, TrickSpec


@dataclass(frozen=True)
class ConfiguredStrategy:
    """A strategy, the settings that the suite fixes, and the spaces that are left to search."""

    strategy: Strategy
    fixed: Mapping[str, Any]

    @property
    def prepare_space(self) -> dict[str, BaseDistribution]:
        return self._free(self.strategy.prepare_space)

    @property
    def space(self) -> dict[str, BaseDistribution]:
        return self._free(self.strategy.space)

    def defaults(self) -> dict[str, Any]:
        """Trial 0."""
        space = {**self.strategy.prepare_space, **self.strategy.space}
        return own_settings({**self.strategy.defaults, **self.fixed}, space)

    def _free(self, space: Mapping[str, BaseDistribution]) -> dict[str, BaseDistribution]:
        return {name: d for name, d in space.items() if name not in self.fixed}


def configure(plugin: Registered, args: Mapping[str, Any]) -> Any:
    """An instance of a plugin class.

    Raises:
        HarnessError: an argument is unknown, missing or of the wrong type; one line for all.
    """
    made, mistakes = _set_up(plugin, args, plugin.arguments())
    if mistakes:
        raise _refused(plugin, mistakes)
    return made


def _set_up(
    plugin: Registered, args: Mapping[str, Any], known: Iterable[str]
) -> tuple[Any, list[str]]:
    """An instance, and all that is wrong with its arguments; ``known`` are the names that may have
    been meant."""
    own = plugin.arguments()
    given = {name: value for name, value in args.items() if name in own}
    mistakes = [
        f"unknown argument '{name}'{did_you_mean(name, known)}" for name in args if name not in own
    ]
    try:
        made = _adapter(plugin).validate_python(given) if own else plugin.cls()
        return made, [*mistakes, *_missing_files(made)]
    except ValidationError as error:
        return None, [*mistakes, *_wrong_arguments(error, given)]
    except Exception as error:
        if mistakes:
            return None, mistakes
        if isinstance(error, HarnessError):
            raise
        raise plugin.blame("cannot be set up", error) from error


def _refused(plugin: Registered, mistakes: Iterable[str]) -> HarnessError:
    return HarnessError(
        f"{plugin.kind} '{plugin.name}': {'; '.join(mistakes)}",
        f"'harness describe {plugin.name}' tells what it takes",
    )


def _missing_files(plugin: object) -> Iterator[str]:
    """Arguments that name files which are not there."""
    from harness.contract import Configured  # loaded by now, as the plugin is one of its classes

    for name, paths in plugin.files().items() if isinstance(plugin, Configured) else ():
        for path in paths:
            if not path.is_file():
                yield f"argument '{name}': there is no file {located(path)}"


@cache
def _adapter(plugin: Registered) -> TypeAdapter[Any]:
    return TypeAdapter(plugin.cls)


def _wrong_arguments(error: ValidationError, given: Mapping[str, Any]) -> Iterator[str]:
    """One line an argument, whichever of its types, and whatever inside it, was found wrong."""
    wanted: dict[str, dict[str, None]] = {}
    for detail in error.errors(include_url=False):
        name, message = str(next(iter(detail["loc"]), "")), in_words(detail)
        match detail["type"]:
            case "missing" if name not in given:
                yield f"argument '{name}' is missing"
            case "value_error" if not name:
                yield message
            case _:
                wanted.setdefault(name, {})[message] = None
    for name, messages in wanted.items():
        told = " or ".join(messages)
        yield f"argument '{name}' {told}, not {reprlib.repr(given.get(name))}"


def strategy(
    registry: Registry, spec: StrategySpec, batch_norm: BatchNorm = "train"
) -> ConfiguredStrategy:
    """A configured strategy with its tricks: arguments that name a hyperparameter fix it.

    Raises:
        HarnessError: it, or a trick of it, is unknown, or its arguments are wrong, or its training
            can't be amended.
    """
    from harness.contract import GradientStrategy

    plugin = registry.get("strategy", spec.name)
    made, fixed = _tuned(plugin, spec.args, {**plugin.cls.prepare_space, **plugin.cls.space})
    if batch_norm == "frozen":
        made = made.with_frozen_norms()
    if not spec.tricks:
        return ConfiguredStrategy(made, fixed)
    tricks = {each.name: trick(registry, each) for each in spec.tricks}
    if not isinstance(made, GradientStrategy):
        raise HarnessError(
            f"strategy '{spec.name}' has no training that tricks could amend: {', '.join(tricks)}",
            "Name tricks in the strategies that they are for, { name = …, tricks = […] }",
        )
    for name, (_, settings) in tricks.items():
        fixed |= {f"{name}.{key}": value for key, value in settings.items()}
    return ConfiguredStrategy(made.with_tricks([each for each, _ in tricks.values()]), fixed)


def trick(registry: Registry, spec: TrickSpec) -> tuple[Trick, dict[str, Any]]:
    """A configured trick, and the hyperparameters that its arguments fix.

    Raises:
        HarnessError: it is unknown, or its arguments are wrong.
    """
    plugin = registry.get("trick", spec.name)
    return _tuned(plugin, spec.args, plugin.cls.space)


def _tuned(
    plugin: Registered, args: Mapping[str, Any], space: Mapping[str, BaseDistribution]
) -> tuple[Any, dict[str, Any]]:
    """An instance of a plugin class, and the hyperparameters that its arguments fix."""
    fixed = {name: own_choice(value, space[name]) for name, value in args.items() if name in space}
    mistakes = [line for name in fixed for line in _invalid_value(name, fixed[name], space[name])]
    own = {name: value for name, value in args.items() if name not in space}
    made, more = _set_up(plugin, own, [*plugin.arguments(), *space])
    if mistakes := [*mistakes, *more]:
        raise _refused(plugin, mistakes)
    return made, fixed


def pretraining(registry: Registry, spec: MethodSpec) -> Pretraining:
    """A configured way to make weights.

    Raises:
        HarnessError: it is unknown, or its arguments are wrong.
    """
    method: Pretraining = configure(registry.get("pretraining", spec.name), spec.args)
    return method


def _invalid_value(name: str, value: object, distribution: BaseDistribution) -> Iterator[str]:
    """A fixed value may leave the range that is searched, but not the type."""
    match distribution:
        case CategoricalDistribution():
            if not any(value is choice for choice in distribution.choices):
                yield f"{name} is one of {list(distribution.choices)}, not {value!r}"
        case IntDistribution():
            if not isinstance(value, int) or isinstance(value, bool):
                yield f"{name} is a whole number, not {value!r}"
        case _:
            if not isinstance(value, int | float) or isinstance(value, bool):
                yield f"{name} is a number, not {value!r}"
