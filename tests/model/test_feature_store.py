"""Stored activations are right, computed once, and billed to whoever uses them."""

import torch

from harness.data.examples import Inputs
from harness.model import feature_store
from harness.model.feature_store import LEAST, FeatureStore
from harness.testing import a_run, digits, small_backbone


def counting(backbone):
    """Counts the inputs that go through the model."""
    seen = []
    backbone.body.register_forward_hook(lambda module, args, output: seen.append(len(args[0])))
    return seen


def rows(examples, *indices):
    return examples.inputs.subset(torch.tensor(indices))


def taken(store, backbone, inputs, block):
    return store.fill(backbone, inputs, block).stored.take(inputs.rows)


def test_are_what_the_model_computes():
    backbone = small_backbone()
    inputs = rows(digits(backbone), 5, 3, 3, 9)
    with torch.no_grad():
        for block in (1, 2, 3):
            stored = a_run().activations(backbone, inputs, block)
            torch.testing.assert_close(stored, backbone.activations(inputs[:], block))


def test_each_input_is_computed_once():
    backbone = small_backbone()
    examples, store = digits(backbone), FeatureStore()
    seen = counting(backbone)
    assert store.fill(backbone, rows(examples, *range(100)), 3).fresh == 100
    assert store.fill(backbone, rows(examples, 1, 2), 3).fresh == 0
    assert store.fill(backbone, rows(examples, *range(60, 160)), 3).fresh == 60
    assert sum(seen) == LEAST + 100 + 60  # the first to learn the shape


def test_a_row_is_the_same_to_the_bit_whoever_asked_for_it_first():
    backbone = small_backbone()
    inputs = digits(backbone).inputs
    whole = taken(FeatureStore(), backbone, inputs, 3)
    for size in (1, 7, 40):
        some = inputs.subset(torch.arange(size))
        assert torch.equal(taken(FeatureStore(), backbone, some, 3), whole[:size])


def test_other_weights_or_inputs_are_other_activations():
    backbone = small_backbone()
    examples, store = digits(backbone), FeatureStore()
    before = taken(store, backbone, rows(examples, 0), 3).clone()
    with torch.no_grad():
        backbone.body[0][0].weight.mul_(2)
    after = store.fill(backbone, rows(examples, 0), 3)
    assert after.fresh == 1
    assert not torch.equal(after.stored.take(torch.tensor([0])), before)


def test_who_changes_what_he_was_given_does_so_for_nobody_else():
    backbone = small_backbone()
    inputs, store = digits(backbone).inputs.subset(torch.arange(9)), FeatureStore()
    given = taken(store, backbone, inputs, 3)
    before = given.clone()
    given.zero_()
    assert torch.equal(taken(store, backbone, inputs, 3), before)


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
    monkeypatch.setattr(feature_store, "free_bytes", lambda device: 1000)
    backbone = small_backbone()
    assert a_run().activations(backbone, rows(digits(backbone), 0), 1) is None


def test_the_oldest_makes_room(monkeypatch):
    backbone = small_backbone()
    examples, store = digits(backbone), FeatureStore()
    inputs = Inputs(examples.inputs.pool, torch.arange(10))
    store.fill(backbone, inputs, 1)
    needed = 2 * 10 * 8 * 4  # what is held and what is handed out, of block 3 in float32
    room = iter([needed, 5 * needed])
    monkeypatch.setattr(feature_store, "free_bytes", lambda device: next(room))
    assert store.fill(backbone, inputs, 3).fresh == 10
    assert len(store._stored) == 1
