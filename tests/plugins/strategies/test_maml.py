"""MAML's meta-gradient against a loop written out by hand, in float64, and against differences."""

import copy
import multiprocessing
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import psutil
import pytest
import torch
import torch.nn.functional as F
from harness_plugins.meta._meta_gradient import (
    Inner,
    batched,
    can_batch,
    task_loss,
)
from harness_plugins.meta._side_by_side import side_by_side
from harness_plugins.meta._support_norms import Regrouped, SupportNorms
from harness_plugins.strategies.maml import Maml
from torch import nn

from harness.api import Diverged, HarnessError, ImageBackbone, OneClass, Source, SourceEpisode, Task
from harness.testing import StrategyChecks, a_run, digits, shots, small_backbone


class TestMaml(StrategyChecks):
    strategy = Maml(tasks=1)
    settings = {"meta_steps": 2}


@pytest.fixture
def backbone():
    backbone = small_backbone().double()
    backbone.train_only(set(backbone.parameters_from(0)))
    return backbone


def drawn(backbone, skip=0):
    examples = digits(backbone)
    support, query = shots(examples, 2, 3, skip=skip), shots(examples, 4, 3, skip=skip + 2)
    return SourceEpisode(support.inputs[:], support.labels, query.inputs[:], query.labels)


@pytest.fixture
def episode(backbone):
    return drawn(backbone)


@pytest.fixture
def episodes(backbone):
    return [drawn(backbone, skip) for skip in (0, 6, 12)]


three_ways = partial(Inner, ways=3)


def by_hand(parameters, episode, lr, steps, *, second_order=True):
    """The same loss, with every operation of the network and of batch norm written out."""
    names = ["0.weight", "0.bias", "1.weight", "1.bias"]

    def forward(values, inputs, statistics=None):
        measured = []
        x = (inputs.double() / 255 - 0.5) / 0.5
        for block in range(3):
            weight, bias, gain, shift = (values[f"body.{block}.{name}"] for name in names)
            x = F.conv2d(x, weight, bias, padding=1)
            if statistics is None:
                mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
                count = x.numel() / x.shape[1]
                measured.append((mean, variance * count / (count - 1)))
            else:
                mean, variance = statistics[block]
            x = (x - mean[:, None, None]) / (variance[:, None, None] + 1e-5).sqrt()
            x = F.avg_pool2d(F.relu(x * gain[:, None, None] + shift[:, None, None]), 2)
        return x.mean((2, 3)), measured

    values = dict(parameters)
    values["w"] = torch.zeros(3, 8, dtype=torch.float64, requires_grad=True)
    values["b"] = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    for _ in range(steps):
        features, _ = forward(values, episode.support)
        loss = F.cross_entropy(features @ values["w"].T + values["b"], episode.support_labels)
        gradients = torch.autograd.grad(loss, list(values.values()), create_graph=second_order)
        values = {
            name: value - lr * gradient
            for (name, value), gradient in zip(values.items(), gradients, strict=True)
        }
    _, statistics = forward(values, episode.support)
    features, _ = forward(values, episode.query, statistics)
    return F.cross_entropy(features @ values["w"].T + values["b"], episode.query_labels)


@contextmanager
def two_cores():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def relative(ours, theirs):
    """The distance of two gradients, over the length of one."""
    ours, theirs = (torch.cat([g.flatten() for g in gradient]) for gradient in (ours, theirs))
    return ((ours - theirs).norm() / theirs.norm()).item()


@pytest.mark.parametrize("way", [side_by_side, batched])
@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_meta_gradient_equals_a_plain_double_backward_loops(
    backbone, episodes, steps, first_order, way
):
    inner = three_ways(0.4, steps, first_order=first_order)
    with two_cores(), way(backbone, inner, 3) as gradient:
        loss, ours = gradient(episodes)
    parameters = dict(backbone.body_parameters())
    expected = sum(
        by_hand(parameters, episode, 0.4, steps, second_order=not first_order)
        for episode in episodes
    )
    assert loss.item() == pytest.approx(expected.item(), abs=1e-10)
    theirs = torch.autograd.grad(expected, list(parameters.values()))
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.allclose(mine, other, atol=1e-9, rtol=1e-6)
    assert relative(ours, theirs) < 1e-9


