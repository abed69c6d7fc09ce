"""FLOPs and throughput against formulas, and meters against work of known length and size."""

import time
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from harness_plugins.pretrainings.supervised import Supervised
from harness_plugins.strategies.full_finetune import FullFinetune
from harness_plugins.strategies.linear_probe import LinearProbe
from torch.utils.flop_counter import FlopCounterMode

from harness.run.malloc import MUCH

WIDTH, CLASSES, SHOTS, BATCH, STEPS = 8, 10, 2, 16, 4
"""Of the small suite that the cells below are of: conv4 on digits, brought to 16 pixels."""

FEATURES = sum(
    2 * 9 * channels * WIDTH * side**2
    for channels, side in ((1, 16), (WIDTH, 8), (WIDTH, 4), (WIDTH, 2))
)
"""FLOPs of four 3×3 convolutions, each of which but the first sees half the pixels a side."""

HEAD = 2 * WIDTH * CLASSES


def test_predicting_takes_the_convolutions_and_the_head(bench):
    for record in bench.run("linear_probe", "full_finetune"):
        assert record.flops["predict"] == FEATURES + HEAD


def test_a_probe_takes_its_features_once_and_then_its_head_alone(bench):
    """A step passes through the head, and back to its weights: features need no gradient."""
    (record,) = bench.run("linear_probe")
    assert record.flops["fit"] == SHOTS * CLASSES * FEATURES + STEPS * BATCH * 2 * HEAD


def test_features_that_another_cell_computed_count_all_the_same(bench):
    first, second = bench.run(
        "linear_probe", {"name": "linear_probe", "label": "again", "args": {"lr": 0.01}}
    )
    assert "features" in second.cached
    assert first.flops == second.flops


def test_training_is_what_counting_every_step_gives(bench):
    counted = []

    @dataclass(frozen=True)
    class Counted(FullFinetune):
        name: ClassVar[str] = "counted"

        def adapt(self, backbone, task, hp, run):
            if run.steps == 30:  # not one of the few that the harness counts itself
                assert backbone.num_features == WIDTH  # found out once, by trying the model
                with FlopCounterMode(display=False) as count:
                    super().adapt(backbone, replace(task, val=None), hp, run)
                counted.append(count.get_total_flops())
            return super().adapt(backbone, task, hp, run)

    budget = {"trials": 1, "steps": 30, "batch_size": BATCH}
    (record,) = bench.run(bench.add(Counted), budget=budget)
    assert [record.flops["fit"]] == counted


def test_of_a_loop_that_tells_nothing_the_second_step_is_what_two_take_more_than_one(bench):
    """It starts with 2·3·4·5 operations, and takes 2·2·2·2 a step."""

    @dataclass(frozen=True)
    class Alone(LinearProbe):
        name: ClassVar[str] = "alone"

        def adapt(self, backbone, task, hp, run):
            torch.ones(3, 4) @ torch.ones(4, 5)
            for step in range(run.steps):
                torch.ones(2, 2) @ torch.ones(2, 2)
                run.report(step + 1, 0.5)
            return Guess()

        def adapt_batch(self, backbone, batch, run):
            return [self.adapt(backbone, task, hp, run) for task, hp in batch]

    class Guess:
        trained: ClassVar = {}

        def logits(self, inputs):
            return torch.zeros(len(inputs), CLASSES)

    (record,) = bench.run(bench.add(Alone))
    assert record.flops == {"fit": 120 + STEPS * 16, "predict": 0}


def test_an_episode_is_counted_whole(bench):
    """MAML takes fewer steps than the budget allows, and no validation tells how many."""
    problem = {
        "dataset": "glyphs",
        "args": {"per_class": 8},
        "protocol": "episodes",
        "ways": 3,
        "shots": [1],
        "queries": 2,
        "episodes": 3,
        "val_episodes": 2,
        "source": {"dataset": "digits"},
    }

    def flops(steps):
        args = {"meta_steps": 1, "tasks": 1, "adapt_steps": steps}
        budget = {"trials": 1, "steps": 20}
        (record,) = bench.run({"name": "maml", "args": args}, problems=[problem], budget=budget)
        return record.flops["fit"]

    one, two, five = flops(1), flops(2), flops(5)
    assert five - one == 4 * (two - one) > 0


