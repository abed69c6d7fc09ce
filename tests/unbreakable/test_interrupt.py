"""Ctrl-C, once and twice: what was done is kept, and the same command goes on."""

import os
import signal
import time

import pytest

from harness.record.store import Store

SUITE = """
name = "long"
seeds = [0]
strategies = ["full_finetune"]
budget = { trials = 2, steps = 600, batch_size = 16 }
backbones = [{ model = "conv4", weights = "random", input_size = 16, args = { width = 8 } }]
problems = [{ dataset = "arrays", args = { path = "target.npz" }, shots = 5 }]
"""

TELLING = """
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from harness_plugins.strategies.full_finetune import FullFinetune
from harness.api import hookimpl

@dataclass(frozen=True)
class Telling(FullFinetune):
    name: ClassVar[str] = "telling"

    def recipe(self, backbone, task, hp, run):
        earlier = list(Path().glob("began-*"))
        Path(f"began-{len(earlier) + 1}").touch()
        return super().recipe(backbone, task, hp, run)

@hookimpl
def harness_strategies():
    return [Telling]
"""

STUBBORN = """
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from harness_plugins.strategies.linear_probe import LinearProbe
from harness.api import hookimpl

@dataclass(frozen=True)
class Stubborn(LinearProbe):
    name: ClassVar[str] = "stubborn"

    def adapt(self, backbone, task, hp, run):
        Path("at-work").touch()
        time.sleep(10_000)

@hookimpl
def harness_strategies():
    return [Stubborn]
"""


@pytest.fixture
def long(tmp_path, digit_files):
    (tmp_path / "long.toml").write_text(SUITE)
    return tmp_path / "results" / "long"


def until(condition, command):
    deadline = time.monotonic() + 60
    while not condition():
        assert command.is_running(), command.said()
        assert time.monotonic() < deadline, command.said()
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("number", "inline"), [(signal.SIGINT, []), (signal.SIGTERM, ["--inline"])]
)
def test_once_lets_cells_come_to_a_checkpoint(start, long, outcomes, tmp_path, number, inline):
    (tmp_path / "telling_plugin.py").write_text(TELLING)
    words = "--plugin", "telling_plugin.py", "--set", 'strategies=["telling"]'
    command = start("suite", "long.toml", *words, *inline)
    until((tmp_path / "began-2").exists, command)  # the second trial is under way
    os.kill(command.pid, number)
    assert command.wait(30) == 130
    assert command.said().splitlines()[-1] == (
        "harness: interrupted. Run the same command again to go on: finished cells are kept"
    )
    assert "Traceback" not in command.said()
    assert "Ctrl-C again stops at once" in command.said()
    (record,) = Store(long).records()
    assert (record.status, record.reason) == ("interrupted", "stopped; finished trials: 1")
    assert list(long.glob("partial/*.safetensors"))  # the second trial, half-way

    again = start("suite", "long.toml", *words, *inline)
    assert again.wait() == 0, again.said()
    assert not list(long.glob("partial/*"))
    undisturbed = start("suite", "long.toml", *words, "--results", "undisturbed")
    assert undisturbed.wait() == 0
    assert outcomes(long) == outcomes(tmp_path / "undisturbed" / "long")


def test_twice_stops_at_once(start, long, processes, tmp_path):
    (tmp_path / "stubborn_plugin.py").write_text(STUBBORN)
    words = "--plugin", "stubborn_plugin.py", "--set", 'strategies=["stubborn"]'
    command = start("suite", "long.toml", *words)
    until((tmp_path / "at-work").exists, command)
    os.kill(command.pid, signal.SIGINT)
    until(lambda: "again stops at once" in command.said(), command)
    time.sleep(0.5)
    assert command.is_running()  # it waits for the cell
    os.kill(command.pid, signal.SIGINT)
    assert command.wait(10) == 130
    deadline = time.monotonic() + 5
    while processes() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes() == []  # the cell is gone too
    assert list(Store(long).frame().status) == ["pending"]
