"""Images and labels in one ``.npz`` file, as ``numpy.savez`` writes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import numpy as np
import psutil
import torch
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from harness.api import (
    ArrayInputs,
    Data,
    Dataset,
    HarnessError,
    Mistakes,
    Split,
    abridged,
    hookimpl,
    is_systems,
    located,
)

Array: TypeAlias = NDArray[Any]

CHANNELS = (1, 3)


@dataclass(frozen=True)
class Arrays(Dataset):
    """``x_train`` and ``y_train`` of an npz file and, both or neither, ``x_test`` and ``y_test``.

    ``x`` is uint8: ``[N, H, W]``, ``[N, H, W, C]`` or ``[N, C, H, W]`` with 1 or 3 channels.
    ``y`` holds any integers, ``[N]``; each distinct value of ``y_train`` is a class, in rising
    order. ``classes``, where present, holds the names of these classes, as strings.
    ``x_unlabelled`` are further images, for strategies that learn from them without labels, and
    ``groups_train``, any integers ``[N]``, say which group each training image belongs to.

    Args:
        path: the npz file.
    """

    name: ClassVar[str] = "arrays"
    licence: ClassVar[str] = "that of your data"

    path: Path | str

    def load(self) -> Data:
        """Read the file: images uint8 ``[N, C, H, W]``, labels int64 ``[N]``.

        Raises:
            HarnessError: there is no such file, or it is no npz, or memory has no room for it, or
                all that is wrong inside.
        """
        path = Path(self.path).expanduser()
        arrays, unreadable = _read(path)
        if mistakes := list(_mistakes(arrays, unreadable)):
            raise Mistakes(str(path), mistakes)

        values = np.unique(arrays["y_train"])
        splits: list[Split] = []
        for half in _halves(arrays):
            labels = np.searchsorted(values, arrays[f"y_{half}"]).astype(np.int64)
            groups = arrays.get(f"groups_{half}")
            splits.append(
                Split(
                    _inputs(arrays[f"x_{half}"]),
                    torch.from_numpy(labels),
                    None if groups is None else torch.from_numpy(groups.astype(np.int64)),
                )
            )
        more = arrays.get("x_unlabelled")
        names = arrays.get("classes", values)
        return Data(
            train=splits[0],
            classes=tuple(str(name) for name in names),
            test=splits[1] if len(splits) == 2 else None,
            unlabelled=None if more is None else _inputs(more),
        )


def _inputs(images: Array) -> ArrayInputs:
    """Images of one reading, as ``[N, C, H, W]``."""
    return ArrayInputs(torch.from_numpy(np.ascontiguousarray(_readings(images)[0])))


def _read(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays of the file by name, and why the others cannot be read."""
    if not path.exists():
        raise HarnessError(f"there is no file {located(path)}", "Give the path of an npz file")
    arrays: dict[str, Array] = {}
    unreadable: dict[str, str] = {}
    with ExitStack() as opened:
        try:
            archive = np.load(opened.enter_context(path.open("rb")), allow_pickle=False)
        except Exception as error:  # what a damaged file raises depends on where it is damaged
            if is_systems(error):
                raise HarnessError(f"cannot read it: {error}", "Look after the file") from error
            archive = None
        if not isinstance(archive, NpzFile):  # np.load takes npy files too
            raise HarnessError(
                f"{path} is not an npz file", "Write one: numpy.savez(path, x_train=…, y_train=…)"
            )
        # A few kilobytes of zip may become more than there is; of a header's lies, numpy sees that
        # the bytes are missing.
        size, free = _size(opened.enter_context(archive)), psutil.virtual_memory().available
        if size > free:
            raise HarnessError(
                f"{path} holds {size:,} bytes, and {free:,} bytes of memory are free",
                "Take fewer examples, or write them as image files for the dataset 'folder'",
            )
        for name in archive.files:
            try:
                content = archive[name]
            except Exception as error:
                unreadable[name] = str(error)
                continue
            if isinstance(content, np.ndarray):  # of any other file in the zip: its bytes
                arrays[name] = content
    return arrays, unreadable


def _size(archive: NpzFile) -> int:
    """Bytes of all arrays; zipfile reads no more, whatever else there is."""
    return sum(info.file_size for info in archive.zip.infolist()) if archive.zip else 0


def _halves(held: Mapping[str, object]) -> tuple[str, ...]:
    return ("train", "test") if {"x_test", "y_test"} & held.keys() else ("train",)


