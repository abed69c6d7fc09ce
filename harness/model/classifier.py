"""A backbone and a head, and the declaration of what of them trains."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from harness.data.examples import Inputs, sent
from harness.data.task import Task
from harness.model.backbone import Backbone, evaluating
from harness.model.batch_norm import BatchNorm, freeze_batch_norm
from harness.model.run import Run

Index: TypeAlias = "Tensor | slice"

EVALUATION_BATCH = 256

ENTRY = "entry"
"""Names the first block with something to train in the metadata of what is saved."""


@dataclass(frozen=True)
class Entering:
    """What enters the part of a model that has to run: ``stored`` activations ``[n, ...]``, or the
    inputs themselves where there are none."""

    inputs: Inputs
    stored: Tensor | None

    def stream(self, indices: Iterable[Index]) -> Iterator[Tensor]:
        """What enters for each batch of indices, in order."""
        stored = self.stored
        if stored is None:
            return self.inputs.stream(indices)
        return (stored[there(index, stored.device)] for index in indices)


def there(index: Index, device: torch.device) -> Index:
    """An index of a batch for tensors of ``device``."""
    return index if isinstance(index, slice) else sent(index, device)


class Start(Protocol):
    """What a classifier is made of: part of a :class:`harness.api.Recipe`, whose regularisers know
    what a classifier is."""

    @property
    def backbone(self) -> Backbone: ...

    @property
    def trainable(self) -> Collection[str]:
        """Names of the backbone's parameters that train."""
        ...

    @property
    def head(self) -> nn.Module | None:
        """The head to start from; by default a linear one of zeros."""
        ...

    @property
    def batch_norm(self) -> BatchNorm | None:
        """What batch norms do in blocks that train; by default what the run says."""
        ...


