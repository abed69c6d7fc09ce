"""Batch norm's statistics after adapting, against NumPy over all inputs; and no batch of one."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from harness.api import (
    Classifier,
    Examples,
    ImageBackbone,
    Inputs,
    OneClass,
    Recalibration,
    Recipe,
    Task,
    Unsupported,
    fit,
)
from harness.data.resident import ResidentPool
from harness.model.normalisation import recalibrate, recalibrated, slices
from harness.testing import RegulariserChecks, a_run, digits, shots, small_backbone


@given(st.integers(1, 200), st.integers(1, 70))
def test_slices_are_whole_and_none_is_of_one(count, most):
    sizes = slices(count, most, several=True)
    assert sum(sizes) == count
    assert min(sizes) > 1 or count == 1
    assert max(sizes) <= max(most, 3)
    plain = [len(part) for part in torch.zeros(count).split(most)]
    assert slices(count, most, several=False) == plain
    assert sizes == plain or 1 in plain


def grey(values):
    """Images of one pixel, and a model that normalises it, twice."""
    body = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(1), nn.ReLU(), nn.BatchNorm1d(1))
    backbone = ImageBackbone(body, [["1"], ["3"]], input_size=1, mean=[0.0], std=[1 / 255]).eval()
    pixels = torch.tensor(values, dtype=torch.uint8).reshape(-1, 1, 1, 1)
    inputs = Inputs(ResidentPool(pixels), torch.arange(len(values)))
    return backbone, Examples(inputs, torch.arange(len(values)) % 2)


def after_training(backbone, examples, batch_size):
    run = a_run(batch_size=batch_size)
    names = backbone.parameters_from(0)
    model = Classifier(Recipe(backbone, names, lr=0.1), Task(examples, OneClass.of(2)), run)
    recalibrate(model, examples.inputs, batch_size)
    return model.backbone.body


@pytest.mark.parametrize("batch_size", [1, 2, 64, 65, 66])
def test_each_input_weighs_alike_whatever_its_slice(batch_size):
    """64 zeros and 2 hundreds: mean 200 / 66, and the variance between slices counts."""
    values = [0] * 64 + [100] * 2
    body = after_training(*grey(values), batch_size)
    assert body[1].running_mean.item() == pytest.approx(np.mean(values), rel=1e-6)
    assert body[1].running_var.item() == pytest.approx(np.var(values, ddof=1), rel=1e-6)
    assert body[1].momentum == 0.1


def test_a_norm_behind_another_pools_what_it_sees_of_each_slice():
    values = np.arange(65) % 7 * 20
    body = after_training(*grey(values.tolist()), 64)
    parts = values[:33].astype(float), values[33:].astype(float)
    seen = [np.maximum((part - part.mean()) / np.sqrt(part.var() + 1e-5), 0) for part in parts]
    together = np.concatenate(seen)
    assert body[3].running_mean.item() == pytest.approx(together.mean(), rel=1e-5)
    assert body[3].running_var.item() == pytest.approx(together.var(ddof=1), rel=1e-5)


def test_one_slice_is_a_pass_of_torchs_own_bit_for_bit():
    backbone = small_backbone()
    examples = shots(digits(backbone), 5, 10)
    body = after_training(backbone, examples, 1000)
    plain = small_backbone().train()
    for norm in (block[1] for block in plain.body[:3]):
        norm.reset_running_stats()
        norm.momentum = None
    plain.features(examples.inputs[:])
    for block, expected in zip(body[:3], plain.body[:3], strict=True):
        for name, buffer in expected[1].named_buffers():
            assert torch.equal(dict(block[1].named_buffers())[name], buffer)


@pytest.mark.parametrize(("examples", "batch_size"), [(4, 1), (1, 64)])
def test_a_batch_of_one_is_refused_where_batch_norm_trains(examples, batch_size):
    backbone, all_of_it = grey(range(examples))
    run = a_run(steps=1, batch_size=batch_size)
    with pytest.raises(Unsupported, match=r"here a batch has one: (raise batch_size|give more)"):
        fit(
            Recipe(backbone, backbone.parameters_from(0), lr=0.1),
            Task(all_of_it, OneClass.of(2)),
            run,
        )
    fit(Recipe(backbone, (), lr=0.1), Task(all_of_it, OneClass.of(2)), run)


@pytest.mark.parametrize("micro_batch", [1, 2, 4])
def test_no_part_of_a_batch_is_of_one(micro_batch):
    backbone, examples = grey(range(5))
    run = a_run(steps=1)
    run.micro_batch = micro_batch
    model = fit(
        Recipe(backbone, backbone.parameters_from(0), lr=0.1), Task(examples, OneClass.of(2)), run
    )
    assert model.logits(examples.inputs).isfinite().all()


class TestRecalibration(RegulariserChecks):
    def given(self, backbone, task, run):
        return Recalibration(task.train.inputs, run.batch_size)

    @pytest.mark.parametrize("validated", [False, True])
    def test_what_is_kept_has_the_statistics_of_its_own_weights(self, validated):
        """Whichever state that is: to set them again changes nothing."""
        recipe, task = self._recipe(a_run())
        task = task if validated else Task(task.train, OneClass.of(5))
        model = fit(recipe, task, a_run())
        before = [buffer.clone() for buffer in model.backbone.buffers()]
        recalibrate(model, task.train.inputs, a_run().batch_size)
        assert all(map(torch.equal, model.backbone.buffers(), before))


class TestMode:
    """What batch norms do in blocks that train."""

    def trained(self, **given):
        backbone, run = small_backbone(), a_run(steps=5, batch_norm=given.pop("run", "train"))
        task = Task(shots(digits(backbone), 8, 10), OneClass.of(10))
        before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
        recipe = Recipe(backbone, backbone.parameters_from(0), lr=1e-3, **given)
        return fit(recipe, task, run), before

    @pytest.mark.parametrize("given", [{"run": "frozen"}, {"batch_norm": "frozen"}])
    def test_frozen_ones_keep_their_statistics_and_train_weight_and_bias(self, given):
        model, before = self.trained(**given)
        after = model.backbone.state_dict()
        norms = [n for n, m in model.backbone.named_modules() if isinstance(m, nn.BatchNorm2d)]
        assert norms
        for norm in norms:
            for name in ("running_mean", "running_var", "num_batches_tracked"):
                assert torch.equal(after[f"{norm}.{name}"], before[f"{norm}.{name}"])
            for name in ("weight", "bias"):
                assert not torch.equal(after[f"{norm}.{name}"], before[f"{norm}.{name}"])

    def test_a_step_is_that_of_the_model_in_evaluation_mode(self):
        """By torch alone: the same loss, from the same start, by hand."""
        backbone = small_backbone()
        task = Task(shots(digits(backbone), 2, 10), OneClass.of(10))
        recipe = Recipe(
            backbone,
            backbone.parameters_from(0),
            lr=0.1,
            batch_norm="frozen",
            optimizer=torch.optim.SGD,
            schedule=lambda done: 1.0,
        )
        model = fit(recipe, task, a_run(steps=1))
        by_hand = copy.deepcopy(backbone).eval()
        head = nn.Linear(by_hand.num_features, 10)
        nn.init.zeros_(head.weight), nn.init.zeros_(head.bias)
        parameters = [*by_hand.body.parameters(), *head.parameters()]
        loss = F.cross_entropy(head(by_hand.features(task.train.inputs[:])), task.train.labels)
        for parameter, slope in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            parameter.data -= 0.1 * slope
        assert torch.allclose(model.head.weight, head.weight, atol=1e-6)
        after = dict(model.backbone.body_parameters())
        for name, parameter in by_hand.body_parameters():
            assert torch.allclose(after[name], parameter, atol=1e-6)

    def test_a_recipe_has_the_last_word(self):
        model, before = self.trained(run="frozen", batch_norm="train")
        after = model.backbone.state_dict()
        assert any(not torch.equal(after[n], before[n]) for n in after if "running_mean" in n)

    def test_frozen_ones_take_batches_of_one(self):
        backbone = small_backbone()
        task = Task(shots(digits(backbone), 1, 2), OneClass.of(2))
        recipe = Recipe(backbone, backbone.parameters_from(0), lr=1e-3)
        run = a_run(steps=2, batch_size=1, batch_norm="frozen")
        assert fit(recipe, task, run).logits(task.train.inputs).isfinite().all()
        with pytest.raises(Unsupported, match="batch has one"):
            fit(recipe, task, a_run(steps=2, batch_size=1))


@pytest.mark.parametrize("batch_size", [2, 65, 66])
def test_a_frozen_backbone_is_given_the_statistics_that_a_trained_one_would_have(batch_size):
    backbone, examples = grey([0] * 64 + [100] * 2)
    before = backbone.digest()
    found = recalibrated(backbone, examples.inputs, batch_size)
    expected = after_training(backbone, examples, batch_size)
    for ours, theirs in zip(found.body.buffers(), expected.buffers(), strict=True):
        assert torch.equal(ours, theirs)
    assert backbone.digest() == before != found.digest()
    assert not any(module.training for module in found.modules())
    assert all(a is b for a, b in zip(found.parameters(), backbone.parameters(), strict=True))
    assert found.start is backbone


def test_a_backbone_without_norms_is_left_as_it_is():
    body = nn.Sequential(nn.Flatten(), nn.Linear(256, 4))
    backbone = ImageBackbone(body, [["1"]], input_size=16, mean=[0.5], std=[0.5]).eval()
    inputs = shots(digits(backbone), 1, 2).inputs
    assert recalibrated(backbone, inputs, 32) is backbone


def test_one_input_has_no_statistics():
    backbone, examples = grey([0, 100])
    with pytest.raises(Unsupported, match="here is one: give more than one training example"):
        recalibrated(backbone, examples.inputs.subset(torch.tensor([0])), 32)
