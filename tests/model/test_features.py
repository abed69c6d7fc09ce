"""Stored activations are right, computed once, and billed to whoever uses them."""

import torch

from harness.data.examples import Inputs
from harness.model import features
from harness.model.features import FeatureStore
from harness.testing import a_run, digits, small_backbone


def counting(backbone):
    """Counts the inputs that go through the model."""
    seen = []
    backbone.body.register_forward_hook(lambda module, args, output: seen.append(len(args[0])))
    return seen


def rows(examples, *indices):
    return examples.inputs.subset(torch.tensor(indices))


def test_are_what_the_model_computes():
    backbone = small_backbone()
    inputs = rows(digits(backbone), 5, 3, 3, 9)
    with torch.no_grad():
        for block in (1, 2, 3):
            stored = a_run().activations(backbone, inputs, block)
            assert torch.equal(stored, backbone.activations(inputs[:], block))


def test_each_input_is_computed_once():
    backbone = small_backbone()
    examples, store = digits(backbone), FeatureStore()
    seen = counting(backbone)
    assert store.fill(backbone, rows(examples, 0, 1, 2), 3).fresh == 3
    assert store.fill(backbone, rows(examples, 1, 2), 3).fresh == 0
    assert store.fill(backbone, rows(examples, 2, 3), 3).fresh == 1
    assert sum(seen) == 1 + 3 + 1  # one to learn the shape


def test_other_weights_or_inputs_are_other_activations():
    backbone = small_backbone()
    examples, store = digits(backbone), FeatureStore()
    before = store.fill(backbone, rows(examples, 0), 3).stored.activations[0].clone()
    with torch.no_grad():
        backbone.body[0][0].weight.mul_(2)
    after = store.fill(backbone, rows(examples, 0), 3)
    assert after.fresh == 1
    assert not torch.equal(after.stored.activations[0], before)


def test_a_cell_pays_for_what_another_computed_but_only_once():
    backbone = small_backbone()
    examples, store = digits(backbone), FeatureStore()
    first, second = a_run(), a_run()
    first._store = second._store = store
    inputs = rows(examples, 0, 1, 2, 3)
    for _ in range(2):
        first.activations(backbone, inputs, 3)
    paid = first.clock.seconds["features"]
    assert paid > 0
    assert not first.features_reused
    second.activations(backbone, inputs, 3)
    assert second.clock.seconds["features"] == paid
    assert second.features_reused


def test_what_does_not_fit_is_not_stored(monkeypatch):
    monkeypatch.setattr(features, "free_bytes", lambda device: 1000)
    backbone = small_backbone()
    assert a_run().activations(backbone, rows(digits(backbone), 0), 1) is None


def test_the_oldest_makes_room(monkeypatch):
    backbone = small_backbone()
    examples, store = digits(backbone), FeatureStore()
    inputs = Inputs(examples.inputs.pool, torch.arange(10))
    store.fill(backbone, inputs, 1)
    needed = 1797 * 8 * 4  # features of block 3 in float32
    room = iter([needed, 5 * needed])
    monkeypatch.setattr(features, "free_bytes", lambda device: next(room))
    assert store.fill(backbone, inputs, 3).fresh == 10
    assert len(store._stored) == 1
