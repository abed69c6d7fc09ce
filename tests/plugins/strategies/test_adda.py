"""ADDA: its two losses by SciPy and by hand, and its second half in a bare loop."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from harness_plugins.strategies.adda import Adda, Deceived, second_half
from scipy.special import log_expit
from torch import nn

from harness.api import Recipe, Unsupported, cosine, fit
from harness.testing import RegulariserChecks, StrategyChecks, a_run

HP = {"lr": 1e-2, "weight_decay": 1e-2, "adda_lr": 5e-3}


class TestAdda(StrategyChecks):
    strategy = Adda()


class TestDeceived(RegulariserChecks):
    def given(self, backbone, task, run):
        return Deceived(backbone.features(task.train.inputs[:]).detach(), 6)


class Part:
    progress = 0.5

    def __init__(self, features):
        self.features = features
        self.generator = torch.Generator().manual_seed(0)

    def __len__(self):
        return len(self.features)


def test_both_losses_are_the_paper_s():
    """−log D(s) − log(1 − D(t)) for the adversary, over twice as many, and −log D(t) for the
    features, each with a gradient of its own alone. All source features are one."""
    torch.manual_seed(0)
    adversary = Deceived(torch.tensor([[0.4, -1.0]]).expand(3, 2), 5)
    target = torch.randn(4, 2, requires_grad=True)
    loss = adversary.penalty(Part(target))
    loss.backward()

    def answers(features):
        (first, second), (third, fourth) = (
            [p.detach().double().numpy() for p in adversary.classify[layer].parameters()]
            for layer in (0, 2)
        )
        return (np.maximum(features @ first.T + second, 0) @ third.T + fourth)[:, 0]

    given = target.detach().double().numpy()
    source = answers(np.array([[0.4, -1.0]] * 4))
    telling = -(log_expit(source).sum() + log_expit(-answers(given)).sum()) / 8
    assert loss.item() == pytest.approx(telling - log_expit(answers(given)).mean(), rel=1e-5)
    nudged = given.copy()
    nudged[1, 0] += 1e-5
    slope = (log_expit(answers(given)).mean() - log_expit(answers(nudged)).mean()) / 1e-5
    assert target.grad[1, 0].item() == pytest.approx(slope, rel=1e-3)
    own = [p.grad.clone() for p in adversary.parameters()]
    adversary.zero_grad()
    adversary.loss(adversary.source[[0] * 4], target.detach(), 0.5).backward()
    assert all(torch.equal(p.grad, one) for p, one in zip(adversary.parameters(), own, strict=True))


@pytest.fixture(scope="module")
def given():
    """A task, what the source alone gives, and what ADDA makes of it."""
    checks = StrategyChecks()
    checks.strategy = Adda()
    backbone, task = checks.given_task(classes=5, each=8, val=2)
    names = backbone.parameters_from(0)
    first = Recipe(backbone, names, lr=HP["lr"], weight_decay=HP["weight_decay"], steps=10)
    source = fit(first, replace(task, val=None), a_run(steps=20, batch_size=64))
    found = Adda().adapt(backbone, task, HP, a_run(steps=20, batch_size=64))
    return backbone, task, source, found


def test_the_second_half_is_a_bare_loop(given):
    """Ten steps over all 50 inputs of the target at once, with the source features as drawn."""
    _, task, source, found = given
    assert second_half(20) == 10
    known = source.features(task.train.inputs)
    with a_run().seeded("adversary"):
        adversary = nn.Sequential(nn.Linear(8, 100), nn.ReLU(), nn.Linear(100, 1), nn.Flatten(0))
    body, draws = source.backbone.copied().train(), a_run().generator("regularisers")
    one, other = (torch.optim.AdamW(m.parameters(), weight_decay=0) for m in (adversary, body))
    ones, zeros = torch.ones(50), torch.zeros(50)
    for step in range(10):
        features = body(task.unlabelled[:])
        drawn = known[torch.randint(len(known), (50,), generator=draws)]
        answers = adversary(torch.cat([drawn, features.detach()]))
        telling = nn.functional.binary_cross_entropy_with_logits(answers, torch.cat([ones, zeros]))
        deceiving = nn.functional.binary_cross_entropy_with_logits(adversary(features), ones)
        wanted = torch.autograd.grad(deceiving, [*body.parameters()], retain_graph=True)
        theirs = torch.autograd.grad(telling, [*adversary.parameters()])
        for optimizer, grads in ((one, theirs), (other, wanted)):
            group = optimizer.param_groups[0]
            group["lr"] = HP["adda_lr"] * cosine(step / 10)
            for parameter, gradient in zip(group["params"], grads, strict=True):
                parameter.grad = gradient
            optimizer.step()
    before = dict(source.backbone.body_parameters())
    for name, parameter in found.backbone.body_parameters():
        assert not torch.equal(parameter, before[name])
        if not name.endswith("0.bias"):  # which the norm behind it takes away: it goes by rounding
            assert torch.allclose(parameter, dict(body.body_parameters())[name], atol=1e-3), name
    assert torch.equal(found.head.weight, source.head.weight)


def test_without_a_target_it_is_refused(given):
    backbone, task, _, _ = given
    with pytest.raises(Unsupported, match="adda needs unlabelled inputs of a target domain"):
        Adda().adapt(backbone, replace(task, unlabelled=None), HP, a_run())