def test_any_number_of_processes_gives_the_same_bits(backbone, episodes):
    inner = three_ways(0.4, 2)
    with two_cores(), side_by_side(backbone.float(), inner, 3) as gradient:
        together = gradient(episodes)
    with side_by_side(backbone, inner, 3) as gradient:
        alone = gradient(episodes)
    assert torch.equal(together[0], alone[0])
    assert all(torch.equal(a, b) for a, b in zip(together[1], alone[1], strict=True))


def forks():
    """The processes that compute gradients; other tests may have left servers of their own."""
    return [psutil.Process(child.pid) for child in multiprocessing.active_children()]


def test_when_meta_training_is_over_threads_are_as_many_as_before_and_processes_are_gone(
    backbone, episodes
):
    with two_cores():
        with side_by_side(backbone, three_ways(0.4, 1), 3) as gradient:
            gradient(episodes)
            (fork,) = forks()
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        assert not fork.is_running()


def test_parameters_that_change_between_meta_steps_are_seen_by_all(backbone, episodes):
    inner = three_ways(0.4, 1)
    with two_cores(), side_by_side(backbone, inner, 3) as gradient:
        gradient(episodes)
        with torch.no_grad():
            for parameter in backbone.parameters():
                parameter.mul_(1.1)
        loss, found = gradient(episodes)
    with side_by_side(backbone, inner, 3) as gradient:
        expected_loss, expected = gradient(episodes)
    assert torch.equal(loss, expected_loss)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_a_fork_that_dies_ends_the_training(backbone, episodes):
    with two_cores(), side_by_side(backbone, three_ways(0.4, 1), 3) as gradient:
        forks()[0].kill()
        with pytest.raises(RuntimeError, match="was lost"):
            gradient(episodes)


def test_what_fails_in_a_fork_is_told(backbone, episodes):
    broken = replace(episodes[1], query_labels=episodes[1].query_labels + 9)
    told = pytest.raises(RuntimeError, match="IndexError")
    with two_cores(), side_by_side(backbone, three_ways(0.4, 1), 3) as gradient, told:
        gradient([episodes[0], broken, episodes[2]])


def test_a_fork_does_not_outlive_who_made_it(tmp_path):
    """Killed from one moment to the next, in the middle of it."""
    code = """
import os, torch
from harness.testing import small_backbone
from harness_plugins.meta._meta_gradient import Inner
from harness_plugins.meta._side_by_side import side_by_side
torch.set_num_threads(3)
backbone = small_backbone()
backbone.train_only(set(backbone.parameters_from(0)))
with side_by_side(backbone, Inner(0.4, 1, 3), 3):
    import psutil
    print(*[child.pid for child in psutil.Process().children()], flush=True)
    os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -9
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 2
    _, alive = psutil.wait_procs([psutil.Process(p) for p in pids if psutil.pid_exists(p)], 10)
    assert not alive


def test_a_batch_that_memory_refuses_is_cut_in_parts(backbone, episodes, monkeypatch):
    whole, chunks = torch.func.vmap, []

    def refusing(function, in_dims, chunk_size):
        chunks.append(chunk_size)
        if chunk_size > 1:
            raise torch.OutOfMemoryError
        return whole(function, in_dims, chunk_size=chunk_size)

    with batched(backbone, three_ways(0.4, 1), 3) as gradient:
        loss, expected = gradient(episodes)
        monkeypatch.setattr(torch.func, "vmap", refusing)
        again, parts = gradient(episodes)
    assert chunks == [3, 2, 1]
    assert again.item() == pytest.approx(loss.item())
    assert relative(parts, expected) < 1e-9


def test_a_model_with_dropout_takes_its_tasks_in_turn(backbone, episodes):
    inner = three_ways(0.4, 1)
    assert can_batch(backbone, inner, episodes[0])
    backbone.body[1].append(torch.nn.Dropout(0.5))
    assert not can_batch(backbone, inner, episodes[0])

    def gradients():
        torch.manual_seed(0)
        with two_cores(), side_by_side(backbone, inner, 3) as gradient:
            return gradient(episodes)[1]

    assert all(torch.equal(a, b) for a, b in zip(gradients(), gradients(), strict=True))


def test_learn2learn_comes_to_the_same_gradient(backbone, episode):
    """Its loop with our batch norm: the support set's statistics on the queries too."""
    learn2learn = pytest.importorskip("learn2learn")
    parameters = dict(backbone.body_parameters())
    loss = task_loss(backbone, parameters, episode, three_ways(0.1, 3))
    ours = torch.autograd.grad(loss, list(parameters.values()))
    head = torch.nn.Linear(backbone.num_features, 3).double()
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    maml = learn2learn.algorithms.MAML(torch.nn.Sequential(backbone, head), lr=0.1)
    learner, norms = maml.clone(), SupportNorms(plain=True)
    for _ in range(3):
        with norms:
            learner.adapt(F.cross_entropy(learner(episode.support), episode.support_labels))
    with norms.measuring():
        learner(episode.support)
    with norms.applying():
        expected = F.cross_entropy(learner(episode.query), episode.query_labels)
    assert relative(ours, torch.autograd.grad(expected, list(parameters.values()))) < 1e-6


