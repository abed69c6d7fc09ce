"""The one training loop, against loops that are written out."""

import math
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from harness.api import Diverged, constant, cosine, descend
from harness.testing import a_run, cut_short

TARGETS = torch.arange(24.0).reshape(12, 2)


def batches(done):
    return iter(TARGETS[done:])


def gradient(model, target):
    loss = (model.weight.sum(0) - target).square().sum()
    loss.backward()
    return loss


def a_model():
    torch.manual_seed(0)
    return nn.Linear(2, 2, bias=False)


def trained(optimizer, schedule, steps, run):
    model = a_model()
    optimizer = optimizer(model.parameters())
    for _ in descend(
        batches, partial(gradient, model), optimizer, schedule, steps, run, model=model
    ):
        pass
    return model.weight.detach()


def test_it_takes_the_steps_of_a_loop_that_is_written_out():
    model = a_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for step in range(10):
        optimizer.param_groups[0]["lr"] = 0.1 * 0.5 * (1 + math.cos(math.pi * step / 10))
        optimizer.zero_grad()
        gradient(model, TARGETS[step])
        optimizer.step()
    sgd = partial(torch.optim.SGD, lr=0.1, momentum=0.9)
    assert torch.equal(trained(sgd, cosine, 10, a_run()), model.weight)


def test_an_optimiser_may_ask_more_than_once_in_a_step():
    """L-BFGS finds the least squares of the one batch that it sees."""
    lbfgs = partial(torch.optim.LBFGS, lr=1.0, max_iter=20)
    assert torch.allclose(trained(lbfgs, constant, 1, a_run()).sum(0), TARGETS[0], atol=1e-5)


def test_each_group_of_parameters_has_its_own_peak():
    first, second = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([{"params": [first]}, {"params": [second], "lr": 0.01}], lr=0.1)

    def slope(batch):
        loss = first + second
        loss.backward()
        return loss

    steps = descend(batches, slope, optimizer, lambda done: 1 - done, 2, a_run())
    rates = [[group["lr"] for group in optimizer.param_groups] for _ in steps]
    assert rates == [[0.1, 0.01], [0.05, 0.005]]


def test_a_training_that_was_cut_short_comes_to_the_same_end(tmp_path: Path):
    adam = partial(torch.optim.Adam, lr=0.1)
    whole = trained(adam, cosine, 12, a_run())
    resumed = cut_short(
        lambda run: trained(adam, cosine, 12, run), tmp_path / "checkpoint", after=7
    )
    assert torch.equal(resumed, whole)


def test_no_batch_is_asked_for_beyond_the_last_step():
    """As with inputs that are read from files, or a generator that others draw from."""
    left = iter(TARGETS)
    model = a_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in descend(lambda _: left, partial(gradient, model), optimizer, constant, 5, a_run()):
        pass
    assert torch.equal(next(left), TARGETS[5])


def test_a_loss_that_is_not_a_number_ends_it():
    with pytest.raises(Diverged, match="by step"):
        trained(partial(torch.optim.SGD, lr=1e30), constant, 12, a_run())


def test_the_user_is_told_now_and_then():
    run, told = a_run(), []
    run.progress = lambda done, total: told.append((done, total))
    weight = nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([weight], lr=0.1)

    def slope(batch):
        weight.square().backward()
        return weight

    for _ in descend(lambda done: range(done, 50), slope, optimizer, constant, 50, run):
        pass
    assert told == [(20, 50), (40, 50), (50, 50)]
