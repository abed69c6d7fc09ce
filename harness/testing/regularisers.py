"""What every regulariser must do: checks that its authors inherit."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from harness.api import Backbone, OneClass, Recipe, Regulariser, Task, fit
from harness.model.classifier import Classifier
from harness.model.restoring import restore
from harness.run.context import CellRun
from harness.testing.small import (
    a_run,
    assert_equal,
    cut_short,
    digits,
    shots,
    small_backbone,
    whole,
)


class _Steps(Regulariser):
    """Counts steps, over all trainings."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[int] = []

    def stepped(self, model: Classifier) -> None:
        self.taken.append(len(self.taken))


class RegulariserChecks:
    """What every regulariser must do. Inherit, and override :meth:`given`."""

    def given(self, backbone: Backbone, task: Task, run: CellRun) -> Regulariser:
        """The regulariser to check, for a training on ``task`` that starts from ``backbone``."""
        raise NotImplementedError

    @staticmethod
    def given_task() -> tuple[Backbone, Task]:
        """A small backbone, and a task of five digits with unlabelled inputs."""
        backbone = small_backbone()
        examples = digits(backbone)
        unlabelled = shots(examples, 10, 5, skip=60).inputs
        return backbone, Task(
            shots(examples, 8, 5), OneClass.of(5), shots(examples, 4, 5, skip=8), unlabelled
        )

    def _recipe(self, run: CellRun, first: int = 0, *more: Regulariser) -> tuple[Recipe, Task]:
        """A training from block ``first`` on."""
        backbone, task = self.given_task()
        with run.seeded("regulariser"):
            regularisers = [self.given(backbone, task, run), *more]
        names = backbone.parameters_from(first)
        return Recipe(backbone, names, lr=1e-2, regularisers=regularisers), task

    def _fit(self, run: CellRun, *more: Regulariser) -> Mapping[str, Tensor]:
        """All that training changed, and how it validated."""
        recipe, task = self._recipe(run, 0, *more)
        changed = fit(recipe, task, run).changed
        curve = torch.tensor(run.curve, dtype=torch.float64)
        return {**{name: t.clone() for name, t in changed.items()}, "curve": curve}

    def test_same_seed_gives_the_same_training(self) -> None:
        """Draw from ``batch.generator`` alone."""
        assert_equal(self._fit(a_run(batch_size=16)), self._fit(a_run(batch_size=16)))

    def test_goes_on_where_it_was_cut_short(self, tmp_path: Path) -> None:
        """Keep all state in parameters and buffers: they are what a checkpoint has."""
        steps = _Steps()
        expected = whole(lambda run: self._fit(run))
        found = cut_short(lambda run: self._fit(run, steps), tmp_path / "checkpoint", after=7)
        assert_equal(found, expected)
        assert len(steps.taken) == 20, "it began anew, as its checkpoint did not fit"

    def test_each_training_starts_from_the_regulariser_as_it_was_made(self) -> None:
        """Keep all state in parameters and buffers: each training has copies of them."""
        run = a_run()
        recipe, task = self._recipe(run)
        [regulariser] = recipe.regularisers
        before = {name: t.clone() for name, t in regulariser.state_dict().items()}
        first, second = (dict(fit(recipe, task, a_run()).changed) for _ in range(2))
        assert_equal(dict(regulariser.state_dict()), before)
        assert_equal(first, second)

    def test_frozen_blocks_stay_as_they_were(self) -> None:
        """Change nothing of ``model.backbone`` that has no gradient."""
        recipe, task = self._recipe(a_run(), 1)
        start = recipe.backbone
        before = start.digest()
        model = fit(recipe, task, a_run())
        assert start.digest() == before, "the backbone that training starts from has changed"
        own = {**dict(model.backbone.named_parameters()), **dict(model.backbone.named_buffers())}
        first = {name for name in own if name.startswith(f"{start.blocks[0][0]}.")}
        given = {**dict(start.named_parameters()), **dict(start.named_buffers())}
        assert_equal({name: own[name] for name in first}, {name: given[name] for name in first})

    def test_nothing_of_it_is_left_after_a_training(self) -> None:
        """Take hooks off again, and put back what ``scoring`` changes when its context ends."""
        recipe, task = self._recipe(a_run())
        assert task.val is not None
        plain = Recipe(recipe.backbone, recipe.trainable, lr=1e-2)
        before = dict(fit(plain, task, a_run()).changed)
        model = fit(recipe, task, a_run())
        hooked = [
            name
            for name, module in model.backbone.named_modules()
            if module._forward_hooks or module._forward_pre_hooks
        ]
        assert not hooked, f"hooks are left on {hooked}"
        logits = model.logits(task.val.inputs)
        again = model.logits(task.val.inputs)
        assert torch.equal(again, logits), "the same inputs are given other logits the second time"
        assert_equal(dict(fit(plain, task, a_run()).changed), before)

    def test_what_was_saved_gives_the_same_logits_bit_for_bit(self, tmp_path: Path) -> None:
        """What predictions depend on has to be in the model's parameters and buffers."""
        recipe, task = self._recipe(a_run())
        assert task.val is not None
        model = fit(recipe, task, a_run())
        model.save(tmp_path / "predictor.safetensors")
        fresh = Recipe(copy.deepcopy(recipe.backbone), (), lr=0.0)
        restored = restore(tmp_path / "predictor.safetensors", fresh, task, a_run())
        same = torch.equal(restored.logits(task.val.inputs), model.logits(task.val.inputs))
        assert same, "logits differ after restoring"

    def test_trains_where_memory_takes_parts_of_a_batch_only(self) -> None:
        """Take any number of examples in ``batch``: a step may be made of several parts."""
        run = a_run(steps=4)
        recipe, task = self._recipe(run)
        run.begin("in parts", at_once=10)
        changed = fit(recipe, task, run).changed
        wrong = [name for name, tensor in changed.items() if not tensor.isfinite().all()]
        assert not wrong, f"{wrong} are not finite"
