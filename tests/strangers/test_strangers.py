"""Published methods as strangers write them: a short file each, from the face for authors alone."""

import ast
import itertools
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.api import Batch, Classifier, OneClass, Recipe, Task, fit
from harness.model.classifier import trainable_copy
from harness.registry import Sources, load
from harness.testing import RegulariserChecks, StrategyChecks, a_run, digits, shots, small_backbone

FILES = sorted(set(Path(__file__).parent.glob("*.py")) - {Path(__file__)})


@cache
def strangers():
    """Their strategies by name, loaded as a user would."""
    registry = load(Sources(files=tuple(FILES)))
    found = [plugin.cls() for (kind, _), plugin in registry.plugins.items() if kind == "strategy"]
    return {each.name: each for each in found if type(each).__module__ in {f.stem for f in FILES}}


class Checked:
    name: str

    @property
    def strategy(self):
        return strangers()[self.name]

    def given(self, backbone, task, run):
        """The regulariser of its recipe."""
        recipe = self.strategy.recipe(backbone, task, self.strategy.defaults, run)
        return recipe.regularisers[0]


class TestBss(Checked, StrategyChecks):
    name = "bss"


class TestBssRegulariser(Checked, RegulariserChecks):
    name = "bss"

    def test_it_is_the_smallest_singular_value_squared(self):
        class Model:
            backbone, entry = small_backbone(), 0

            def forward(self, inputs, stored):
                return inputs

        features = torch.diag(torch.tensor([3.0, 0.5, 2.0]))
        batch = Batch(Model(), features, None, torch.arange(3), 0.0, torch.Generator())
        penalty = self.given(small_backbone(), None, None).penalty(batch)
        assert penalty.item() == pytest.approx(1e-3 * 0.5**2)


class TestL2SP(Checked, StrategyChecks):
    name = "l2sp"

    def test_each_strength_holds_what_it_is_for(self):
        backbone = small_backbone()
        task = Task(shots(digits(backbone), 8, 5), OneClass.of(5))
        start = dict(backbone.body_parameters())

        def far(alpha, beta):
            hp = {**self.strategy.defaults, "alpha": alpha, "beta": beta}
            trained = self.strategy.adapt(backbone, task, hp, a_run()).trained
            body = sum((trained[name] - p).square().sum().item() for name, p in start.items())
            return body, trained["head.weight"].square().sum().item()

        free, held, decayed = far(1e-6, 1e-6), far(20.0, 1e-6), far(1e-6, 20.0)
        assert held[0] < 0.2 * free[0]
        assert held[1] > 0.1 * free[1]
        assert decayed[0] > 0.1 * free[0]
        assert decayed[1] < 0.5 * free[1]


class TestL2SPRegulariser(Checked, RegulariserChecks):
    name = "l2sp"


class TestMixup(Checked, StrategyChecks):
    name = "finetune_mixup"


class TestMixupRegulariser(Checked, RegulariserChecks):
    name = "finetune_mixup"

    def test_targets_are_mixed_as_inputs_are(self):
        inputs, labels = torch.arange(5.0)[:, None].expand(5, 2), torch.arange(5)
        draws = torch.Generator().manual_seed(3)
        backbone, task = self.given_task()
        mixup = self.given(backbone, task, a_run())
        mixed = mixup.batch(Batch(None, inputs, labels, labels, 0.0, draws))
        assert not torch.allclose(mixed.inputs, inputs)
        assert torch.allclose(mixed.targets.sum(1), torch.ones(5))
        assert torch.allclose(mixed.targets @ inputs, mixed.inputs)


class TestDelta(Checked, StrategyChecks):
    name = "delta"


class TestDeltaRegulariser(Checked, RegulariserChecks):
    name = "delta"

    def test_it_is_half_the_mean_squared_distance_of_what_leaves_each_block(self):
        backbone, task = self.given_task()
        penalty = self.given(backbone, task, a_run())
        moved = trainable_copy(backbone, set(backbone.parameters_from(0))).eval()
        with torch.no_grad():
            moved.body[1][0].weight.mul_(1.5)
        model = Classifier(Recipe(moved, (), lr=0.0), task, a_run())
        taps = frozenset(penalty.taps) - {3}
        index = torch.arange(10)
        batch = Batch(
            model, task.train.inputs[index], None, index, 0.0, torch.Generator(), taps=taps
        )
        expected = 0.0
        for block in (1, 2, 3):
            one, other = (each.activations(batch.inputs, block) for each in (moved, backbone))
            expected += 0.05 * (one - other).square().mean().item()
        assert expected > 0
        assert penalty.penalty(batch).item() == pytest.approx(expected, rel=1e-5)


