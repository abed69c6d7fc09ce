"""Graphs quantised to smaller numbers, and what a smaller variant keeps of the whole.

What it keeps is measured on validation examples: the difference of its accuracy to the whole
model's, on the same examples. It passes where the 95 % interval of that lies within the margin.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, norm

WARNING, ERROR = 2, 3
"""How severe onnxruntime takes what it logs to be, and from what on it says so."""

Logits = NDArray[np.floating]
Labels = NDArray[np.integer]
Verdict = Literal["passes", "undecided", "refused"]


@dataclass(frozen=True)
class Paired:
    """Two models on the same ``examples``: the smaller one's ``accuracy``, its ``difference`` to
    the whole one's with the 95 % interval ``low`` to ``high`` (fractions), and McNemar's exact
    ``p``, which decides nothing."""

    examples: int
    accuracy: float
    difference: float
    low: float
    high: float
    p: float

    def verdict(self, delta: float) -> Verdict:
        """Whether the interval lies within ± ``delta``, outside of it, or neither."""
        if -delta <= self.low and self.high <= delta:
            return "passes"
        return "refused" if self.high < -delta or self.low > delta else "undecided"


QUANTISED = ("Conv", "Gemm", "MatMul", "Gather")
"""Operations whose weights take the room, and convolutions and products the time. Sums, activations
and norms between them keep their precision: it costs little, and much of the accuracy is theirs."""


def int8(graph: Path, to: Path, inputs: NDArray[Any]) -> None:
    """Quantise weights and what enters them to eight bits, with ranges found on some inputs.

    The first convolution and depthwise ones stay as they are: the ranges of their channels differ
    most, and they have few weights (Sheng et al. 2018, A quantization-friendly separable
    convolution for MobileNets).
    """
    import onnxruntime
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Batches(CalibrationDataReader):  # type: ignore[misc]  # it has no types
        def __init__(self) -> None:
            self._left = iter(np.array_split(inputs, -(-len(inputs) // 32)))

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            batch = next(self._left, None)
            return None if batch is None else {"inputs": batch}

    logging.disable(logging.WARNING)  # it would advise to run another program of its package,
    onnxruntime.set_default_logger_severity(ERROR)  # and tell of each constant that it has folded
    try:
        quantize_static(
            str(graph),
            str(to),
            Batches(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
            op_types_to_quantize=list(QUANTISED),
            nodes_to_exclude=_of_few_weights(graph),
        )
    finally:
        onnxruntime.set_default_logger_severity(WARNING)
        logging.disable(logging.NOTSET)


def _of_few_weights(graph: Path) -> list[str]:
    """The names of a graph's first convolution and of its depthwise ones."""
    import onnx

    network = onnx.load(graph).graph
    shapes = {tensor.name: tensor.dims for tensor in network.initializer}
    constants = [node for node in network.node if node.op_type == "Constant"]
    shapes |= {node.output[0]: node.attribute[0].t.dims for node in constants}
    convolutions = [node for node in network.node if node.op_type == "Conv"]
    depthwise = [node for node in convolutions if shapes[node.input[1]][1] == 1]
    return [node.name for node in (*convolutions[:1], *depthwise)]


def float16(graph: Path, to: Path, inputs: NDArray[Any]) -> None:
    """Halve all weights; sums are of 32 bits where the processor has no others."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(graph), keep_io_types=True), to)


WAYS: Mapping[str, Callable[[Path, Path, NDArray[Any]], None]] = {
    "int8": int8,
    "float16": float16,
}


def paired(whole: Logits, smaller: Logits, labels: Labels) -> Paired:
    """Compare two accuracies on the same examples; the interval is Agresti and Min's (2005): as
    Wald's, with half an example more on either side."""
    right, still = whole.argmax(1) == labels, smaller.argmax(1) == labels
    lost, won, number = int((right & ~still).sum()), int((~right & still).sum()), len(labels)
    n, b, c = number + 2, lost + 0.5, won + 0.5
    centre = (c - b) / n
    half = float(norm.ppf(0.975)) * np.sqrt(b + c - (c - b) ** 2 / n) / n
    p = binomtest(won, won + lost).pvalue if won + lost else 1.0
    return Paired(
        examples=number,
        accuracy=float(still.mean()),
        difference=(won - lost) / number,
        low=float(centre - half),
        high=float(centre + half),
        p=float(p),
    )
