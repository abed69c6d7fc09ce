"""What is predicted is known in one place: other targets need no other strategy."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from harness_plugins.strategies.full_finetune import FullFinetune
from harness_plugins.strategies.linear_probe import LinearProbe
from harness_plugins.strategies.partial_freeze import PartialFreeze
from scipy import stats
from sklearn import metrics

from harness.api import Examples, Measure, OneClass, Target, Task
from harness.metrics import neighbourhood_density
from harness.run.validation import Validation
from harness.testing import a_run, digits, shots, small_backbone


class Number(Target):
    """One real number for each input."""

    outputs = 1

    def criterion(self, outputs, targets):
        return F.mse_loss(outputs[:, 0], targets)

    def any_targets(self):
        return torch.tensor([-1.0, 1.0])

    @property
    def selection(self):
        def of(outputs, targets):
            error = F.mse_loss(outputs[:, 0], targets).item()
            return 1 - error / targets.var(correction=0).item(), error

        return Measure("r2", "squared_error", of)

    blind = None

    def scores(self, outputs, targets):
        return {"r2": self.selection.of(outputs, targets)[0]}


class Several(Target):
    """Any of three properties at once."""

    outputs = 3

    def criterion(self, outputs, targets):
        return F.binary_cross_entropy_with_logits(outputs, targets)

    def any_targets(self):
        return torch.eye(3)

    @property
    def selection(self):
        def of(outputs, targets):
            right = ((outputs > 0) == targets.bool()).double().mean().item()
            return right, self.criterion(outputs, targets).item()

        return Measure("hamming", "log_loss", of)

    blind = None

    def scores(self, outputs, targets):
        return {"hamming": self.selection.of(outputs, targets)[0]}


def brightness(inputs):
    """How much ink there is on each image, standardised."""
    ink = inputs[:].float().mean((1, 2, 3))
    return (ink - ink.mean()) / ink.std()


def properties(examples):
    """Whether a digit is even, above four, and a prime."""
    digit = examples.labels[:, None]
    primes = torch.isin(digit, torch.tensor([2, 3, 5, 7]))
    return torch.cat([digit % 2 == 0, digit > 4, primes], 1).float()


def task_of(target, labels):
    examples = digits(small_backbone())
    train, val = shots(examples, 12, 10), shots(examples, 12, 10, skip=12)
    train, val = (replace(part, labels=labels(part)) for part in (train, val))
    return Task(train, target, val)


@pytest.mark.parametrize("strategy", [FullFinetune(), LinearProbe(), PartialFreeze()])
@pytest.mark.parametrize(
    ("target", "labels"),
    [(Number(), lambda part: brightness(part.inputs)), (Several(), properties)],
)
def test_strategies_predict_what_the_target_says(strategy, target, labels, tmp_path):
    task, backbone, hp = task_of(target, labels), small_backbone(), {**strategy.defaults}
    run, hp["lr"] = a_run(steps=60), 1e-2
    with run.seeded("adapt"):
        predictor = strategy.adapt(backbone, task, hp, run)
    outputs = predictor.logits(task.val.inputs)
    assert outputs.shape == (120, target.outputs)
    value, loss = target.selection.of(outputs, task.val.labels)
    untrained = target.selection.of(torch.zeros_like(outputs), task.val.labels)[1]
    assert loss < untrained
    # The state that validated best, by the target's own measure:
    assert value == pytest.approx(max(value for _, value in run.curve), abs=1e-6)
    predictor.save(tmp_path / "predictor.safetensors")
    restored = strategy.restore(
        tmp_path / "predictor.safetensors", backbone, target, hp, a_run(steps=1)
    )
    assert torch.equal(restored.logits(task.val.inputs), outputs)


def test_trials_are_scored_by_the_measure_of_the_target():
    task = task_of(Number(), lambda part: brightness(part.inputs))
    val = Validation([task], [task.val.inputs], [task.val.labels], task.target.selection)
    outputs = task.val.labels[:, None] * 0.5
    expected = metrics.r2_score(task.val.labels, outputs[:, 0])
    assert val.score([outputs])[0] == pytest.approx(expected, abs=1e-5)


class TestOneClass:
    def test_has_an_output_for_each_name(self):
        assert OneClass(("cat", "dog")).outputs == 2
        assert OneClass.of(3).names == ("0", "1", "2")

    def test_its_measures_are_accuracy_and_what_needs_no_labels(self):
        logits = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
        labels = torch.arange(50) % 4
        value, loss = OneClass.of(4).selection.of(logits, labels)
        shares = logits.double().softmax(1).numpy()
        assert value == metrics.accuracy_score(labels, logits.argmax(1))
        assert loss == pytest.approx(metrics.log_loss(labels, shares))
        blind = OneClass.of(4).blind
        value, entropy = blind["information"].of(logits, labels)
        assert entropy == pytest.approx(stats.entropy(shares, axis=1).mean())
        assert value == pytest.approx(stats.entropy(shares.mean(0)) - entropy)
        assert blind["entropy"].of(logits, labels) == (-entropy, entropy)
        assert blind["density"].of(logits, labels) == (neighbourhood_density(logits), entropy)


def test_groups_follow_their_examples():
    examples = digits(small_backbone())
    grouped = Examples(examples.inputs, examples.labels, torch.arange(len(examples)))
    assert grouped.subset(torch.tensor([3, 1])).groups.tolist() == [3, 1]
