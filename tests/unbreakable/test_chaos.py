"""A suite under ``kill -9``: what remains is what would have been, nothing lost or done twice."""

import contextlib
import random
import time

import psutil
import pytest

from harness.record.store import Store

KILLS = 30

SUITE = """
name = "chaos"
seeds = [0, 1, 2, 3, 4, 5, 6, 7]
strategies = [
    "from_scratch", "linear_probe", "partial_freeze", "full_finetune",
    { name = "maml", args = { meta_steps = 10 } },
]
budget = { trials = 3, steps = 40, batch_size = 16, pruner = "median" }
limits = { checkpoint = 0.02, retries = 100, retry = ["crashed"] }

[[backbones]]
model = "conv4"
input_size = 16
args = { width = 8 }
weights = { source = "arrays", args = { path = "source.npz" }, steps = 200, batch_size = 32 }

[[problems]]
dataset = "arrays"
args = { path = "target.npz" }
shots = 5
"""
"""40 cells."""


@pytest.fixture
def kill(processes):
    """Kills a random process of a command at work: itself, its nursery, or a cell."""

    def kill(command, luck):
        others = [process for process in processes() if process.pid != command.pid]
        victim = luck.choice([command.process, *others, *others])
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()
            return "the command" if victim is command.process else "another"

    return kill


@pytest.mark.slow("harness/run", "harness/record", "tests/unbreakable")
def test_final_records_are_those_of_an_undisturbed_run(
    start, digit_files, outcomes, kill, tmp_path
):
    (tmp_path / "chaos.toml").write_text(SUITE)
    calm = start("suite", "chaos.toml", "--results", "calm", "--jobs", "2")
    luck, done, killed = random.Random(0), {}, []
    assert calm.wait(300) == 0, calm.said()

    command, folder = None, tmp_path / "results" / "chaos"
    while len(killed) < KILLS:
        if command is None or not command.is_running():
            # Everything was done before enough was killed: a part is forgotten and done again.
            if command is not None and command.process.exitcode == 0:
                for key in luck.sample(sorted(done), 20):
                    (folder / f"records/{key}.json").unlink()
                    del done[key]
            command = start("suite", "chaos.toml", "--jobs", "2", "--retry", "crashed")
            time.sleep(luck.uniform(0, 3))
        time.sleep(luck.uniform(0, 0.6))
        if command.is_running() and (victim := kill(command, luck)):
            killed.append(victim)
            if victim == "the command":
                command.wait()
        for path in folder.glob("records/*.json"):
            content = path.read_bytes()
            if b'"status": "ok"' in content:
                assert done.setdefault(path.stem, content) == content  # never done twice
    assert set(killed) == {"the command", "another"}
    while command.wait(300):
        command = start("suite", "chaos.toml", "--jobs", "2", "--retry", "crashed")

    expected = outcomes(tmp_path / "calm" / "chaos")
    assert len(expected) == 40
    assert outcomes(folder) == expected
    frame = Store(folder).frame()
    assert list(frame.status) == ["ok"] * 40
    assert not list(folder.glob("partial/*.json"))
    assert not list(folder.glob("set-aside/*"))
