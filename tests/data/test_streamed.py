"""Reading ahead changes when inputs are read, and nothing else: not which, nor in what order."""

import threading
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harness.data.examples import ArrayInputs, FileInputs, Inputs, TextInputs
from harness.data.resident import ResidentPool, RotatedPool
from harness.data.streamed import AHEAD, FEWEST, StreamedPool, begun_ahead, read_ahead
from harness.errors import HarnessError
from harness.testing import small_backbone

CPU = torch.device("cpu")
N = 24


def codes(texts):
    """Texts as their first three code points."""
    return torch.tensor([[*map(ord, f"{text}   "[:3])] for text in texts], dtype=torch.int32)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Raw inputs of each kind, and how they are prepared."""
    draw, folder = np.random.default_rng(0), tmp_path_factory.mktemp("images")
    paths = [folder / f"{number}.png" for number in range(N)]
    for number, path in enumerate(paths):
        size = 12 + number % 5, 20 - number % 3, 3
        Image.fromarray(draw.integers(0, 256, size, dtype=np.uint8)).save(path)
    pixels = torch.from_numpy(draw.integers(0, 256, (N, 3, 20, 24), dtype=np.uint8))
    images = small_backbone().preprocess
    return {
        "arrays": (ArrayInputs(pixels), images),
        "files": (FileInputs(tuple(paths)), images),
        "texts": (TextInputs(tuple(f"{number} texts" for number in range(N))), codes),
    }


@contextmanager
def computing_with(threads):
    """So many threads for torch to compute with, and so many to read."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.fixture(params=[1, 3])
def threads(request):
    with computing_with(request.param):
        yield request.param


def read(rows):
    """Prepared inputs that say which they are."""
    return torch.tensor(rows).reshape(-1, 1)


LIKE = torch.zeros(1, 1, dtype=torch.int64)


def of_sizes(*sizes):
    return list(torch.arange(sum(sizes)).split(sizes))


def readers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("reader")]


