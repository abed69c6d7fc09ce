"""Two machines without a common folder divide the trials of one cell."""

from collections import Counter

from harness.record.store import Store

SUITE = """
name = "long"
seeds = [0]
strategies = ["noted"]
budget = { trials = 6, steps = 4, batch_size = 16 }
backbones = [{ model = "conv4", weights = "random", input_size = 16, args = { width = 8 } }]
problems = [{ dataset = "arrays", args = { path = "target.npz" }, shots = 5 }]
"""

NOTED = """
import os, time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from harness_plugins.strategies.full_finetune import FullFinetune
from harness.api import hookimpl

@dataclass(frozen=True)
class Noted(FullFinetune):
    '''Notes which rates its process trains at, and waits until another process trains too.'''

    name: ClassVar[str] = "noted"

    def recipe(self, backbone, task, hp, run):
        with Path(f"notes-{os.getpid()}").open("a") as file:
            print(hp["lr"], file=file)
        until = time.monotonic() + 60
        while len(list(Path().glob("notes-*"))) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        return super().recipe(backbone, task, hp, run)

@hookimpl
def harness_strategies():
    return [Noted]
"""


def test_each_trial_is_done_once_and_each_machine_has_all(
    start, digit_files, outcomes, tmp_path, postgres
):
    (tmp_path / "long.toml").write_text(SUITE)
    (tmp_path / "noted.py").write_text(NOTED)
    words = "suite", "long.toml", "--plugin", "noted.py", "--inline", "--results"
    machines = [start(*words, name, "--trial-storage", postgres) for name in ("a", "b")]
    for machine in machines:
        assert machine.wait() == 0, machine.said()
    notes = [file.read_text().split() for file in tmp_path.glob("notes-*")]
    alone = start(*words, "alone")
    assert alone.wait() == 0, alone.said()
    results = [outcomes(tmp_path / name / "long") for name in ("a", "b", "alone")]
    assert results[0] == results[1] == results[2]
    (record,) = Store(tmp_path / "a/long").records()
    by_rate = Counter(float(rate) for rates in notes for rate in rates)
    assert len(by_rate) == 6
    # That of the selected trial is asked for again, to train its model and to count its FLOPs.
    del by_rate[record.trials[record.selected].settings["lr"]]
    assert [*by_rate.values()] == [1] * 5
    assert all(set(rates) - {str(record.trials[record.selected].settings["lr"])} for rates in notes)
