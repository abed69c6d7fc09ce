"""The greedy soup against the paper's recipe 1, written out on plain networks."""

import copy

import pytest
import torch
from harness_plugins.strategies.full_finetune import FullFinetune
from harness_plugins.strategies.model_soup import ModelSoup
from sklearn.metrics import accuracy_score
from torch import nn

from harness.api import Finished, OneClass, Task
from harness.testing import StrategyChecks, a_run, digits, residual_backbone, shots

HP = {"lr": 1e-2, "weight_decay": 1e-4}


class TestModelSoup(StrategyChecks):
    strategy = ModelSoup()


@pytest.fixture
def finished():
    """Trials near each other, one far away, the best first, their task and its backbone."""
    backbone = residual_backbone()
    examples = digits(backbone)
    task = Task(shots(examples, 12, 6), OneClass.of(6), shots(examples, 30, 6, skip=12))
    trials, noise = [], torch.Generator().manual_seed(0)
    for spread in (0.2, 0.2, 0.2, 0.2, 3.0):
        model = ModelSoup().adapt(backbone, task, HP, a_run(steps=60))
        for tensor in model.trained.values():
            tensor += spread * torch.randn(tensor.shape, generator=noise)
        right = model.logits(task.val.inputs).argmax(1) == task.val.labels
        trials.append(Finished(HP, right.double().mean().item(), model))
    trials.sort(key=lambda trial: trial.value, reverse=True)
    return trials, task, backbone


def plain(model):
    return nn.Sequential(copy.deepcopy(model.backbone.body), copy.deepcopy(model.head)).eval()


def averaged(networks):
    mean = copy.deepcopy(networks[0])
    for name, value in mean.state_dict().items():
        if value.is_floating_point():
            values = [network.state_dict()[name].double() for network in networks]
            value.copy_(sum(values) / len(values))
    return mean


def test_it_is_the_papers_greedy_soup(finished):
    trials, task, backbone = finished
    networks = [plain(trial.predictor) for trial in trials]
    seen, labels = backbone.normalise(task.val.inputs[:]), task.val.labels.numpy()

    @torch.no_grad()
    def right(network):
        return accuracy_score(labels, network(seen).argmax(1).numpy())

    ingredients = []
    for network in networks:
        if not ingredients or right(averaged([*ingredients, network])) >= right(
            averaged(ingredients)
        ):
            ingredients.append(network)
    expected = averaged(ingredients)
    soup = ModelSoup().conclude(trials, task, a_run())
    with torch.no_grad():
        logits = expected(seen)
    torch.testing.assert_close(soup.logits(task.val.inputs), logits, rtol=1e-3, atol=1e-3)
    assert 1 < len(ingredients) < len(networks)
    assert right(expected) >= trials[0].value


def test_of_one_trial_it_is_that_one_bit_for_bit(finished):
    trials, task, _ = finished
    before = trials[0].predictor.logits(task.val.inputs)
    soup = ModelSoup().conclude(trials[:1], task, a_run())
    assert torch.equal(soup.logits(task.val.inputs), before)


def test_it_comes_back_from_disk_bit_for_bit(finished, tmp_path):
    trials, task, backbone = finished
    soup = ModelSoup().conclude(trials, task, a_run())
    soup.save(tmp_path / "soup.safetensors")
    again = ModelSoup().restore(
        tmp_path / "soup.safetensors", backbone, task.target, HP, a_run(steps=1)
    )
    assert torch.equal(again.logits(task.val.inputs), soup.logits(task.val.inputs))
    assert soup.trained.keys() == again.trained.keys()


def test_its_trials_are_those_of_full_fine_tuning(finished):
    _, task, backbone = finished
    strategies = ModelSoup(), FullFinetune()
    mine, other = (s.adapt(backbone, task, HP, a_run()) for s in strategies)
    assert torch.equal(mine.logits(task.val.inputs), other.logits(task.val.inputs))
    assert ModelSoup.space == FullFinetune.space
