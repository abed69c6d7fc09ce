"""BN tune: what trains and by which statistics, against torch's own batch norm in a bare loop."""

import pytest
import torch
from harness_plugins.strategies.bn_tune import BnTune
from torch import nn

from harness.api import OneClass, Task, Unsupported, cosine
from harness.testing import StrategyChecks, a_run, digits, residual_backbone, shots, small_backbone

HP = {"lr": 2e-2, "weight_decay": 0.0}


class TestBnTune(StrategyChecks):
    strategy = BnTune()


def a_task(backbone):
    return Task(shots(digits(backbone), 4, 5), OneClass.of(5))


def test_it_is_a_bare_loop_over_norms_and_head():
    """Ten steps over all 20 examples at once, whatever the run says of batch norm."""
    backbone = small_backbone()
    task = a_task(backbone)
    found = BnTune().adapt(backbone, task, HP, a_run(steps=10, batch_norm="frozen"))
    body, head = backbone.copied().train(), nn.Linear(8, 5)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    norms = [m for m in body.modules() if isinstance(m, nn.BatchNorm2d)]
    trained = [p for module in [*norms, head] for p in module.parameters()]
    optimizer = torch.optim.AdamW(trained, weight_decay=0.0)
    for step in range(10):
        optimizer.param_groups[0]["lr"] = HP["lr"] * cosine(step / 10)
        optimizer.zero_grad()
        nn.functional.cross_entropy(head(body(task.train.inputs[:])), task.train.labels).backward()
        optimizer.step()
    own = {**dict(body.named_parameters()), **dict(body.named_buffers())}
    for name, tensor in [
        *found.backbone.named_parameters(),
        *found.backbone.named_buffers(),
    ]:
        torch.testing.assert_close(tensor, own[name], rtol=1e-3, atol=1e-4, msg=name)
    torch.testing.assert_close(found.head.weight, head.weight, rtol=1e-3, atol=1e-4)


def test_convolutions_stay_and_norms_move():
    backbone = small_backbone()
    found = BnTune().adapt(backbone, a_task(backbone), HP, a_run(steps=3))
    before = dict(backbone.body_parameters())
    moved = {n for n, p in found.backbone.body_parameters() if not torch.equal(p, before[n])}
    expected = {f"body.{block}.1.{part}" for block in range(3) for part in ("weight", "bias")}
    assert moved == expected == {n for n in found.trained if not n.startswith("head.")}


def test_a_model_without_batch_norm_is_refused():
    backbone = residual_backbone()
    with pytest.raises(Unsupported, match="bn_tune trains batch norms, and this model has none"):
        BnTune().adapt(backbone, a_task(backbone), HP, a_run(steps=3))
