"""SGD with momentum, against its formula written out."""

import pytest
import torch
from harness_plugins.strategies.full_finetune import FullFinetune
from harness_plugins.strategies.maml import Maml
from harness_plugins.tricks.sam import Sam
from harness_plugins.tricks.sgd import Sgd

from harness.api import HarnessError, Recipe
from harness.testing import TrickChecks, a_run, small_backbone


class TestSgd(TrickChecks):
    trick = Sgd()


def test_all_rates_are_multiplied():
    recipe = Recipe(small_backbone(), ("body.2.0.weight",), lr={"": 0.1, "head": 0.2})
    assert Sgd().amend(recipe, None, {"times": 10.0}, None).lr == {"": 1.0, "head": 2.0}


def test_a_step_goes_by_a_decaying_sum_of_gradients():
    recipe = Sgd(momentum=0.5).amend(Recipe(small_backbone(), (), lr=0.1), None, {"times": 1}, None)
    parameter = torch.nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
    optimizer = recipe.optimizer([{"params": [parameter], "lr": 0.1, "weight_decay": 0.0}])
    velocity, expected = 0.0, 1.0
    for gradient in (3.0, -1.0, 2.0):
        parameter.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        velocity = 0.5 * velocity + gradient
        expected -= 0.1 * velocity
        assert parameter.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("strategy", [FullFinetune().with_tricks([Sam()]), Maml()])
def test_an_optimiser_of_another_is_not_dropped(strategy):
    backbone, task = TestSgd().given_task(classes=5, each=8, val=0)
    amended = strategy.with_tricks([*strategy.tricks, Sgd()])
    with pytest.raises(HarnessError, match="another optimiser") as refused:
        amended.adapt(backbone, task, amended.defaults, a_run())
    assert "before sam" in str(refused.value)


def test_sam_takes_the_steps_of_sgd():
    backbone, task = TestSgd().given_task(classes=5, each=8, val=0)
    recipe = Sgd().amend(Recipe(backbone, (), lr=0.1), task, {"times": 1.0}, a_run())
    sharp = Sam().amend(recipe, task, Sam.defaults, a_run())
    optimizer = sharp.optimizer([{"params": [torch.nn.Parameter(torch.ones(1))], "lr": 0.1}])
    assert isinstance(optimizer._inner, torch.optim.SGD)


def test_a_momentum_that_never_fades_is_refused():
    with pytest.raises(HarnessError, match="sgd's momentum is 1"):
        Sgd(momentum=1.0)
