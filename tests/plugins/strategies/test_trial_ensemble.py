"""The ensemble against a mean of probabilities in float64."""

import copy

import pytest
import torch
from harness_plugins.strategies.trial_ensemble import TrialEnsemble
from scipy.special import softmax

from harness.api import Finished, HarnessError, OneClass, Task
from harness.testing import StrategyChecks, a_run, digits, shots, small_backbone


class TestTrialEnsemble(StrategyChecks):
    strategy = TrialEnsemble()


@pytest.fixture(scope="module")
def finished():
    """Four trials, their task and its backbone."""
    backbone = small_backbone()
    task = Task(shots(digits(backbone), 8, 5), OneClass.of(5))
    trials = []
    for lr in (1e-3, 1e-2, 3e-2, 1e-1):
        hp = {"lr": lr, "weight_decay": 1e-4}
        model = TrialEnsemble().adapt(backbone, task, hp, a_run(steps=10))
        trials.append(Finished(hp, 0.5, model))
    return trials, task, backbone


def test_it_is_the_mean_of_the_best_ones_probabilities(finished):
    trials, task, _ = finished
    inputs = task.train.inputs
    found = TrialEnsemble(members=3).conclude(trials, task, a_run()).logits(inputs)
    each = [softmax(t.predictor.logits(inputs).double().numpy(), axis=1) for t in trials[:3]]
    assert found.double().exp().numpy() == pytest.approx(sum(each) / 3, abs=1e-6)
    assert found.dtype == torch.float32


def test_its_network_answers_what_it_does(finished):
    """In one module, for exporting."""
    trials, task, _ = finished
    ensemble = TrialEnsemble(members=3).conclude(trials, task, a_run())
    with torch.no_grad():
        found = ensemble.network()(task.train.inputs[:])
    assert torch.allclose(found, ensemble.logits(task.train.inputs), atol=1e-5)


def test_where_there_are_fewer_it_is_of_all(finished):
    trials, task, _ = finished
    ensemble = TrialEnsemble(members=9).conclude(trials, task, a_run())
    assert len(ensemble.members) == 4
    assert len(ensemble.trained) == 4 * len(trials[0].predictor.trained)


def test_it_comes_back_from_disk_bit_for_bit(finished, tmp_path):
    trials, task, backbone = finished
    strategy, file = TrialEnsemble(members=3), tmp_path / "ensemble.safetensors"
    ensemble = strategy.conclude(trials, task, a_run())
    ensemble.save(file)
    again = strategy.restore(
        file, copy.deepcopy(backbone), task.target, trials[0].hp, a_run(steps=1)
    )
    inputs = task.train.inputs
    assert torch.equal(again.logits(inputs), ensemble.logits(inputs))
    assert {n: t.shape for n, t in again.trained.items()} == {
        n: t.shape for n, t in ensemble.trained.items()
    }


def test_a_file_that_cannot_be_read_is_told(finished, tmp_path):
    trials, task, backbone = finished
    file = tmp_path / "ensemble.safetensors"
    file.write_bytes(b"nothing of the kind")
    with pytest.raises(HarnessError, match="cannot read a predictor from"):
        TrialEnsemble().restore(file, backbone, task.target, trials[0].hp, a_run(steps=1))


def test_an_ensemble_of_none_is_refused():
    with pytest.raises(HarnessError, match="trial_ensemble's members are 0"):
        TrialEnsemble(members=0)
