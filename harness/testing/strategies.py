"""What every strategy and every trick must do: checks that their authors inherit."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import torch
from torch import Tensor

from harness import registry
from harness.api import (
    Backbone,
    GradientStrategy,
    OneClass,
    Recipe,
    Run,
    Settings,
    Source,
    Strategy,
    Task,
    Trick,
    abridged,
)
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


class StrategyChecks:
    """What every strategy must do. Inherit, and set ``strategy``; name the class ``Test…``.

    ``settings`` replaces some of the defaults, to make long ones short.
    """

    strategy: ClassVar[Strategy]
    settings: ClassVar[Mapping[str, Any]] = {}
    _known: ClassVar[tuple[Tensor, Backbone, Any]]

    def given_task(self, *, classes: int, each: int, val: int) -> tuple[Backbone, Task]:
        """A small backbone, and a task of the first ``classes`` digits as the strategy would be
        given one: with unlabelled inputs if it learns from those."""
        backbone = small_backbone()
        examples = digits(backbone)
        adapts = self.strategy.protocols == {"adaptation"} and not self.strategy.sees_target_labels
        return backbone, Task(
            shots(examples, each, classes),
            OneClass.of(classes),
            shots(examples, val, classes, skip=each) if val else None,
            shots(examples, 10, classes, skip=60).inputs
            if adapts or self.strategy.needs_unlabelled
            else None,
            shifted=adapts,
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
        source = Source(examples, OneClass.of(10))
        with run.seeded("adapt"):  # as a cell does, for what torch draws
            prepared = self.strategy.prepare(copy.deepcopy(backbone), source, prepare, run)
            predictor = self.strategy.adapt(prepared.eval(), task, adapt, run)
        queries = shots(examples, 5, classes, skip=40)
        return predictor.logits(queries.inputs), prepared, (predictor, queries, task, run)

    @classmethod
    def _adapted(cls) -> tuple[Tensor, Backbone, Any]:
        """One training, which several checks look at; they change nothing of it."""
        if "_known" not in vars(cls):
            cls._known = cls()._adapt(classes=5, each=4, val=2)
        return cls._known

    def trained(self) -> str:
        """How many parameters train on a small task, and whose: wrong names in a recipe train
        nothing of the backbone, which is right for a probe and so breaks no rule."""
        _, backbone, (predictor, _, _, _) = self._adapted()
        body = {name: parameter.numel() for name, parameter in backbone.body_parameters()}
        all_of_it = sum(body.values())
        trained = {name: tensor.numel() for name, tensor in predictor.trained.items()}
        theirs = sum(trained[name] for name in trained.keys() & body.keys())
        own = [name for name in trained if name not in body]
        count = sum(trained[name] for name in own)
        told = f"{theirs:,} of the backbone's {all_of_it:,} parameters and {count:,} of its own"
        told += f" ({abridged(own)})" if own else ""
        if isinstance(self.strategy, GradientStrategy) and {*own} == {"head.weight", "head.bias"}:
            told += "" if theirs else ": a probe; else look at the names that its recipe trains"
        return told

    def test_class_is_well_formed(self) -> None:
        """Mend the class."""
        mistake = registry.check("strategy", type(self.strategy))
        assert mistake is None, mistake

    def test_adapts_to_a_whole_task(self) -> None:
        """Give a predictor whose ``logits`` are ``[b, task.classes]`` and finite."""
        logits, _, _ = self._adapt(classes=10, each=12, val=4)
        _check_logits(logits, 50, 10)

    def test_adapts_to_a_five_way_one_shot_episode(self) -> None:
        """Do without ``task.val``, which episodes have none of, or leave ``episodes`` out of
        ``protocols``."""
        if "episodes" not in self.strategy.protocols:
            return
        logits, _, _ = self._adapt(classes=5, each=1, val=0)
        _check_logits(logits, 25, 5)

    def test_same_seed_gives_the_same_answers(self) -> None:
        """Draw from ``run.generator(…)`` or within ``run.seeded(…)`` alone."""
        first, _, _ = self._adapted()
        second, _, _ = self._adapt(classes=5, each=4, val=2)
        assert torch.equal(first, second), f"logits differ by up to {_apart(first, second)}"

    def test_takes_no_more_steps_than_the_budget(self) -> None:
        """Share ``run.steps`` out between the stages of a training."""
        _, backbone, (_, _, task, _) = self._adapted()
        hp = {**self.strategy.defaults, **self.settings}
        adapt = {name: hp[name] for name in self.strategy.space}
        for budget in (1, 3):
            run = a_run(steps=budget)
            with mock.patch.object(run, "keep") as kept, run.seeded("adapt"):
                self.strategy.adapt(copy.deepcopy(backbone), task, adapt, run)
            taken = kept.call_count
            assert taken <= budget, f"it took {taken} steps of a budget of {budget}"

    def test_goes_on_where_it_was_cut_short(self, tmp_path: Path) -> None:
        """Take steps by ``descend`` or ``fit``, and name to it all that steps change."""

        def work(run: CellRun) -> tuple[Tensor, Mapping[str, Tensor]]:
            logits, _, (predictor, *_) = self._adapt(classes=5, each=4, val=2, run=run)
            return logits, predictor.trained

        logits, trained = whole(work)
        again, retrained = cut_short(work, tmp_path / "checkpoint", after=7)
        assert torch.equal(again, logits), (
            f"logits of what was cut short and went on differ by up to {_apart(again, logits)}"
        )
        differing = [name for name, t in trained.items() if not torch.equal(retrained[name], t)]
        assert not differing, f"what was cut short and went on has other {abridged(differing)}"

    def test_an_answer_does_not_depend_on_the_other_queries(self) -> None:
        """Predict each input by itself: in evaluation mode, without statistics of the batch."""
        together, _, (predictor, queries, _, _) = self._adapted()
        alone = torch.cat(
            [
                predictor.logits(queries.inputs.subset(torch.tensor([row])))
                for row in range(len(queries))
            ]
        )
        assert torch.allclose(together, alone, atol=1e-4), (
            f"alone and together, logits differ by up to {_apart(together, alone)}"
        )

    def test_adapt_leaves_the_shared_backbone_as_it_was(self) -> None:
        """Copy the backbone before you change it: ``Recipe`` and ``Backbone.edited`` do."""
        hp = {**self.strategy.defaults, **self.settings}
        _, backbone, (_, _, task, run) = self._adapted()
        before = backbone.digest()
        self.strategy.adapt(backbone, task, {name: hp[name] for name in self.strategy.space}, run)
        assert backbone.digest() == before, "its parameters or buffers have changed"

    def test_what_was_trained_can_be_saved(self, tmp_path: Path) -> None:
        """Have ``save`` write each tensor of ``trained`` under its name."""
        from safetensors.torch import load_file

        _, _, (predictor, _, _, _) = self._adapted()
        predictor.save(tmp_path / "predictor.safetensors")
        saved = {n: t.shape for n, t in load_file(tmp_path / "predictor.safetensors").items()}
        wrong = [n for n, t in predictor.trained.items() if saved.get(n) != t.shape]
        assert not wrong, f"{abridged(wrong)} are not in the file, or of another shape"

    def test_what_was_saved_gives_the_same_logits_bit_for_bit(self, tmp_path: Path) -> None:
        """Override ``restore`` beside ``save`` where ``adapt`` gives a predictor of its own; what
        copies a backbone by hand calls ``derive_from``."""
        logits, backbone, (predictor, queries, task, _) = self._adapted()
        predictor.save(tmp_path / "predictor.safetensors")
        hp = {**self.strategy.defaults, **self.settings}
        restored = self.strategy.restore(
            tmp_path / "predictor.safetensors",
            copy.deepcopy(backbone),
            task.target,
            {name: hp[name] for name in self.strategy.space},
            a_run(steps=1),
        )
        again = restored.logits(queries.inputs)
        assert torch.equal(again, logits), f"logits differ by up to {_apart(again, logits)}"
        forms = [
            {name: t.shape for name, t in each.trained.items()} for each in (restored, predictor)
        ]
        assert forms[0] == forms[1], "what is restored counts other tensors as trained"

    def test_tricks_amend_all_that_it_trains(self) -> None:
        """Where recipes are trained otherwise than by ``GradientStrategy.adapt``, give each to
        ``self.amended`` first."""
        if not isinstance(self.strategy, GradientStrategy):
            return
        noted: list[Recipe] = []
        strategy = self.strategy.with_tricks([*self.strategy.tricks, _Noting(noted)])
        backbone, task = self.given_task(classes=5, each=4, val=2)
        hp = {**strategy.defaults, **self.settings}
        own = {name: hp[name] for name in strategy.space}
        prepare = {name: hp[name] for name in strategy.prepare_space}
        prepared = strategy.prepare(
            backbone, Source(digits(backbone), OneClass.of(10)), prepare, a_run()
        )
        batch = [(task, own), (task, own)]
        predictors = [*strategy.adapt_batch(prepared.eval(), batch, a_run(steps=2))]
        assert len(noted) == len(predictors) == 2, (
            f"for 2 settings tricks were given {len(noted)} recipes to amend, and "
            f"{len(predictors)} predictors came of it"
        )


def _check_logits(logits: Tensor, examples: int, classes: int) -> None:
    assert logits.shape == (examples, classes), (
        f"logits of {examples} inputs and {classes} classes are {list(logits.shape)}"
    )
    assert logits.isfinite().all(), "some logits are not finite"


def _apart(some: Tensor, others: Tensor) -> str:
    """The largest difference."""
    return f"{(some - others).abs().max().item():.2g}"


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
        """Mend the class."""
        mistake = registry.check("trick", type(self.trick))
        assert mistake is None, mistake

    def test_it_changes_what_is_learned(self) -> None:
        """Give back a recipe that differs from the one that ``amend`` was given."""
        plain, _ = self._trained(_Finetuning())
        amended, _ = self._trained(self.strategy)
        both = amended.keys() & plain.keys()
        differing = [name for name in both if not torch.equal(amended[name], plain[name])]
        assert differing, "with and without the trick a training comes to the same weights"

    def test_frozen_blocks_stay_as_they_were(self) -> None:
        """Leave what ``recipe.trainable`` does not name as it is."""
        trained, backbone = self._trained(_Finetuning(first=1).with_tricks([self.trick]))
        [first] = backbone.blocks[0]
        moved = [name for name in trained if name.startswith(f"{first}.")]
        assert not moved, f"{abridged(moved)} of a frozen block trained"
        untouched, _ = self.given_task(classes=5, each=8, val=0)
        same = backbone.digest() == untouched.digest()
        assert same, "the backbone that training starts from has changed"

    def test_nothing_of_it_is_left_after_a_training(self) -> None:
        """Keep no state in the trick or its module; take off again what was put on a model."""
        before, _ = self._trained(_Finetuning())
        self._trained(self.strategy)
        after, _ = self._trained(_Finetuning())
        assert_equal(after, before)
