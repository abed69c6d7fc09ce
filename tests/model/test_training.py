"""What a training loop needs to go on and to stop, against torch's own state and by hand."""

import copy
import math

import pytest
import torch
from torch import nn

from harness.api import Diverged, Training, cosine
from harness.model.descend import LossGuard


class TestTraining:
    def parts(self, width=3, dtype=torch.float32, kind=torch.optim.AdamW):
        model = nn.Linear(4, width, dtype=dtype)
        return model, kind(model.parameters(), lr=0.1)

    def test_state_is_that_of_torch_itself(self):
        """Modules and optimizers of every kind go on as with ``state_dict`` in memory."""
        for kind in (torch.optim.AdamW, torch.optim.Adagrad, torch.optim.LBFGS):
            model, optimizer = self.parts(kind=kind)

            def loss(model=model, optimizer=optimizer):
                optimizer.zero_grad()
                value = model(torch.ones(2, 4)).square().sum()
                value.backward()
                return value

            optimizer.step(loss)
            expected = copy.deepcopy(optimizer.state_dict())
            state = {n: t.clone() for n, t in Training(a=model, b=optimizer).state().items()}
            other = self.parts(kind=kind)
            Training(a=other[0], b=other[1]).load(state)
            assert_equal_trees(other[1].state_dict(), expected)

    def test_moments_keep_the_order_in_memory_that_a_fused_step_walks(self):
        model = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(model.parameters(), fused=True)
        model(torch.ones(1, 3, 5, 5)).sum().backward()
        optimizer.step()
        training = Training(model=model, optimizer=optimizer)
        training.load({name: t.clone().contiguous() for name, t in training.state().items()})
        moment = optimizer.state[model.weight]["exp_avg"]
        assert moment.stride() == model.weight.stride() != moment.contiguous().stride()

    @pytest.mark.parametrize(
        "other",
        [{"width": 5}, {"dtype": torch.float64}, {"kind": torch.optim.SGD}],
        ids=["shape", "dtype", "optimizer"],
    )
    def test_refuses_another_trainings_state(self, other):
        model, optimizer = self.parts(**other)
        state = Training(model=model, optimizer=optimizer).state()
        mine = self.parts()
        with pytest.raises(ValueError, match="the state has"):
            Training(model=mine[0], optimizer=mine[1]).load(state)
        with pytest.raises(ValueError, match="other parts"):
            Training(model=mine[0]).load(state)


def assert_equal_trees(one, other):
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_equal_trees(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for mine, theirs in zip(one, other, strict=True):
            assert_equal_trees(mine, theirs)
    else:
        assert one == other


class TestLossGuard:
    @pytest.mark.parametrize("loss", [float("nan"), float("inf"), -float("inf")])
    def test_ends_a_training_on_the_cpu_at_once(self, loss):
        guard = LossGuard(torch.device("cpu"), steps=100)
        guard.check(1, torch.tensor(1e30))
        with pytest.raises(Diverged, match="not a number by step 2"):
            guard.check(2, torch.tensor(loss))

    def test_looks_now_and_then_where_looking_means_to_wait(self):
        guard = LossGuard(torch.device("cpu"), steps=25)
        guard._every = 20
        guard.check(1, torch.tensor(math.nan))
        with pytest.raises(Diverged, match="by step 20"):
            guard.check(20, torch.tensor(1.0))
        guard = LossGuard(torch.device("cpu"), steps=25)
        guard._every = 20
        with pytest.raises(Diverged, match="by step 25"):
            guard.check(25, torch.tensor(math.nan))


def test_the_rate_falls_as_torchs_own_schedule_does():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(()))], lr=1.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 30)
    for done in range(30):
        assert cosine(done / 30) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        schedule.step()
