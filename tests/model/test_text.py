"""Backbones for texts: ids in, the mean over a text's tokens out."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from harness.data.examples import TextInputs
from harness.data.resident import make_pool
from harness.model.text import TextBackbone

LETTERS = " abcdefghijklmnopqrstuvwxyz"
LENGTH, WIDTH, PAD, MASK = 6, 4, 0, 27


class Embed(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(28, WIDTH)

    def forward(self, ids):
        return torch.cat([self.table(ids), (ids != PAD)[..., None].float()], -1)


class Mix(nn.Module):
    """Adds to each token what the mean of the text's tokens says."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(WIDTH, WIDTH)

    def forward(self, packed):
        states, real = packed[..., :-1], packed[..., -1:]
        mean = (states * real).sum(1, keepdim=True) / real.sum(1, keepdim=True).clamp_min(1)
        return torch.cat([states + self.linear(mean).tanh(), real], -1)


def encode(texts):
    rows = [[LETTERS.index(letter) for letter in text][:LENGTH] for text in texts]
    return torch.tensor([row + [PAD] * (LENGTH - len(row)) for row in rows])


@pytest.fixture
def backbone():
    torch.manual_seed(0)
    return TextBackbone(
        nn.Sequential(Embed(), Mix(), Mix()),
        blocks=[["0"], ["1"], ["2"]],
        encode=encode,
        vocabulary=28,
        pad=PAD,
        mask=MASK,
        special=frozenset({PAD, MASK}),
    ).eval()


def test_texts_become_token_ids_of_one_length(backbone):
    ids = backbone.preprocess(["ab", "abcdefgh"])
    assert ids.dtype == torch.int32
    assert ids.tolist() == [[1, 2, 0, 0, 0, 0], [1, 2, 3, 4, 5, 6]]


@torch.no_grad()
def test_features_are_the_mean_over_tokens_and_not_over_padding(backbone):
    ids = backbone.preprocess(["abc", "z"])
    table = backbone.body[0].table.weight.numpy().astype(np.float64)
    mixes = [mix.linear for mix in (backbone.body[1], backbone.body[2])]
    for text, features in zip(["abc", "z"], backbone.features(ids), strict=True):
        states = table[[LETTERS.index(letter) for letter in text]]
        for linear in mixes:
            weight, bias = (p.numpy().astype(np.float64) for p in (linear.weight, linear.bias))
            states = states + np.tanh(states.mean(0) @ weight.T + bias)
        assert np.allclose(features.numpy(), states.mean(0), atol=1e-6)


def test_there_is_a_hidden_state_for_each_token(backbone):
    ids = backbone.preprocess(["abc", "z"])
    assert backbone.num_features == WIDTH
    assert torch.equal(backbone.hidden(ids), backbone.body(ids)[..., :WIDTH])


@torch.no_grad()
def test_a_text_without_tokens_has_features_too(backbone):
    assert torch.equal(backbone.features(backbone.preprocess([""])), torch.zeros(1, WIDTH))


@torch.no_grad()
def test_it_is_entered_at_every_block(backbone):
    ids = backbone.preprocess(["a", "bc", "def"])
    for block in range(4):
        assert backbone.can_enter(block)
        entered = backbone.features_from(backbone.activations(ids, block), block)
        assert torch.allclose(entered, backbone.features(ids))


def test_a_copy_shares_the_encoder(backbone):
    assert copy.deepcopy(backbone).encode is encode


def test_a_split_of_texts_is_kept_as_ids(backbone):
    pool = make_pool(TextInputs(("ab", "z") * 200), backbone.preprocess, torch.device("cpu"))
    assert pool.take(torch.tensor([399, 0])).tolist() == [[26, 0, 0, 0, 0, 0], [1, 2, 0, 0, 0, 0]]
