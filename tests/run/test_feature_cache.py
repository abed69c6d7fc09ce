"""Activations outlive a process, and are never those of anything else."""

import copy
import os
import subprocess
import sys

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.data.examples import Inputs
from harness.data.resident import ResidentPool
from harness.model.feature_store import ActivationKey, FeatureStore, StoredRows
from harness.run import feature_cache
from harness.run.feature_cache import FeatureCache
from harness.testing import digits, small_backbone

GIB = 2**30


@pytest.fixture(autouse=True)
def _worth_keeping(monkeypatch):
    """These models compute faster than a disk reads."""
    monkeypatch.setattr(feature_cache, "BYTES_A_SECOND", float("inf"))


def store(folder, limit=GIB):
    return FeatureStore(FeatureCache(folder, limit))


def fill(folder, backbone, inputs, block=3):
    """What a process does that knows nothing but the folder: rows computed, and activations."""
    new = store(folder)
    filled = new.fill(backbone, inputs, block)
    new.keep()
    return filled.fresh, filled.stored.take(inputs.rows)


def files(folder):
    return sorted(folder.glob("*/*.safetensors"))


def test_another_process_finds_them_to_the_bit(tmp_path):
    backbone = small_backbone()
    inputs = digits(backbone).inputs
    fresh, first = fill(tmp_path, backbone, inputs)
    assert fresh == len(inputs)
    again, second = fill(tmp_path, backbone, inputs)
    assert again == 0
    assert torch.equal(first, second)


def test_what_they_cost_is_remembered(tmp_path):
    backbone = small_backbone()
    inputs = digits(backbone).inputs
    first, second = store(tmp_path), store(tmp_path)
    cost = first.fill(backbone, inputs, 3).stored.cost
    assert torch.equal(second.fill(backbone, inputs, 3).stored.cost, cost)
    assert float(cost.min()) > 0


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(asked=st.lists(st.sets(st.integers(0, 60), min_size=1), min_size=1, max_size=4))
def test_each_row_is_computed_once_whoever_asks(tmp_path_factory, asked):
    folder = tmp_path_factory.mktemp("cache")
    backbone = small_backbone()
    pool = digits(backbone).inputs.pool
    whole = FeatureStore().fill(backbone, Inputs(pool, torch.arange(61)), 2).stored
    known = set()
    for rows in asked:
        wanted = torch.tensor(sorted(rows))
        fresh, found = fill(folder, backbone, Inputs(pool, wanted), 2)
        assert fresh == len(rows - known)
        assert torch.equal(found, whole.take(wanted))
        known |= rows


def _other_weights(backbone, pool):
    backbone.body[0][0].weight.data.mul_(1.5)


def _other_statistics(backbone, pool):
    backbone.body[1][1].running_mean.add_(0.5)


def _other_normalisation(backbone, pool):
    backbone.mean.add_(3)


def _other_function(backbone, pool):
    backbone.body[0][2] = torch.nn.LeakyReLU(0.3)


def _other_data(backbone, pool):
    changed = pool.prepared.clone()
    changed[-1, 0, 0, 0] ^= 1
    return ResidentPool(changed)


def _other_transform(backbone, pool):
    return ResidentPool(pool.prepared.flip(-1))


def _other_type(backbone, pool):
    backbone.double()


@pytest.mark.parametrize(
    "change",
    [
        _other_weights,
        _other_statistics,
        _other_normalisation,
        _other_function,
        _other_data,
        _other_transform,
        _other_type,
    ],
)
def test_are_not_found_under_anything_else(tmp_path, change):
    backbone = small_backbone()
    pool = digits(backbone).inputs.pool
    rows = torch.arange(40)
    fill(tmp_path, backbone, Inputs(pool, rows))
    backbone = copy.deepcopy(backbone)
    pool = change(backbone, pool) or pool
    fresh, found = fill(tmp_path, backbone, Inputs(pool, rows))
    assert fresh == 40
    with torch.no_grad():
        torch.testing.assert_close(found, backbone.activations(pool.take(rows), 3))


