"""Labelled examples that a user gives with a command: a folder a class."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from harness.data.classes import natural, one_name
from harness.data.examples import Data, FileInputs, RawInputs, Split, TextInputs
from harness.errors import HarnessError
from harness.model.backbone import Backbone
from harness.model.text import TextBackbone
from harness.report.format import plural
from harness.ship.new_inputs import Item, images, texts

LAYOUT = "Give a folder that has a folder for each class, with its examples inside"


def labelled(folder: Path, backbone: Backbone, column: str, say: Callable[[str], None]) -> Data:
    """Read the examples of each folder in ``folder``, which is called as its class, in natural
    order: images or, for a backbone of texts, text files with one a line, or CSV files with a
    ``column`` of them. What is no image is passed over, and ``say`` tells how much.

    Raises:
        HarnessError: there are fewer than two classes, one has no examples, or a file can't be
            read.
    """
    if not folder.is_dir():
        raise HarnessError(f"there is no folder {folder}", LAYOUT)
    inside = [path for path in folder.iterdir() if path.is_dir() and path.name[0] not in "._"]
    inside.sort(key=lambda path: natural(path.name))
    if len(inside) < 2:
        raise HarnessError(f"{folder} has {len(inside)} folders, and so no two classes", LAYOUT)
    one_name([path.name for path in inside], str(folder))
    found = [_items(path, backbone, column, say) for path in inside]
    for path, items in zip(inside, found, strict=True):
        if not items:
            raise HarnessError(f"there is no example of '{path.name}' in {path}", LAYOUT)
    labels = torch.arange(len(found)).repeat_interleave(torch.tensor([*map(len, found)]))
    split = Split(_raw([item for items in found for item in items]), labels)
    if isinstance(split.inputs, FileInputs) and (damaged := split.inputs.unreadable):
        path, why = next(iter(damaged.items()))
        raise HarnessError(f"cannot read the image {path}: {why}", "Repair or remove it")
    return Data(split, tuple(path.name for path in inside))


def _items(folder: Path, backbone: Backbone, column: str, say: Callable[[str], None]) -> list[Item]:
    if not isinstance(backbone, TextBackbone):
        found, passed = images([folder])
        if passed:
            say(f"passed over in {folder}, as no images: {plural(passed, 'file')}")
        return found
    files = (path for path in folder.iterdir() if path.is_file() and path.name[0] != ".")
    return texts(sorted(files, key=lambda path: natural(path.name)), column)


def _raw(items: list[Item]) -> RawInputs:
    paths = tuple(item.path for item in items if item.path is not None)
    return FileInputs(paths) if paths else TextInputs(tuple(item.text or "" for item in items))
