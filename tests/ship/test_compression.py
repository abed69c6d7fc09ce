"""Smaller variants: what is decided of them, and by what."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar

from harness.model.classifier import Network
from harness.ship.compression import WAYS, Paired, paired
from harness.ship.export import export
from harness.ship.measuring import run
from harness.testing import digits, small_backbone

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def answers(both, lost, won, neither):
    """Logits of two models of two classes, and labels, with so many examples of each kind."""
    labels = np.zeros(both + lost + won + neither, int)
    right, wrong = [1.0, 0.0], [0.0, 1.0]
    whole = [right] * (both + lost) + [wrong] * (won + neither)
    smaller = [right] * both + [wrong] * lost + [right] * won + [wrong] * neither
    return np.array(whole), np.array(smaller), labels


@given(*[st.integers(0, 60)] * 4)
def test_p_is_mcnemars_exact_one(both, lost, won, neither):
    if both + lost + won + neither == 0:
        return
    found = paired(*answers(both, lost, won, neither))
    expected = mcnemar([[both, lost], [won, neither]], exact=True).pvalue
    assert found.p == pytest.approx(expected)
    assert found.difference == pytest.approx((won - lost) / found.examples)
    assert found.low <= found.high


def test_the_interval_by_hand():
    """20 lost and 10 won of 400: (10.5 - 20.5) / 402, and 1.96 times the root of 31 - 100 / 402,
    over 402."""
    found = paired(*answers(300, 20, 10, 70))
    half = 1.959964 * (31 - 100 / 402) ** 0.5 / 402
    assert found.low == pytest.approx(-10 / 402 - half, abs=1e-6)
    assert found.high == pytest.approx(-10 / 402 + half, abs=1e-6)


def test_intervals_hold_the_true_difference_as_often_as_they_say():
    """3 % lost, 1 % won: over 2,000 draws of 500 examples."""
    draw, held = np.random.default_rng(0), 0
    for _ in range(2000):
        counts = draw.multinomial(500, [0.86, 0.03, 0.01, 0.10])
        found = paired(*answers(*counts))
        held += found.low <= -0.02 <= found.high
    assert 0.93 < held / 2000 < 0.985


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.009, 0.009, "passes"),
        (-0.02, 0.001, "undecided"),
        (-0.05, -0.011, "refused"),
        (0.011, 0.05, "refused"),
    ],
)
def test_a_variant_passes_where_the_interval_lies_within_the_margin(low, high, verdict):
    assert Paired(100, 0.9, 0.0, low, high, 1.0).verdict(0.01) == verdict


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    """A small network's graph, and inputs of it."""
    backbone = small_backbone()
    torch.manual_seed(0)
    network = Network(backbone, torch.nn.Linear(backbone.num_features, 10))
    file = tmp_path_factory.mktemp("graph") / "model.onnx"
    export(network, backbone.example, file)
    return file, digits(backbone).inputs[:200].numpy()


@pytest.mark.parametrize("way", WAYS)
def test_each_way_gives_a_graph_that_answers_nearly_the_same(way, graph, tmp_path):
    whole, inputs = graph
    small = tmp_path / "small.onnx"
    WAYS[way](whole, small, inputs[:64])
    before, after = run(whole, inputs), run(small, inputs)
    assert (before.argmax(1) == after.argmax(1)).mean() > 0.9
    assert np.abs(before - after).max() < 0.1 * np.ptp(before)
    assert not np.array_equal(before, after)