def test_second_derivatives_are_not_nothing(backbone, episode):
    parameters = dict(backbone.body_parameters())
    first, second = (
        torch.autograd.grad(
            task_loss(backbone, parameters, episode, three_ways(0.4, 3, first_order=order)),
            list(parameters.values()),
        )
        for order in (True, False)
    )
    assert not torch.allclose(first[0], second[0], rtol=1e-2)


def test_the_meta_gradient_agrees_with_finite_differences(backbone, episode):
    parameters = dict(backbone.body_parameters())
    loss = task_loss(backbone, parameters, episode, three_ways(0.1, 2))
    name = "body.1.0.weight"
    gradient = torch.autograd.grad(loss, [parameters[name]])[0]
    direction = torch.randn(gradient.shape, dtype=torch.float64, generator=torch.manual_seed(0))

    def moved(distance):
        there = {**parameters, name: (parameters[name] + distance * direction).detach()}
        there = {n: p.detach().requires_grad_() for n, p in there.items()}
        return task_loss(backbone, there, episode, three_ways(0.1, 2)).item()

    difference = (moved(1e-6) - moved(-1e-6)) / 2e-6
    assert (gradient * direction).sum().item() == pytest.approx(difference, rel=1e-3)


def test_adapting_is_what_meta_training_rehearsed(backbone, episode):
    """``adapt`` on the support set gives the very loss that ``prepare`` made small."""
    support = Task(shots(digits(backbone), 2, 3), OneClass.of(3))
    hp = {"adapt_lr": 0.4, "adapt_steps": 2}
    start = copy.deepcopy(backbone).float().eval()
    model = Maml().adapt(start, support, hp, a_run())
    queries = shots(digits(backbone), 4, 3, skip=2)
    reached = F.cross_entropy(model.logits(queries.inputs), queries.labels)
    parameters = dict(backbone.body_parameters())
    rehearsed = task_loss(backbone, parameters, episode, three_ways(0.4, 2))
    assert reached.item() == pytest.approx(rehearsed.item(), rel=1e-4)


@pytest.mark.parametrize("mode", ["train", "frozen"])
def test_batch_norm_goes_by_the_task_whatever_the_run_says(mode):
    task = Task(shots(digits(small_backbone()), 2, 3), OneClass.of(3))
    hp = {"adapt_lr": 0.4, "adapt_steps": 2}
    run = a_run(batch_norm=mode)
    model = Maml().adapt(small_backbone(), task, hp, run)
    before = dict(small_backbone().named_buffers())
    after = dict(model.backbone.named_buffers())
    assert not torch.equal(after["body.0.1.running_mean"], before["body.0.1.running_mean"])


def test_running_statistics_are_left_alone(backbone, episode):
    before = {name: buffer.clone() for name, buffer in backbone.named_buffers()}
    parameters = dict(backbone.body_parameters())
    task_loss(backbone, parameters, episode, three_ways(0.4, 1))
    assert all(torch.equal(buffer, before[name]) for name, buffer in backbone.named_buffers())


