"""StochNorm against the paper's mixture, written out in float64."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from harness_plugins.strategies.full_finetune import FullFinetune
from harness_plugins.strategies.linear_probe import LinearProbe
from harness_plugins.tricks.stochnorm import StochNorm, norms, stochastic
from timm.layers import BatchNormAct2d
from torch import nn

from harness.api import HarnessError, OneClass, Task, fit, recalibrated
from harness.testing import TrickChecks, a_run, digits, residual_backbone, shots, small_backbone


class TestStochNorm(TrickChecks):
    trick = StochNorm()


def drawn(norm, share):
    """The same norm with drawn statistics, in training."""
    norm = copy.deepcopy(norm)
    norm.__class__ = stochastic(type(norm))
    norm.share = share
    return norm.train()


@pytest.fixture
def given():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        norm = BatchNormAct2d(40)
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2.0)
        yield norm, 2 * torch.randn(6, 40, 5, 5) + 1


def test_each_channel_is_normalised_one_way_or_the_other(given):
    """x̂ = s · (x - μ_B) / σ_B + (1 - s) · (x - μ̃) / σ̃, then γ x̂ + β, and the activation."""
    norm, inputs = given
    torch.manual_seed(11)
    chosen = (torch.rand(40) < 0.3).double().view(40, 1, 1).numpy()
    torch.manual_seed(11)
    mixing = drawn(norm, 0.3)
    found = mixing(inputs).detach().numpy()

    x = inputs.double().numpy()
    mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3))
    old_mean, old_variance = (t.double().numpy() for t in (norm.running_mean, norm.running_var))

    def normalised(m, v):
        return (x - m[:, None, None]) / np.sqrt(v + norm.eps)[:, None, None]

    hat = chosen * normalised(mean, variance) + (1 - chosen) * normalised(old_mean, old_variance)
    weight, bias = (p.detach().double().numpy()[:, None, None] for p in norm.parameters())
    assert found == pytest.approx(np.maximum(weight * hat + bias, 0), abs=1e-4)
    assert 0 < chosen.mean() < 1
    count = x.size / 40
    expected = 0.9 * old_variance + 0.1 * variance * count / (count - 1)
    assert mixing.running_var.numpy() == pytest.approx(expected, rel=1e-4)
    assert mixing.running_mean.numpy() == pytest.approx(0.9 * old_mean + 0.1 * mean, abs=1e-5)
    assert mixing.num_batches_tracked == 1


def test_gradients_are_those_of_the_mixture_by_the_statistics_before_the_step(given):
    norm, inputs = given
    mixing = drawn(norm, 0.4).double()
    x = inputs.double().requires_grad_()
    mean, variance = mixing.running_mean.clone(), mixing.running_var.clone()
    torch.manual_seed(5)
    chosen = (torch.rand(40) < 0.4).double().view(40, 1, 1)
    torch.manual_seed(5)
    weights = torch.randn(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    wanted = [x, mixing.weight, mixing.bias]
    found = torch.autograd.grad((mixing(x) * weights).sum(), wanted)

    def normalised(mean, variance):
        return (x - mean.view(40, 1, 1)) / (variance.view(40, 1, 1) + norm.eps).sqrt()

    own = normalised(x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0))
    hat = chosen * own + (1 - chosen) * normalised(mean, variance)
    mixed = mixing.weight.view(40, 1, 1) * hat + mixing.bias.view(40, 1, 1)
    expected = torch.autograd.grad((mixed.relu() * weights).sum(), wanted)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_statistics_are_pooled_of_what_the_batches_own_give():
    """MAML's recalibration, of norms behind one another, against the same norms without draws."""
    backbone = small_backbone()
    task = Task(shots(digits(backbone), 6, 4), OneClass.of(4))
    recipe = FullFinetune().recipe(backbone, task, FullFinetune.defaults, a_run())
    recipe = StochNorm().amend(recipe, task, {"share": 0.5}, a_run())
    pooled, expected = (
        dict(recalibrated(each, task.train.inputs, 10).named_buffers())
        for each in (recipe.backbone, backbone)
    )
    assert any("running_var" in name for name in expected)
    assert all(torch.equal(pooled[name], value) for name, value in expected.items())


def test_each_step_draws_anew_and_predictions_draw_nothing(given):
    norm, inputs = given
    mixing = drawn(norm, 0.5)
    assert not torch.equal(mixing(inputs), mixing(inputs))
    norm.load_state_dict(mixing.state_dict())
    assert torch.equal(mixing.eval()(inputs), norm.eval()(inputs))


def test_with_a_share_of_one_it_is_batch_norm_in_training_bit_for_bit():
    backbone = small_backbone()
    task = Task(shots(digits(backbone), 6, 4), OneClass.of(4))
    hp, found = FullFinetune.defaults, []
    for share in (None, 1.0, 0.5):
        recipe = FullFinetune().recipe(backbone, task, hp, a_run())
        if share is not None:
            recipe = StochNorm().amend(recipe, task, {"share": share}, a_run())
        recipe = replace(recipe, batch_norm=recipe.batch_norm or "train")
        found.append(fit(recipe, task, a_run(batch_norm="frozen")).changed)
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    assert not torch.equal(found[0]["head.weight"], found[2]["head.weight"])


def test_the_backbone_that_was_given_stays_the_same():
    backbone = small_backbone()
    before, inputs = backbone.digest(), digits(backbone).inputs[:20]
    recipe = FullFinetune().recipe(backbone, None, FullFinetune.defaults, a_run())
    other = StochNorm().amend(recipe, None, {"share": 0.5}, None).backbone
    assert len(norms(other.body)) == 3
    assert torch.equal(other.features(inputs), backbone.features(inputs))
    assert backbone.digest() == before
    assert [*dict(other.body_parameters())] == [*dict(backbone.body_parameters())]


def test_a_model_without_batch_norm_is_refused():
    with pytest.raises(HarnessError, match="batch norms, and this model has none"):
        StochNorm().check_backbone(residual_backbone().to("meta"))
    StochNorm().check_backbone(small_backbone().to("meta"))


def test_a_strategy_that_trains_no_batch_norm_is_refused():
    backbone = small_backbone()
    task = Task(shots(digits(backbone), 6, 4), OneClass.of(4))
    strategy = LinearProbe().with_tricks([StochNorm()])
    with pytest.raises(HarnessError, match="batch norms that train, and here none does"):
        strategy.adapt(backbone, task, strategy.defaults, a_run())
