"""A backbone can be entered between blocks, frozen for real, and told apart by its weights."""

import copy

import pytest
import torch
from torch import nn

from harness.api import Backbone, ImageBackbone
from harness.model.classifier import trainable_copy
from harness.model.feature_store import FeatureStore
from harness.testing import digits, small_backbone


@pytest.fixture
def inputs():
    return digits(small_backbone()).inputs[:8]


class TestBlocks:
    def test_entering_at_every_block_gives_the_same_features(self, inputs):
        backbone = small_backbone()
        with torch.no_grad():
            whole = backbone.features(inputs)
            for block in (1, 2, 3):
                entered = backbone.features_from(backbone.activations(inputs, block), block)
                assert torch.equal(entered, whole)

    def test_a_model_whose_end_sees_its_start_cannot_be_entered_in_between(self):
        class Shortcut(nn.Module):
            def __init__(self):
                super().__init__()
                self.first = nn.Conv2d(1, 1, 3, padding=1)
                self.last = nn.Conv2d(1, 1, 3, padding=1)

            def forward(self, images):
                start = self.first(images)
                return (start + self.last(start)).flatten(1)

        backbone = ImageBackbone(
            Shortcut(), blocks=[["first"], ["last"]], input_size=4, mean=[0.5], std=[0.5]
        ).eval()
        assert not backbone.can_enter(1)

    def test_parameters_from_a_block_are_those_of_it_and_all_after(self):
        backbone = small_backbone()
        assert backbone.parameters_from(2) == [
            f"body.2.{name}" for name in ("0.weight", "0.bias", "1.weight", "1.bias")
        ]
        assert len(backbone.parameters_from(0)) == 12

    def test_a_longer_name_wins_over_the_module_that_contains_it(self):
        body = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
        backbone = Backbone(body, [["0", "1.bias"], ["1"]], torch.zeros(2, 4))
        assert backbone.block_of("body.1.bias") == 0
        assert backbone.block_of("body.1.weight") == 1

    def test_features_must_be_a_matrix(self):
        backbone = Backbone(nn.Conv2d(1, 2, 1), [[""]], torch.zeros(2, 1, 4, 4))
        with pytest.raises(ValueError, match=r"features must be \[B, D\]"):
            backbone.num_features  # noqa: B018


class TestFreezing:
    def test_only_what_is_named_trains(self):
        backbone = small_backbone()
        backbone.train_only({"body.2.0.weight"})
        trains = [name for name, p in backbone.body_parameters() if p.requires_grad]
        assert trains == ["body.2.0.weight"]

    def test_frozen_batch_norm_does_not_drift(self, inputs):
        backbone = small_backbone()
        backbone.train_only(set(backbone.parameters_from(1)))
        frozen, live = backbone.body[0][1], backbone.body[1][1]
        before = frozen.running_mean.clone(), live.running_mean.clone()
        backbone.features(inputs)
        assert torch.equal(frozen.running_mean, before[0])
        assert not torch.equal(live.running_mean, before[1])


class TestDigest:
    def test_is_that_of_the_weights(self):
        assert small_backbone(0).digest() == small_backbone(0).digest()
        assert small_backbone(0).digest() != small_backbone(1).digest()

    def test_notices_a_change_in_place(self):
        backbone = small_backbone()
        before = backbone.digest()
        with torch.no_grad():
            backbone.body[0][0].bias[0] += 1
        assert backbone.digest() != before

    def test_notices_a_changed_buffer(self):
        backbone = small_backbone()
        before = backbone.digest()
        backbone.body[0][1].running_mean.add_(1)
        assert backbone.digest() != before

    def test_of_a_copy_is_the_same(self):
        backbone = small_backbone()
        assert copy.deepcopy(backbone).digest() == backbone.digest()


class TestDigestOfTheFirstBlocks:
    """What enters a block depends on them alone."""

    def test_takes_no_notice_of_later_weights_and_buffers(self):
        backbone = small_backbone()
        before = [backbone.digest(upto=block) for block in range(4)]
        with torch.no_grad():
            backbone.body[1][0].weight.mul_(2)
            backbone.body[1][1].running_mean.add_(1)
        after = [backbone.digest(upto=block) for block in range(4)]
        assert [one == other for one, other in zip(before, after, strict=True)] == [
            True,
            True,
            False,
            False,
        ]

    def test_of_all_blocks_is_that_of_the_backbone(self):
        backbone = small_backbone()
        assert backbone.digest(upto=len(backbone.blocks)) == backbone.digest()

    def test_counts_what_no_block_names_as_it_may_be_used_anywhere(self):
        class Scaled(nn.Module):
            def __init__(self):
                super().__init__()
                self.scale = nn.Parameter(torch.ones(()))
                self.first, self.last = nn.Flatten(), nn.Linear(4, 2)

            def forward(self, inputs):
                return self.last(self.first(inputs) * self.scale)

        backbone = Backbone(Scaled(), [["first"], ["last"]], torch.ones(2, 1, 2, 2))
        before = backbone.digest(upto=1)
        with torch.no_grad():
            backbone.body.scale.mul_(2)
        assert backbone.digest(upto=1) != before

    def test_activations_of_frozen_blocks_are_shared_by_all_that_trained_later_ones(self):
        backbone, store = small_backbone(), FeatureStore()
        inputs = digits(backbone).inputs.subset(torch.arange(40))
        store.fill(backbone, inputs, 1)
        tuned = trainable_copy(backbone, set(backbone.parameters_from(1)))
        with torch.no_grad():
            tuned.body[2][0].weight.mul_(2)
        assert store.fill(tuned, inputs, 1).fresh == 0
        assert store.fill(tuned, inputs, 3).fresh == 40


def test_extras_are_shared_by_copies():
    backbone = small_backbone()
    backbone.extras["prototypes"] = torch.zeros(5, 8)
    for copied in (backbone.edited(lambda body: None), trainable_copy(backbone, set())):
        assert copied.extras["prototypes"] is backbone.extras["prototypes"]


def with_side_branches(body):
    """Put a trainable layer beside each convolution, as an adapter would."""
    for module in list(body.modules()):
        if isinstance(module, nn.Conv2d):
            module.adapter = nn.Linear(2, 2)


class TestEdited:
    def test_an_added_parameter_belongs_to_the_block_it_stands_in(self):
        edited = small_backbone().edited(with_side_branches)
        added = [name for name, _ in edited.body_parameters() if "adapter" in name]
        assert sorted({edited.block_of(name) for name in added}) == [0, 1, 2]

    def test_an_added_parameter_belongs_to_the_block_of_what_it_stands_beside(self):
        body = nn.Sequential(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), nn.Linear(4, 4))
        names = [["0.0.weight", "0.0.bias"], ["0.1.weight", "0.1.bias"], ["1.weight", "1.bias"]]
        edited = Backbone(body, names, torch.zeros(2, 4)).edited(
            lambda body: body[0][0].register_module("adapter", nn.Linear(4, 4))
        )
        assert edited.block_of("body.0.0.adapter.weight") == 0
        assert edited.parameters_from(1) == [
            f"body.{name}.{kind}" for name in ("0.1", "1") for kind in ("weight", "bias")
        ]

    def test_the_copy_shares_its_parameters_and_the_original_stays_as_it_was(self):
        backbone = small_backbone()
        before = [name for name, _ in backbone.body_parameters()]
        edited = backbone.edited(with_side_branches)
        assert [name for name, _ in backbone.body_parameters()] == before
        assert dict(edited.body_parameters())["body.0.0.weight"] is backbone.body[0][0].weight
        assert edited.digest() != backbone.digest()
