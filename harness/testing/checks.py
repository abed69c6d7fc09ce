"""Checks that authors of everything but strategies inherit: what every plugin of a kind must do."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from harness import registry
from harness.api import (
    ArrayInputs,
    Backbone,
    BackboneFactory,
    Dataset,
    OneClass,
    Pretraining,
    Recipe,
    Regulariser,
    Source,
    Task,
    fit,
)
from harness.model.classifier import Classifier
from harness.model.restoring import restore
from harness.plan.datasets import load
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
        assert_equal(self._fit(a_run(batch_size=16)), self._fit(a_run(batch_size=16)))

    def test_goes_on_where_it_was_cut_short(self, tmp_path: Path) -> None:
        steps = _Steps()
        expected = whole(lambda run: self._fit(run))
        found = cut_short(lambda run: self._fit(run, steps), tmp_path / "checkpoint", after=7)
        assert_equal(found, expected)
        assert len(steps.taken) == 20, "it began anew, as its checkpoint did not fit"

    def test_each_training_starts_from_the_regulariser_as_it_was_made(self) -> None:
        run = a_run()
        recipe, task = self._recipe(run)
        [regulariser] = recipe.regularisers
        before = {name: t.clone() for name, t in regulariser.state_dict().items()}
        first, second = (dict(fit(recipe, task, a_run()).changed) for _ in range(2))
        assert_equal(dict(regulariser.state_dict()), before)
        assert_equal(first, second)

    def test_frozen_blocks_stay_as_they_were(self) -> None:
        recipe, task = self._recipe(a_run(), 1)
        start = recipe.backbone
        before = start.digest()
        model = fit(recipe, task, a_run())
        assert start.digest() == before
        own = {**dict(model.backbone.named_parameters()), **dict(model.backbone.named_buffers())}
        first = {name for name in own if name.startswith(f"{start.blocks[0][0]}.")}
        given = {**dict(start.named_parameters()), **dict(start.named_buffers())}
        assert_equal({name: own[name] for name in first}, {name: given[name] for name in first})

    def test_nothing_of_it_is_left_after_a_training(self) -> None:
        """Predictions are the model's own, and a training without it is what it was before."""
        recipe, task = self._recipe(a_run())
        assert task.val is not None
        plain = Recipe(recipe.backbone, recipe.trainable, lr=1e-2)
        before = dict(fit(plain, task, a_run()).changed)
        model = fit(recipe, task, a_run())
        hooks = [m._forward_hooks or m._forward_pre_hooks for m in model.backbone.modules()]
        assert not any(hooks)
        logits = model.logits(task.val.inputs)
        assert torch.equal(model.logits(task.val.inputs), logits)
        assert_equal(dict(fit(plain, task, a_run()).changed), before)

    def test_what_was_saved_gives_the_same_logits_bit_for_bit(self, tmp_path: Path) -> None:
        recipe, task = self._recipe(a_run())
        assert task.val is not None
        model = fit(recipe, task, a_run())
        model.save(tmp_path / "predictor.safetensors")
        fresh = Recipe(copy.deepcopy(recipe.backbone), (), lr=0.0)
        restored = restore(tmp_path / "predictor.safetensors", fresh, task, a_run())
        assert torch.equal(restored.logits(task.val.inputs), model.logits(task.val.inputs))

    def test_trains_where_memory_takes_parts_of_a_batch_only(self) -> None:
        run = a_run(steps=4)
        recipe, task = self._recipe(run)
        run.begin("in parts", at_once=10)
        assert all(t.isfinite().all() for t in fit(recipe, task, run).changed.values())


