"""Published methods as strangers write them: a short file each, from the face for authors alone."""

import ast
from functools import cache
from pathlib import Path

import pytest
import torch

from harness.api import Batch, OneClass, Task
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


class TestEma(Checked, StrategyChecks):
    name = "finetune_ema"


class TestEmaRegulariser(Checked, RegulariserChecks):
    name = "finetune_ema"


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
