"""Make smaller variants of a bundle's model, and choose one of them on validation examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from harness.errors import HarnessError, one_line
from harness.run.reopened import Reopened
from harness.ship.certificate import answers
from harness.ship.compression import WAYS, Logits, Paired, Verdict, paired
from harness.ship.measuring import Costs, costs, run

SHOWN = 256
"""Training inputs on which the ranges of activations are found."""


class Way(Protocol):
    """A way to make a smaller variant."""

    @property
    def name(self) -> str:
        """What the variant is called, in file names too."""
        ...

    def make(self, model: Reopened, graph: Path, to: Path) -> None:
        """Write the variant of a model, whose own ``graph`` is there, as a graph that takes the
        same inputs."""
        ...


@dataclass(frozen=True)
class Quantised:
    """The same graph with smaller numbers: one of :data:`WAYS`."""

    name: str

    def make(self, model: Reopened, graph: Path, to: Path) -> None:
        WAYS[self.name](graph, to, model.prepared(model.learned[:SHOWN]).numpy())


@dataclass(frozen=True)
class Variant:
    """A graph by its ``name``, and its ``costs``; of one that is not the whole, how it validates,
    and whether that ``verdict`` lets it go."""

    name: str
    costs: Costs
    validation: Paired | None = None
    verdict: Verdict | None = None


@dataclass(frozen=True)
class Smaller:
    """The ``variants``, the whole model first; the ``chosen`` one, the smallest that passes, and
    how it does on the sealed ``test``, where there is one."""

    variants: Sequence[Variant]
    chosen: str | None = None
    test: Paired | None = None


def compress(
    model: Reopened,
    ways: Sequence[Way],
    delta: float,
    bundle: Path,
    test: tuple[Sequence[int], Logits, np.ndarray],
    say: Callable[[str], None],
) -> Smaller:
    """Make the variants of a bundle, and keep the graph of the chosen one.

    Args:
        delta: the margin of accuracy, a fraction.
        test: rows of the test, what the whole model answers to them, and their labels.

    Raises:
        HarnessError: a variant can't be made, or there is nothing to validate it on.
    """
    manifest, data = model.one.manifest, model.data
    if model.task.shifted or not manifest.val:
        raise HarnessError(
            "there are no validation examples of the domain that is tested to choose a variant on",
            "Leave out --compress, --prune and --student",
        )
    whole = bundle / "model.onnx"
    held = model.prepared(manifest.val).numpy()
    labels = data.train.labels[list(manifest.val)].numpy()
    before = run(whole, held)
    found = [Variant("model", costs(whole, held))]
    for way in ways:
        say(f"making and measuring {way.name}")
        graph = bundle / f"model.{way.name}.onnx"
        try:
            way.make(model, whole, graph)
            after = run(graph, held)
        except HarnessError:
            raise
        except Exception as error:  # whatever a model provokes in who quantises or prunes it
            raise HarnessError(
                f"{way.name} can't be made of this model: {one_line(error)}", "Leave it out"
            ) from error
        own = paired(before, after, labels)
        found.append(Variant(graph.stem, costs(graph, held), own, own.verdict(delta)))
    passing = sorted((v for v in found if v.verdict == "passes"), key=lambda v: v.costs.bytes)
    chosen, result = None, None
    if passing:
        _, split = data.tested
        rows, own_logits, true = test
        result = paired(own_logits, answers(bundle, split.inputs, rows, passing[0].name), true)
        chosen = passing[0].name if result.verdict(delta) != "refused" else None
    for variant in found[1:]:
        if variant.name != chosen:
            (bundle / f"{variant.name}.onnx").unlink()
    return Smaller(found, chosen, result)
