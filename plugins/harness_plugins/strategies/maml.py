"""MAML: learn an initialisation that a few gradient steps adapt to a new task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from harness.api import (
    Backbone,
    FloatDistribution,
    GradientStrategy,
    IntDistribution,
    LossGuard,
    Recipe,
    Run,
    Settings,
    Source,
    SourceEpisode,
    Space,
    Strategy,
    Task,
    Training,
    cosine,
    hookimpl,
    set_rate,
    source_episodes,
)

Parameters = Mapping[str, Tensor]


@dataclass(frozen=True)
class Maml(GradientStrategy):
    """Meta-train on episodes of the source classes, then adapt by plain gradient steps.

    The head starts at zero. By symmetry that is the same as learning one vector for all classes
    (Ye & Chao 2022), and it lets one meta-training serve tasks of any number of classes.
    Batch norm uses the statistics of the support set for the queries too, so that the answer to
    one query does not depend on the others ("MetaBN" in Bronskill et al. 2020; the paper's own
    experiments let it).

    ``ways``, ``shots``, ``queries`` shape the episodes of meta-training; ``tasks`` of them make a
    meta-step. ``first_order`` leaves out the second derivatives.
    """

    ways: int = 5
    shots: int = 1
    queries: int = 5
    tasks: int = 4
    first_order: bool = False

    name: ClassVar[str] = "maml"
    citation: ClassVar[str] = "Finn et al. 2017, Model-Agnostic Meta-Learning"
    needs_source: ClassVar[bool] = True
    prepare_space: ClassVar[Space] = {
        "inner_lr": FloatDistribution(1e-2, 1.0, log=True),
        "inner_steps": IntDistribution(1, 5),
        "meta_lr": FloatDistribution(1e-4, 1e-2, log=True),
        "meta_steps": IntDistribution(1, 100_000, log=True),
    }
    space: ClassVar[Space] = {
        "adapt_lr": FloatDistribution(1e-2, 1.0, log=True),
        "adapt_steps": IntDistribution(1, 100, log=True),
    }
    defaults: ClassVar[Settings] = {
        "inner_lr": 0.4,
        "inner_steps": 1,
        "meta_lr": 1e-3,
        "meta_steps": 200,
        "adapt_lr": 0.4,
        "adapt_steps": 5,
    }

    def prepare(
        self, backbone: Backbone, source: Source | None, hp: Settings, run: Run
    ) -> Backbone:
        assert source is not None
        draws = run.generator("meta-training episodes")
        episodes = source_episodes(
            source, ways=self.ways, shots=self.shots, queries=self.queries, generator=draws
        )
        backbone.train_only(set(backbone.parameters_from(0)))
        parameters = dict(backbone.body_parameters())
        steps = hp["meta_steps"]
        optimizer = torch.optim.Adam(parameters.values(), fused=True)
        training = Training(backbone=backbone, optimizer=optimizer, draws=draws)
        guard = LossGuard(run.device, steps)
        for step in range(run.resume(training) + 1, steps + 1):
            set_rate(optimizer, hp["meta_lr"] * cosine(step - 1, steps))
            optimizer.zero_grad(set_to_none=True)
            total = torch.zeros((), device=run.device)
            for _ in range(self.tasks):
                loss = task_loss(
                    backbone,
                    parameters,
                    next(episodes),
                    lr=hp["inner_lr"],
                    steps=hp["inner_steps"],
                    first_order=self.first_order,
                )
                (loss / self.tasks).backward()
                total += loss.detach()
            guard.check(step, total)
            optimizer.step()
            if step % 20 == 0 or step == steps:
                run.progress(step, steps)
            run.keep(step, training)
        return backbone

    def recipe(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Recipe:
        return Recipe(
            backbone,
            backbone.parameters_from(0),
            lr=hp["adapt_lr"],
            optimizer="sgd",
            schedule="constant",
            steps=hp["adapt_steps"],
            recalibrate=True,
        )


def task_loss(
    backbone: Backbone,
    parameters: Parameters,
    episode: SourceEpisode,
    *,
    lr: float,
    steps: int,
    first_order: bool,
) -> Tensor:
    """The loss on the queries after ``steps`` gradient steps on the support set.

    Its gradient by ``parameters`` is MAML's meta-gradient (Finn et al. 2017, equation 1 and
    algorithm 2): through the steps unless ``first_order``.
    """
    ways = int(episode.support_labels.max()) + 1
    norms = SupportNorms()
    head = {
        "weight": torch.zeros(ways, backbone.num_features).to(episode.support.device),
        "bias": torch.zeros(ways).to(episode.support.device),
    }
    head = {name: t.to(next(iter(parameters.values())).dtype) for name, t in head.items()}
    fast: dict[str, Tensor] = dict(parameters)
    for t in head.values():
        t.requires_grad_()

    def logits(inputs: Tensor) -> Tensor:
        features = functional_call(backbone, fast, (inputs,))
        return F.linear(features, head["weight"], head["bias"])

    for _ in range(steps):
        with norms.measuring():
            loss = F.cross_entropy(logits(episode.support), episode.support_labels)
        moving = [*fast.values(), *head.values()]
        gradients = torch.autograd.grad(loss, moving, create_graph=not first_order)
        moved = [value - lr * gradient for value, gradient in zip(moving, gradients, strict=True)]
        fast = dict(zip(fast, moved, strict=False))
        head = dict(zip(head, moved[len(fast) :], strict=True))
    with norms.measuring():
        functional_call(backbone, fast, (episode.support,))
    with norms.applying():
        return F.cross_entropy(logits(episode.query), episode.query_labels)


class SupportNorms(TorchFunctionMode):
    """Batch norm by the support set: measured on one pass, applied on the next.

    Works on any model that normalises through ``torch.nn.functional.batch_norm``, and leaves
    running statistics alone. The variance that is applied is the unbiased one, as in running
    statistics.
    """

    def __init__(self) -> None:
        super().__init__()
        self._measured: list[tuple[Tensor, Tensor]] = []
        self._mode: Literal["measure", "apply"] = "measure"

    @contextmanager
    def measuring(self) -> Iterator[None]:
        self._measured, self._mode = [], "measure"
        with self:
            yield

    @contextmanager
    def applying(self) -> Iterator[None]:
        self._mode = "apply"
        with self:
            yield

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is not F.batch_norm:
            return func(*args, **kwargs)
        names = "input running_mean running_var weight bias training momentum eps".split()
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        inputs, weight, bias = given["input"], given.get("weight"), given.get("bias")
        eps = given.get("eps", 1e-5)
        if self._mode == "measure":
            dims = [0, *range(2, inputs.ndim)]
            variance, mean = torch.var_mean(inputs, dim=dims, correction=1)
            self._measured.append((mean, variance))
            return F.batch_norm(inputs, None, None, weight, bias, True, 0.0, eps)
        mean, variance = self._measured.pop(0)
        scale = torch.rsqrt(variance + eps)
        scale = scale if weight is None else scale * weight
        shift = -mean * scale if bias is None else bias - mean * scale
        shape = (-1, *(1 for _ in range(inputs.ndim - 2)))
        return torch.addcmul(shift.reshape(shape), inputs, scale.reshape(shape))


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [Maml]
