"""Make a bundle, try it out, and let it go only if it answers what was tested."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import HarnessError
from harness.record import provenance
from harness.record.predictions import read_predictions
from harness.record.store import Store, predictions_file
from harness.registry import Registry
from harness.run.reopened import Reopened
from harness.ship import bundle
from harness.ship.calibration import Calibration
from harness.ship.card import TestAnswers, card
from harness.ship.certificate import Agreement, agreement, answers
from harness.ship.smaller import Smaller, compress

MOST_TRAINING = 256
"""Training inputs that an exported file is tried on."""


@dataclass(frozen=True)
class Order:
    """What is to be made: the folder, a new one; the coverage of sets; ``ways`` to make smaller
    variants, and the margin ``delta`` (a fraction) that their accuracy may differ by."""

    to: Path
    coverage: float
    ways: Sequence[str] = ()
    delta: float = 0.01

    def __post_init__(self) -> None:
        if self.to.exists():
            raise HarnessError(f"{self.to} is there already", "Give a folder that is not: --to DIR")


@dataclass(frozen=True)
class Shipped:
    """Where a bundle is, and how its file compares with the model on ``training`` inputs and on the
    sealed test, whose ``accuracy`` (0–1) it has, where the model has ``tested``; and smaller
    variants of it, where these were asked for."""

    folder: Path
    training: Agreement
    test: Agreement
    accuracy: float
    tested: float
    smaller: Smaller | None = None

    @property
    def passes(self) -> bool:
        return self.training.passes and self.test.passes


def ship(
    model: Reopened,
    why: str,
    calibration: Calibration,
    order: Order,
    store: Store,
    registry: Registry,
    say: Callable[[str], None],
) -> Shipped:
    """Ship a model to a folder that is not there yet. Where its file answers otherwise than the
    model, what was made is left beside that folder, with ``.refused`` to its name.

    This opens the sealed test once more, after all selection; the certificate says so.

    Raises:
        HarnessError: the model can't be exported or run.
    """
    to = order.to
    making, refused = (to.with_name(f"{to.name}{ending}") for ending in (".making", ".refused"))
    for left in (making, refused):
        shutil.rmtree(left, ignore_errors=True)
    bundle.write(model, calibration, order.coverage, making)
    manifest, data = model.one.manifest, model.loaded.data
    rows = manifest.train[:MOST_TRAINING]
    say(f"trying the exported file on {len(rows)} training inputs, without PyTorch")
    training = agreement(model.answers(rows).numpy(), answers(making, data.train.inputs, rows))
    kept = read_predictions(store.directory / predictions_file(model.record.cell), "ids")
    _, split = data.tested
    say(f"trying it on the sealed test: {len(manifest.test):,} inputs")
    exported = answers(making, split.inputs, kept["ids"].tolist())
    test = agreement(kept["logits"], exported)
    labels = kept["labels"]
    smaller = None
    if order.ways and training.passes and test.passes:
        sealed = (kept["ids"].tolist(), kept["logits"], labels)
        smaller = compress(model, order.ways, order.delta, making, sealed, say)
    done = Shipped(
        folder=to if training.passes and test.passes else refused,
        training=training,
        test=test,
        accuracy=float((exported.argmax(1) == labels).mean()),
        tested=float((kept["logits"].argmax(1) == labels).mean()),
        smaller=smaller,
    )
    told = json.loads((making / "model.json").read_text("utf-8"))
    found = TestAnswers(kept["logits"], labels)
    (making / "README.md").write_text(card(model, why, registry, told, found, smaller), "utf-8")
    (making / "certificate.json").write_text(json.dumps(_certificate(model, order, done), indent=1))
    making.rename(done.folder)
    return done


def _certificate(model: Reopened, order: Order, done: Shipped) -> dict[str, Any]:
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
        "sealed_test": {
            **done.test.as_json(),
            "accuracy_of_the_file": done.accuracy,
            "accuracy_of_the_model": done.tested,
        },
        "smaller": smaller,
        "compared": "from files to logits, in a process without PyTorch",
        "onnxruntime": onnxruntime.__version__,
        "numpy": np.__version__,
        "environment": provenance.environment(),
    }
