"""Global generators are seeded for a while, and given back."""

import pytest
import torch

from harness.run.seeding import seeded

CPU = torch.device("cpu")


def test_a_seed_draws_what_torch_draws_from_it():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        expected = torch.rand(5)
    with seeded(7, CPU):
        assert torch.equal(torch.rand(5), expected)


def test_what_is_drawn_afterwards_is_what_would_have_been_also_after_an_error():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        expected = torch.rand(2)
        torch.manual_seed(0)
        first = torch.rand(1)
        with pytest.raises(ZeroDivisionError), seeded(7, CPU):
            _ = 1 // int(torch.rand(3).numel() - 3)
        assert torch.equal(torch.cat([first, torch.rand(1)]), expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_so_it_is_on_a_gpu():
    gpu = torch.device("cuda")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        expected = torch.rand(1, device=gpu)
        torch.manual_seed(0)
        with seeded(7, gpu):
            once = torch.rand(3, device=gpu)
        with seeded(7, gpu):
            assert torch.equal(torch.rand(3, device=gpu), once)
        assert torch.equal(torch.rand(1, device=gpu), expected)
