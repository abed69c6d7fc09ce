"""Masked language modelling, against the paper's numbers and NumPy."""

import itertools
import math

import numpy as np
import pytest
import torch
from harness_plugins.pretrainings.mlm import MaskedLanguageModel, guesses, hide, rate
from scipy import stats
from torch import nn

from harness.api import Diverged, Examples, Inputs, OneClass, Source, TextBackbone, Unsupported
from harness.data.resident import ResidentPool
from harness.testing import PretrainingChecks, a_run, digits, small_backbone

PAD, CLS, MASK, FIRST, VOCABULARY, LENGTH, WIDTH = 0, 1, 2, 3, 15, 14, 16


class Embed(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.places = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(LENGTH, WIDTH)

    def forward(self, ids):
        states = self.tokens(ids) + self.places.weight[: ids.shape[1]]
        return torch.cat([states, (ids != PAD)[..., None].float()], -1)


class Neighbours(nn.Module):
    """Each token sees the one before and the one after; some of what it sees is dropped."""

    def __init__(self):
        super().__init__()
        self.see, self.drop = nn.Conv1d(WIDTH, WIDTH, 3, padding=1), nn.Dropout(0.05)

    def forward(self, packed):
        states, real = packed[..., :-1], packed[..., -1:]
        seen = self.see((states * real).transpose(1, 2)).transpose(1, 2)
        return torch.cat([states + self.drop(seen.relu()), real], -1)


def a_backbone() -> TextBackbone:
    torch.manual_seed(0)
    return TextBackbone(
        nn.Sequential(Embed(), Neighbours()),
        blocks=[["0"], ["1"]],
        encode=lambda texts: texts_of(len(texts)),
        vocabulary=VOCABULARY,
        pad=PAD,
        mask=MASK,
        special=frozenset({PAD, CLS, MASK}),
    )


def texts_of(count: int) -> torch.Tensor:
    """A tiny language: letters follow each other round the alphabet, from any of the twelve."""
    generator = torch.Generator().manual_seed(0)
    starts = torch.randint(12, (count, 1), generator=generator)
    ids = FIRST + (starts + torch.arange(LENGTH)) % (VOCABULARY - FIRST)
    ids[:, 0] = CLS
    lengths = torch.randint(6, LENGTH + 1, (count, 1), generator=generator)
    return ids.masked_fill(torch.arange(LENGTH) >= lengths, PAD).to(torch.int32)


def a_source(count: int) -> Source:
    inputs = Inputs(ResidentPool(texts_of(count)), torch.arange(count))
    return Source(Examples(inputs, torch.zeros(count, dtype=torch.int64)), OneClass.of(1))


class TestMaskedLanguageModel(PretrainingChecks):
    pretraining = MaskedLanguageModel()

    def given(self):
        return a_backbone(), a_source(40)

    def test_guesses_from_the_context_and_not_from_how_often_a_token_occurs(self):
        _, scores = self.pretraining.pretrain(
            a_backbone(), a_source(400), a_run(steps=300), lr=1e-2, weight_decay=0.0
        )
        unigram = math.log(VOCABULARY - FIRST)  # nats: all twelve letters are equally frequent
        assert scores["loss"] < 0.5 * unigram
        assert scores["accuracy"] > 0.8

    def test_ends_ready_for_use(self):
        backbone, _ = self.pretraining.pretrain(
            a_backbone(), a_source(40), a_run(steps=1), lr=1e-2, weight_decay=0.0
        )
        assert not any(module.training for module in backbone.modules())

    def test_tells_how_far_it_is(self):
        told = []
        run = a_run(steps=50)
        run._progress = lambda stage, done, total: told.append((done, total))
        self.pretraining.pretrain(a_backbone(), a_source(40), run, lr=1e-3, weight_decay=0.0)
        assert told == [(20, 50), (40, 50), (50, 50)]

    def test_a_rate_that_is_too_high_is_told_at_once(self):
        with pytest.raises(Diverged, match="not a number by step 2"):
            self.pretraining.pretrain(
                a_backbone(), a_source(40), a_run(steps=20), lr=1e38, weight_decay=0.0
            )

    def test_refuses_images(self):
        backbone = small_backbone()
        assert self.pretraining.modalities == {"text"}
        with pytest.raises(Unsupported, match="hides tokens"):
            self.pretraining.pretrain(
                backbone,
                Source(digits(backbone), OneClass.of(10)),
                a_run(),
                lr=1e-3,
                weight_decay=0.0,
            )


class TestHide:
    share = 0.15

    @pytest.fixture
    def hidden(self):
        """What became of 4,000 texts: before, after, and which tokens were chosen."""
        ids = texts_of(4000)
        generator = torch.Generator().manual_seed(1)
        shown, chosen = hide(ids, a_backbone(), self.share, generator)
        return ids, shown, chosen

    def test_chooses_the_rounded_share_of_each_text_and_at_least_one(self, hidden):
        ids, _, chosen = hidden
        words = (ids >= FIRST).sum(1).tolist()
        assert chosen.sum(1).tolist() == [max(1, round(0.15 * count)) for count in words]

    def test_never_chooses_a_special_token_and_leaves_what_is_not_chosen(self, hidden):
        ids, shown, chosen = hidden
        assert not (chosen & (ids < FIRST)).any()
        assert torch.equal(shown[~chosen], ids[~chosen])

    def test_every_place_is_chosen_equally_often(self, hidden):
        ids, _, chosen = hidden
        full = ids[:, -1] != PAD  # texts of one length, thirteen letters each
        counts = chosen[full, 1:].sum(0).numpy()
        assert stats.chisquare(counts).pvalue > 1e-4

    def test_eighty_percent_are_masked_and_ten_become_another_token(self, hidden):
        ids, shown, chosen = hidden
        before, after = ids[chosen], shown[chosen]
        total = len(before)
        drawn = (after != MASK) & (after != before)
        # A token that is drawn at random is, once in twelve, the one that stood there.
        expected = {"mask": 0.8, "drawn": 0.1 * 11 / 12, "kept": 0.1 + 0.1 / 12}
        found = {"mask": after == MASK, "drawn": drawn, "kept": after == before}
        for fate, share in expected.items():
            low, high = stats.binom.interval(1 - 1e-6, total, share)
            assert low <= int(found[fate].sum()) <= high, fate
        assert set(after[drawn].tolist()) == set(range(FIRST, VOCABULARY))

    def test_a_text_of_special_tokens_alone_stays_as_it_is(self):
        ids = torch.tensor([[CLS, PAD, PAD]])
        shown, chosen = hide(ids, a_backbone(), 0.15, torch.Generator())
        assert torch.equal(shown, ids)
        assert not chosen.any()


@torch.no_grad()
def test_the_loss_is_the_cross_entropy_of_the_chosen_tokens():
    backbone, ids = a_backbone().eval(), texts_of(6)
    output = nn.Linear(WIDTH, VOCABULARY)
    logits, targets = guesses(backbone, output, ids, 0.5, torch.Generator().manual_seed(3))
    shown, chosen = hide(ids, backbone, 0.5, torch.Generator().manual_seed(3))
    states = backbone.body(shown).numpy().astype(np.float64)[..., :-1]
    weight, bias = (p.numpy().astype(np.float64) for p in (output.weight, output.bias))
    losses = []
    for row, place in itertools.product(range(6), range(LENGTH)):
        if chosen[row, place]:
            scores = states[row, place] @ weight.T + bias
            losses.append(np.log(np.exp(scores).sum()) - scores[int(ids[row, place])])
    found = nn.functional.cross_entropy(logits, targets)
    assert len(targets) == len(losses) == int(chosen.sum())
    assert float(found) == pytest.approx(np.mean(losses), rel=1e-5)


def test_the_rate_rises_for_a_tenth_and_falls_to_nothing():
    assert [rate(done, 100) for done in (0, 0.04, 0.09)] == [0.1, 0.5, 1.0]
    assert rate(0.54, 100) == pytest.approx(0.5)
    assert rate(0.99, 100) == pytest.approx(0.0, abs=1e-12)
    assert rate(0.0, 1) == 1.0
