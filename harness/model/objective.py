"""What a training lowers, batch by batch: a criterion, and what regularisers add to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import islice, tee

import torch
from torch import Tensor, nn

from harness.data.examples import Inputs, sent
from harness.data.resident import held
from harness.data.task import Task
from harness.errors import Unsupported
from harness.model.classifier import Classifier, Entering, Index
from harness.model.normalisation import slices, trained_norms
from harness.model.recipe import Recipe
from harness.model.regulariser import Batch, Regulariser, copied, overridden
from harness.model.run import Run
from harness.model.training_state import Part


class Objective:
    """What descent minimises, batch by batch: the criterion, and what regularisers add to it."""

    def __init__(self, model: Classifier, recipe: Recipe, task: Task, run: Run) -> None:
        self._model, self._task, self._run = model, task, run
        self._criterion = recipe.criterion or task.target.criterion
        self._sampler = recipe.sampler
        self._before = recipe.steps_before
        stage = f" after {self._before} steps" if self._before else ""
        self._views = run.generator(f"views{stage}")
        self._draws = run.generator(f"regularisers{stage}")
        self.regularisers = [copied(regulariser) for regulariser in recipe.regularisers]
        looking = [type(r).__name__ for r in self.regularisers if r.unlabelled]
        if looking and task.unlabelled is None:
            needs = "needs" if len(looking) == 1 else "need"
            raise Unsupported(f"{', '.join(looking)} {needs} unlabelled inputs of a target domain")
        self.unlabelled = task.unlabelled if looking else None
        """Inputs that regularisers look at."""
        self.selects = (
            self.unlabelled is None or task.unlabelled_val is not None or not task.shifted
        )
        """Whether validation tells which state is best."""
        if self.unlabelled is None:
            _refuse_batches_of_one(model, task, run)
        taps = {block for r in self.regularisers for block in r.taps}
        self._taps = frozenset(taps - {len(model.backbone.blocks)})  # there, features are
        for regulariser in self.regularisers:
            regulariser.started(model)
            regulariser.to(run.device).train()

    def parts(self) -> dict[str, Part]:
        """What training changes besides the model."""
        parts: dict[str, Part] = {"views": self._views}
        if self.regularisers:
            parts |= {"regularisers": nn.ModuleList(self.regularisers), "draws": self._draws}
        return parts

    def gradient(self, batch: Batch) -> Tensor:
        """Add the gradient of a batch, as many examples at once as may be; gives its loss."""
        total = torch.zeros((), device=self._run.device)
        for part in self._split(batch):
            loss = self._loss(part) * (len(part) / len(batch))
            loss.backward()
            total += loss.detach()
        return total

    def _loss(self, batch: Batch) -> Tensor:
        assert batch.targets is not None
        loss = self._criterion(batch.logits, batch.targets)
        for regulariser in self._that_override("penalty"):
            loss = loss + regulariser.penalty(batch)
        return loss

    @contextmanager
    def scoring(self) -> Iterator[None]:
        """A context in which the model is as it is to be scored and kept. The last of a recipe's
        regularisers has its say first: what a trick adds gives the weights, of which what was there
        before takes the statistics."""
        with ExitStack() as stack:
            for regulariser in reversed(self._that_override("scoring")):
                stack.enter_context(regulariser.scoring(self._model))
            yield

    def _split(self, batch: Batch) -> Iterator[Batch]:
        """As many examples as may go through the model at once. With unlabelled inputs, all: a
        distance between parts of two batches is another one."""
        if self.unlabelled is not None or any(r.whole for r in self.regularisers):
            return batch.split([len(batch)])
        several = bool(trained_norms(self._model))
        return batch.split(slices(len(batch), self._run.micro_batch, several=several))

    def batches(self, steps: int, done: int) -> Iterator[Batch]:
        """What each step after the first ``done`` learns from."""
        sources = {"batches": self._task.train.inputs}
        if self.unlabelled is not None:
            sources["target batches"] = self.unlabelled
        size, generator = self._run.batch_size, self._run.generator
        orders: list[Iterable[Index]] = [
            batch_order(len(inputs), size, self._before + steps, generator(name))
            for name, inputs in sources.items()
        ]
        if self._sampler is not None:
            orders[0] = self._sampler(
                self._task.train, size, self._before + steps, generator("batches")
            )
        entering = self._entering([*sources.values()])
        loaded = [
            self._loaded(each, islice(order, self._before + done, None))
            for each, order in zip(entering, orders, strict=True)
        ]
        stored = entering[0].stored is not None
        labels, augment = self._task.train.labels, self._run.augment
        for step, found in enumerate(zip(*loaded, strict=True), start=done):
            indices, shown = [index for index, _ in found], [inputs for _, inputs in found]
            if augment is not None:
                sizes = [len(inputs) for inputs in shown]
                shown = [*augment(torch.cat(shown), self._views).split(sizes)]
            batch_of = partial(
                Batch,
                self._model,
                progress=step / steps,
                generator=self._draws,
                stored=stored,
                taps=self._taps,
            )
            others = [
                batch_of(inputs, None, index)
                for inputs, index in zip(shown[1:], indices[1:], strict=True)
            ]
            unlabelled = others[0] if others else None
            batch = batch_of(shown[0], labels[indices[0]], indices[0], unlabelled=unlabelled)
            for regulariser in self._that_override("batch"):
                batch = regulariser.batch(batch)
            yield batch

    def _entering(self, sources: Sequence[Inputs]) -> list[Entering]:
        """What enters the model: nothing is stored of what differs from step to step, or where a
        block is looked into that would not run; and for one source only where for the other."""
        model = self._model
        runs = self._run.augment is not None or any(self._that_override("batch"))
        if runs or any(block < model.entry for block in self._taps):
            found = [Entering(inputs, None) for inputs in sources]
        else:
            found = [model.entering(inputs) for inputs in sources]
        if any(each.stored is None for each in found):
            return [Entering(held(inputs), None) for inputs in sources]
        return found

    def _loaded(
        self, entering: Entering, order: Iterable[Index]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Of each step, which inputs, int64 ``[b]`` on the device, and what enters the model."""
        device = self._run.device
        order, ahead = tee(order)
        everything = torch.arange(len(entering.inputs), device=device)
        for index, inputs in zip(order, entering.stream(ahead), strict=True):
            yield everything if isinstance(index, slice) else sent(index, device), inputs

    def _that_override(self, method: str) -> list[Regulariser]:
        return [r for r in self.regularisers if overridden(r, method)]


def _refuse_batches_of_one(model: Classifier, task: Task, run: Run) -> None:
    """Before the first step, as torch finds it out in the midst of one, or not at all."""
    if not trained_norms(model):
        return
    why = "batch norm trains on how the examples of a batch differ, and here a batch has one"
    if len(task.train) == 1:
        raise Unsupported(f"{why}: give more than one training example")
    if run.batch_size == 1:
        raise Unsupported(f"{why}: raise batch_size to 2 or more")


def batch_order(
    examples: int, batch_size: int, steps: int, generator: torch.Generator
) -> Iterator[Index]:
    """Indices of ``steps`` batches, drawn epoch by epoch without replacement.

    Every batch is full: an epoch's remainder opens the next batch. Where all examples fit in
    one batch, it is all of them, in order.
    """
    if examples <= batch_size:
        yield from (slice(None) for _ in range(steps))
        return
    waiting = torch.empty(0, dtype=torch.int64)
    for _ in range(steps):
        if len(waiting) < batch_size:
            waiting = torch.cat([waiting, torch.randperm(examples, generator=generator)])
        batch, waiting = waiting[:batch_size], waiting[batch_size:]
        yield batch
