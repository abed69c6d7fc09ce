"""All tricks at once: each has its effect, and the training repeats, resumes and comes back from
disk."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from harness_plugins.strategies.full_finetune import FullFinetune
from harness_plugins.strategies.linear_probe import LinearProbe
from harness_plugins.tricks.adversarial import Adversarial
from harness_plugins.tricks.balanced import Balanced
from harness_plugins.tricks.bss import Bss
from harness_plugins.tricks.class_weights import ClassWeights
from harness_plugins.tricks.cutmix import Cutmix
from harness_plugins.tricks.dropout import Dropout
from harness_plugins.tricks.ema import Ema
from harness_plugins.tricks.focal import Focal
from harness_plugins.tricks.head_lr import HeadLr
from harness_plugins.tricks.label_smoothing import LabelSmoothing
from harness_plugins.tricks.llrd import Llrd
from harness_plugins.tricks.mixup import Mixup
from harness_plugins.tricks.randaugment import RandAugment
from harness_plugins.tricks.sam import Sam
from harness_plugins.tricks.stochastic_depth import StochasticDepth
from harness_plugins.tricks.warmup import Warmup

from harness.api import Augment
from harness.testing import StrategyChecks, a_run, cut_short, residual_backbone, whole

ALL = [
    Warmup(),
    Llrd(),
    HeadLr(),
    LabelSmoothing(),
    ClassWeights(),
    Focal(),
    Balanced(),
    RandAugment(),
    Mixup(),
    Cutmix(),
    Adversarial(steps=2),
    Bss(),
    Dropout(),
    StochasticDepth(),
    Sam(),
    Ema(),
]


class TestTogether(StrategyChecks):
    strategy = FullFinetune().with_tricks(ALL)

    def given_task(self, **sizes):
        _, task = super().given_task(**sizes)
        return residual_backbone(), task


def trained(strategy, run):
    """What is learned of classes that have 8 examples, 6 and none."""
    backbone, task = TestTogether().given_task(classes=5, each=8, val=4)
    task = replace(task, train=task.train.subset(torch.arange(30)))
    return strategy.adapt(backbone, task, strategy.defaults, run).trained


def test_views_that_the_suite_asks_for_go_first_and_resume_too(tmp_path):
    strategy = FullFinetune().with_tricks(ALL)

    def work(run):
        run.augment = Augment(shift=0.1, rotate=10)
        return trained(strategy, run)

    expected = whole(work)
    found = cut_short(work, tmp_path / "checkpoint", after=13)
    assert all(torch.equal(found[name], value) for name, value in expected.items())


@pytest.mark.parametrize("order", [ALL, [LabelSmoothing(), *ALL[::-1]]])
def test_in_whatever_order(order):
    tricks = list({trick.name: trick for trick in order}.values())
    run = a_run(steps=3)
    found = trained(FullFinetune().with_tricks(tricks), run)
    assert all(value.isfinite().all() for value in found.values())


@pytest.mark.parametrize("left_out", ALL, ids=lambda trick: trick.name)
def test_each_has_its_effect_beside_all_others(left_out):
    others = [trick for trick in ALL if trick is not left_out]
    everything, found = (
        whole(partial(trained, FullFinetune().with_tricks(tricks)), steps=6)
        for tricks in (ALL, others)
    )
    both = found.keys() & everything.keys()
    assert any(not torch.equal(found[name], everything[name]) for name in both)


def test_those_of_the_head_alone_go_together_on_a_probe():
    head_only = [t for t in ALL if not isinstance(t, Llrd | HeadLr | Bss | StochasticDepth)]
    strategy = LinearProbe().with_tricks(head_only)
    found = trained(strategy, a_run(steps=3))
    assert {*found} == {"head.1.weight", "head.1.bias"}
