"""Plugins of the tests, and plans of suites."""

from pathlib import Path

import pytest

from harness.plan.cells import plan
from harness.plan.datasets import Datasets
from harness.registry import Registry, Sources, load
from harness.suite.read import parse


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