class PretrainingChecks:
    """What every way to make weights must do. Inherit, and set ``pretraining``."""

    pretraining: ClassVar[Pretraining]

    def given(self) -> tuple[Backbone, Source]:
        """A backbone to train, and the source to train it on."""
        backbone = small_backbone()
        return backbone, Source(shots(digits(backbone), 12, 10), OneClass.of(10))

    def _pretrain(
        self, run: CellRun | None = None
    ) -> tuple[Backbone, Backbone, Mapping[str, float]]:
        start, source = self.given()
        backbone, scores = self.pretraining.pretrain(
            copy.deepcopy(start), source, run or a_run(steps=4), lr=1e-2, weight_decay=1e-4
        )
        return start, backbone, scores

    def test_class_is_well_formed(self) -> None:
        assert registry.check("pretraining", type(self.pretraining)) is None

    def test_trains_the_backbone_and_keeps_its_form(self) -> None:
        start, backbone, scores = self._pretrain()
        before, after = start.state_dict(), backbone.state_dict()
        assert {n: t.shape for n, t in after.items()} == {n: t.shape for n, t in before.items()}
        assert backbone.digest() != start.digest()
        assert all(isinstance(value, float) for value in scores.values())

    def test_same_seed_gives_the_same_weights(self) -> None:
        assert self._pretrain()[1].digest() == self._pretrain()[1].digest()

    def test_goes_on_where_it_was_cut_short(self, tmp_path: Path) -> None:
        def work(run: CellRun) -> tuple[str, Mapping[str, float]]:
            _, backbone, scores = self._pretrain(run)
            return backbone.digest(), scores

        assert cut_short(work, tmp_path / "checkpoint", after=3, steps=5) == whole(work, steps=5)


class DatasetChecks:
    """What every dataset must do. Inherit, and set ``dataset`` or override :meth:`given`."""

    dataset: ClassVar[Dataset]

    def given(self, tmp_path: Path) -> Dataset:
        """The dataset to check, on files made in ``tmp_path`` if it reads any."""
        return self.dataset

    def test_class_is_well_formed(self, tmp_path: Path) -> None:
        assert registry.check("dataset", type(self.given(tmp_path))) is None

    def test_loads_examples_with_labels(self, tmp_path: Path) -> None:
        data = load(self.given(tmp_path)).data
        assert len(data.train.inputs.read([0, 1])) == 2
        assert data.train.labels.unique().numel() == len(data.classes)
        assert data.held_out <= set(data.classes)

    def test_loads_the_same_twice(self, tmp_path: Path) -> None:
        dataset = self.given(tmp_path)
        assert dataset.load().digest() == dataset.load().digest()


class BackboneChecks:
    """What every backbone must do. Inherit, and set ``factory`` and ``model``."""

    factory: ClassVar[type[BackboneFactory]]
    model: ClassVar[str]
    input_size: ClassVar[int | None] = None
    args: ClassVar[Mapping[str, Any]] = {}

    def build(self) -> Backbone:
        return (
            self.factory()
            .build(self.model, input_size=self.input_size, pretrained=False, args=self.args)
            .eval()
        )

    def inputs(self, backbone: Backbone) -> Tensor:
        """Four prepared inputs."""
        if self.factory.modality == "text":
            return backbone.preprocess(["one", "two words", "a few more words", "yes and no"])
        generator = torch.Generator().manual_seed(0)
        raw = torch.randint(0, 256, (4, 3, 40, 40), dtype=torch.uint8, generator=generator)
        return backbone.preprocess(ArrayInputs(raw).images)

    def test_class_is_well_formed(self) -> None:
        assert registry.check("backbone", self.factory) is None

    def test_gives_features(self) -> None:
        backbone = self.build()
        features = backbone.features(self.inputs(backbone))
        assert features.shape == (4, backbone.num_features)
        assert features.isfinite().all()

    def test_every_block_has_parameters(self) -> None:
        backbone = self.build()
        names = [name for name, _ in backbone.body_parameters()]
        assert {backbone.block_of(name) for name in names} == set(range(len(backbone.blocks)))

    @torch.no_grad()
    def test_entering_at_a_block_gives_the_same_features(self) -> None:
        backbone = self.build()
        inputs = self.inputs(backbone)
        whole = backbone.features(inputs)
        for block in range(1, len(backbone.blocks) + 1):
            assert backbone.can_enter(block)
            entered = backbone.features_from(backbone.activations(inputs, block), block)
            assert torch.allclose(entered, whole, rtol=1e-4, atol=1e-5)
