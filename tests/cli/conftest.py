"""A tiny suite that has been run, and a way to run it without drawing a report."""

import shutil
from pathlib import Path

import pytest

from harness.report import write

TOY_PLUGIN = Path(__file__).parents[1] / "toy_plugin.py"


@pytest.fixture
def toy():
    """The options that load the tests' own plugins."""
    return ("--plugin", TOY_PLUGIN)


def undrawn(report, *rest):
    return report.directory


@pytest.fixture
def no_report(monkeypatch):
    """Reports take longer to draw than the tiny suite to run."""
    monkeypatch.setattr(write, "write_report", undrawn)


@pytest.fixture
def edited(tiny_suite):
    """Edits the tiny suite: ``edited(old, new, …)``; gives its path."""

    def edit(*replacements):
        text = tiny_suite.read_text()
        for old, new in zip(replacements[::2], replacements[1::2], strict=True):
            assert old in text
            text = text.replace(old, new)
        tiny_suite.write_text(text)
        return tiny_suite

    return edit


OWN_PROBE = """
from typing import ClassVar
from harness.api import hookimpl
from harness_plugins.strategies.linear_probe import LinearProbe
{more}

class Mine(LinearProbe):
    name: ClassVar[str] = "mine"

@hookimpl
def harness_strategies():
    return [Mine]
"""


@pytest.fixture
def own_probe(plugin_file):
    """Writes a plugin file of a strategy ``mine``, a linear probe, with ``more`` lines; gives its
    path."""
    return lambda more="": plugin_file("mine", OWN_PROBE.format(more=more))


@pytest.fixture(scope="session")
def ran():
    """The results folder in which the tiny suite was run once for all tests, if it was."""
    return []


@pytest.fixture
def results(harness, tiny_suite, ran, tmp_path, tmp_path_factory):
    """The results folder of the tiny suite, all cells ok: a copy of what was run once."""
    if not ran:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(write, "write_report", undrawn)
            ended = harness("suite", tiny_suite)
        assert ended.status == 0, ended.err
        ran.append(tmp_path_factory.mktemp("ran") / "results")
        shutil.move(tmp_path / "results", ran[0])
    shutil.copytree(ran[0], tmp_path / "results")
    return tmp_path / "results" / "tiny"


def contents(folder):
    """Every file beneath a folder: its bytes and the time it was written."""
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def unchanged(tmp_path):
    """Checks, at the end, that nothing in the results folder was written over."""
    folder = tmp_path / "results"

    def look():
        return contents(folder) if folder.exists() else {}

    before = look()
    yield
    assert look() == before
