"""Predictors come back from disk with the same logits, bit for bit."""

import copy

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from harness.api import (
    Classifier,
    HarnessError,
    OneClass,
    Recipe,
    Task,
    fit,
    fit_heads,
    restore,
    standardised_head,
)
from harness.testing import a_run, digits, shots


@pytest.fixture
def task(backbone):
    examples = digits(backbone)
    return Task(shots(examples, 10, 10), OneClass.of(10), shots(examples, 10, 10, skip=10))


def again(model, backbone, task, file, head=None, run=None):
    """Whether the model's logits are those of what comes back on a fresh copy of ``backbone``."""
    model.save(file)
    recipe = Recipe(copy.deepcopy(backbone), (), lr=0.0, head=head)
    restored = restore(file, recipe, task, run or a_run())
    assert {*restored.trained} == {*model.trained}
    return torch.equal(restored.logits(task.val.inputs), model.logits(task.val.inputs))


@pytest.mark.parametrize("first", [0, 2, 3])
def test_parameters_buffers_and_centre_are_all_saved(backbone, task, tmp_path, first):
    names, run = backbone.parameters_from(first), a_run()
    head = None if names else standardised_head(backbone, task, run)
    model = fit(Recipe(backbone, names, lr=1e-2, head=head), task, run)
    assert again(model, backbone, task, tmp_path / "model", head=head)
    saved = load_file(tmp_path / "model")
    assert sum(name.endswith("running_var") for name in saved) == 3 - first
    assert {*saved} - {*model.trained} == {*model.changed} - {*model.trained}


@pytest.mark.parametrize("first", [0, 1])
def test_a_chain_of_trainings_has_all_that_changed(backbone, task, tmp_path, first):
    """The blocks of the first stage are frozen in the second, and no batch normalises them."""
    one = fit(Recipe(backbone, backbone.parameters_from(first), lr=1e-2), task, a_run())
    before = one.backbone.digest()
    names = one.backbone.parameters_from(2)
    two = fit(Recipe(one.backbone, names, lr=1e-2, head=one.head), task, a_run())
    assert one.backbone.digest() == before
    assert {*two.trained} == {"head.weight", "head.bias", *backbone.parameters_from(first)}
    assert again(two, backbone, task, tmp_path / "model")
    head = standardised_head(two.backbone, task, a_run())
    three = fit(Recipe(two.backbone, (), lr=1e-2, head=head), task, a_run())
    assert again(three, backbone, task, tmp_path / "model", head=head)


def test_what_an_earlier_version_standardised_with_is_found(backbone, task, tmp_path):
    head = standardised_head(backbone, task, a_run())
    model = fit(Recipe(backbone, (), lr=1e-2, head=head), task, a_run())
    model.save(tmp_path / "new")
    earlier = {"head.centre": "features.centre", "head.scale": "features.scale"}
    saved = {earlier.get(name, name): t for name, t in load_file(tmp_path / "new").items()}
    save_file(saved, tmp_path / "old", metadata={"entry": "3"})
    recipe = Recipe(backbone, (), lr=0.0, head=head)
    restored = restore(tmp_path / "old", recipe, task, a_run())
    assert torch.equal(restored.logits(task.val.inputs), model.logits(task.val.inputs))


class TestHeads:
    @staticmethod
    def head():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 10))

    def test_of_any_form_train_and_come_back(self, backbone, task, tmp_path):
        model = fit(Recipe(backbone, (), lr=1e-2, head=self.head()), task, a_run())
        assert again(model, backbone, task, tmp_path / "model", head=self.head())
        together = model.logits(task.val.inputs)
        alone = model.logits(task.val.inputs.subset(torch.tensor([3])))
        assert torch.allclose(together[3:4], alone, atol=1e-5)

    def test_that_are_not_linear_are_fitted_one_by_one(self, backbone, task):
        heads = [self.head(), nn.Linear(8, 10, bias=False)]
        recipes = [Recipe(backbone, (), lr=1e-2, head=head) for head in heads]
        models = fit_heads(recipes, [task, task], a_run(steps=4))
        expected = [fit(recipe, task, a_run(steps=4)) for recipe in recipes[1:]]
        assert torch.equal(models[1].head.weight, expected[0].head.weight)


def test_bfloat16_comes_back_in_bfloat16(backbone, task, tmp_path):
    run = a_run(steps=4)
    run.precision = "bfloat16"
    model = fit(Recipe(backbone, backbone.parameters_from(1), lr=1e-2), task, run)
    assert again(model, backbone, task, tmp_path / "model", run=run)


def test_files_that_do_not_fit_are_refused(backbone, task, tmp_path):
    file = tmp_path / "model.safetensors"
    recipe, run = Recipe(backbone, (), lr=0.0), a_run()
    with pytest.raises(HarnessError, match="cannot read a predictor"):
        restore(file, recipe, task, run)
    save_file({"head.weight": torch.zeros(10, 8)}, file)
    with pytest.raises(HarnessError, match="by an earlier version"):
        restore(file, recipe, task, run)
    Classifier(recipe, task, run).save(file)
    with pytest.raises(HarnessError, match=r"it lacks head.weight \[5, 8\]"):
        restore(file, recipe, Task(shots(task.train, 2, 5), OneClass.of(5)), run)
    fit(Recipe(backbone, (), lr=0.1, head=TestHeads.head()), task, a_run(steps=1)).save(file)
    with pytest.raises(HarnessError, match=r"it lacks head.weight"):
        restore(file, recipe, task, run)
