"""Make smaller variants of a bundle's model, and choose one of them on validation examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from harness.errors import HarnessError, one_line
from harness.run.reopened import Reopened
from harness.ship.certificate import answers
from harness.ship.compression import WAYS, Logits, Paired, Variant, measured, paired, run


@dataclass(frozen=True)
class Smaller:
    """The ``variants``, the whole model first; the ``chosen`` one, the smallest that passes, and
    how it does on the sealed ``test``, where there is one."""

    variants: Sequence[Variant]
    chosen: str | None = None
    test: Paired | None = None


def compress(
    model: Reopened,
    ways: Sequence[str],
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
            "Leave out --compress",
        )
    whole = bundle / "model.onnx"
    shown = model.prepared(manifest.train[:256]).numpy()
    held = model.prepared(manifest.val).numpy()
    labels = data.train.labels[list(manifest.val)].numpy()
    before = run(whole, held)
    found = [measured("model", whole, held)]
    for way in ways:
        say(f"making and measuring {way}")
        graph = bundle / f"model.{way}.onnx"
        try:
            WAYS[way](whole, graph, shown)
            after = run(graph, held)
        except Exception as error:  # whatever a graph provokes in the quantiser
            raise HarnessError(
                f"{way} can't be made of this model: {one_line(error)}", "Leave it out"
            ) from error
        own = paired(before, after, labels)
        variant = measured(f"model.{way}", graph, held)
        found.append(replace(variant, validation=own, verdict=own.verdict(delta)))
    passing = sorted((v for v in found if v.verdict == "passes"), key=lambda v: v.bytes)
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
