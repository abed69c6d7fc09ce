"""Masked language modelling: learn to guess hidden tokens of the source's texts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.api import (
    Backbone,
    Inputs,
    Pretraining,
    Run,
    Source,
    TextBackbone,
    Unsupported,
    batch_order,
    descend,
    hookimpl,
)

EVALUATION_BATCH = 256


@dataclass(frozen=True)
class MaskedLanguageModel(Pretraining):
    """Hide tokens and learn to guess them from those around; the labels are not looked at.

    The layer that guesses is linear on the hidden states, of its own weights, and thrown away
    afterwards. The rate rises for the first tenth of the steps and falls along half a cosine.

    Args:
        share: of each text's tokens are chosen.
        held_back: share of the source's texts that scores what was learned.
    """

    name: ClassVar[str] = "mlm"
    citation: ClassVar[str] = "Devlin et al. 2019, BERT, section 3.1"
    modalities: ClassVar[frozenset[str]] = frozenset({"text"})

    share: float = 0.15
    held_back: float = 0.05

    def pretrain(
        self, backbone: Backbone, source: Source, run: Run, *, lr: float, weight_decay: float
    ) -> tuple[Backbone, Mapping[str, float]]:
        """Train; the scores are the held-back texts' ``loss``, in nats a chosen token, and
        ``accuracy``, the share of chosen tokens that are guessed."""
        if not isinstance(backbone, TextBackbone):
            raise Unsupported("mlm hides tokens, and this backbone takes none")
        inputs = source.examples.inputs
        order = torch.randperm(len(inputs), generator=run.generator("held back"))
        cut = max(1, round(self.held_back * len(inputs)))
        val, train = inputs.subset(order[:cut]), inputs.subset(order[cut:])
        backbone.train_only(set(backbone.parameters_from(0)))
        output = _output_layer(backbone, run)
        optimizer = _optimizer(backbone, output, lr, weight_decay)
        masks, steps = run.generator("masks"), run.steps

        def batches(done: int) -> Iterator[Tensor]:
            order = batch_order(len(train), run.batch_size, steps, run.generator("batches"))
            return train.stream(islice(order, done, None))

        def gradient(ids: Tensor) -> Tensor:
            logits, targets = guesses(backbone, output, ids, self.share, masks)
            loss = F.cross_entropy(logits, targets, reduction="sum") / max(1, len(targets))
            loss.backward()
            for group in optimizer.param_groups:
                nn.utils.clip_grad_norm_(group["params"], 1.0)
            return loss

        schedule = partial(rate, steps=steps)
        parts: dict[str, Any] = {"backbone": backbone, "output": output, "masks": masks}
        with run.seeded("dropout"):
            for _ in descend(batches, gradient, optimizer, schedule, steps, run, **parts):
                pass
        return backbone.eval(), self._score(backbone, output, val, run)

    @torch.no_grad()
    def _score(
        self, backbone: TextBackbone, output: nn.Linear, inputs: Inputs, run: Run
    ) -> dict[str, float]:
        generator = run.generator("held-back masks")
        loss, correct, chosen = 0.0, 0, 0
        for start in range(0, len(inputs), EVALUATION_BATCH):
            ids = inputs[slice(start, start + EVALUATION_BATCH)]
            logits, targets = guesses(backbone, output, ids, self.share, generator)
            loss += F.cross_entropy(logits, targets, reduction="sum").item()
            correct += int((logits.argmax(1) == targets).sum())
            chosen += len(targets)
        return {"loss": loss / max(1, chosen), "accuracy": correct / max(1, chosen)}


def guesses(
    backbone: TextBackbone,
    output: nn.Linear,
    ids: Tensor,
    share: float,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Logits ``[n, vocabulary]`` of the tokens that are chosen in ``ids``, and their true ids
    ``[n]``."""
    hidden, chosen = hide(ids, backbone, share, generator)
    return output(backbone.hidden(hidden)[chosen]), ids[chosen].long()


def hide(
    ids: Tensor, backbone: TextBackbone, share: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Choose tokens, and hide most of them.

    Of each row's tokens, special ones apart, ``share`` is chosen, rounded, and at least one. Of
    the chosen ones 80 % become the mask, 10 % another token drawn at random, and 10 % stay, so
    that the model cannot rely on what it sees.

    Returns:
        The ids to be shown, like ``ids``; and which tokens were chosen, bool ``[B, length]``.
    """
    device = ids.device
    special = torch.tensor(sorted(backbone.special), device=device)
    eligible = ~torch.isin(ids, special)
    count = (share * eligible.sum(1, keepdim=True)).round().clamp_min(1)
    draws = torch.rand(ids.shape, generator=generator).to(device)
    place = draws.masked_fill(~eligible, 2.0).argsort(1).argsort(1)
    chosen = (place < count) & eligible

    every = torch.arange(backbone.vocabulary, device=device)
    ordinary = every[~torch.isin(every, special)].to(ids.dtype)
    drawn = torch.randint(len(ordinary), ids.shape, generator=generator).to(device)
    fate = torch.rand(ids.shape, generator=generator).to(device)
    shown = torch.where(chosen & (fate < 0.8), torch.full_like(ids, backbone.mask), ids)
    return torch.where(chosen & (fate >= 0.9), ordinary[drawn], shown), chosen


def rate(done: float, steps: int) -> float:
    """The share of the peak rate once a share of the steps is done: up for a tenth, then down."""
    step, warm_up = round(done * steps) + 1, max(1, steps // 10)
    if step <= warm_up:
        return step / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / (steps - warm_up)))


def _output_layer(backbone: TextBackbone, run: Run) -> nn.Linear:
    output = nn.Linear(backbone.num_features, backbone.vocabulary)
    nn.init.normal_(output.weight, std=0.02, generator=run.generator("output layer"))
    nn.init.zeros_(output.bias)
    return output.to(run.device)


def _optimizer(
    backbone: TextBackbone, output: nn.Linear, lr: float, weight_decay: float
) -> torch.optim.Optimizer:
    parameters = [*(p for _, p in backbone.body_parameters()), *output.parameters()]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr, fused=True)


@hookimpl
def harness_pretrainings() -> list[type[Pretraining]]:
    return [MaskedLanguageModel]
