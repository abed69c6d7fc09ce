"""Choose the errors of a cell that its report shows, and keep what was shown to the model.

This is done when the cell is tested: where a report is written, the data may not be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from harness.data.examples import FileInputs, RawInputs, Split
from harness.data.thumbnails import thumbnail

MOST_CONFIDENT = 20
"""Errors that are kept for being the most confident."""

KINDS, EACH = 12, 3
"""Most frequent kinds of error (a class, and what it was taken for), and errors kept of each."""

LETTERS = 300
"""Of a text, at most."""

Classes: TypeAlias = NDArray[np.signedinteger[Any]]
Arrays: TypeAlias = Mapping[str, NDArray[Any]]


def misclassified(
    split: Split, arrays: Arrays, columns: Classes, names: Sequence[str], with_inputs: bool
) -> list[dict[str, Any]]:
    """Tell the errors that a report shows: the most confident, and some of each frequent kind.

    Args:
        split: what was tested.
        arrays: ``ids`` (rows of the split) and ``labels`` ``[N]``, ``logits`` ``[N, C]``; those of
            episodes ``[E, N]`` and ``[E, N, C]``.
        columns: the class of each logit ``[C]`` or ``[E, C]``.
        names: of all classes.
        with_inputs: whether to keep what was shown to the model.

    Returns:
        For each its ``id``, the names of its class (``true``) and of the one it was ``taken`` for,
        the ``confidence`` in that one (0–1) and, with inputs, what :func:`shown` tells of them.
    """
    scores = arrays["logits"].astype(np.float64)
    confidence = (1 / np.exp(scores - scores.max(-1, keepdims=True)).sum(-1)).ravel()
    true, taken = (
        np.take_along_axis(columns, places, axis=-1).ravel()
        for places in (arrays["labels"], scores.argmax(-1))
    )
    places = chosen(true, taken, confidence)
    ids = arrays["ids"].ravel()[places].tolist()
    inputs: Iterable[dict[str, str]] = repeat({}, len(ids))
    if with_inputs:
        inputs = shown(split.inputs, ids)
    return [
        {
            "id": row,
            "true": names[true[place]],
            "taken": names[taken[place]],
            "confidence": round(float(confidence[place]), 4),
            **content,
        }
        for place, row, content in zip(places, ids, inputs, strict=True)
    ]


def chosen(true: Classes, taken: Classes, confidence: NDArray[np.floating[Any]]) -> list[int]:
    """Choose errors by their classes, what they were taken for and how surely, each ``[N]``.

    Returns:
        Their places, most confident first.
    """
    wrong = np.flatnonzero(true != taken)
    order = wrong[np.argsort(-confidence[wrong], kind="stable")].tolist()
    kinds = [(int(true[place]), int(taken[place])) for place in order]
    frequent = {kind for kind, _ in Counter(kinds).most_common(KINDS)}
    kept, seen = [], Counter[tuple[int, int]]()
    for rank, (place, kind) in enumerate(zip(order, kinds, strict=True)):
        seen[kind] += 1
        if rank < MOST_CONFIDENT or (kind in frequent and seen[kind] <= EACH):
            kept.append(place)
    return kept


def shown(inputs: RawInputs, rows: Sequence[int]) -> Iterator[dict[str, str]]:
    """Show the inputs at some rows: each as ``image`` (a thumbnail) or ``text``, with the last two
    parts of its file's path as ``name`` where it is a file."""
    for row, content in zip(rows, inputs.read(rows) if rows else [], strict=True):
        if isinstance(content, str):
            yield {"text": content if len(content) <= LETTERS else f"{content[: LETTERS - 1]}…"}
        elif isinstance(inputs, FileInputs):
            name = "/".join(inputs.paths[row].parts[-2:])
            yield {"image": thumbnail(content), "name": name}
        else:
            yield {"image": thumbnail(content)}