class TestDistillation(Checked, StrategyChecks):
    name = "distillation"

    def test_the_student_comes_to_answer_as_its_teacher_does(self):
        backbone = small_backbone()
        task = Task(shots(digits(backbone), 12, 5), OneClass.of(5))
        run = a_run(steps=100)
        strategy = self.strategy
        found = strategy.recipe(backbone, task, strategy.defaults, run).regularisers[0].logits
        answers = (found / 2).softmax(1)
        tuned = {**strategy.defaults, "lr": 1e-2}
        mine = strategy.adapt(backbone, task, tuned, run).logits(task.train.inputs)
        plain = replace(strategy.recipe(backbone, task, tuned, run), regularisers=())
        alone = fit(plain, task, a_run(steps=100)).logits(task.train.inputs)
        apart = [(answers - (each / 2).softmax(1)).abs().sum(1).mean() for each in (mine, alone)]
        assert apart[0] < apart[1]


class TestDistillationRegulariser(Checked, RegulariserChecks):
    name = "distillation"


class TestMcc(Checked, StrategyChecks):
    name = "class_confusion"


class TestMccRegulariser(Checked, RegulariserChecks):
    name = "class_confusion"

    def test_it_is_the_paper_s_formula_written_out(self):
        class Answers:
            unlabelled = None
            logits = torch.tensor([[2.0, 0.0, 1.0], [0.0, 3.0, 0.5], [1.0, 1.0, 1.0]]).double()

        batch = Answers()
        batch.unlabelled = Answers
        shares = (Answers.logits / 2.5).softmax(1).numpy()
        entropy = -(shares * np.log(shares)).sum(1)
        weights = 3 * (1 + np.exp(-entropy)) / (1 + np.exp(-entropy)).sum()
        confused = np.zeros((3, 3))
        for i, j, k in itertools.product(range(3), repeat=3):
            confused[j, k] += shares[i, j] * weights[i] * shares[i, k]
        confused /= confused.sum(1, keepdims=True)
        expected = (confused.sum() - np.trace(confused)) / 3
        backbone, task = self.given_task()
        penalty = self.given(backbone, task, a_run())
        assert penalty.penalty(batch).item() == pytest.approx(expected)


class TestGradualUnfreezing(Checked, StrategyChecks):
    name = "gradual_unfreezing"

    def test_stages_train_one_block_more_each_and_earlier_ones_more_slowly(self):
        backbone = small_backbone()
        task = Task(shots(digits(backbone), 8, 5), OneClass.of(5))
        hp = {**self.strategy.defaults, "factor": 0.5}
        recipe = self.strategy.recipe(backbone, task, hp, a_run(steps=8))
        assert set(recipe.trainable) == set(backbone.parameters_from(0))
        rates = {backbone.block_of(name): recipe.lr[name] for name in recipe.trainable}
        assert rates == {block: pytest.approx(1e-3 * 0.5 ** (3 - block)) for block in range(3)}
        start, before_last = dict(backbone.body_parameters()), recipe.backbone
        same = {
            before_last.block_of(name)
            for name, p in before_last.body_parameters()
            if torch.equal(p, start[name])
        }
        assert same == {0}  # the last stage is still to come


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_is_short_and_imports_the_face_alone(file):
    text = file.read_text()
    imports = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Import | ast.ImportFrom)]
    modules = {name.name for n in imports if isinstance(n, ast.Import) for name in n.names}
    modules |= {n.module for n in imports if isinstance(n, ast.ImportFrom)}
    assert {m for m in modules if m.startswith("harness")} == {"harness.api"}
    importing = sum(n.end_lineno - n.lineno + 1 for n in imports)
    assert len([line for line in text.splitlines() if line]) - importing <= 45


def test_all_that_are_here_are_checked():
    assert {cls.name for cls in Checked.__subclasses__()} == {*strangers()}
