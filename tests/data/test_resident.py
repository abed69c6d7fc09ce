"""Where inputs live makes no difference to what they are."""

import pytest
import torch

from harness.data import resident
from harness.data.examples import ArrayInputs
from harness.data.resident import ResidentPool, RotatedPool, StreamedPool, make_pool
from harness.testing import small_backbone

CPU = torch.device("cpu")
RAW = ArrayInputs(torch.randint(0, 256, (300, 3, 20, 24), dtype=torch.uint8))


def test_what_does_not_fit_is_streamed_and_is_the_same(monkeypatch):
    backbone = small_backbone()
    fits = make_pool(RAW, backbone.preprocess, CPU)
    monkeypatch.setattr(resident, "free_bytes", lambda device: 1000)
    streams = make_pool(RAW, backbone.preprocess, CPU)
    assert isinstance(fits, ResidentPool)
    assert isinstance(streams, StreamedPool)
    rows = torch.tensor([299, 0, 7, 7])
    assert torch.equal(fits.take(rows), streams.take(rows))
    assert len(fits) == len(streams) == 300


@pytest.mark.parametrize("full", ["cpu", "cuda"])
def test_what_fits_has_room_on_the_device_and_on_the_host(monkeypatch, full):
    monkeypatch.setattr(resident, "free_bytes", lambda device: 1000 if device.type == full else 1e9)
    assert make_pool(RAW, small_backbone().preprocess, torch.device("cuda")).held == "streamed"


def test_digests_tell_inputs_and_their_preparation_apart():
    backbone = small_backbone()
    pool = make_pool(RAW, backbone.preprocess, CPU)
    assert pool.digest == make_pool(RAW, backbone.preprocess, CPU).digest
    assert pool.digest != make_pool(RAW, lambda raw: raw, CPU).digest
    streams = {
        StreamedPool(RAW, prepare, CPU).digest for prepare in (backbone.preprocess, lambda raw: raw)
    }
    assert len(streams) == 2


def test_rotation_turns_each_row_by_its_quarter():
    upright = ResidentPool(torch.randint(0, 256, (5, 1, 4, 4), dtype=torch.uint8))
    turned = RotatedPool(upright)
    assert len(turned) == 20
    rows = torch.tensor([3, 3 + 5, 3 + 10, 3 + 15])
    expected = torch.stack([upright.prepared[3].rot90(k, (-2, -1)) for k in range(4)])
    assert torch.equal(turned.take(rows), expected)
    assert torch.equal(upright.take(torch.tensor([3]))[0], upright.prepared[3])