def _readings(images: Array) -> list[Array]:
    """Every way to read the array as ``[N, C, H, W]``: exactly one, if it is unambiguous."""
    if images.ndim == 3:
        return [images[:, None]]
    if images.ndim == 4:
        views = images, images.transpose(0, 3, 1, 2)
        return [view for view in views if view.shape[1] in CHANNELS]
    return []


def _mistakes(arrays: Mapping[str, Array], unreadable: Mapping[str, str]) -> Iterator[str]:
    """All that is wrong with the file, one line each."""
    held = {**arrays, **unreadable}
    for name, reason in unreadable.items():
        yield f"{name} cannot be read: {reason}"
    for half in _halves(held):
        for name in (f"x_{half}", f"y_{half}"):
            if name not in held:
                yield f"{name} is missing; the file holds {', '.join(held) or 'nothing'}"
        x, y = arrays.get(f"x_{half}"), arrays.get(f"y_{half}")
        if x is not None:
            yield from _wrong_images(f"x_{half}", x)
        if y is not None:
            yield from _wrong_labels(f"y_{half}", y)
        if x is not None and y is not None and x.ndim and y.ndim and len(x) != len(y):
            yield f"x_{half} has {len(x)} images, but y_{half} has {len(y)} labels"
        groups = arrays.get(f"groups_{half}")
        if groups is not None:
            yield from _wrong_labels(f"groups_{half}", groups)
            if y is not None and y.ndim and groups.ndim and len(y) != len(groups):
                yield f"y_{half} has {len(y)} labels, but groups_{half} has {len(groups)} entries"
    if "x_unlabelled" in arrays:
        yield from _wrong_images("x_unlabelled", arrays["x_unlabelled"])
    shapes = {
        name: list(found[0].shape[1:])
        for name in ("x_train", "x_test", "x_unlabelled")
        if name in arrays and len(found := _readings(arrays[name])) == 1
    }
    for name, shape in shapes.items():
        if shape != (train := shapes.get("x_train", shape)):
            yield f"x_train has images [C, H, W] = {train}, but {name} {shape}"
    yield from _wrong_classes(arrays)


def _wrong_images(name: str, images: Array) -> Iterator[str]:
    shape = list(images.shape)
    if images.dtype != np.uint8:
        yield f"{name} holds {images.dtype}, not uint8 (pixels from 0 to 255)"
    if 0 in shape:
        yield f"{name} is empty: {shape}"
    elif not _readings(images):
        yield f"{name} is {shape}, not [N, H, W], [N, H, W, C] or [N, C, H, W] with C 1 or 3"
    elif len(_readings(images)) > 1:
        yield f"{name} is {shape}: [N, H, W, C] or [N, C, H, W]? Give grey images as [N, H, W]"


def _wrong_labels(name: str, labels: Array) -> Iterator[str]:
    shape = list(labels.shape)
    if labels.dtype.kind not in "iu":
        yield f"{name} holds {labels.dtype}, not integers"
    if labels.ndim != 1:
        hint = f"; save {name}.ravel()" if labels.ndim == 2 and 1 in shape else ""
        yield f"{name} is {shape}, not [N]{hint}"


def _wrong_classes(arrays: Mapping[str, Array]) -> Iterator[str]:
    labels = {name: arrays[name] for name in ("y_train", "y_test") if name in arrays}
    if "y_train" not in labels or any(y.dtype.kind not in "iu" for y in labels.values()):
        return
    values = np.unique(labels["y_train"])
    if len(values) < 2:
        yield f"y_train has labels of one class only: {abridged(values)}"
    if len(unseen := np.setdiff1d(labels.get("y_test", values), values)):
        yield f"y_test has labels that y_train lacks: {abridged(unseen)}"
    if "classes" in arrays:
        names = arrays["classes"]
        if names.dtype.kind != "U" or names.ndim != 1:
            yield f"classes is {names.dtype} {list(names.shape)}, not a list of strings"
        elif len(names) != len(values):
            yield f"classes has {len(names)} names, but y_train {len(values)} distinct labels"
        elif twice := [f"'{name}'" for name, count in Counter(names.tolist()).items() if count > 1]:
            yield f"classes has names twice: {abridged(twice)}"


@hookimpl
def harness_datasets() -> Sequence[type[Dataset]]:
    return [Arrays]
