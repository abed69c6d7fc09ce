"""Tent against a bare loop over norms, SciPy's entropy, and the target's own statistics."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import torch
from harness_plugins.strategies.tent import Tent, entropy, norm_parameters, second_stage

from harness.api import Recipe, Unsupported, cosine, fit, recalibrated
from harness.testing import StrategyChecks, a_run, residual_backbone

HP = {"lr": 3e-2, "weight_decay": 1e-2, "tent_lr": 2e-2}


class TestTent(StrategyChecks):
    strategy = Tent()


def test_it_lowers_the_entropy():
    logits = np.random.default_rng(0).normal(size=(6, 4)) * 3
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    found = entropy(torch.from_numpy(logits), torch.zeros(6)).item()
    assert found == pytest.approx(scipy.stats.entropy(shares, axis=1).mean(), rel=1e-5)


@pytest.fixture(scope="module")
def given():
    """A task, what the source alone gives, and what Tent makes of it."""
    checks = StrategyChecks()
    checks.strategy = Tent()
    backbone, task = checks.given_task(classes=5, each=8, val=2)
    names = backbone.parameters_from(0)
    first = Recipe(backbone, names, lr=HP["lr"], weight_decay=HP["weight_decay"], steps=30)
    source = fit(first, replace(task, val=None), a_run(steps=40, batch_size=64))
    found = Tent().adapt(backbone, task, HP, a_run(steps=40, batch_size=64))
    return backbone, task, source, found


def test_norms_alone_train_as_in_a_bare_loop(given):
    """Ten steps, the last quarter, over all 50 inputs of the target at once."""
    _, task, source, found = given
    assert second_stage(40) == 10
    body = source.backbone.copied().train()
    names = norm_parameters(body)
    assert names == [f"body.{block}.1.{part}" for block in range(3) for part in ("weight", "bias")]
    own = dict(body.body_parameters())
    optimizer = torch.optim.Adam([own[name] for name in names])
    for step in range(10):
        optimizer.param_groups[0]["lr"] = HP["tent_lr"] * cosine(step / 10)
        shares = source.head(body(task.unlabelled[:])).softmax(1)
        optimizer.zero_grad()
        (-(shares * shares.log()).sum(1).mean()).backward()
        optimizer.step()
    for name, parameter in found.backbone.body_parameters():
        assert torch.allclose(parameter, own[name], rtol=1e-3, atol=1e-4), name
        before = dict(source.backbone.body_parameters())[name]
        assert torch.equal(parameter, before) == (name not in names)
    assert torch.equal(found.head.weight, source.head.weight)


def test_predictions_are_by_the_target_s_statistics(given):
    _, task, _, found = given
    body = found.backbone.copied().eval()
    convolution, norm = body.body[0][0], body.body[0][1]
    convolved = convolution((task.unlabelled[:].float() / 255 - 0.5) / 0.5)
    assert torch.allclose(norm.running_mean, convolved.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(norm.running_var, convolved.var((0, 2, 3)), rtol=1e-4)


def test_predictions_are_surer_than_by_the_statistics_alone(given):
    _, task, source, found = given
    adapted = recalibrated(source.backbone, task.unlabelled, 64)
    before = entropy(source.head(adapted(task.unlabelled[:])), torch.zeros(50))
    assert entropy(found.logits(task.unlabelled), torch.zeros(50)) < 0.98 * before


def test_what_it_refuses(given):
    backbone, task, _, _ = given
    with pytest.raises(Unsupported, match="unlabelled inputs of a target domain"):
        Tent().adapt(backbone, replace(task, unlabelled=None), HP, a_run())
    with pytest.raises(Unsupported, match="this model has none"):
        Tent().adapt(residual_backbone(), task, HP, a_run())
