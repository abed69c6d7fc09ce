"""Two stages: a probe, and all blocks from its head on."""

import torch
from harness_plugins.strategies.full_finetune import FullFinetune
from harness_plugins.strategies.linear_probe import LinearProbe
from harness_plugins.strategies.lp_ft import LpFt

from harness.api import OneClass, Task
from harness.run.costs import adapting
from harness.testing import StrategyChecks, a_run, digits, shots, small_backbone

HP = {**LpFt.defaults}


class TestLpFt(StrategyChecks):
    strategy = LpFt()


def a_task(backbone):
    examples = digits(backbone)
    return Task(shots(examples, 20, 10), OneClass.of(10), shots(examples, 10, 10, skip=20))


def test_without_a_second_stage_it_is_a_linear_probe():
    backbone = small_backbone()
    task = Task(a_task(backbone).train, OneClass.of(10))
    found = LpFt().adapt(backbone, task, {**HP, "lr": 0.0, "weight_decay": 0.0}, a_run(steps=40))
    probe = {"lr": HP["probe_lr"], "weight_decay": 0.0}
    expected = LinearProbe().adapt(backbone, task, probe, a_run(steps=20))
    inputs = task.train.inputs
    torch.testing.assert_close(found.head.weight, expected.head.plain().weight)
    with torch.no_grad():
        logits = expected.head.plain()(backbone.features(inputs[:]))
    torch.testing.assert_close(expected.logits(inputs), logits, rtol=1e-3, atol=1e-3)


def test_the_second_stage_starts_from_the_probes_head_and_trains_all_blocks():
    backbone = small_backbone()
    task = a_task(backbone)
    run = a_run(steps=40)
    found = LpFt().adapt(backbone, task, HP, run)
    assert [step for step, _ in run.curve] == [5, 10, 15, 20]  # of the second stage alone
    plain = FullFinetune().adapt(backbone, task, FullFinetune.defaults, a_run(steps=20))
    assert found.trained.keys() == plain.trained.keys()
    right = [
        (model.logits(task.val.inputs).argmax(1) == task.val.labels).float().mean().item()
        for model in (found, plain)
    ]
    assert right[0] > right[1]


def test_the_first_stage_runs_the_backbone_once_for_each_input():
    backbone = small_backbone()
    seen = []
    backbone.body[0].register_forward_hook(lambda module, args, out: seen.append(len(out)))
    task = Task(a_task(backbone).train, OneClass.of(10))
    LpFt().recipe(backbone, task, HP, a_run(steps=200, batch_size=16))
    assert sum(seen) <= len(task.train) + 40  # and a batch to learn the shape


def test_its_operations_are_those_of_both_stages():
    """Counted by proportion, and by doing it all."""
    backbone = small_backbone()
    task = a_task(backbone)
    LpFt().adapt(backbone, task, HP, a_run(steps=2))  # what is found out about a model once

    def counted(steps):
        return adapting(LpFt(), backbone, task, HP, a_run(steps=40, batch_size=16), steps)

    assert counted(20) == counted(None)