def test_nor_in_another_precision(tmp_path):
    backbone = small_backbone()
    inputs = digits(backbone).inputs
    fill(tmp_path, backbone, inputs)
    with torch.autocast("cpu", torch.bfloat16):
        fresh, _ = fill(tmp_path, backbone, inputs)
    assert fresh == len(inputs)


def test_a_model_whose_code_changed_under_the_same_names_does_not_believe_them(tmp_path):
    backbone = small_backbone()
    inputs = digits(backbone).inputs
    fill(tmp_path, backbone, inputs)
    backbone.normalise = lambda pixels: pixels.float() / 255
    fresh, found = fill(tmp_path, backbone, inputs)
    assert fresh == len(inputs)
    with torch.no_grad():
        torch.testing.assert_close(found, backbone.activations(inputs[:], 3))


@pytest.mark.parametrize("where", [0.1, 0.5, 0.99])
def test_a_damaged_file_is_computed_anew(tmp_path, where):
    backbone = small_backbone()
    inputs = digits(backbone).inputs
    _, before = fill(tmp_path, backbone, inputs)
    (file,) = files(tmp_path)
    content = bytearray(file.read_bytes())
    content[int(where * len(content))] ^= 4
    file.write_bytes(content)
    fresh, after = fill(tmp_path, backbone, inputs)
    assert fresh == len(inputs)
    assert torch.equal(before, after)
    assert fill(tmp_path, backbone, inputs)[0] == 0


def _part(rows, width=256):
    return StoredRows(
        rows, torch.rand(len(rows), width), torch.ones(len(rows), dtype=torch.float64)
    )


def test_what_was_not_used_for_longest_makes_room(tmp_path):
    kept = FeatureCache(tmp_path, 150_000)
    keys = [ActivationKey(name, "pool", 0, "cpu") for name in "abc"]
    for age, key in enumerate(keys[:2]):
        kept.put(key, _part(torch.arange(60)))
        os.utime(files(tmp_path / kept._of(key).name / "..")[0], (age, age))
    for file, key in ((next(kept._of(key).glob("*.safetensors")), key) for key in keys[:2]):
        os.utime(file, (keys.index(key), keys.index(key)))
    list(kept.parts(keys[0], frozenset()))  # "a" is used again
    kept.put(keys[2], _part(torch.arange(60)))
    assert [len(list(kept.parts(key, frozenset()))) for key in keys] == [1, 0, 1]
    assert sum(file.stat().st_size for file in files(tmp_path)) <= 150_000


def test_large_parts_are_cut_into_files(tmp_path, monkeypatch):
    monkeypatch.setattr(feature_cache, "FILE_BYTES", 10_000)
    kept, key = FeatureCache(tmp_path, GIB), ActivationKey("a", "pool", 0, "cpu")
    whole = _part(torch.randperm(50))
    kept.put(key, whole)
    found = [part for _, part in kept.parts(key, frozenset())]
    assert len(found) == 6
    order = torch.cat([part.rows for part in found]).argsort()
    expected = whole.activations[whole.rows.argsort()]
    assert torch.equal(torch.cat([part.activations for part in found])[order], expected)


def test_what_is_computed_faster_than_it_is_read_gets_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(feature_cache, "BYTES_A_SECOND", 1e9)
    kept, key = FeatureCache(tmp_path, GIB), ActivationKey("a", "pool", 0, "cpu")
    rows = torch.arange(4)
    fast = torch.full((4,), 1e-7, dtype=torch.float64)
    kept.put(key, StoredRows(rows, torch.rand(4, 1000), fast))
    assert files(tmp_path) == []


def test_are_mapped_and_not_copied(tmp_path):
    """What many processes read is in memory once."""
    kept, key = FeatureCache(tmp_path, GIB), ActivationKey("a", "pool", 0, "cpu")
    kept.put(key, _part(torch.arange(50_000), width=500))
    code = """
import sys
from pathlib import Path
from harness.model.feature_store import ActivationKey
from harness.run.feature_cache import FeatureCache
def own():
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("RssAnon")).split()[1])
before = own()
key = ActivationKey("a", "pool", 0, "cpu")
parts = list(FeatureCache(Path(sys.argv[1]), 2**30).parts(key, frozenset()))
assert sum(len(part.rows) for _, part in parts) == 50_000
print(own() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 50_000 * 500 * 4 / 4
