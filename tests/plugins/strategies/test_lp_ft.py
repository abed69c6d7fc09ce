"""Two stages: a probe, and all blocks from its head on."""

import numpy as np
import torch
from harness_plugins.strategies.full_finetune import FullFinetune
from harness_plugins.strategies.logistic_probe import LogisticProbe
from harness_plugins.strategies.lp_ft import LpFt
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from harness.api import OneClass, Task
from harness.testing import StrategyChecks, a_run, digits, shots, small_backbone

HP = {**LpFt.defaults}


class TestLpFt(StrategyChecks):
    strategy = LpFt()


def a_task(backbone):
    examples = digits(backbone)
    return Task(shots(examples, 20, 10), OneClass.of(10), shots(examples, 10, 10, skip=20))


def test_without_a_second_stage_it_is_the_probe_that_validates_best():
    """Of scikit-learn's, one a penalty."""
    backbone = small_backbone()
    task, run = a_task(backbone), a_run(steps=4, batch_norm="frozen")
    found = LpFt().adapt(backbone, task, {**HP, "lr": 0.0, "weight_decay": 0.0}, run)
    parts = task.train, task.val
    train, val = (backbone.features(p.inputs[:]).detach().double().numpy() for p in parts)
    centre, scale = train.mean(0), np.sqrt(((train - train.mean(0)) ** 2).mean())
    probes = {}
    for l2 in (1.0, 0.1, 0.01):
        model = LogisticRegression(C=1 / (len(train) * l2), tol=1e-8, max_iter=5000)
        model.fit((train - centre) / scale, task.train.labels.numpy())
        shares = model.predict_proba((val - centre) / scale)
        labels = task.val.labels.numpy()
        right = (shares.argmax(1) == labels).mean()
        probes[right, -log_loss(labels, shares)] = shares
    expected = probes[max(probes)]
    assert len(probes) == 3
    np.testing.assert_allclose(found.logits(task.val.inputs).softmax(1), expected, atol=5e-3)


def test_where_nothing_validates_the_penalty_is_the_probes_default():
    backbone = small_backbone()
    task = Task(a_task(backbone).train, OneClass.of(10))
    found = LpFt().adapt(backbone, task, {**HP, "lr": 0.0, "weight_decay": 0.0}, a_run(steps=4))
    expected = LogisticProbe().adapt(backbone, task, LogisticProbe.defaults, a_run())
    torch.testing.assert_close(found.head.weight, expected.head.plain().weight)


def test_the_second_stage_starts_from_the_probes_head_and_trains_all_blocks():
    backbone = small_backbone()
    task = a_task(backbone)
    run = a_run(steps=20)
    found = LpFt().adapt(backbone, task, HP, run)
    assert [step for step, _ in run.curve] == [5, 10, 15, 20]
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
