"""From names and ``args`` to plugin instances, or what is wrong with them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from harness.api import Data, Dataset
from harness.errors import HarnessError
from harness.plan import configure
from harness.plan.datasets import Datasets
from harness.registry import Registered
from harness.suite.schema import StrategySpec


@dataclass(frozen=True)
class Files(Dataset):
    """A dataset with arguments of several types."""

    name = "files"
    root: Path
    size: int = 28
    mode: Literal["grey", "colour"] = "grey"
    parts: tuple[str, ...] = ()
    held: str | Sequence[str] = ()

    def __post_init__(self):
        if self.size < 1:
            raise ValueError("size should be above 0")

    def load(self) -> Data:
        raise NotImplementedError


class Bare(Dataset):
    """A dataset that takes nothing."""

    name = "bare"

    def load(self) -> Data:
        raise NotImplementedError


class Hasty(Bare):
    def __init__(self):
        raise OSError("too early")


def plugin(cls):
    return Registered("dataset", cls.name, cls, "file", Path(__file__))


def mistake(cls, **args):
    with pytest.raises(HarnessError) as caught:
        configure.configure(plugin(cls), args)
    return str(caught.value)


def fixed(registry, name, **args):
    return configure.strategy(registry, StrategySpec(name=name, args=args))


# ── any plugin ────────────────────────────────────────────────────────────────────────────────


def test_arguments_take_the_types_that_their_fields_say():
    made = configure.configure(plugin(Files), {"root": "data", "parts": ["a", "b"]})
    assert made == Files(root=Path("data"), parts=("a", "b"))


def test_a_class_without_arguments_need_not_be_a_dataclass():
    assert isinstance(configure.configure(plugin(Bare), {}), Bare)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({}, "argument 'root' is missing"),
        ({"rot": "data"}, "unknown argument 'rot' (did you mean 'root'?)"),
        ({"root": 5}, "argument 'root' should be a path, not 5"),
        (
            {"root": 5, "sise": 3, "mode": "red"},
            "unknown argument 'sise' (did you mean 'size'?); argument 'root' should be a path, "
            "not 5; argument 'mode' should be 'grey' or 'colour', not 'red'. ",
        ),
        ({"root": "d", "size": "big"}, "argument 'size' should be a whole number, "),
        ({"root": "d", "mode": "red"}, "argument 'mode' should be 'grey' or 'colour', not 'red'"),
        (
            {"root": "d", "parts": ["a", 3], "held": 3},
            "argument 'parts' should be a string, not ['a', 3]; argument 'held' should be a "
            "string or should be an instance of Sequence, not 3. ",
        ),
        ({"root": "d", "size": 0}, "size should be above 0"),
        ({"a": 1, "b": 2}, "unknown argument 'a' (known: held, mode, parts, root, size); "),
    ],
)
def test_wrong_arguments_are_named_in_one_line(args, said):
    assert mistake(Files, **args).startswith(f"dataset 'files': {said}")
    assert mistake(Files, **args).endswith("'harness describe files' tells what it takes")


def test_a_class_without_arguments_takes_none():
    assert mistake(Bare, size=3).startswith("dataset 'bare': unknown argument 'size'. ")


def test_a_plugin_that_fails_to_be_made_is_blamed_by_its_file():
    said = mistake(Hasty)
    assert said.startswith("dataset 'bare' cannot be set up: OSError: too early (line ")
    assert said.endswith(f"Mend {__file__}")


# ── strategies ────────────────────────────────────────────────────────────────────────────────


def test_an_argument_that_names_a_hyperparameter_fixes_it(registry):
    free, held = fixed(registry, "linear_probe"), fixed(registry, "linear_probe", lr=0.5)
    assert set(free.space) == {"lr", "weight_decay"}
    assert set(held.space) == {"weight_decay"}
    assert held.defaults() == free.defaults() | {"lr": 0.5}


def test_other_arguments_are_the_plugins_own(registry):
    maml = fixed(registry, "maml", ways=3, inner_steps=2)
    assert maml.strategy.ways == 3
    assert "inner_steps" not in maml.prepare_space
    assert maml.defaults()["inner_steps"] == 2
    assert set(maml.space) == {"adapt_lr", "adapt_steps"}


def test_a_fixed_value_may_leave_the_range_that_is_searched(registry):
    assert fixed(registry, "linear_probe", weight_decay=0).defaults()["weight_decay"] == 0


@pytest.mark.parametrize(
    ("name", "args", "said"),
    [
        ("linear_probe", {"lr": "big"}, "lr is a number, not 'big'"),
        ("linear_probe", {"lr": True}, "lr is a number, not True"),
        ("partial_freeze", {"train_blocks": 1.5}, "train_blocks is a whole number, not 1.5"),
        ("maml", {"inner_step": 2}, "unknown argument 'inner_step' (did you mean 'inner_steps'?)"),
        ("maml", {"first_order": "no idea"}, "argument 'first_order' should be true or false"),
        (
            "maml",
            {"inner_lr": "big", "wais": 3, "shots": "few"},
            "inner_lr is a number, not 'big'; unknown argument 'wais' (did you mean 'ways'?); "
            "argument 'shots' should be a whole number, ",
        ),
        (
            "linear_probe",
            {"lr": "big", "blocks": 3},
            "lr is a number, not 'big'; unknown argument 'blocks' (known: lr, weight_decay)",
        ),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(registry, name, args, said):
    with pytest.raises(HarnessError) as caught:
        fixed(registry, name, **args)
    assert str(caught.value).startswith(f"strategy '{name}': {said}")
    assert str(caught.value).endswith(f"'harness describe {name}' tells what it takes")


# ── datasets ──────────────────────────────────────────────────────────────────────────────────


def test_a_dataset_is_loaded_once_for_the_same_arguments(toys):
    data = Datasets(toys)
    assert data.load("toy", {"each": 4, "classes": 3}) is data.load(
        "toy", {"classes": 3, "each": 4}
    )
    assert data.load("toy", {}) is not data.load("toy", {"seed": 1})


def test_what_a_dataset_digests_is_its_content(toys):
    data = Datasets(toys)
    assert data.load("toy", {}).digest == data.load("toy", {"each": 6}).digest
    others = [{"seed": 1}, {"tested": True}, {"held_out": ["class 1"]}, {"classes": 3}]
    assert len({data.load("toy", args).digest for args in [{}, *others]}) == 5
