"""What it saves to compute frozen blocks once: ratios, the two sides taken in turn.

Run with ``pytest tests/benchmarks --benchmark-enable``; the ratio of medians is in
``extra_info`` of ``--benchmark-json`` and printed with ``-s``. No time is asserted.
"""

import statistics
import time

import pytest
import torch
from harness_plugins.backbones.timm import Timm

from harness.api import Recipe, Task, fit
from harness.testing import a_run, digits, shots

ROUNDS = 5


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    return Timm().build("test_resnet", input_size=32, pretrained=False, args={}).eval()


@pytest.fixture(scope="module")
def task(backbone):
    examples = digits(backbone)
    return Task(shots(examples, 32, 10), 10, shots(examples, 8, 10, skip=32))


def compare(benchmark, slow, fast):
    """Seconds of ``slow`` over seconds of ``fast``, taken in turn, medians of ``ROUNDS``."""
    taken = {slow: [], fast: []}

    def round_():
        for side, seconds in taken.items():
            started = time.perf_counter()
            side()
            seconds.append(time.perf_counter() - started)

    benchmark.pedantic(round_, rounds=ROUNDS, warmup_rounds=1)
    ratio = statistics.median(taken[slow]) / statistics.median(taken[fast])
    benchmark.extra_info["ratio"] = ratio
    print(f"\n{benchmark.name}: {ratio:.1f}×")


def test_partial_freeze_against_running_the_frozen_blocks_every_step(benchmark, backbone, task):
    names = backbone.parameters_from(4)

    def stored():
        fit(Recipe(backbone, names, lr=1e-3), task, a_run(steps=30, batch_size=64))

    def every_step():
        head = torch.nn.Linear(backbone.num_features, 10)
        live = [*head.parameters(), *(p for n, p in backbone.body_parameters() if n in names)]
        optimizer = torch.optim.AdamW(live, lr=1e-3)
        for step in range(30):
            batch = torch.arange(step * 64, (step + 1) * 64) % len(task.train)
            logits = head(backbone.features(task.train.inputs[batch]))
            loss = torch.nn.functional.cross_entropy(logits, task.train.labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    compare(benchmark, every_step, stored)


def test_a_tuned_probe_against_running_the_backbone_every_step(benchmark, backbone, task):
    def stored():
        run = a_run(steps=30, batch_size=64)
        for rate in (1e-3, 1e-2, 1e-1, 1.0):
            fit(Recipe(backbone, (), lr=rate), task, run)

    def every_step():
        for rate in (1e-3, 1e-2, 1e-1, 1.0):
            head = torch.nn.Linear(backbone.num_features, 10)
            optimizer = torch.optim.AdamW(head.parameters(), lr=rate)
            for step in range(30):
                batch = torch.arange(step * 64, (step + 1) * 64) % len(task.train)
                with torch.no_grad():
                    features = backbone.features(task.train.inputs[batch])
                loss = torch.nn.functional.cross_entropy(head(features), task.train.labels[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    compare(benchmark, every_step, stored)