def test_throughput_is_of_one_and_of_many(bench):
    (record,) = bench.run("linear_probe")
    assert set(record.throughput) == {"1", "256"}
    assert 0 < record.throughput["1"] < record.throughput["256"]


def test_a_result_does_not_depend_on_what_could_be_counted(bench):
    @dataclass(frozen=True)
    class Picky(LinearProbe):
        name: ClassVar[str] = "picky"

        def adapt(self, backbone, task, hp, run):
            if task.val is None:
                raise RuntimeError("I need validation")
            return super().adapt(backbone, task, hp, run)

    (record,) = bench.run(bench.add(Picky))
    assert record.status == "ok"
    assert record.metrics["accuracy"] > 0
    assert record.flops == {}
    assert "FLOPs could not be counted" in record.reason
    assert "I need validation" in record.reason


def test_none_of_it_is_billed(bench, monkeypatch):
    """The record's seconds stop before anything is counted."""
    from harness.run import costs

    slow = costs.predicting
    monkeypatch.setattr(costs, "predicting", lambda *given: (time.sleep(1.0), slow(*given))[1])
    (record,) = bench.run("linear_probe")
    assert record.seconds["total"] < 1.0


# ── meters ────────────────────────────────────────────────────────────────────────────────────


def test_sleep_is_billed_as_long_as_it_was(bench):
    slept = []

    @dataclass(frozen=True)
    class Sleeper(LinearProbe):
        name: ClassVar[str] = "sleeper"

        def adapt(self, backbone, task, hp, run):
            started = time.perf_counter()
            time.sleep(0.4)
            slept.append(time.perf_counter() - started)
            return super().adapt(backbone, task, hp, run)

    budget = {"trials": 1, "steps": 1}
    bench.run("linear_probe", budget=budget)  # warm: the model and the features are there
    (record,) = bench.run(bench.add(Sleeper), budget=budget)
    assert record.trials[0].fit_seconds == pytest.approx(slept[0], rel=0.05)
    assert record.seconds["fit"] == pytest.approx(slept[0], rel=0.05)


def test_memory_that_was_taken_and_given_back_is_in_the_peak(bench):
    size = 400 * 2**20

    @dataclass(frozen=True)
    class Hungry(LinearProbe):
        name: ClassVar[str] = "hungry"

        def adapt(self, backbone, task, hp, run):
            block = torch.ones(size, dtype=torch.uint8)
            time.sleep(0.05)  # where the system keeps no mark, a thread has to see it
            del block
            return super().adapt(backbone, task, hp, run)

    bench.run("linear_probe")
    (idle,) = bench.run("linear_probe", folder="again")
    (busy,) = bench.run(bench.add(Hungry))
    # What was freed earlier, and was too little to be given back, may be part of the block.
    assert busy.peak_host_bytes - idle.peak_host_bytes == pytest.approx(size, abs=1.5 * MUCH)


def test_memory_that_shared_weights_took_is_no_cell_s(bench):
    size = 400 * 2**20

    @dataclass(frozen=True)
    class Hungry(Supervised):
        name: ClassVar[str] = "hungry"

        def pretrain(self, *given, **settings):
            block = torch.ones(size, dtype=torch.uint8)
            time.sleep(0.05)
            del block
            return super().pretrain(*given, **settings)

    source = {"source": "digits", "method": bench.add(Hungry, "pretraining"), "steps": 2}
    backbone = {"model": "conv4", "input_size": 16, "args": {"width": 8}, "weights": source}
    problem = {"dataset": "glyphs", "args": {"per_class": 8}, "shots": [2]}
    words = {"backbones": [backbone], "problems": [problem]}
    bench.run("linear_probe", **words, cache="warm")
    (made,) = bench.run("linear_probe", **words, folder="made")
    (found,) = bench.run("linear_probe", **words, folder="found")
    assert ("pretrain" in made.cached, "pretrain" in found.cached) == (False, True)
    assert made.peak_host_bytes - found.peak_host_bytes == pytest.approx(0, abs=1.5 * MUCH)


def test_no_joules_are_made_up_where_nothing_counts_them(bench):
    (record,) = bench.run("linear_probe")
    assert record.joules is None
