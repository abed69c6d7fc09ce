"""What the C library keeps and gives back. In a process of its own: there is no way back."""

import subprocess
import sys

import pytest

SIZE = 400 * 2**20

FREED = f"""
import psutil
import torch

from harness.run.malloc import give_back, keep_freed
from harness.run.memory import PeakMemory

def resident():
    return psutil.Process().memory_info().rss

def use(size={SIZE}):
    torch.ones(size, dtype=torch.uint8)

keep_freed()
print(resident())
use()
print(resident())
give_back()
print(resident())
use(2 * {SIZE})
with PeakMemory(torch.device("cpu")) as idle:
    pass
with PeakMemory(torch.device("cpu")) as busy:
    use()
print(busy.host - idle.host)
"""


@pytest.fixture(scope="module")
def told():
    command = [sys.executable, "-c", FREED]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [int(line) for line in done.stdout.split()]


def test_freed_memory_is_kept_until_it_is_given_back(told):
    before, kept, given_back, _ = told
    assert kept - before == pytest.approx(SIZE, rel=0.05)
    assert given_back - before < SIZE / 10


def test_what_was_freed_and_kept_does_not_hide_that_it_is_taken_again(told):
    *_, taken = told
    assert taken == pytest.approx(SIZE, rel=0.05)