@pytest.mark.parametrize("plain", [False, True])
def test_norms_without_weights_are_normalised_too(plain):
    norms, x = SupportNorms(plain=plain), torch.randn(6, 3, 4)
    with norms.measuring():
        F.batch_norm(x, None, None, training=True)
    with norms.applying():
        y = F.batch_norm(x, None, None, training=True)
    assert torch.allclose(y.mean((0, 2)), torch.zeros(3), atol=1e-6)
    assert torch.allclose(y.var((0, 2)), torch.ones(3), rtol=1e-3)


class Halves(nn.Module):
    """Features of the halves of an image, which are normalised alike whether or not ``folded``:
    as if they were images of their own."""

    def __init__(self, *, folded):
        super().__init__()
        self.convolve, self.norm = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.folded = folded

    def forward(self, images):
        convolved = self.convolve(images)
        if not self.folded:
            return self.norm(convolved).relu().unflatten(2, (2, -1)).mean((3, 4)).flatten(1)
        halves = convolved.unflatten(2, (2, -1)).transpose(1, 2).flatten(0, 1)
        normal = self.norm(halves).relu().mean((2, 3))
        return normal.unflatten(0, (len(images), 2)).transpose(1, 2).flatten(1)


@pytest.mark.parametrize("plain", [False, True])
def test_a_model_that_regroups_its_inputs_sees_the_support_set_first(plain, episode):
    def halves(folded):
        torch.manual_seed(0)
        body = Halves(folded=folded)
        made = ImageBackbone(
            body, blocks=[["convolve", "norm"]], input_size=16, mean=[0.5], std=[0.5]
        )
        made.train_only(set(made.parameters_from(0)))
        return made.double()

    both = torch.cat([episode.support, episode.query])
    with pytest.raises(Regrouped), SupportNorms(plain=plain).leading(6, len(both)):
        halves(folded=True)(both)
    folded, flat = (
        task_loss(made, dict(made.body_parameters()), episode, three_ways(0.1, 2), batched=plain)
        for made in (halves(folded=True), halves(folded=False))
    )
    assert folded.item() == pytest.approx(flat.item(), rel=1e-10)


def test_meta_training_makes_one_step_adapt_better():
    """Meta-trained on some images of five digits, adapted to and tested on others."""
    backbone = small_backbone()
    examples = digits(backbone)
    source = Source(shots(examples, 100, 5), OneClass.of(5))
    hp = {"inner_lr": 0.4, "inner_steps": 1, "meta_lr": 1e-2, "meta_steps": 100}
    strategy = Maml(ways=5, tasks=2)
    trained = strategy.prepare(copy.deepcopy(backbone), source, hp, a_run()).eval()

    def accuracy(start):
        correct = []
        for first in range(100, 120):
            task = Task(shots(examples, 1, 5, skip=first), OneClass.of(5))
            model = strategy.adapt(start, task, {"adapt_lr": 0.4, "adapt_steps": 1}, a_run())
            query = shots(examples, 30, 5, skip=130)
            correct.append((model.logits(query.inputs).argmax(1) == query.labels).float().mean())
        return torch.stack(correct).mean().item()

    assert accuracy(trained) > accuracy(backbone) + 0.1


def test_too_few_source_classes_are_refused():
    examples = digits(small_backbone())
    with pytest.raises(HarnessError, match="too few for episodes of 20 ways"):
        Maml(ways=20).prepare(
            small_backbone(),
            Source(examples, OneClass.of(10)),
            {"meta_steps": 1, "meta_lr": 1e-3},
            a_run(),
        )


def test_a_loss_that_is_not_a_number_ends_meta_training_at_once():
    backbone = small_backbone()
    hp = {"inner_lr": 1e38, "inner_steps": 2, "meta_lr": 1e-3, "meta_steps": 100}
    with pytest.raises(Diverged, match=r"by step 1$"):
        Maml(tasks=1).prepare(backbone, Source(digits(backbone), OneClass.of(10)), hp, a_run())
