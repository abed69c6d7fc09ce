"""Proof that an exported model answers what the tested one does: it is run, from files to logits,
in a process of its own that has no PyTorch."""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from harness.data.examples import FileInputs, RawInputs
from harness.errors import HarnessError

LARGEST = 1e-3
"""The largest difference of a logit, relative to the range of all logits, that passes."""

SAME = 0.999
"""The fraction of inputs that have to keep their class."""

MOST_FILES = 2000
"""Files that one process is given: a command line has an end."""

WITHOUT_TORCH = (
    "import runpy, sys; sys.modules['torch'] = None; sys.argv = sys.argv[1:]; "
    "sys.path.insert(0, sys.argv[0].rpartition('/')[0]); "
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)
"""Runs a file where importing PyTorch fails."""

Logits = NDArray[np.floating]


@dataclass(frozen=True)
class Agreement:
    """How an exported file's logits [N, classes] compare with the model's own.

    ``largest`` is the largest difference, as a fraction of ``range``, the distance of the model's
    highest logit from its lowest; ``same`` the fraction of inputs that keep their class.
    """

    inputs: int
    largest: float
    range: float
    same: float

    @property
    def passes(self) -> bool:
        return self.largest <= LARGEST and self.same >= SAME

    def as_json(self) -> dict[str, Any]:
        return {
            "inputs": self.inputs,
            "largest_difference": self.largest,
            "range_of_logits": self.range,
            "same_class": self.same,
            "passes": self.passes,
        }


def agreement(own: Logits, exported: Logits) -> Agreement:
    """Compare what the model answers with what its exported file answers."""
    width = float(own.max() - own.min()) or 1.0
    if own.shape != exported.shape or not np.isfinite(exported).all():
        return Agreement(len(own), float("inf"), width, 0.0)
    largest = float(np.abs(np.float64(own) - exported).max()) / width
    return Agreement(len(own), largest, width, float((own.argmax(1) == exported.argmax(1)).mean()))


def answers(bundle: Path, raw: RawInputs, rows: Sequence[int], variant: str = "model") -> Logits:
    """Run a bundle's ``predict.py`` on raw inputs, as files, without PyTorch: logits
    [len(rows), classes].

    Raises:
        HarnessError: it fails.
    """
    found = []
    for start in range(0, len(rows), MOST_FILES):
        with tempfile.TemporaryDirectory() as folder:
            files = _files(raw, rows[start : start + MOST_FILES], Path(folder))
            out = Path(folder) / "logits.npz"
            words = [str(bundle / "predict.py"), *map(str, files), "--logits", str(out)]
            ended = subprocess.run(
                # Without -B it would leave what it compiled in the bundle.
                [sys.executable, "-B", "-c", WITHOUT_TORCH, *words, "--variant", variant],
                capture_output=True,
                text=True,
            )
            if ended.returncode or not out.exists():
                last = (ended.stderr.strip() or "it wrote nothing").splitlines()[-1]
                raise HarnessError(
                    f"the exported model can't be run: {last}",
                    "pip install 'transfer-harness[ship]'",
                )
            with np.load(out, allow_pickle=False) as written:
                found.append(written["logits"])
    return np.concatenate(found)


def _files(raw: RawInputs, rows: Sequence[int], folder: Path) -> list[Path]:
    """The inputs as files: their own, or written without loss."""
    if isinstance(raw, FileInputs):
        return [raw.paths[row] for row in rows]
    batch = raw.read(rows)
    if any(isinstance(each, str) for each in batch):
        file = folder / "texts.csv"
        with file.open("w", encoding="utf-8", newline="") as opened:
            csv.writer(opened).writerows([["text"], *([text] for text in batch)])
        return [file]
    return [_png(image, folder / f"{number}.png") for number, image in enumerate(batch)]


def _png(image: str | Tensor, file: Path) -> Path:
    assert isinstance(image, Tensor)
    pixels = image.permute(1, 2, 0).numpy()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(file)
    return file
