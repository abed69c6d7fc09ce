"""Backbones for texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from harness.data.examples import RawBatch
from harness.model.backbone import Backbone


class TextBackbone(Backbone):
    """A backbone for texts: token ids to a mean over tokens, or to what the first one becomes.

    Prepared inputs are int32 token ids ``[B, length]``, filled up with ``pad``.

    Args:
        body: maps token ids to ``[B, length, D + 1]``: a hidden state for each token and, last,
            1 for a token and 0 for padding. What passes from block to block has that form too,
            so that one tensor carries all that the later blocks need.
        blocks: as in :class:`Backbone`.
        encode: turns texts into token ids ``[B, length]``. A function, so that copies share it.
        vocabulary: how many different token ids there are.
        pad: the id that fills up; ``mask``: the id that hides a token; ``special``: all ids that
            stand for no piece of text, these two among them.
        pooling: features are the mean over tokens, or the hidden state of the first.
        tokenizer: what ``encode`` does, as the JSON of a ``tokenizers.Tokenizer`` that cuts texts
            and fills them up; without it the model can't be shipped.
    """

    def __init__(
        self,
        body: nn.Module,
        blocks: Sequence[Sequence[str]],
        *,
        encode: Callable[[list[str]], Tensor],
        vocabulary: int,
        pad: int,
        mask: int,
        special: frozenset[int],
        pooling: Literal["mean", "first"] = "mean",
        tokenizer: str | None = None,
    ) -> None:
        super().__init__(body, blocks, encode(["one", "a text of several words"]).to(torch.int32))
        self.encode = encode
        self.vocabulary, self.pad, self.mask, self.special = vocabulary, pad, mask, special
        self.pooling, self.tokenizer = pooling, tokenizer

    def preprocess(self, raw: RawBatch) -> Tensor:
        """Token ids of texts, int32 ``[B, length]``."""
        return self.encode([text for text in raw if isinstance(text, str)]).to(torch.int32)

    def hidden(self, inputs: Tensor) -> Tensor:
        """The hidden state of each token, ``[B, length, D]``."""
        states: Tensor = self.body(inputs)[..., :-1]
        return states

    def features(self, inputs: Tensor) -> Tensor:
        """The mean hidden state of the tokens that are not padding, or of the first, ``[B, D]``."""
        output = self.body(inputs)
        states, real = output[..., :-1], output[..., -1:]
        if self.pooling == "first":
            first: Tensor = states[:, 0]
            return first
        mean: Tensor = (states * real).sum(1) / real.sum(1).clamp_min(1)
        return mean
