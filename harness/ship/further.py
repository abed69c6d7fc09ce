"""The selected settings, trained once more on more examples than they were selected on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from harness.contract import overrides
from harness.data.digests import example_digests
from harness.data.examples import Data, Pool, RawBatch, RawInputs, RawRows, Split
from harness.errors import HarnessError, abridged
from harness.hashing import sha256
from harness.run.reopened import Reopened, Reopening, Trained
from harness.ship.basis import Basis, Ready, Sealed
from harness.ship.calibration import Calibration, Logits, calibrate
from harness.ship.runtime.drift import Reference, learn


@dataclass(frozen=True)
class More:
    """What is learned from besides the training examples: those of the validation split, those of
    the sealed test, examples that were ``added``."""

    val: bool = False
    test: bool = False
    added: Data | None = None

    def __post_init__(self) -> None:
        if self.test and not self.val:
            raise HarnessError("--with-test goes with --refit", "Add --refit, or leave it out")


@dataclass(frozen=True)
class Joined:
    """Raw inputs one after the other."""

    parts: Sequence[RawInputs]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def read(self, rows: Sequence[int]) -> RawBatch:
        starts = [0, *accumulate(map(len, self.parts))]
        found: list[Any] = []  # all texts, or all images
        for row in rows:
            place = max(place for place in range(len(self.parts)) if starts[place] <= row)
            (each,) = self.parts[place].read([row - starts[place]])
            found.append(each)
        return found

    def digest(self) -> str:
        return sha256("+".join(part.digest() for part in self.parts))


def further(
    cell: Reopening,
    before: Reopened,
    more: More,
    coverage: float,
    why: str,
    say: Callable[[str], None],
) -> Ready:
    """Train the settings that a cell selected on more examples, from the same weights, with the
    same seed and for as many steps; ``before`` is the model that was tested.

    Where it does not learn from the sealed test, this opens it once more, after all selection; the
    certificate says so.

    Raises:
        HarnessError: the model is not what one training makes, or of another domain than it is
            tested on; or examples that are added are of other classes, or of the sealed test.
    """
    title = cell.cell.title
    if before.task.shifted or cell.cell.protocol != "transfer":
        raise HarnessError(
            f"{title} learns from another domain than it is tested on",
            "Leave out --refit and --add",
        )
    if overrides(cell.opening.strategy, "conclude"):
        raise HarnessError(
            f"{title} is made of several trials, which are not trained once more",
            "Leave out --refit and --add, or choose another strategy: --label NAME",
        )
    data = Data(_joined(before, more), before.classes)
    say(f"training once more, on {len(data.train.labels):,} examples")
    model = cell.trained_on(data, before.task)
    calibration, reference = _calibrated(before, model, more, coverage)
    anew = f"calibrated anew on {calibration.examples} validation examples"
    say(f"its probabilities are {f'not calibrated: {calibration.why}' if more.val else anew}")
    return Ready(model, _basis(cell, before, model, more, why), calibration, reference)


def _joined(model: Reopened, more: More) -> Split:
    manifest, data, added = model.one.manifest, model.data, more.added
    learned = [*manifest.train, *(manifest.val if more.val else ())]
    parts = [_part(data.train, learned)]
    if more.test:
        parts.append(_part(data.tested[1], manifest.test))
    if added is not None:
        if not more.test:
            _refuse_tested(model, added)
        numbers = _numbers(added.classes, data.classes)
        parts.append(Split(added.train.inputs, numbers[added.train.labels]))
    labels = torch.cat([part.labels for part in parts])
    return Split(Joined([part.inputs for part in parts]), labels)


def _basis(cell: Reopening, before: Reopened, model: Trained, more: More, why: str) -> Basis:
    record = cell.record
    names = {"validation": more.val, "test": more.test, "added": more.added is not None}
    parts = " + ".join(["train", *(name for name, there in names.items() if there)])
    data = (
        f"{record.problem}, {record.shots} labelled examples a class, seed {record.seed}, split"
        f" {record.split_hash}; trained once more on {parts}: {len(model.learned):,} examples"
    )
    if more.test:
        return Basis(why, data, untested="the test examples were learned from")
    part, split = before.data.tested
    rows = before.one.manifest.test
    pool = cell.opening.pool(before.one.loaded, before.backbone, part)
    logits = _answers(model, split, pool, rows)
    return Basis(why, data, Sealed(split.inputs, rows, logits, split.labels[list(rows)].numpy()))


def _calibrated(
    before: Reopened, model: Trained, more: More, coverage: float
) -> tuple[Calibration, Reference | None]:
    """By the same validation examples as before; not at all where these were learned from."""
    if more.val:
        return Calibration(1.0, None, 0, "the validation examples were learned from"), None
    split, rows = before.data.train, before.one.manifest.val
    logits = _answers(model, split, before.pool, rows)
    return calibrate(logits, split.labels[list(rows)].numpy(), coverage), learn(logits)


def _answers(model: Trained, split: Split, pool: Pool, rows: Sequence[int]) -> Logits:
    inputs = split.placed(pool, torch.tensor(rows, dtype=torch.int64))
    return model.trials.logits(model.predictor, inputs, model.task).numpy()


def _part(split: Split, rows: Sequence[int]) -> Split:
    places = torch.tensor(rows)
    return Split(RawRows(split.inputs, places), split.labels[places])


def _numbers(names: Sequence[str], known: Sequence[str]) -> Tensor:
    if others := [f"'{name}'" for name in names if name not in known]:
        raise HarnessError(
            f"the model has no classes {abridged(others)}", "Add examples of its own classes"
        )
    return torch.tensor([known.index(name) for name in names])


def _refuse_tested(model: Reopened, added: Data) -> None:
    _, split = model.data.tested
    tested = {*example_digests(RawRows(split.inputs, torch.tensor(model.one.manifest.test)))}
    number = sum(digest in tested for digest in example_digests(added.train.inputs))
    if number:
        raise HarnessError(
            f"{number:,} of the examples to add are in the sealed test",
            "Leave them out, or claim no accuracy: --refit --with-test",
        )
