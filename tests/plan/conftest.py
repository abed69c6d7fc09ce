"""Suites, valid and not, and their plans."""

import copy
from pathlib import Path

import pytest
from hypothesis import strategies as st

from harness.plan.cells import plan
from harness.plan.datasets import Datasets
from harness.plan.read import parse
from harness.registry import Registry, Sources, load

TABLE = {
    "name": "small",
    "seeds": [0, 1],
    "strategies": ["linear_probe", "full_finetune"],
    "budget": {"trials": 2, "steps": 3},
    "backbones": [{"model": "conv4", "weights": "random", "input_size": 16}],
    "problems": [{"dataset": "toy", "shots": [1, 2]}],
}


@pytest.fixture
def table():
    """A small valid suite, to change as one likes."""
    return copy.deepcopy(TABLE)


@pytest.fixture(scope="session")
def toys() -> Registry:
    """The built-in plugins and those of the tests."""
    return load(Sources(files=(Path(__file__).parents[1] / "toy_plugin.py",)))


@pytest.fixture(scope="session")
def toy_data(toys):
    return Datasets(toys)


@pytest.fixture(scope="session")
def planned(toys, toy_data):
    """The cells of a suite, given as a table."""
    return lambda table: plan(parse(table, "here"), toys, toy_data, "here").cells


# ── any suite at all ──────────────────────────────────────────────────────────────────────────

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
numbers = st.integers(1, 1000)
plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
anything = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
scalars = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
)
args = st.dictionaries(names, scalars | st.lists(scalars, max_size=2), max_size=2)


def tables(required, **optional):
    return st.fixed_dictionaries(required, optional=optional)


def unique(things, **sizes):
    return st.lists(things, min_size=1, max_size=3, unique=True, **sizes)


source = tables({"dataset": names}, args=args, rotations=st.booleans())
problem = {"dataset": names, "label": names}
shots = numbers | st.sampled_from(["vtab1k", "all"])
transferred = {
    "protocol": st.just("transfer"),
    "args": args,
    "shots": shots | unique(shots),
    "source": source,
}
transfer = tables(problem, **transferred, splits=names) | tables(
    problem,
    **transferred,
    val_fraction=st.floats(0.01, 0.99),
    val_shots=numbers,
    test_fraction=st.floats(0.01, 0.99),
)
episodes = tables(
    problem | {"protocol": st.just("episodes")},
    args=args,
    shots=numbers | unique(numbers),
    source=source,
    ways=st.integers(2, 20),
    queries=numbers,
    episodes=st.integers(2, 1000),
    val_episodes=numbers,
)
adaptation = tables(
    problem | {"protocol": st.just("adaptation"), "source": source},
    args=args,
    shots=numbers | st.just("all") | unique(numbers | st.just("all")),
    selection=st.sampled_from(["source", "information", "target"]),
    val_fraction=st.floats(0.01, 0.99),
    test_fraction=st.floats(0.01, 0.99),
)
weights = (
    st.sampled_from(["hub", "random"])
    | tables({"file": names})
    | tables(
        {"source": names},
        args=args,
        method=names | tables({"name": names}, args=args),
        rotations=st.booleans(),
        steps=numbers,
        batch_size=numbers,
        lr=st.floats(1e-6, 1.0),
        weight_decay=st.floats(0, 1),
        seed=st.integers(0, 9),
    )
)
backbone = tables({"model": names, "label": names}, weights=weights, input_size=numbers, args=args)
strategy = tables({"name": names, "label": names}, args=args)
spent = st.one_of(
    st.just({}),
    st.builds(lambda n: {"trials": n}, numbers),
    st.builds(lambda s: {"seconds": s}, st.floats(0.1, 1e6)),
)
budget = st.builds(
    lambda first, rest: first | rest,
    spent,
    tables(
        {},
        steps=numbers,
        batch_size=numbers,
        prepare_trials=numbers,
        sampler=st.sampled_from(["random", "tpe"]),
        pruner=st.sampled_from(["none", "median"]),
    ),
)


def labelled(things):
    return st.lists(things, min_size=1, max_size=3, unique_by=lambda thing: thing["label"])


valid = tables(
    {
        "name": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,8}", fullmatch=True),
        "strategies": unique(names) | labelled(strategy),
        "backbones": labelled(backbone),
        "problems": labelled(transfer | episodes | adaptation),
    },
    description=st.text(max_size=8),
    seeds=unique(st.integers(0, 2**32 - 1)),
    budget=budget,
    save_predictors=st.booleans(),
)


@st.composite
def mutations(draw, tables):
    """A table with one thing in it changed, added, removed or renamed, however deep."""
    table = copy.deepcopy(draw(tables))
    here = table
    while True:
        keys = sorted(here) if isinstance(here, dict) else range(len(here))
        key = draw(st.sampled_from(keys))
        inner = here[key]
        if isinstance(inner, dict | list) and inner and draw(st.booleans()):
            here = inner
            continue
        match draw(st.sampled_from(["change", "remove", "add", "rename"])):
            case "change":
                here[key] = draw(anything)
            case "remove":
                del here[key]
            case "add" if isinstance(here, dict):
                here[draw(names)] = draw(anything)
            case "rename" if isinstance(here, dict):
                here[draw(st.just(f"{key}s") | names)] = here.pop(key)
            case _:
                here.append(draw(anything))
        return table


def shuffles(table):
    """The same suite with its tables and lists in another order."""
    entries = {
        key: st.permutations(value) if isinstance(value, list) else st.just(value)
        for key, value in table.items()
    }
    return st.permutations(list(table)).flatmap(
        lambda keys: st.fixed_dictionaries({key: entries[key] for key in keys})
    )


class AnySuites:
    """Strategies for hypothesis."""

    valid = valid
    mutated = mutations(valid)
    nearly_small = mutations(st.just(TABLE))  # and so, often, one that can be planned
    anything = anything
    shuffled = st.just(TABLE | {"problems": [*TABLE["problems"], {"dataset": "digits"}]}).flatmap(
        shuffles
    )


@pytest.fixture(scope="session")
def any_suites():
    return AnySuites