class TestStreams:
    batches = st.lists(st.lists(st.integers(0, N - 1), max_size=40), max_size=8)

    @pytest.mark.parametrize("kind", ["arrays", "files", "texts"])
    @settings(max_examples=15)
    @given(batches=batches, threads=st.integers(1, 4))
    def test_give_what_is_prepared_in_one_piece(self, inputs, kind, batches, threads):
        raw, preprocess = inputs[kind]
        everything = preprocess(raw.read(range(N)))
        pools = StreamedPool(raw, preprocess, CPU), ResidentPool(everything)
        rows = [torch.tensor(batch, dtype=torch.int64) for batch in batches]
        with computing_with(threads):
            for pool in pools:
                for batch, asked in zip(pool.stream(iter(rows)), rows, strict=True):
                    assert batch.dtype == everything.dtype
                    assert torch.equal(batch, everything[asked])
                    assert torch.equal(pool.take(asked), everything[asked])

    def test_turn_images_as_they_come(self, inputs):
        raw, preprocess = inputs["arrays"]
        everything = preprocess(raw.read(range(N)))
        turned = torch.cat([everything.rot90(quarter, (-2, -1)) for quarter in range(4)])
        pool = RotatedPool(StreamedPool(raw, preprocess, CPU))
        rows = torch.randperm(4 * N).split(7)
        assert torch.equal(torch.cat(list(pool.stream(rows))), turned[torch.cat(rows)])

    def test_of_inputs_take_slices_and_positions(self, inputs):
        pool = StreamedPool(*inputs["texts"], CPU)
        some = Inputs(pool, torch.tensor([5, 3, 9]))
        first, second, third = some.stream([slice(None), torch.tensor([2]), slice(1, 3)])
        assert torch.equal(first, some[:])
        assert torch.equal(second, pool.take(torch.tensor([9])))
        assert torch.equal(third, pool.take(torch.tensor([3, 9])))

    def test_say_where_inputs_are_held(self, inputs):
        streamed, resident = StreamedPool(*inputs["texts"], CPU), ResidentPool(torch.zeros(3, 2))
        assert streamed.held == RotatedPool(streamed).held == "streamed"
        assert resident.held == RotatedPool(resident).held == "device"

    def test_in_inference_mode_give_plain_tensors(self, inputs):
        pool = StreamedPool(*inputs["texts"], CPU)
        with torch.inference_mode():
            batch = pool.take(torch.tensor([1, 2]))
        assert not batch.is_inference()

    @pytest.mark.gpu
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_to_a_gpu_are_not_overwritten_before_they_are_copied(self, inputs):
        raw, preprocess = inputs["arrays"]
        pool = StreamedPool(raw, preprocess, torch.device("cuda"))
        rows = torch.randint(0, N, (200, 64))
        busy = torch.randn(4096, 4096, device="cuda")
        given = []
        for batch in pool.stream(rows):
            busy = (busy @ busy).tanh()  # copies wait behind it
            given.append(batch)
        assert torch.equal(torch.cat(given).cpu(), preprocess(raw.read(rows.flatten().tolist())))

    def test_of_a_damaged_file_fail_at_its_batch(self, inputs, tmp_path, threads):
        (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n torn")
        raw, preprocess = inputs["files"]
        files = FileInputs((*raw.paths, tmp_path / "torn.png"))
        stream = StreamedPool(files, preprocess, CPU).stream(torch.tensor([[0], [1], [N], [2]]))
        for row in (0, 1):
            assert torch.equal(next(stream), preprocess(raw.read([row])))
        with pytest.raises(HarnessError, match=r"torn\.png"):
            next(stream)
        assert not readers()
        assert list(stream) == []


class TestReadingAhead:
    def test_begins_when_the_first_batch_is_asked_for(self):
        asked = []
        batches = (asked.append(rows) or rows for rows in of_sizes(1, 1))
        stream = read_ahead(read, batches, LIKE)
        assert not asked
        assert not readers()
        next(stream)
        assert asked

    @pytest.mark.parametrize("sizes", [[1] * 20, [3] * 20])
    def test_reads_so_many_batches_ahead_and_no_more(self, threads, sizes):
        seen, lock = set(), threading.Lock()

        def noting(rows):
            with lock:
                seen.update(rows)
            return read(rows)

        stream = read_ahead(noting, of_sizes(*sizes), LIKE)
        for used, _ in enumerate(stream, start=1):
            assert len(seen) <= sizes[0] * (used + AHEAD)
        assert len(seen) == sum(sizes)

    def test_goes_on_reading_while_a_batch_is_used(self):
        last = threading.Event()

        def noting(rows):
            if AHEAD in rows:
                last.set()
            return read(rows)

        stream = read_ahead(noting, of_sizes(*[1] * 10), LIKE)
        next(stream)
        assert last.wait(10)  # nobody has asked for another batch
        stream.close()

    @pytest.mark.parametrize("sizes", [[2 * FEWEST], [1, 1]], ids=["of one batch", "of two"])
    def test_reads_parts_at_once(self, sizes):
        """Each of two parts is read when the other one is being read too."""
        both = threading.Barrier(2)

        def together(rows):
            both.wait(10)
            return read(rows)

        with computing_with(2):
            parts = torch.cat(list(read_ahead(together, of_sizes(*sizes), LIKE)))
        assert parts.flatten().tolist() == list(range(sum(sizes)))

    def test_reads_with_more_threads_than_torch_computes_with_if_it_is_told_to(self):
        both = threading.Barrier(2)

        def together(rows):
            both.wait(10)
            return read(rows)

        with computing_with(1):
            (part,) = read_ahead(together, of_sizes(2 * FEWEST), LIKE, threads=2)
            assert torch.get_num_threads() == 1
        assert part.flatten().tolist() == list(range(2 * FEWEST))

    def test_keeps_the_order_where_a_later_batch_is_ready_first(self):
        second = threading.Event()

        def late(rows):
            assert rows != [0] or second.wait(10)
            if rows == [1]:
                second.set()
            return read(rows)

        with computing_with(2):
            batches = list(read_ahead(late, of_sizes(1, 1, 1), LIKE))
        assert torch.cat(batches).flatten().tolist() == [0, 1, 2]

    def test_computes_with_one_thread_in_each_reader(self, threads):
        seen = []

        def noting(rows):
            seen.append(torch.get_num_threads())
            return read(rows)

        list(read_ahead(noting, of_sizes(1, 1, 1), LIKE))
        assert seen == [1, 1, 1]
        assert torch.get_num_threads() == threads
        other = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        other.start()
        other.join()
        assert seen[-1] == threads  # nor does a thread that is started later inherit it

    def test_fails_at_the_batch_that_failed(self, threads):
        def torn(rows):
            if 2 in rows:
                raise ValueError("torn")
            return read(rows)

        stream = read_ahead(torn, of_sizes(1, 1, 1, 1), LIKE)
        assert [next(stream).item(), next(stream).item()] == [0, 1]
        with pytest.raises(ValueError, match="torn"):
            next(stream)


class TestAnAbandonedStream:
    """Whatever ends it, no thread goes on reading."""

    stopping = pytest.mark.parametrize("stop", [ValueError, KeyboardInterrupt])

    def test_that_was_closed_or_dropped(self, threads):
        for abandon in ("close", "drop"):
            stream = read_ahead(read, of_sizes(*[20] * 10), LIKE)
            next(stream)
            assert readers()
            if abandon == "close":
                stream.close()
            del stream
            assert not readers()

    def test_that_a_pool_gave_and_another_turned(self, inputs):
        pool = RotatedPool(StreamedPool(*inputs["arrays"], CPU))
        stream = Inputs(pool, torch.arange(4 * N)).stream([slice(0, 9)] * 10)
        next(stream)
        assert readers()
        del stream
        assert not readers()

    @stopping
    def test_whose_reader_failed(self, threads, stop):
        def torn(rows):
            raise stop

        with pytest.raises(stop):
            list(read_ahead(torn, of_sizes(20, 20), LIKE))
        assert not readers()

    @stopping
    def test_whose_user_failed(self, threads, stop):
        def use():
            for _ in read_ahead(read, of_sizes(*[20] * 10), LIKE):
                raise stop

        with pytest.raises(stop):
            use()
        assert not readers()

    @stopping
    def test_whose_batches_failed(self, threads, stop):
        def batches():
            yield from of_sizes(1, 1)
            raise stop

        with pytest.raises(stop):
            list(read_ahead(read, batches(), LIKE))
        assert not readers()

    def test_reads_none_of_what_was_waiting(self):
        going, go, seen = threading.Event(), threading.Event(), []

        def waiting(rows):
            seen.append(rows)
            if rows != [0]:
                going.set()
                assert go.wait(10)
            return read(rows)

        with computing_with(1):
            stream = read_ahead(waiting, of_sizes(*[1] * 10), LIKE)
            next(stream)
            assert going.wait(10)
            closing = threading.Timer(0.5, go.set)
            closing.start()
            stream.close()
            closing.join()
        assert seen == [[0], [1]]
        assert not readers()


@pytest.mark.parametrize("count", [0, 1, 3, 9])
def test_items_are_given_when_so_many_more_were_taken(count):
    taken = []
    items = (taken.append(item) or item for item in range(6))
    for item, next_one in enumerate(begun_ahead(items, count)):
        assert next_one == item
        assert len(taken) == min(item + 1 + count, 6)
    assert len(taken) == 6
