"""As many workers as there are devices, cores and memory for."""

from types import SimpleNamespace

import pytest
import torch

from harness.api import HarnessError
from harness.run.place import GIB, pick_workers, readers_each, room_for
from harness.suite.budget import Limits


class TestWorkers:
    @pytest.fixture(autouse=True)
    def four_gpus(self, monkeypatch):
        """Devices are counted here, not used."""
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)

    @pytest.mark.parametrize(
        ("asked", "jobs", "workers"),
        [
            ("auto", None, ["cuda"]),
            ("cpu", 3, ["cpu", "cpu", "cpu"]),
            ("cuda:3", None, ["cuda:3"]),
            ("cuda:0,1", None, ["cuda:0", "cuda:1"]),
            ("cuda:0,cuda:2", 4, ["cuda:0", "cuda:2", "cuda:0", "cuda:2"]),
            ("cuda:0,1,2", 2, ["cuda:0", "cuda:1"]),
            ("cuda:0, 1", None, ["cuda:0", "cuda:1"]),
        ],
    )
    def test_take_turns_on_devices(self, asked, jobs, workers):
        assert pick_workers(asked, jobs) == tuple(workers)

    @pytest.mark.parametrize(
        ("asked", "said"),
        [
            ("cuda:0,4", "--device cuda:0,4: '4' is not there: this machine has 4 CUDA devices"),
            ("cuda:1,1", "names a device twice"),
            ("cpu,x", "--device cpu,x: 'x' is no kind of device"),
            ("cuda:0,", "--device cuda:0,: '' is no kind of device"),
            ("gpu, cuda:9", "'gpu' is no kind of device; 'cuda:9' is not there"),
        ],
    )
    def test_on_devices_that_are_not_there_are_refused(self, asked, said):
        with pytest.raises(HarnessError, match=said):
            pick_workers(asked, None)


def test_cores_are_divided_among_workers(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)))
    assert [readers_each(workers) for workers in (1, 2, 3, 8, 20)] == [8, 4, 2, 1, 1]


class TestByDefault:
    """On the CPU alone, as many cells run side by side as there are cores and memory for."""

    @pytest.fixture(autouse=True)
    def machine(self, monkeypatch):
        """Of 8 cores, with 12 GiB of free memory."""
        monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)))
        free = SimpleNamespace(available=12 * GIB)
        monkeypatch.setattr("psutil.virtual_memory", lambda: free)

    def test_cells_divide_the_cores_by_their_threads(self):
        small = [SimpleNamespace(peak_host_bytes=GIB)]
        room = [room_for(threads, Limits(), small) for threads in (1, 2, 3, 8, 20)]
        assert room == [8, 4, 2, 1, 1]

    @pytest.mark.parametrize(
        ("limit", "peaks", "room"),
        [(None, [], 6), (None, [GIB, 4 * GIB, None], 3), (2.4, [4 * GIB], 5), (100.0, [], 1)],
    )
    def test_cells_find_the_memory_that_they_need(self, limit, peaks, room):
        records = [SimpleNamespace(peak_host_bytes=peak) for peak in peaks]
        assert room_for(1, Limits(memory=limit), records) == room

    def test_what_is_asked_for_counts(self):
        assert pick_workers("cpu", None, 4) == ("cpu",) * 4
        assert pick_workers("cpu", 2, 4) == ("cpu",) * 2
