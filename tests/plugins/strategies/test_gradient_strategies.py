"""The strategies that only declare what trains."""

import pytest
import torch
from harness_plugins.strategies.from_scratch import FromScratch
from harness_plugins.strategies.full_finetune import FullFinetune
from harness_plugins.strategies.linear_probe import LinearProbe
from harness_plugins.strategies.partial_freeze import PartialFreeze

from harness.api import OneClass, Task
from harness.model.feature_store import LEAST
from harness.testing import StrategyChecks, a_run, digits, shots, small_backbone


class TestFromScratch(StrategyChecks):
    strategy = FromScratch()

    def test_knows_nothing_of_the_weights_it_is_given(self):
        backbone, run = small_backbone(), a_run()
        recipe = self.strategy.recipe(backbone, None, self.strategy.defaults, run)
        other = self.strategy.recipe(small_backbone(7), None, self.strategy.defaults, a_run())
        assert recipe.backbone.digest() == other.backbone.digest() != backbone.digest()
        assert set(recipe.trainable) == set(backbone.parameters_from(0))


class TestLinearProbe(StrategyChecks):
    strategy = LinearProbe()

    def test_runs_the_backbone_once_for_each_input(self):
        backbone = small_backbone()
        seen = []
        backbone.body.register_forward_hook(lambda *args: seen.append(len(args[2])))
        examples = digits(backbone)
        task = Task(shots(examples, 5, 10), OneClass.of(10), shots(examples, 5, 10, skip=5))
        run = a_run(steps=50)
        for _ in range(3):
            self.strategy.adapt(backbone, task, self.strategy.defaults, run)
        assert sum(seen) <= 100 + 2 + LEAST  # two batches to learn shapes


class TestPartialFreeze(StrategyChecks):
    strategy = PartialFreeze()

    @pytest.mark.parametrize(("blocks", "first"), [(1, 2), (2, 1), (3, 1), (4, 1)])
    def test_the_last_blocks_train_and_the_first_never_does(self, blocks, first):
        backbone = small_backbone()
        hp = {**self.strategy.defaults, "train_blocks": blocks}
        recipe = self.strategy.recipe(backbone, None, hp, a_run())
        assert set(recipe.trainable) == set(backbone.parameters_from(first))


class TestFullFinetune(StrategyChecks):
    strategy = FullFinetune()

    def test_starts_from_the_weights_it_is_given(self):
        backbone = small_backbone()
        recipe = self.strategy.recipe(backbone, None, self.strategy.defaults, a_run())
        assert recipe.backbone is backbone

    def test_learns_the_digits(self):
        """With all its blocks free, even a tiny network gets most of the digits right."""
        backbone = small_backbone()
        examples = digits(backbone)
        task = Task(shots(examples, 80, 10), OneClass.of(10), shots(examples, 20, 10, skip=80))
        model = self.strategy.adapt(
            backbone, task, {"lr": 3e-2, "weight_decay": 1e-4}, a_run(steps=300)
        )
        test = shots(examples, 60, 10, skip=100)
        correct = model.logits(test.inputs).argmax(1) == test.labels
        assert correct.float().mean() > 0.8
        assert torch.equal(test.labels.unique(), torch.arange(10))
