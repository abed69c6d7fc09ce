"""A cell computes with the threads of its budget, whatever the machine and its environment say."""

import json
import os

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from harness.model.feature_store import numerics
from harness.model.threads import computing_with
from harness.run.resources import Resources
from harness.suite.budget import Budget


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_torch_and_linear_algebra_use_as_many_and_are_as_before_afterwards(monkeypatch, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    np.ones((2, 2)) @ np.ones((2, 2))
    before = torch.get_num_threads(), [pool["num_threads"] for pool in threadpool_info()]
    with computing_with(threads):
        assert torch.get_num_threads() == threads
        assert {pool["num_threads"] for pool in threadpool_info()} == {threads}
        assert os.environ["OMP_NUM_THREADS"] == str(threads)
    assert before == (
        torch.get_num_threads(),
        [pool["num_threads"] for pool in threadpool_info()],
    )
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_one_thread_is_no_part_of_a_key_and_more_are():
    assert "threads" not in Budget(trials=8).meaning()
    assert Budget(trials=8, threads=2).meaning()["threads"] == 2


def test_what_is_kept_for_other_cells_tells_its_threads(tmp_path):
    """Neither weights nor activations of two threads are taken by a cell of one."""
    resources, cpu = Resources(None, torch.device("cpu"), tmp_path), torch.device("cpu")
    found = []
    for threads in (1, 2, 1):
        with computing_with(threads):
            found.append((json.dumps(resources._rounding()), numerics(cpu)))
    assert found[0] == found[2]
    assert all(one != two for one, two in zip(found[0], found[1], strict=True))
