"""Learning without forgetting, against the paper's equations written out."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from harness_plugins.strategies._source_head import source_logits, with_source_head
from harness_plugins.strategies.lp_ft import LpFt
from harness_plugins.strategies.lwf import Lwf, OldAnswers
from scipy.special import softmax
from torch import nn

from harness.api import Batch, OneClass, Source, Task, fit
from harness.testing import (
    RegulariserChecks,
    StrategyChecks,
    a_run,
    digits,
    residual_backbone,
    shots,
    small_backbone,
)


class TestLwf(StrategyChecks):
    strategy = Lwf()


class TestOldAnswers(RegulariserChecks):
    def given(self, backbone, task, run):
        draws = torch.Generator().manual_seed(0)
        answers = torch.randn(len(task.train), 6, generator=draws)
        return OldAnswers(nn.Linear(8, 6), answers, 2.0)


def test_it_is_the_papers_distillation_loss():
    """L_old = -Σ_c y'_c log ŷ'_c with y' = y^(1/2) / Σ y^(1/2), of probabilities y."""

    class Model:
        backbone, entry = small_backbone(), 0

        def forward(self, inputs, stored):
            return inputs

    draws = np.random.default_rng(0)
    before, features = draws.normal(size=(7, 5)), draws.normal(size=(3, 4))
    head = nn.Linear(4, 5)
    old = OldAnswers(head, torch.tensor(before, dtype=torch.float32), 1.5)
    index = torch.tensor([6, 0, 2])
    shown = torch.tensor(features, dtype=torch.float32)
    weight, bias = (p.detach().double().numpy() for p in head.parameters())

    def softened(logits):
        roots = softmax(logits, axis=1) ** 0.5
        return roots / roots.sum(1, keepdims=True)

    wanted, told = softened(before[[6, 0, 2]]), softened(features @ weight.T + bias)
    expected = -1.5 * (wanted * np.log(told)).sum() / 3
    batch = Batch(Model(), shown, None, index, 0.0, torch.Generator())
    assert old.penalty(batch).item() == pytest.approx(expected, rel=1e-5)


@pytest.fixture(scope="module")
def given():
    """A backbone that knows its source, five digits, and a task of the others."""
    backbone = residual_backbone()
    examples = digits(backbone)
    source = Source(shots(examples, 40, 5), OneClass.of(5))
    later = examples.subset(torch.nonzero(examples.labels >= 5).flatten())
    later = shots(replace(later, labels=later.labels - 5), 12, 5)
    return with_source_head(backbone, source, a_run()).eval(), Task(later, OneClass.of(5))


def test_what_the_source_was_told_of_is_kept(given):
    backbone, task = given
    hp = {**Lwf.defaults, "lr": 1e-2}
    before = source_logits(backbone, task, task.train.inputs, a_run()).softmax(1)

    def forgotten(weight):
        """How far the answers of the first head, which does not train here, come to be."""
        recipe = Lwf().recipe(backbone, task, {**hp, "weight": weight}, a_run(steps=60))
        recipe = replace(recipe, lr={"": 1e-2, "regularisers": 0.0})
        model = fit(recipe, task, a_run(steps=60))
        head = copy.deepcopy(recipe.regularisers[0].head)
        with torch.no_grad():
            after = head(model.features(task.train.inputs)).softmax(1)
        return (after - before).abs().sum(1).mean().item()

    assert forgotten(10.0) < 0.7 * forgotten(1e-3)


def test_it_warms_up_as_lp_ft_does_and_the_old_head_trains_along(given):
    backbone, task = given
    plain = LpFt().recipe(backbone, task, LpFt.defaults, a_run())
    recipe = Lwf().recipe(backbone, task, Lwf.defaults, a_run())
    assert torch.equal(recipe.head.weight, plain.head.weight)
    assert (recipe.lr, recipe.steps, set(recipe.trainable)) == (
        plain.lr,
        plain.steps,
        set(plain.trainable),
    )
    (old,) = recipe.regularisers
    assert torch.equal(old.head.weight, backbone.extras["source_head.weight"])
    assert [name for name, _ in old.named_parameters()] == ["head.weight", "head.bias"]
