"""WiSE-FT between its two ends, against networks whose weights are mixed by hand."""

import copy

import pytest
import torch
from harness_plugins.strategies.lp_ft import LpFt
from harness_plugins.strategies.wise_ft import WiseFt, score
from sklearn.metrics import accuracy_score, log_loss
from torch import nn

from harness.api import Diverged, OneClass, Task
from harness.testing import StrategyChecks, a_run, digits, shots, small_backbone

HP = {**WiseFt.defaults, "lr": 1e-3}


class TestWiseFt(StrategyChecks):
    strategy = WiseFt()


@pytest.fixture(scope="module")
def given():
    backbone = small_backbone()
    examples = digits(backbone)
    return backbone, Task(shots(examples, 12, 6), OneClass.of(6), shots(examples, 30, 6, skip=12))


def mixed(backbone, probe, tuned, alpha):
    """A plain network of which each number lies between those of two others, in float64."""
    body, head = copy.deepcopy(tuned.backbone.body), copy.deepcopy(tuned.head)
    pairs = [
        (body.state_dict(), backbone.body.state_dict(), tuned.backbone.body.state_dict()),
        (head.state_dict(), probe.state_dict(), tuned.head.state_dict()),
    ]
    for own, first, last in pairs:
        for name, value in own.items():
            if value.is_floating_point():
                between = (1 - alpha) * first[name].double() + alpha * last[name].double()
                value.copy_(between)
    return nn.Sequential(body, head).eval()


def test_it_is_the_mixture_that_validates_best(given):
    backbone, task = given
    run = a_run(steps=20, batch_norm="frozen")
    probe = LpFt().recipe(backbone, task, HP, a_run(steps=20, batch_norm="frozen")).head
    tuned = LpFt().adapt(backbone, task, HP, run)
    seen, labels = backbone.normalise(task.val.inputs[:]), task.val.labels.numpy()
    found = {}
    with torch.no_grad():
        for step in range(11):
            alpha = step / 10
            logits = mixed(backbone, probe, tuned, alpha)(seen)
            shares = logits.double().softmax(1).numpy()
            right = accuracy_score(labels, shares.argmax(1))
            found[alpha] = (right, -log_loss(labels, shares)), logits
    best = max(found, key=lambda alpha: found[alpha][0])
    model = WiseFt().adapt(backbone, task, HP, a_run(steps=20, batch_norm="frozen"))
    torch.testing.assert_close(model.logits(task.val.inputs), found[best][1], rtol=1e-3, atol=1e-3)
    assert 0 < best < 1
    assert found[best][0] > max(found[0.0][0], found[1.0][0])


def test_without_validation_it_is_half_way(given):
    backbone, task = given
    task = Task(task.train, task.target)
    probe = LpFt().recipe(backbone, task, HP, a_run(steps=20, batch_norm="frozen")).head
    tuned = LpFt().adapt(backbone, task, HP, a_run(steps=20, batch_norm="frozen"))
    model = WiseFt().adapt(backbone, task, HP, a_run(steps=20, batch_norm="frozen"))
    expected = mixed(backbone, probe, tuned, 0.5)
    with torch.no_grad():
        logits = expected(backbone.normalise(task.train.inputs[:]))
    torch.testing.assert_close(model.logits(task.train.inputs), logits, rtol=1e-3, atol=1e-3)


def test_what_lies_between_comes_back_from_disk_bit_for_bit(given, tmp_path):
    backbone, task = given
    model = WiseFt().adapt(backbone, task, HP, a_run(steps=20, batch_norm="frozen"))
    model.save(tmp_path / "one.safetensors")
    again = WiseFt().restore(
        tmp_path / "one.safetensors", copy.deepcopy(backbone), task.target, HP, a_run(steps=1)
    )
    assert torch.equal(again.logits(task.val.inputs), model.logits(task.val.inputs))


def test_a_mixture_that_is_not_finite_is_a_diverged_trial(given):
    backbone, task = given
    model = LpFt().adapt(backbone, task, HP, a_run(steps=4))
    state = {name: value / 0 for name, value in model.state_dict().items()}
    with pytest.raises(Diverged, match="between the two ends are not finite"):
        score(model, state, task)