class Classifier:
    """A backbone and a head: the predictor of gradient strategies.

    ``entry`` is the first block with something to train; what the blocks before it give is
    taken from the run's store, computed once by the backbone that training started from.
    """

    def __init__(self, recipe: Start, task: Task, run: Run) -> None:
        origin = _in_evaluation_mode(recipe.backbone)
        trainable = set(recipe.trainable)
        entry = min(map(origin.block_of, trainable), default=len(origin.blocks))
        self._start, self._origin, self._run = origin.start, origin, run
        self.entry = entry if entry and origin.can_enter(entry) else 0
        self.backbone = trainable_copy(origin, trainable) if trainable else origin
        if trainable and (recipe.batch_norm or run.batch_norm) == "frozen":
            freeze_batch_norm(self.backbone)
        self.head: Any = first_head(recipe, task).to(run.device)
        """An :class:`torch.nn.Module`; what else it has, who made it knows."""

    @property
    def trained(self) -> dict[str, Tensor]:
        """Trained parameters by name, the head's under ``head``: of all trainings since the
        backbone from which the first one started."""
        theirs = {id(parameter) for parameter in self._start.parameters()}
        own = self.backbone.body_parameters()
        return {
            **{f"head.{name}": p.detach() for name, p in self.head.named_parameters()},
            **{name: p.detach() for name, p in own if id(p) not in theirs},
        }

    @property
    def changed(self) -> dict[str, Tensor]:
        """All that logits depend on and that the backbone from which the first training started
        does not have: what :attr:`trained` has, and buffers such as batch norm's statistics."""
        before = dict(self._start.named_buffers())
        return {
            **self.trained,
            **{f"head.{name}": buffer for name, buffer in self.head.named_buffers()},
            **{
                name: buffer
                for name, buffer in self.backbone.named_buffers()
                if name not in before or not _same(buffer, before[name])
            },
        }

    def entering(self, inputs: Inputs) -> Entering:
        """What enters the first block with something to train, or the model."""
        if not self.entry:
            return Entering(inputs, None)
        return Entering(inputs, self._run.activations(self._origin, inputs, self.entry))

    def with_head(self, head: nn.Module) -> Classifier:
        """Another head on the same frozen backbone."""
        other = copy.copy(self)
        other.head = head
        return other

    @torch.no_grad()
    def features(self, inputs: Inputs) -> Tensor:
        """The features that the head is given: ``[n, D]``."""
        with evaluating(self.backbone):
            return torch.cat(self._parts(inputs))

    def _parts(self, inputs: Inputs) -> list[Tensor]:
        entering = self.entering(inputs)
        starts = range(0, len(inputs), EVALUATION_BATCH)
        batches = entering.stream(slice(start, start + EVALUATION_BATCH) for start in starts)
        return [self.forward(batch, stored=entering.stored is not None) for batch in batches]

    def forward(self, batch: Tensor, *, stored: bool) -> Tensor:
        """Features ``[b, D]`` of a batch of inputs, or of ``stored`` activations."""
        with self._run.autocast():
            if stored:
                features = self.backbone.features_from(batch, self.entry)
            else:
                with torch.set_grad_enabled(
                    torch.is_grad_enabled()
                    and (self.entry < len(self.backbone.blocks) or batch.requires_grad)
                ):
                    features = self.backbone.features(batch)
        # What comes after, such as means and covariances, is not for half precision.
        return features.to(torch.promote_types(features.dtype, torch.float32))

    def classify(self, features: Tensor) -> Tensor:
        """Logits ``[b, classes]`` of features ``[b, D]``."""
        with self._run.autocast():
            logits: Tensor = self.head(features)
        return logits

    @torch.no_grad()
    def logits(self, inputs: Inputs) -> Tensor:
        with evaluating(self.backbone), evaluating(self.head):
            parts = [self.classify(part).float() for part in self._parts(inputs)]
        return torch.cat(parts)

    def network(self) -> nn.Module:
        """The backbone and the head as one module, in evaluation mode, that shares their tensors:
        prepared inputs ``[n, ...]`` to logits, float32 ``[n, classes]``."""
        return Network(self.backbone, self.head).eval()

    def state_dict(self) -> dict[str, Tensor]:
        """What training changes, by name: trained parameters, and buffers."""
        parameters, buffers = self.head.named_parameters(), self.head.named_buffers()
        changing = {f"head.{name}": t.detach() for name, t in chain(parameters, buffers)}
        if self.backbone is not self._origin:
            own = self.backbone.body_parameters()
            changing |= {name: p.detach() for name, p in own if p.requires_grad}
            changing |= dict(self.backbone.named_buffers())
        return changing

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go back to a copy of an earlier :meth:`state_dict`."""
        for name, value in self.state_dict().items():
            value.copy_(state[name])

    def save(self, path: Path) -> None:
        """Write what has changed to a safetensors file; the rest is the backbone's own.

        Its metadata name the block before which activations are stored: other ways to compute the
        same round otherwise.
        """
        from safetensors.torch import save_file

        # Copies, as the format has no strides, and no two names for one piece of memory.
        tensors = {
            name: tensor.detach().clone(memory_format=torch.contiguous_format)
            for name, tensor in self.changed.items()
        }
        save_file(tensors, path, metadata={ENTRY: str(self.entry)})


class Network(nn.Module):
    """A backbone and then a head."""

    def __init__(self, backbone: Backbone, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.head(self.backbone.features(inputs).float())
        return logits.float()


def trainable_copy(origin: Backbone, trainable: set[str]) -> Backbone:
    """A copy whose named parameters train; the frozen ones are shared with ``origin``."""
    frozen = [p for name, p in origin.body_parameters() if name not in trainable]
    backbone = origin.copied(frozen)
    backbone.train_only(trainable)
    return backbone


def _in_evaluation_mode(backbone: Backbone) -> Backbone:
    """The backbone, or a copy that shares all its tensors where a training has left it in another
    mode: there, blocks that are frozen now would go on to be normalised by the batch."""
    if not any(module.training for module in backbone.modules()):
        return backbone
    return backbone.copied([*backbone.parameters(), *backbone.buffers()]).eval()


def _same(one: Tensor, other: Tensor) -> bool:
    return (one.dtype, one.shape) == (other.dtype, other.shape) and torch.equal(one, other)


def first_head(recipe: Start, task: Task) -> nn.Module:
    """The head that training starts from."""
    if recipe.head is not None:
        return copy.deepcopy(recipe.head).train()
    head = nn.Linear(recipe.backbone.num_features, task.target.outputs)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head
