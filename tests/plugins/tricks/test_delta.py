"""DELTA against the paper's sums written out, and against removing channels bit by bit."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness_plugins.backbones.timm import Timm
from harness_plugins.strategies.linear_probe import LinearProbe
from harness_plugins.strategies.logistic_probe import LogisticProbe
from harness_plugins.tricks.delta import BehaviourDistance, Delta, by_channel, channels_last

from harness.api import Batch, Classifier, HarnessError, Recipe, Unsupported, fit
from harness.model.classifier import trainable_copy
from harness.testing import RegulariserChecks, TrickChecks, a_run, small_backbone


class TestDelta(TrickChecks):
    trick = Delta()


class TestBehaviourDistance(RegulariserChecks):
    def given(self, backbone, task, run):
        return BehaviourDistance(backbone, 0, task, run, 0.5)


@pytest.fixture(scope="module")
def started():
    """A distance whose attention is known, with its backbone and its task."""
    backbone, task = RegulariserChecks.given_task()
    distance = BehaviourDistance(backbone, 0, task, a_run(batch_size=16), 0.5)
    distance.started(None)
    return distance, backbone, task


def test_it_is_the_papers_sum_over_blocks_and_channels(started):
    """Ω' = w/2 Σ_blocks Σ_j W_j · mean (FM_j - FM⁰_j)², in float64 and loops."""
    distance, backbone, task = started
    moved = trainable_copy(backbone, set(backbone.parameters_from(0))).eval()
    with torch.no_grad():
        moved.body[0][0].weight.mul_(1.5)
    model = Classifier(Recipe(moved, (), lr=0.0), task, a_run())
    index, taps = torch.arange(6), frozenset({1, 2})
    batch = Batch(model, task.train.inputs[index], None, index, 0.0, torch.Generator(), taps=taps)
    expected = 0.0
    for tap in (1, 2, 3):
        one, other = (
            each.activations(batch.inputs, tap).detach().double().numpy()
            for each in (moved, backbone)
        )
        for channel, share in enumerate(distance.get_buffer(f"attention{tap}").tolist()):
            expected += 0.25 * share * np.mean((one[:, channel] - other[:, channel]) ** 2)
    assert expected > 1e-3
    assert distance.penalty(batch).item() == pytest.approx(expected, rel=1e-5)


def test_attention_is_the_softmax_of_what_the_loss_gains_by_a_channel(started):
    """Measured in float64: the loss with a channel a little larger and a little smaller."""
    distance, backbone, task = started
    run = a_run(batch_size=16)
    probe = LogisticProbe().adapt(backbone, task, LogisticProbe.defaults, run)
    rows = torch.randperm(len(task.train), generator=run.generator("delta"))[:16]
    some = task.train.subset(rows)
    body, head = copy.deepcopy(backbone.body).double(), copy.deepcopy(probe.head).double()

    @torch.no_grad()
    def loss(upto, channel, factor):
        maps = backbone.normalise(some.inputs[:]).double()
        maps = body[:upto](maps)
        maps[:, channel] *= factor
        return F.cross_entropy(head(body[upto:](maps)), some.labels).item()

    for tap in (1, 2):  # maps of 8 channels, each block one module
        gains = [(loss(tap, c, 1 - 1e-4) - loss(tap, c, 1 + 1e-4)) / 2e-4 for c in range(8)]
        expected = np.exp(gains) / np.exp(gains).sum()
        assert distance.get_buffer(f"attention{tap}").numpy() == pytest.approx(expected, rel=1e-3)
        assert expected.max() > 1.01 * expected.min()


def test_channels_are_where_maps_and_tokens_have_them():
    maps = torch.arange(24).view(2, 3, 2, 2)
    assert by_channel(maps)[1].tolist() == [4, 5, 6, 7, 16, 17, 18, 19]
    assert by_channel(torch.arange(12).view(2, 3, 2))[1].tolist() == [1, 3, 5, 7, 9, 11]
    assert by_channel(torch.arange(6).view(2, 3))[1].tolist() == [1, 4]


def test_maps_of_a_swin_have_their_channels_last():
    args = {"embed_dim": 12, "depths": (1, 1), "num_heads": (1, 1), "window_size": 4}
    swin = Timm().build("swin_tiny_patch4_window7_224", input_size=32, pretrained=False, args=args)
    maps = swin.eval().activations(swin.example, 2)
    assert maps.shape[1] == maps.shape[2] != maps.shape[3]
    assert channels_last(swin, maps)
    assert torch.equal(by_channel(maps, last=True)[3], maps[..., 3].flatten())
    with pytest.raises(Unsupported, match="cannot tell which side"):
        channels_last(small_backbone(), maps)
    with pytest.raises(Unsupported, match="cannot tell which side"):
        channels_last(swin, maps.movedim(-1, 1))


def test_what_is_stored_of_frozen_blocks_gives_the_same_training():
    backbone, task = RegulariserChecks.given_task()
    names = backbone.parameters_from(2)
    found = []
    for first in (2, 0):  # looking into frozen blocks, all of them run
        distance = BehaviourDistance(backbone, first, task, a_run(), 5.0)
        recipe = Recipe(backbone, names, lr=1e-2, regularisers=[distance], batch_norm="frozen")
        found.append(fit(recipe, task, a_run(steps=8)).trained)
    for name, tensor in found[0].items():
        torch.testing.assert_close(tensor, found[1][name], rtol=1e-3, atol=1e-4)


def test_a_strategy_of_which_nothing_but_the_head_trains_is_refused():
    backbone, task = RegulariserChecks.given_task()
    strategy = LinearProbe().with_tricks([Delta()])
    with pytest.raises(HarnessError, match="delta keeps what blocks give, and here none of them"):
        strategy.adapt(backbone, task, strategy.defaults, a_run())


def test_a_model_that_cannot_be_entered_is_refused():
    backbone = small_backbone()
    backbone._enterable[2] = False
    recipe = Recipe(backbone, backbone.parameters_from(0), lr=0.1)
    with pytest.raises(HarnessError, match="more than one tensor leaves one of this model's"):
        Delta().amend(recipe, None, {"weight": 0.1}, a_run())
