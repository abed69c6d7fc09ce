"""A smaller variant whose layers have fewer channels, trained anew by the selected settings.

Which channels depend on each other is found from the graph of the computation (Fang et al. 2023).
Of all together those go that matter least to the loss of training examples, to first order
(Molchanov et al. 2019). Batch norms take their statistics anew from training inputs (Li et al.
2020), before the selected strategy adapts what is left.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from harness.errors import HarnessError, one_line
from harness.model.backbone import Backbone
from harness.model.classifier import Classifier, Network
from harness.run.reopened import Reopened
from harness.ship.export import export

SHOWN = 256
"""Training examples, at most, that rank channels and give batch norms their statistics."""

MULTIPLES = (16, 8, 1)
"""Of channels, one of which each layer is left with: the first by which any go. With other widths
onnxruntime takes twice as long as for the whole network, as its convolutions are of blocks."""

SMOOTHING = 0.1
"""Of labels: else what is classified rightly would have no say in what matters."""

REMEDY = "Leave out --prune and --student, or choose another model: --label NAME, --backbone NAME"


@dataclass(frozen=True)
class Pruned:
    """Without a ``fraction`` of the channels of all layers together."""

    fraction: float

    @property
    def name(self) -> str:
        return f"pruned-{self.fraction:g}"

    def make(self, model: Reopened, graph: Path, to: Path) -> None:
        """Write a pruned variant, adapted by the selected strategy with the settings that it
        selected, without validation examples.

        What is pruned is the adapted backbone, or, where adapting has changed its form, as adapters
        do, that which it was given.

        Raises:
            HarnessError: the model has no channels that can go alone, or its strategy adapts
                another backbone than it is given.
        """
        rows = model.learned[:SHOWN]
        inputs = model.prepared(rows).to(model.backbone.device)
        labels = model.data.train.labels[list(rows)].to(inputs.device)
        smaller = prune(adapted(model), inputs, labels, self.fraction, model.record.backbone)
        take_statistics(smaller, inputs)
        task, settings = model.without_validation(), model.selected.settings
        (predictor,) = model.trials.adapt(smaller, [task], settings)
        if not isinstance(predictor, Classifier) or _form(predictor.backbone) == _form(
            model.backbone
        ):
            raise HarnessError(
                f"{model.record.label} does not start from the backbone that is pruned", REMEDY
            )
        export(predictor.network(), model.backbone.example, to)


def adapted(model: Reopened) -> Network:
    """The backbone of a predictor, or that which it was adapted from where this has another form,
    and the predictor's head.

    Raises:
        HarnessError: the predictor is made of several networks.
    """
    predictor = model.predictor
    if not isinstance(predictor, Classifier):
        raise HarnessError(
            f"{model.record.label} gives a model that is not one backbone and its head", REMEDY
        )
    own = predictor.backbone
    backbone = own if _form(own) == _form(own.start) else own.start
    return Network(backbone, predictor.head).eval()


def prune(
    network: Network, inputs: Tensor, labels: Tensor, fraction: float, title: str
) -> Backbone:
    """Remove a fraction of the channels of a network's backbone, which is called ``title``, in a
    copy of it.

    Args:
        inputs: prepared ones ``[n, ...]`` of training examples, with their ``labels`` ``[n]``.

    Raises:
        HarnessError: it can't be done.
    """
    backbone = network.backbone

    try:
        with _differentiable(network), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for some, theirs in zip(inputs.split(32), labels.split(32), strict=True):
                F.cross_entropy(network(some), theirs, label_smoothing=SMOOTHING).backward()
            _require_gradient(backbone, title)
            for multiple in MULTIPLES:
                remove = partial(_remove, _entering(backbone), fraction, multiple)
                smaller = backbone.edited(remove)
                if smaller.num_parameters < backbone.num_parameters:
                    break
        finite = bool(smaller.try_out().isfinite().all())
    except HarnessError:
        raise
    except Exception as error:  # whatever a model's own code provokes
        raise HarnessError(
            f"the channels of {title} can't be pruned: {one_line(error)}", REMEDY
        ) from error
    if smaller.num_parameters >= backbone.num_parameters or not finite:
        raise HarnessError(f"{title} has no channels to prune", REMEDY)
    return smaller


def _require_gradient(backbone: Backbone, title: str) -> None:
    """The head has to let the loss through, as that of nearest neighbours does not."""
    gradients = [parameter.grad for parameter in backbone.parameters()]
    if not any(gradient is not None and gradient.any() for gradient in gradients):
        raise HarnessError(f"what this model answers has no gradient by {title}'s weights", REMEDY)


def _remove(entering: tuple[Any, ...], fraction: float, multiple: int, body: nn.Module) -> None:
    """Remove channels by the gradients that the body's parameters have."""
    import torch_pruning as tp

    def forward(module: nn.Module, inputs: tuple[Any, ...]) -> Any:
        return module(*inputs)

    shown = {"example_inputs": entering, "forward_fn": forward}
    graph = tp.DependencyGraph().build_dependency(body, **shown)
    # What is cut into heads has a width that the model's own code relies on.
    headed = [
        module
        for module, node in graph.module2node.items()
        if isinstance(module, nn.Linear)
        and any(after.type == tp.ops.OPTYPE.RESHAPE for after in node.outputs)
    ]
    tp.pruner.BasePruner(
        body,
        importance=tp.importance.GroupTaylorImportance(),
        global_pruning=True,
        pruning_ratio=fraction,
        ignored_layers=headed,
        round_to=multiple,
        **shown,
    ).step()


def _entering(backbone: Backbone) -> tuple[Any, ...]:
    """What the body is given for the two examples."""
    seen: list[tuple[Any, ...]] = []
    hook = backbone.body.register_forward_pre_hook(lambda module, given: seen.append(given))
    try:
        backbone.try_out()
    finally:
        hook.remove()
    return seen[0]


@contextmanager
def _differentiable(network: nn.Module) -> Iterator[None]:
    """A context in which all parameters are given gradients, of which nothing is left after it."""
    before = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    try:
        for parameter, _ in before:
            parameter.requires_grad_(True).grad = None
        yield
    finally:
        for parameter, had in before:
            parameter.requires_grad_(had).grad = None


@torch.no_grad()
def take_statistics(backbone: Backbone, inputs: Tensor) -> None:
    """Let batch norms take their statistics anew, as means over batches of prepared inputs."""
    norms = [m for m in backbone.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum, norm.training = None, True
    for batch in inputs.chunk(-(-len(inputs) // 64)):
        backbone.features(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum, norm.training = momentum, False


def _form(backbone: Backbone) -> dict[str, torch.Size]:
    return {name: parameter.shape for name, parameter in backbone.body_parameters()}
