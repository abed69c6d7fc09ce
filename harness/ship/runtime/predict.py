"""Classify images or texts with the model beside this file.

    python predict.py photos/ new.jpg > classes.csv
    python predict.py texts.csv --column text

It needs onnxruntime, NumPy and, for images, Pillow or, for texts, tokenizers. README.md says what
the model is good for, and certificate.json that this file was tried out.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent

Floats = NDArray[np.floating]


class Model:
    """A shipped model.

    Args:
        folder: where its files are.
        variant: the name of its graph, ``model`` or that of a smaller one.
    """

    def __init__(self, folder: Path = HERE, variant: str = "model") -> None:
        import onnxruntime

        self.told: dict[str, Any] = json.loads((folder / "model.json").read_text("utf-8"))
        self.classes: list[str] = self.told["classes"]
        self._encode = None
        if self.told["kind"] == "text":
            from tokenizers import Tokenizer

            self._encode = Tokenizer.from_file(str(folder / "tokenizer.json"))
        graph = str(folder / f"{variant}.onnx")
        self._session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])

    def image(self, content: bytes) -> NDArray[np.uint8]:
        """What the graph takes of an image file: uint8 ``[channels, side, side]``."""
        from pixels import pixels
        from resizing import fitted

        has = self.told["input"]
        found = pixels(content)
        found = found.reshape(*found.shape[:2], -1)
        if found.shape[2] == 1:
            found = np.repeat(found, has["channels"], axis=2)
        elif has["channels"] == 1:
            found = _grey(found)
        square = fitted(found, has["side"], has["fit"], has["interpolation"], has["bars"])
        return np.ascontiguousarray(square.transpose(2, 0, 1))

    def text(self, text: str) -> NDArray[np.int32]:
        """What the graph takes of a text: token ids, int32 ``[length]``."""
        assert self._encode is not None
        return np.array(self._encode.encode(text).ids, np.int32)

    def logits(self, inputs: NDArray[Any]) -> Floats:
        """Unnormalised log-probabilities ``[n, classes]``."""
        found: Floats = self._session.run(["logits"], {"inputs": inputs})[0]
        return found

    def probabilities(self, logits: Floats) -> Floats:
        """Calibrated probabilities ``[n, classes]``."""
        scaled = np.float64(logits) / self.told["temperature"]
        exponents = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        found: Floats = exponents / exponents.sum(axis=1, keepdims=True)
        return found

    def drift(self, logits: Floats) -> tuple[Floats, float] | None:
        """P-values ``[n]`` of how usual an answer is, and that of all of them together; None where
        there is nothing to compare them with."""
        from drift import Reference

        if self.told["drift"] is None:
            return None
        reference = Reference(**self.told["drift"])
        return reference.typicality(logits), reference.drift(logits)

    def row(self, probabilities: Floats, top: int) -> dict[str, Any]:
        """What there is to say of one input."""
        order = np.argsort(-probabilities, kind="stable")
        row: dict[str, Any] = {}
        for place, label in enumerate(order[:top], start=1):
            ending = "" if place == 1 else f"_{place}"
            row[f"class{ending}"] = self.classes[label]
            row[f"probability{ending}"] = f"{probabilities[label]:.6g}"
        if self.told["threshold"] is not None:
            inside = [self.classes[c] for c in order if probabilities[c] >= self.told["threshold"]]
            row |= {"unsure": len(inside) != 1, "set": "|".join(inside)}
        return row


def _grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    red, green, blue = np.moveaxis(image.astype(np.float32), 2, 0)
    grey = red * np.float32(0.2989) + green * np.float32(0.587) + blue * np.float32(0.114)
    found: NDArray[np.uint8] = grey.astype(np.uint8)[..., None]
    return found


def found_in(paths: Sequence[str], kind: str, column: str) -> Iterator[tuple[str, bytes | str]]:
    """The name of each input, and the bytes of its file or its text."""
    for name in paths:
        path = Path(name)
        if kind == "image":
            files = sorted(path.rglob("*")) if path.is_dir() else [path]
            for file in files:
                if file.is_file() and not file.name.startswith("."):
                    yield str(file), file.read_bytes()
        elif path.suffix.lower() == ".csv":
            with path.open(encoding="utf-8-sig", newline="") as rows:
                for row in csv.DictReader(rows):
                    yield row[column], row[column]
        else:
            for line in path.read_text("utf-8-sig").splitlines():
                if line.strip():
                    yield line, line


def _tell_drift(rows: list[dict[str, Any]], typicality: Floats, p: float) -> None:
    from drift import sentence

    print(f"predict.py: {sentence(p, len(rows))}", file=sys.stderr)
    for row, own in zip(rows, typicality, strict=True):
        row |= {"typicality": f"{own:.6g}", "drift_p": f"{p:.6g}"}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("inputs", nargs="+", help="images, folders of them; CSV or text files")
    parser.add_argument("--top", type=int, default=3, help="name so many classes")
    parser.add_argument("--column", default="text", help="of CSV files, where the texts are")
    parser.add_argument("--variant", default="model", help="a smaller graph, as model.int8")
    parser.add_argument("--batch", type=int, default=32, help="inputs at a time")
    parser.add_argument("--logits", help="write logits to this .npz file, and print nothing")
    asked = parser.parse_args()
    if missing := [path for path in asked.inputs if not Path(path).exists()]:
        print(f"predict.py: there is no {missing[0]}", file=sys.stderr)
        return 2
    model = Model(variant=asked.variant)
    kind, rows, every = model.told["kind"], list[dict[str, Any]](), list[Floats]()
    waiting: list[tuple[dict[str, Any], NDArray[Any]]] = []

    def run() -> None:
        if not waiting:
            return
        logits = model.logits(np.stack([inputs for _, inputs in waiting]))
        every.append(logits)
        for (row, _), own in zip(waiting, model.probabilities(logits), strict=True):
            row |= model.row(own, asked.top)
        waiting.clear()

    for name, content in found_in(asked.inputs, kind, asked.column):
        row: dict[str, Any] = {"input": name}
        rows.append(row)
        try:
            taken = model.image(content) if kind == "image" else model.text(content)  # type: ignore[arg-type]
        except Exception as error:  # what a damaged file raises depends on its format
            row["error"] = " ".join(str(error).split())
            continue
        waiting.append((row, taken))
        if len(waiting) == asked.batch:
            run()
    run()
    if asked.logits:
        np.savez(asked.logits, allow_pickle=False, logits=np.concatenate(every))
        return 0
    if every and (found := model.drift(np.concatenate(every))) is not None:
        _tell_drift([row for row in rows if "error" not in row], *found)
    columns = dict.fromkeys([*(name for row in rows for name in row if name != "error"), "error"])
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return int(any("error" in row for row in rows))


if __name__ == "__main__":
    sys.exit(main())
