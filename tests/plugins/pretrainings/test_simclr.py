"""SimCLR: its loss against the paper's equation, and what its views do."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from harness_plugins.pretrainings.simclr import SimClr, nt_xent, rate, similarities

from harness.api import Diverged, HarnessError, OneClass, Source
from harness.testing import PretrainingChecks, a_run, digits, small_backbone

IDENTITY = SimClr(crop_scale=1.0, jitter=0.0)


class TestSimClr(PretrainingChecks):
    pretraining = SimClr()

    @pytest.mark.parametrize("relabel", [torch.zeros_like, lambda labels: labels.flip(0)])
    def test_labels_change_nothing(self, relabel):
        start, backbone, scores = self._pretrain()
        _, source = self.given()
        relabelled = replace(source.examples, labels=relabel(source.examples.labels))
        assert not torch.equal(relabelled.labels, source.examples.labels)
        again, scores_again = self.pretraining.pretrain(
            start, Source(relabelled, OneClass.of(10)), a_run(steps=4), lr=1e-2, weight_decay=1e-4
        )
        assert again.digest() == backbone.digest()
        assert scores_again == scores

    def test_views_find_their_partners_among_others_after_training(self):
        def accuracy(steps, lr):
            backbone = small_backbone()
            source = Source(digits(backbone), OneClass.of(10))
            run = a_run(steps=steps, batch_size=64)
            _, scores = self.pretraining.pretrain(backbone, source, run, lr=lr, weight_decay=0.0)
            return scores["accuracy"]

        # Two views each of 90 images, a 20th of all: by chance 1 of 179.
        assert accuracy(steps=1, lr=1e-12) < 0.05
        assert accuracy(steps=150, lr=2e-2) > 0.1

    def test_all_that_trained_is_given_back_and_the_source_is_not_changed(self):
        start, source = self.given()
        before = source.examples.inputs[:].clone()
        backbone, _ = self.pretraining.pretrain(
            start, source, a_run(steps=2), lr=1e-2, weight_decay=0.0
        )
        fresh = dict(small_backbone().named_parameters())
        assert all(not torch.equal(p, fresh[name]) for name, p in backbone.named_parameters())
        assert not backbone.training
        assert backbone.state_dict()["body.0.1.num_batches_tracked"] == 2  # batch norm trained
        assert torch.equal(source.examples.inputs[:], before)

    def test_a_loss_that_is_not_a_number_is_told(self):
        start, source = self.given()
        with pytest.raises(Diverged, match="step"):
            self.pretraining.pretrain(start, source, a_run(steps=3), lr=math.inf, weight_decay=0.0)

    def test_a_batch_of_one_has_nothing_to_contrast(self):
        start, source = self.given()
        with pytest.raises(HarnessError, match="one image"):
            self.pretraining.pretrain(start, source, a_run(batch_size=1), lr=1e-2, weight_decay=0.0)

    @pytest.mark.parametrize(
        "wrong", [{"temperature": 0.0}, {"crop_scale": 1.5}, {"jitter": 2.0}, {"held_back": 1.0}]
    )
    def test_says_which_argument_is_out_of_range(self, wrong):
        start, source = self.given()
        with pytest.raises(HarnessError, match=next(iter(wrong))):
            SimClr(**wrong).pretrain(start, source, a_run(), lr=1e-2, weight_decay=0.0)


class TestLoss:
    @pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
    def test_is_the_papers_equation_1(self, temperature):
        z = np.random.default_rng(0).normal(size=(2, 6, 5))  # two views of six images
        flat = z.reshape(12, 5)

        def s(i, j):
            cosine = flat[i] @ flat[j] / np.linalg.norm(flat[i]) / np.linalg.norm(flat[j])
            return np.exp(cosine / temperature)

        expected = 0.0
        for i in range(12):
            others = sum(s(i, k) for k in range(12) if k != i)
            expected += -np.log(s(i, (i + 6) % 12) / others) / 12
        loss = nt_xent(similarities(torch.from_numpy(flat), temperature))
        assert loss.item() == pytest.approx(expected, rel=1e-12)

    def test_of_aligned_partners_among_orthogonal_images(self):
        # Partners have cosine 1, the 2B - 2 others 0: log(1 + (2B - 2) exp(-1 / temperature)).
        aligned = torch.eye(4, dtype=torch.float64).repeat(2, 1)
        loss = nt_xent(similarities(aligned, 0.5)).item()
        assert loss == pytest.approx(math.log(1 + 6 * math.exp(-2)), rel=1e-12)

    def test_of_views_that_are_all_the_same(self):
        # Nothing to tell 2B - 1 candidates apart by.
        same = torch.ones(8, 3, dtype=torch.float64)
        assert nt_xent(similarities(same, 0.1)).item() == pytest.approx(math.log(7), rel=1e-12)

    def test_does_not_depend_on_the_lengths_of_the_views(self):
        views = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        longer = views * torch.arange(1, 7)[:, None]
        assert torch.allclose(similarities(views, 0.5), similarities(longer, 0.5))


class TestViews:
    images = torch.randint(
        0, 256, (5, 3, 6, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )

    def generator(self, seed=0):
        return torch.Generator().manual_seed(seed)

    def test_the_whole_image_unchanged_is_itself(self):
        view = IDENTITY.view(self.images, self.generator())
        assert torch.equal(view, self.images.float())

    def test_each_image_has_a_crop_and_a_jitter_of_its_own(self):
        same = self.images[:1].expand(5, -1, -1, -1)
        for augmented in (replace(IDENTITY, crop_scale=0.2), replace(IDENTITY, jitter=1.0)):
            views = augmented.view(same, self.generator())
            assert len(views.flatten(1).unique(dim=0)) == 5

    def test_stay_within_the_range_of_pixels(self):
        views = SimClr(jitter=1.0).view(self.images, self.generator())
        assert views.shape == self.images.shape
        assert views.min() >= 0
        assert views.max() <= 255


def test_the_rate_rises_for_a_tenth_of_the_steps_and_falls_along_half_a_cosine():
    rates = [rate(step / 100, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5)
    assert 0 < rates[99] < 0.001
