"""Two ways to do the same work, taken in turn, so that a busy machine slows both.

Run with ``pytest tests/benchmarks --benchmark-enable -s``: ratios of medians are printed, and are
in ``extra_info`` of ``--benchmark-json``. No time is asserted anywhere.
"""

import statistics
import time
from collections.abc import Callable

import pytest
import torch


@pytest.fixture
def compare(benchmark):
    """``compare(slow, fast)``: seconds of one over seconds of the other, medians of ``rounds``."""

    def compare(slow: Callable[[], object], fast: Callable[[], object], rounds: int = 5) -> float:
        taken: dict[Callable[[], object], list[float]] = {slow: [], fast: []}

        def round_():
            for side, seconds in taken.items():
                started = _now()
                side()
                seconds.append(_now() - started)

        benchmark.pedantic(round_, rounds=rounds, warmup_rounds=1)
        medians = [statistics.median(taken[side][-rounds:]) for side in (slow, fast)]
        ratio = medians[0] / medians[1]
        benchmark.extra_info.update(ratio=ratio, seconds=medians)
        print(f"\n{benchmark.name}: {ratio:.2f}× ({medians[0]:.3g} s, {medians[1]:.3g} s)")
        return ratio

    return compare


def _now() -> float:
    """Seconds, once all devices have come so far."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


@pytest.fixture(scope="session")
def now():
    return _now


@pytest.fixture(scope="session")
def device():
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture(scope="session")
def matrix_rate(device):
    """FLOPs a second of a matrix product, float32 with the present number of threads on a CPU and
    bfloat16 on a GPU: the bound."""
    size, kind = (8192, torch.bfloat16) if device.type == "cuda" else (1024, torch.float32)
    left, right = torch.rand(2, size, size, device=device).to(kind)
    best = float("inf")
    for _ in range(10):
        started = _now()
        left @ right
        best = min(best, _now() - started)
    return 2 * size**3 / best
