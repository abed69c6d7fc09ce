"""Checks that plugin authors inherit: what every plugin of a kind must do."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
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
    GradientStrategy,
    Pretraining,
    Recipe,
    Regulariser,
    Run,
    Settings,
    Source,
    Strategy,
    Task,
    Trick,
    fit,
)
from harness.model.classifier import Classifier
from harness.model.restoring import restore
from harness.plan.datasets import load
from harness.run.context import CellRun
from harness.testing.small import a_run, cut_short, digits, shots, small_backbone, whole


class StrategyChecks:
    """What every strategy must do. Inherit, and set ``strategy``; name the class ``Test…``.

    ``settings`` replaces some of the defaults, to make long ones short.
    """

    strategy: ClassVar[Strategy]
    settings: ClassVar[Mapping[str, Any]] = {}

    def given_task(self, *, classes: int, each: int, val: int) -> tuple[Backbone, Task]:
        """A small backbone, and a task of the first ``classes`` digits as the strategy would be
        given one: with unlabelled inputs if it adapts to another domain."""
        backbone = small_backbone()
        examples = digits(backbone)
        adapts = self.strategy.protocols == {"adaptation"} and not self.strategy.sees_target_labels
        return backbone, Task(
            shots(examples, each, classes),
            classes,
            shots(examples, val, classes, skip=each) if val else None,
            shots(examples, 10, classes, skip=60).inputs if adapts else None,
        )

    def _adapt(
        self, *, classes: int, each: int, val: int, run: CellRun | None = None
    ) -> tuple[Tensor, Backbone, Any]:
        backbone, task = self.given_task(classes=classes, each=each, val=val)
        examples = digits(backbone)
        run = run or a_run()
        hp = {**self.strategy.defaults, **self.settings}
        prepare = {name: hp[name] for name in self.strategy.prepare_space}
        adapt = {name: hp[name] for name in self.strategy.space}
        source = Source(examples, 10)
        prepared = self.strategy.prepare(copy.deepcopy(backbone), source, prepare, run)
        predictor = self.strategy.adapt(prepared.eval(), task, adapt, run)
        queries = shots(examples, 5, classes, skip=40)
        return predictor.logits(queries.inputs), prepared, (predictor, queries, task, run)

    def test_class_is_well_formed(self) -> None:
        assert registry.check("strategy", type(self.strategy)) is None

    def test_adapts_to_a_whole_task(self) -> None:
        logits, _, _ = self._adapt(classes=10, each=12, val=4)
        assert logits.shape == (50, 10)
        assert logits.isfinite().all()

    def test_adapts_to_a_five_way_one_shot_episode(self) -> None:
        logits, _, _ = self._adapt(classes=5, each=1, val=0)
        assert logits.shape == (25, 5)
        assert logits.isfinite().all()

    def test_same_seed_gives_the_same_answers(self) -> None:
        first, _, _ = self._adapt(classes=5, each=4, val=2)
        second, _, _ = self._adapt(classes=5, each=4, val=2)
        assert torch.equal(first, second)

    def test_goes_on_where_it_was_cut_short(self, tmp_path: Path) -> None:
        def work(run: CellRun) -> tuple[Tensor, Mapping[str, Tensor]]:
            logits, _, (predictor, *_) = self._adapt(classes=5, each=4, val=2, run=run)
            return logits, predictor.trained

        logits, trained = whole(work)
        again, retrained = cut_short(work, tmp_path / "checkpoint", after=7)
        assert torch.equal(again, logits)
        assert all(torch.equal(retrained[name], tensor) for name, tensor in trained.items())

    def test_an_answer_does_not_depend_on_the_other_queries(self) -> None:
        together, _, (predictor, queries, _, _) = self._adapt(classes=5, each=4, val=2)
        alone = torch.cat(
            [
                predictor.logits(queries.inputs.subset(torch.tensor([row])))
                for row in range(len(queries))
            ]
        )
        assert torch.allclose(together, alone, atol=1e-4)

    def test_adapt_leaves_the_shared_backbone_as_it_was(self) -> None:
        hp = {**self.strategy.defaults, **self.settings}
        _, backbone, (_, _, task, run) = self._adapt(classes=5, each=4, val=2)
        before = backbone.digest()
        self.strategy.adapt(backbone, task, {name: hp[name] for name in self.strategy.space}, run)
        assert backbone.digest() == before

    def test_what_was_trained_can_be_saved(self, tmp_path: Path) -> None:
        from safetensors.torch import load_file

        _, _, (predictor, _, _, _) = self._adapt(classes=5, each=4, val=2)
        predictor.save(tmp_path / "predictor.safetensors")
        saved = load_file(tmp_path / "predictor.safetensors")
        trained = predictor.trained
        assert {name: saved[name].shape for name in trained} == {
            name: t.shape for name, t in trained.items()
        }

    def test_what_was_saved_gives_the_same_logits_bit_for_bit(self, tmp_path: Path) -> None:
        logits, backbone, (predictor, queries, task, _) = self._adapt(classes=5, each=4, val=2)
        predictor.save(tmp_path / "predictor.safetensors")
        hp = {**self.strategy.defaults, **self.settings}
        restored = self.strategy.restore(
            tmp_path / "predictor.safetensors",
            copy.deepcopy(backbone),
            task.classes,
            {name: hp[name] for name in self.strategy.space},
            a_run(steps=1),
        )
        assert torch.equal(restored.logits(queries.inputs), logits)
        again = restored.trained
        assert {name: t.shape for name, t in again.items()} == {
            name: t.shape for name, t in predictor.trained.items()
        }

    def test_tricks_amend_all_that_it_trains(self) -> None:
        """Also where many settings are trained at once; a strategy without gradients has none."""
        if not isinstance(self.strategy, GradientStrategy):
            return
        noted: list[Recipe] = []
        strategy = self.strategy.with_tricks([*self.strategy.tricks, _Noting(noted)])
        backbone, task = self.given_task(classes=5, each=4, val=2)
        hp = {**strategy.defaults, **self.settings}
        own = {name: hp[name] for name in strategy.space}
        prepare = {name: hp[name] for name in strategy.prepare_space}
        prepared = strategy.prepare(backbone, Source(digits(backbone), 10), prepare, a_run())
        batch = [(task, own), (task, own)]
        predictors = [*strategy.adapt_batch(prepared.eval(), batch, a_run(steps=2))]
        assert len(noted) == len(predictors) == 2


@dataclass(frozen=True)
class _Noting(Trick):
    """Notes what it was given to amend."""

    noted: list[Recipe]

    name: ClassVar[str] = "noting"

    def amend(self, recipe: Recipe, task: Task, hp: Settings, run: Run) -> Recipe:
        self.noted.append(recipe)
        return recipe


@dataclass(frozen=True)
class _Finetuning(GradientStrategy):
    """All blocks from ``first`` on train."""

    first: int = 0

    name: ClassVar[str] = "finetuning"

    def recipe(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Recipe:
        names, decay = backbone.parameters_from(self.first), hp["weight_decay"]
        return Recipe(backbone, names, lr=hp["lr"], weight_decay=decay)


class TrickChecks(StrategyChecks):
    """What every trick must do: all that a strategy must, of a full fine-tuning that it amends, and
    more. Inherit, and set ``trick``."""

    trick: ClassVar[Trick]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "trick" in vars(cls):
            cls.strategy = _Finetuning().with_tricks([cls.trick])

    def _trained(self, strategy: Strategy) -> tuple[Mapping[str, Tensor], Backbone]:
        backbone, task = self.given_task(classes=5, each=8, val=0)
        run = a_run(steps=10)
        with run.seeded("adapt"):
            predictor = strategy.adapt(backbone, task, strategy.defaults, run)
        return predictor.trained, backbone

    def test_class_is_well_formed(self) -> None:
        assert registry.check("trick", type(self.trick)) is None

    def test_it_changes_what_is_learned(self) -> None:
        plain, _ = self._trained(_Finetuning())
        amended, _ = self._trained(self.strategy)
        assert any(not torch.equal(amended[name], plain[name]) for name in plain)

    def test_frozen_blocks_stay_as_they_were(self) -> None:
        trained, backbone = self._trained(_Finetuning(first=1).with_tricks([self.trick]))
        assert not trained.keys() & set(backbone.blocks[0])
        assert backbone.digest() == small_backbone().digest()

    def test_nothing_of_it_is_left_after_a_training(self) -> None:
        before, _ = self._trained(_Finetuning())
        self._trained(self.strategy)
        after, _ = self._trained(_Finetuning())
        _assert_equal(after, before)


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
        return backbone, Task(shots(examples, 8, 5), 5, shots(examples, 4, 5, skip=8), unlabelled)

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
        _assert_equal(self._fit(a_run(batch_size=16)), self._fit(a_run(batch_size=16)))

    def test_goes_on_where_it_was_cut_short(self, tmp_path: Path) -> None:
        steps = _Steps()
        expected = whole(lambda run: self._fit(run))
        found = cut_short(lambda run: self._fit(run, steps), tmp_path / "checkpoint", after=7)
        _assert_equal(found, expected)
        assert len(steps.taken) == 20, "it began anew, as its checkpoint did not fit"

    def test_each_training_starts_from_the_regulariser_as_it_was_made(self) -> None:
        run = a_run()
        recipe, task = self._recipe(run)
        [regulariser] = recipe.regularisers
        before = {name: t.clone() for name, t in regulariser.state_dict().items()}
        first, second = (dict(fit(recipe, task, a_run()).changed) for _ in range(2))
        _assert_equal(dict(regulariser.state_dict()), before)
        _assert_equal(first, second)

    def test_frozen_blocks_stay_as_they_were(self) -> None:
        recipe, task = self._recipe(a_run(), 1)
        start = recipe.backbone
        before = start.digest()
        model = fit(recipe, task, a_run())
        assert start.digest() == before
        own = {**dict(model.backbone.named_parameters()), **dict(model.backbone.named_buffers())}
        first = {name for name in own if name.startswith(f"{start.blocks[0][0]}.")}
        given = {**dict(start.named_parameters()), **dict(start.named_buffers())}
        _assert_equal({name: own[name] for name in first}, {name: given[name] for name in first})

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
        _assert_equal(dict(fit(plain, task, a_run()).changed), before)

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
        run.at_once = 10
        assert all(t.isfinite().all() for t in fit(recipe, task, run).changed.values())


def _assert_equal(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Bit for bit."""
    assert found.keys() == expected.keys()
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []


class PretrainingChecks:
    """What every way to make weights must do. Inherit, and set ``pretraining``."""

    pretraining: ClassVar[Pretraining]

    def given(self) -> tuple[Backbone, Source]:
        """A backbone to train, and the source to train it on."""
        backbone = small_backbone()
        return backbone, Source(shots(digits(backbone), 12, 10), 10)

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
