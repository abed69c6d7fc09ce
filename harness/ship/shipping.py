"""Make a bundle, try it out, and let it go only if it answers what was tested."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import HarnessError
from harness.record import provenance
from harness.registry import Registry
from harness.run.reopened import Reopened, Trained
from harness.ship import bundle
from harness.ship.basis import Ready, Sealed
from harness.ship.card import card
from harness.ship.certificate import Agreement, agreement, answers
from harness.ship.smaller import Smaller, Way, compress

MOST_TRAINING = 256
"""Training inputs that an exported file is tried on."""


@dataclass(frozen=True)
class Order:
    """What is to be made: the folder, a new one; the coverage of sets; ``ways`` to make smaller
    variants, and the margin ``delta`` (a fraction) that their accuracy may differ by."""

    to: Path
    coverage: float
    ways: Sequence[Way] = ()
    delta: float = 0.01

    def __post_init__(self) -> None:
        if self.to.exists():
            raise HarnessError(f"{self.to} is there already", "Give a folder that is not: --to DIR")


@dataclass(frozen=True)
class Scores:
    """Accuracies on the sealed test, 0–1: that of the exported ``file`` and of the ``model``."""

    file: float
    model: float


@dataclass(frozen=True)
class Shipped:
    """Where a bundle is, and how its file compares with the model on ``training`` inputs and on the
    sealed ``test``, with its ``scores``, where there is one (``untested`` says why not); and
    smaller variants of it, where these were asked for."""

    folder: Path
    training: Agreement
    test: Agreement | None
    scores: Scores | None
    untested: str = ""
    smaller: Smaller | None = None

    @property
    def passes(self) -> bool:
        return self.training.passes and (self.test is None or self.test.passes)


def ship(ready: Ready, order: Order, registry: Registry, say: Callable[[str], None]) -> Shipped:
    """Ship a model to a folder that is not there yet. Where its file answers otherwise than the
    model, what was made is left beside that folder, with ``.refused`` to its name.

    Raises:
        HarnessError: the model can't be exported or run.
    """
    model, basis = ready.model, ready.basis
    if order.ways and not isinstance(model, Reopened):
        raise HarnessError(
            "there are no validation examples to choose a smaller variant on",
            "Leave out --compress, --prune and --student",
        )
    to = order.to
    making, refused = (to.with_name(f"{to.name}{ending}") for ending in (".making", ".refused"))
    for left in (making, refused):
        shutil.rmtree(left, ignore_errors=True)
    bundle.write(ready, order.coverage, making)
    rows = model.learned[:MOST_TRAINING]
    say(f"trying the exported file on {len(rows)} training inputs, without PyTorch")
    own = model.answers(rows).numpy()
    training = agreement(own, answers(making, model.data.train.inputs, rows))
    test, scores, smaller = None, None, None
    if (sealed := basis.test) is not None:
        say(f"trying it on the sealed test: {len(sealed.rows):,} inputs")
        exported = answers(making, sealed.raw, sealed.rows)
        test = agreement(sealed.logits, exported)
        scores = Scores(*(_accuracy(logits, sealed) for logits in (exported, sealed.logits)))
        if order.ways and training.passes and test.passes:
            assert isinstance(model, Reopened)
            known = (sealed.rows, sealed.logits, sealed.labels)
            smaller = compress(model, order.ways, order.delta, making, known, say)
    done = Shipped(refused, training, test, scores, basis.untested, smaller)
    if done.passes:
        done = replace(done, folder=to)
    told = json.loads((making / "model.json").read_text("utf-8"))
    (making / "README.md").write_text(card(model, basis, registry, told, smaller), "utf-8")
    (making / "certificate.json").write_text(json.dumps(_certificate(model, order, done), indent=1))
    making.rename(done.folder)
    return done


def _accuracy(logits: NDArray[np.floating], sealed: Sealed) -> float:
    return float((logits.argmax(1) == sealed.labels).mean())


def _sealed_test(done: Shipped) -> dict[str, Any]:
    if done.test is None or done.scores is None:
        return {"none": done.untested}
    return {
        **done.test.as_json(),
        "accuracy_of_the_file": done.scores.file,
        "accuracy_of_the_model": done.scores.model,
    }


def _certificate(model: Trained, order: Order, done: Shipped) -> dict[str, Any]:
    import onnxruntime

    smaller = {}
    if done.smaller is not None:
        smaller = {"margin": order.delta, **asdict(done.smaller)}
    return {
        "format": 1,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "cell": model.record.cell,
        "split": model.record.split_hash,
        "passes": done.passes,
        "training": done.training.as_json(),
        "sealed_test": _sealed_test(done),
        "smaller": smaller,
        "compared": "from files to logits, in a process without PyTorch",
        "onnxruntime": onnxruntime.__version__,
        "numpy": np.__version__,
        "environment": provenance.environment(),
    }
