"""What is adapted: a feature extractor cut into ordered blocks.

The harness enters a backbone between two blocks, so that what is frozen is computed once. It
needs no help from the model: a hook on the first module of the block swaps in the stored
activations, and whether that gives the model's own features is tried out before it is relied on.
"""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property, partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from harness.data.examples import RawBatch, tensor_digest

ADDRESS = re.compile(r" at 0x[0-9a-f]+")
"""What differs between two equal functions where a module names one of its own."""

SOURCE_HEAD = ("source_head.weight", "source_head.bias")
"""Names among a backbone's extras of a linear head of the classes that its weights come from, float
``[classes, D]`` and ``[classes]``."""


class Backbone(nn.Module):
    """A feature extractor ``body`` and the order of its blocks.

    Args:
        body: maps prepared inputs ``[B, ...]`` to features, float ``[B, D]``.
        blocks: for each block, from input to output, the names of the modules or parameters of
            ``body`` that it is made of. A parameter that no block names is of the last one.
        example: prepared inputs ``[2, ...]``, to find ``D`` and to try the model out on.
    """

    def __init__(self, body: nn.Module, blocks: Sequence[Sequence[str]], example: Tensor) -> None:
        super().__init__()
        self.body = body
        self.blocks = tuple(tuple(f"body.{name}" for name in names) for names in blocks)
        self.rebuild: Callable[[], Backbone] | None = None
        """Builds the same model with random weights; the harness sets it."""
        self.extras: dict[str, Tensor] = {}
        """What :meth:`Strategy.prepare` learned besides the weights, or published weights bring
        beside them, by name, on the device: a source's head, Fisher information, prototypes. Kept
        with them, and shared by copies."""
        # Functions, because copies share them and modules don't list what is behind them.
        self._start: Callable[[], Backbone] | None = None
        self.register_buffer("_example", example, persistent=False)
        self._enterable: dict[int, bool] = {}
        self._answers: dict[int, dict[str, list[Any]]] = {}
        self._digests: dict[int | None, tuple[tuple[int, ...], str]] = {}

    @cached_property
    def num_features(self) -> int:
        """``D``, by trying the model out."""
        return self.try_out().shape[1]

    def try_out(self) -> Tensor:
        """Features ``[2, D]`` of the two examples, in evaluation mode.

        Raises:
            ValueError: they have another shape.
        """
        example = self.example
        with torch.no_grad(), evaluating(self):
            features = self.features(example)
        if features.ndim != 2 or len(features) != len(example):
            raise ValueError(f"features must be [B, D], not {list(features.shape)}")
        return features

    @property
    def device(self) -> torch.device:
        return self.example.device

    # ── the contract: raw batch → prepared inputs → features ──────────────────────────────────

    def preprocess(self, raw: RawBatch) -> Tensor:
        """Turn a raw batch into prepared inputs ``[B, ...]``, compact: uint8 pixels, token ids."""
        raise NotImplementedError

    def features(self, inputs: Tensor) -> Tensor:
        """Features ``[B, D]`` of prepared inputs."""
        output: Tensor = self.body(inputs)
        return output

    def forward(self, inputs: Tensor) -> Tensor:
        return self.features(inputs)

    # ── blocks ────────────────────────────────────────────────────────────────────────────────

    def block_of(self, name: str) -> int:
        """The block that a parameter belongs to."""
        block = self._block_of[name]
        return len(self.blocks) - 1 if block is None else block

    @cached_property
    def _block_of(self) -> dict[str, int | None]:
        """The block of every parameter and buffer: that of the longest name which is, or contains,
        its own; ``None`` where none does.

        A parameter that was added beside one that a block names belongs to that block too.
        """
        named = {member: index for index, members in enumerate(self.blocks) for member in members}
        for member, index in [*named.items()]:
            beside = member.rpartition(".")[0]
            if beside != "body" and beside not in named:
                named[beside] = min(index, named.get(beside, index))
        found = {}
        for name, _ in chain(self.named_parameters(), self.named_buffers()):
            parts = name.split(".")
            owners = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
            found[name] = next((named[owner] for owner in owners if owner in named), None)
        return found

    def parameters_from(self, block: int) -> list[str]:
        """Names of the parameters in ``block`` and all blocks after it."""
        return [name for name, _ in self.body_parameters() if self.block_of(name) >= block]

    def body_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Every parameter, by the name that :class:`Recipe` knows it by."""
        for name, parameter in self.body.named_parameters():
            yield f"body.{name}", parameter

    @cached_property
    def num_parameters(self) -> int:
        """How many numbers there are to learn."""
        return sum(parameter.numel() for parameter in self.body.parameters())

    def copied(self, shared: Collection[Tensor] = ()) -> Backbone:
        """A copy that was made from this one, and shares some tensors and all extras with it."""
        memo: dict[int, Any] = {id(tensor): tensor for tensor in [*shared, *self.extras.values()]}
        copied = copy.deepcopy(self, memo=memo)
        copied.derive_from(self)
        return copied

    def edited(self, edit: Callable[[nn.Module], None]) -> Backbone:
        """A copy whose body ``edit`` has changed, as by adapters put into it.

        The copy shares its parameters with this backbone: ``edit`` may add or replace modules,
        not change a parameter's values.
        """
        copied = self.copied([*self.parameters()])
        edit(copied.body)
        copied._forget()
        return copied

    def _forget(self) -> None:
        """Drop what was found out about a body that has changed since."""
        for name in ("num_features", "num_parameters", "_block_of", "_modules_by_block"):
            self.__dict__.pop(name, None)
        self._enterable, self._answers, self._digests = {}, {}, {}

    def activations(self, inputs: Tensor, block: int) -> Tensor:
        """What enters ``block``, computed without the rest; the features for the last + 1."""
        if block == len(self.blocks):
            return self.features(inputs)
        with self._at_entry(block, _stop):
            try:
                self.features(inputs)
            except _Reached as reached:
                return reached.activations
        raise RuntimeError(f"block {block} was never entered")

    def features_from(self, activations: Tensor, block: int) -> Tensor:
        """Features from stored ``activations`` of :meth:`activations`.

        The model's own code calls the blocks before, too: they answer with what they gave for one
        example.
        """
        if block == len(self.blocks):
            return activations

        def swap(value: Tensor) -> Tensor:
            return activations

        with self._answering(block), self._at_entry(block, swap):
            return self.features(self.example[:1])

    def can_enter(self, block: int) -> bool:
        """Whether the rest of the model depends on the blocks before through one tensor alone."""
        if block == len(self.blocks):
            return True
        if block not in self._enterable:
            self._enterable[block] = self._try_entering(block)
        return self._enterable[block]

    @torch.no_grad()
    def _try_entering(self, block: int) -> bool:
        example = self.example
        with evaluating(self):
            whole = self.features(example)
            try:
                parts = self.features_from(self.activations(example, block), block)
            except (RuntimeError, ValueError, TypeError, IndexError, StopIteration):
                return False
        return parts.shape == whole.shape and torch.allclose(parts, whole, rtol=1e-3, atol=1e-4)

    @property
    def example(self) -> Tensor:
        """Prepared inputs ``[2, ...]`` to try the model out on."""
        example = self._buffers["_example"]
        assert example is not None
        return example

    @contextmanager
    def tapped(self, blocks: Collection[int]) -> Iterator[Mapping[int, Tensor]]:
        """A context that fills a mapping with what enters some blocks in the pass within."""
        found: dict[int, Tensor] = {}

        def note(value: Tensor, block: int) -> Tensor:
            found[block] = value.clone()  # as the block itself may write over it
            return value

        with ExitStack() as stack:
            for block in blocks:
                stack.enter_context(self._at_entry(block, partial(note, block=block)))
            yield found

    @contextmanager
    def _at_entry(self, block: int, action: Callable[[Tensor], Tensor]) -> Iterator[None]:
        """Apply ``action`` to the tensor that enters ``block``, the first time it is entered."""
        entered = False

        def hook(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
            nonlocal entered
            if entered or not args:
                return None
            entered = True
            return (action(args[0]), *args[1:])

        handles = [
            self.get_submodule(name).register_forward_pre_hook(hook)
            for name in self._modules_by_block[block]
        ]
        try:
            yield
            if not entered:
                raise RuntimeError(f"block {block} was never entered")
        finally:
            for handle in handles:
                handle.remove()

    @contextmanager
    def _answering(self, block: int) -> Iterator[None]:
        """The modules before ``block`` answer with what they gave for one example."""
        names = [name for names in self._modules_by_block[:block] for name in names]
        modules = {name: self.get_submodule(name) for name in names}
        if block not in self._answers:
            self._answers[block] = self._listen(modules)
        for name, module in modules.items():
            answers = iter(self._answers[block][name])
            # An attribute of the instance, in front of the class's method.
            module.forward = lambda *args, answers=answers, **kwargs: next(answers)
        try:
            yield
        finally:
            for module in modules.values():
                del module.forward

    @torch.no_grad()
    def _listen(self, modules: Mapping[str, nn.Module]) -> dict[str, list[Any]]:
        """What each module gives for one example, call by call."""
        heard: dict[str, list[Any]] = {name: [] for name in modules}

        def hear(answers: list[Any]) -> Callable[..., None]:
            return lambda module, args, output: answers.append(output)

        handles = [
            module.register_forward_hook(hear(heard[name])) for name, module in modules.items()
        ]
        try:
            with evaluating(self):
                self.features(self.example[:1])
        finally:
            for handle in handles:
                handle.remove()
        return heard

    @cached_property
    def _modules_by_block(self) -> list[list[str]]:
        """For each block, the outermost modules whose parameters are all in it."""
        found: list[list[str]] = [[] for _ in self.blocks]
        inside: tuple[str, ...] = ()
        for name, module in self.body.named_modules(prefix="body"):
            blocks = {self.block_of(own) for own, _ in module.named_parameters(prefix=name)}
            if len(blocks) == 1 and not name.startswith(inside):
                found[blocks.pop()].append(name)
                inside = (*inside, f"{name}.")
        return found

    # ── state ─────────────────────────────────────────────────────────────────────────────────

    @property
    def start(self) -> Backbone:
        """The backbone whose copies were trained or edited until this one came of them; itself,
        where nothing was."""
        return self if self._start is None else self._start()

    def derive_from(self, other: Backbone) -> None:
        """Say that this one was made from ``other``, from which it may differ in all that the two
        don't share. What training and editing give says so by itself."""
        start = other.start
        self._start = None if start is self else lambda: start

    def begin_anew(self) -> None:
        """Forget what this one was made from: to whoever is given it, it is the start."""
        self._start = None

    def digest(self, upto: int | None = None) -> str:
        """SHA-256 of weights, buffers and the modules' own settings; taken anew when a tensor was
        changed in place.

        Args:
            upto: leaves out the weights and buffers of this block and all after it, which what
                enters it does not depend on.
        """
        state = dict(self.named_parameters()) | dict(self.named_buffers())
        if upto is not None and upto < len(self.blocks):
            blocks = {name: self._block_of.get(name) for name in state}
            # What no block names may be used anywhere.
            state = {n: t for n, t in state.items() if (b := blocks[n]) is None or b < upto}
        versions = tuple(v for t in state.values() for v in (t.data_ptr(), t._version))
        known = self._digests.get(upto)
        if known is None or known[0] != versions:
            content = hashlib.sha256(ADDRESS.sub("", repr(self)).encode())
            for name in sorted(state):
                content.update(f"{name}:{tensor_digest(state[name])}".encode())
            self._digests[upto] = known = versions, content.hexdigest()
        return known[1]

    def train_only(self, trainable: set[str]) -> None:
        """Let just the named parameters train. What has none of them is put in evaluation mode,
        so that frozen batch norms don't drift and frozen dropout does not fire."""
        for name, parameter in self.body_parameters():
            parameter.requires_grad_(name in trainable)
        self.train()
        for module in self.modules():
            parameters = list(module.parameters())
            if parameters and not any(parameter.requires_grad for parameter in parameters):
                module.eval()


class _Reached(Exception):
    def __init__(self, activations: Tensor) -> None:
        super().__init__()
        self.activations = activations


def _stop(activations: Tensor) -> Tensor:
    raise _Reached(activations)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; each module then goes back to its own mode."""
    modes = [(child, child.training) for child in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for child, training in modes:
            child.training = training
