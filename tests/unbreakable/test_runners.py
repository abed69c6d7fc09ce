"""Several commands at one results folder: each cell is done once, by any of them."""

import json
from collections import Counter

import pytest

PLUGIN = """
import os
import time
from dataclasses import dataclass
from typing import ClassVar
from harness_plugins.strategies.linear_probe import LinearProbe
from harness.api import hookimpl

@dataclass(frozen=True)
class Waits(LinearProbe):
    name: ClassVar[str] = "waits"

    def adapt(self, backbone, task, hp, run):
        with open("begun", "a") as file:
            print(run.generator("cell").initial_seed(), os.getppid(), file=file)
        time.sleep(0.4)
        return super().adapt(backbone, task, hp, run)

@hookimpl
def harness_strategies():
    return [Waits]
"""

SUITE = """
name = "shared"
seeds = {seeds}
strategies = ["waits"]
budget = {{ trials = 1, steps = 1, batch_size = 16 }}
backbones = [{{ model = "conv4", weights = "random", input_size = 16, args = {{ width = 8 }} }}]
problems = [{{ dataset = "arrays", args = {{ path = "target.npz" }}, shots = 2 }}]
"""


@pytest.fixture
def shared(tmp_path, digit_files):
    """Writes the suite with this many cells; gives the words of the command."""
    (tmp_path / "waits_plugin.py").write_text(PLUGIN)

    def write(cells):
        (tmp_path / "shared.toml").write_text(SUITE.format(seeds=list(range(cells))))
        return "suite", "shared.toml", "--plugin", "waits_plugin.py", "--format", "json"

    return write


def begun(tmp_path):
    """How often each cell was begun, and by which nurseries. Costs are counted by a second call
    of ``adapt`` in the same process."""
    lines = {tuple(line.split()) for line in (tmp_path / "begun").read_text().splitlines()}
    return Counter(seed for seed, _ in lines), Counter(nursery for _, nursery in lines)


def test_three_runners_divide_sixty_cells(start, shared, tmp_path):
    words = shared(60)
    commands = [start(*words) for _ in range(3)]
    assert [command.wait() for command in commands] == [0, 0, 0]
    cells, nurseries = begun(tmp_path)
    assert set(cells.values()) == {1}
    assert len(cells) == 60
    assert len(nurseries) == 3
    assert min(nurseries.values()) >= 5  # a third each, but for a late start
    for command in commands:  # each tells of all that was done
        rows = json.loads(command.out.read_text())
        assert [row["status"] for row in rows] == ["ok"] * 60
        assert "[60/60] ok" in command.said() or "60 done before, 0 to do" in command.said()


def test_the_cells_of_a_dead_runner_are_taken_over(start, shared, tmp_path):
    words = shared(8)
    first = start(*words)
    while not (tmp_path / "begun").exists():
        assert first.is_running(), first.said()
    first.process.kill()
    second = start(*words)
    assert second.wait() == 0, second.said()
    cells, nurseries = begun(tmp_path)
    assert len(cells) == 8
    assert len(nurseries) == 2
