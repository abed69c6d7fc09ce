"""A meta-step of MAML against learn2learn's: ratios at equal work, the two sides taken in turn.

Run with ``pytest tests/benchmarks/test_maml.py --benchmark-enable -s``; the ratio of medians is
printed, and in ``extra_info`` of ``--benchmark-json``. No time is asserted.

Both sides have all cores and the same network (``conv4``, 64 channels, 28 pixels, grey, 5 ways),
the same four tasks of 5 queries a class, second order, and Adam. learn2learn is used as its
examples do, with torch's own threads; where it is not installed, the loop that it runs stands in.
Ours takes the support set's statistics for the queries, which needs a pass over the support set
under the final weights; learn2learn is given the same images in its last pass.

The bound is the FLOPs of the convolutions and products, over the rate at which this machine does
a large convolution like those of the second block: printed is what share of it is reached. The
rest goes to passes over memory (norms, ReLU, pooling), which count next to no FLOPs.
"""

import copy
import os

import pytest
import torch
import torch.nn.functional as F
from harness_plugins.backbones.conv4 import Conv4
from harness_plugins.meta._meta_gradient import Inner, batched
from harness_plugins.meta._side_by_side import side_by_side
from torch import nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from harness.api import SourceEpisode
from harness.run.malloc import keep_freed

WAYS, QUERIES, TASKS, RATE = 5, 5, 4, 0.4


@pytest.fixture
def all_cores():
    """As in a cell, freed memory is kept; learn2learn gains by that, too."""
    keep_freed()
    before = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count())
    yield
    torch.set_num_threads(before)


@pytest.fixture
def backbone(device):
    torch.manual_seed(0)
    backbone = Conv4().build("conv4", input_size=28, pretrained=False, args={}).to(device)
    backbone.train_only(set(backbone.parameters_from(0)))
    return backbone


def an_episode(shots, device):
    def images(each):
        return torch.randint(0, 256, (WAYS * each, 1, 28, 28), dtype=torch.uint8, device=device)

    answers = torch.arange(WAYS, device=device)
    return SourceEpisode(
        images(shots),
        answers.repeat_interleave(shots),
        images(QUERIES),
        answers.repeat_interleave(QUERIES),
    )


class PlainLearner:
    """What ``learn2learn.algorithms.MAML`` does: new parameters by a differentiable step."""

    def __init__(self, module, values):
        self.module, self.values = module, values

    def clone(self):
        return PlainLearner(self.module, {n: p.clone() for n, p in self.values.items()})

    def adapt(self, loss):
        gradients = torch.autograd.grad(loss, list(self.values.values()), create_graph=True)
        pairs = zip(self.values.items(), gradients, strict=True)
        self.values = {name: value - RATE * gradient for (name, value), gradient in pairs}

    def __call__(self, inputs):
        return functional_call(self.module, self.values, (inputs,))


def learner_of(model):
    try:
        import learn2learn
    except ImportError:
        return PlainLearner(model, dict(model.named_parameters()))
    return learn2learn.algorithms.MAML(model, lr=RATE)


@pytest.mark.parametrize("shots", [1, 5])
@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.usefixtures("all_cores")
def test_a_meta_step_against_learn2learns(
    compare, benchmark, device, backbone, convolution_rate, steps, shots
):
    if not benchmark.enabled and (steps, shots) != (1, 1):
        pytest.skip("takes a while: --benchmark-enable")
    episodes = [an_episode(shots, device) for _ in range(TASKS)]
    body = copy.deepcopy(backbone.body).to(memory_format=torch.contiguous_format)
    model = nn.Sequential(body, nn.Linear(64, WAYS)).to(device)
    learner = learner_of(model)
    their_optimizer = torch.optim.Adam(model.parameters())

    def scaled(images):
        return images.float() / 127.5 - 1

    def theirs():
        torch.set_num_threads(os.cpu_count())
        their_optimizer.zero_grad()
        losses = []
        for episode in episodes:
            clone = learner.clone()
            support, query = scaled(episode.support), scaled(episode.query)
            for _ in range(steps):
                clone.adapt(F.cross_entropy(clone(support), episode.support_labels))
            logits = clone(torch.cat([support, query]))[len(support) :]
            losses.append(F.cross_entropy(logits, episode.query_labels))
        (sum(losses) / TASKS).backward()
        their_optimizer.step()

    parameters = [parameter for _, parameter in backbone.body_parameters()]
    our_optimizer = torch.optim.Adam(parameters)

    by_device = batched if device.type == "cuda" else side_by_side
    with by_device(backbone, Inner(RATE, steps, WAYS), TASKS) as meta_gradient:
        threads = torch.get_num_threads()

        def ours():
            torch.set_num_threads(threads)
            _, gradients = meta_gradient(episodes)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = torch.empty_like(parameter).copy_(gradient).div_(TASKS)
            our_optimizer.step()

        compare(theirs, ours)
        seconds = benchmark.extra_info["seconds"][1]

    with FlopCounterMode(display=False) as counter:
        theirs()
    bound = counter.get_total_flops() / convolution_rate
    benchmark.extra_info["share_of_bound"] = bound / seconds
    print(f"{counter.get_total_flops():.3g} FLOPs: {bound / seconds:.0%} of the bound")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("shots", [1, 5])
@pytest.mark.parametrize("steps", [1, 5])
def test_a_meta_gradient_replayed_from_a_graph(compare, backbone, steps, shots):
    """What a CUDA graph would take off the launches of the batched gradient, which is as exact for
    episodes that it was not captured with."""
    device = torch.device("cuda")
    captured, others = ([an_episode(shots, device) for _ in range(TASKS)] for _ in range(2))
    with batched(backbone, Inner(RATE, steps, WAYS), TASKS) as meta_gradient:
        apart = torch.cuda.Stream()
        apart.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(apart):  # what is made at the first call only is not to be captured
            for _ in range(3):
                meta_gradient(captured)
        torch.cuda.current_stream().wait_stream(apart)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            loss, gradients = meta_gradient(captured)

        for mine, other in zip(captured, others, strict=True):
            mine.support.copy_(other.support)
            mine.query.copy_(other.query)
        graph.replay()
        eager_loss, eager = meta_gradient(others)
        torch.testing.assert_close([loss, *gradients], [eager_loss, *eager], rtol=1e-3, atol=1e-4)
        compare(lambda: meta_gradient(others), graph.replay)


@pytest.fixture
def convolution_rate(device, now):
    """FLOPs a second of a convolution of 64 channels by 64, of images of 14 pixels."""
    layout = {"device": device, "memory_format": torch.channels_last}
    convolution = nn.Conv2d(64, 64, 3, padding=1, bias=False).to(**layout)
    images = torch.randn(128, 64, 14, 14).to(**layout)
    taken = []
    with torch.no_grad():
        for _ in range(10):
            started = now()
            convolution(images)
            taken.append(now() - started)
    return 2 * images.numel() * 64 * 9 / min(taken)
