"""Image files in a folder a class."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar, NoReturn

import torch
from PIL import Image

from harness.api import Data, Dataset, FileInputs, HarnessError, Split, hookimpl
from harness.data.archives import is_archive, unpacked
from harness.data.unpacking import ARCHIVES
from harness.errors import did_you_mean

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What these files may hold, whatever they are called: Pillow knows others that run programs."""

SPLITS = ("train", "training", "test", "testing", "val", "valid", "validation", "dev")
"""What people call a split. Taken for groups of classes, they would give each class a double."""

LAYOUT = "Expected root/<class>/<image> or root/<group>/<class>/<image>"

Classes = dict[str, list[Path]]
"""The images of each class, both in natural order."""


@dataclass(frozen=True)
class Folder(Dataset):
    """``root/<class>/<image>`` or, two levels deep, ``root/<group>/<class>/<image>``.

    The depth is seen from the images; with two levels a class is called ``group/class``. Where
    ``root`` holds ``train`` and ``test``, each with such a tree inside, the test split is
    official; ``train`` alone will do too. Hidden files, ``__MACOSX`` and files that are no images
    are passed over.

    An archive of such a tree will do: zip, or tar as it is or with gz, bz2 or xz. It is unpacked
    once, into ``~/.cache/transfer-harness`` or the folder that ``HARNESS_CACHE`` names; a single
    folder around all of it does not count. The data are the same as the folder's.

    Args:
        root: the folder, or the archive.
        held_out: a class or a group of them, or several: ``episodes`` are made of these, and a
            backbone with this source does not see them.
    """

    name: ClassVar[str] = "folder"
    licence: ClassVar[str] = "that of your data"

    root: Path | str
    held_out: str | Sequence[str] = ()

    def load(self) -> Data:
        """Find the files, each to be decoded when needed to uint8 ``[3, H, W]``; labels int64.

        Raises:
            HarnessError: the tree has another shape, a folder has no image, there is one class
                only, ``held_out`` names no class, a file is no image, or the archive is damaged
                or not safe.
        """
        root = Path(self.root).expanduser()
        if not is_archive(root):
            return self._load(root)
        tree = unpacked(root)
        try:
            return self._load(tree)
        except HarnessError as error:  # of places in the archive, which its owner knows
            raise HarnessError(error.message.replace(str(tree), str(root)), error.remedy) from error

    def _load(self, root: Path) -> Data:
        train, test = _train_and_test(root)
        if len(train) < 2:
            raise HarnessError(f"{root} has labels of one class only: {next(iter(train))}", LAYOUT)
        for name in test:
            if name not in train:
                raise HarnessError(
                    f"{root / 'test'} has the class {name}, which train lacks"
                    f"{did_you_mean(name, train)}"
                )
        held_out = _held_out(self.held_out, train)
        _verify(path for classes in (train, test) for paths in classes.values() for path in paths)
        names = tuple(train)
        return Data(
            train=_split(train, names),
            classes=names,
            test=_split(test, names) if test else None,
            held_out=held_out,
        )


def _train_and_test(root: Path) -> tuple[Classes, Classes]:
    """The two trees beneath ``root``; the second is empty where there is no official split."""
    if not root.is_dir():
        raise HarnessError(
            f"{root} is a file" if root.exists() else f"there is no folder {root}",
            f"Give a folder, or an archive of one: {', '.join(ARCHIVES)}",
        )
    tops = [path for path in root.iterdir() if path.is_dir() and _visible(path.name)]
    # A folder called 'train' with images in it is a class: locomotives.
    splits = {
        path.name
        for path in tops
        if path.name.casefold() in SPLITS and not any(map(_is_image, os.listdir(path)))
    }
    if not splits:
        return _classes(root), {}
    names = {path.name for path in tops}
    if "train" not in splits or not names <= {"train", "test"}:
        raise HarnessError(
            f"{root} holds {_listed(names)}: beside 'train' only 'test' may stand",
            "Rename them, and merge a validation split into 'train': the harness draws its own",
        )
    return _classes(root / "train"), _classes(root / "test") if "test" in names else {}


def _classes(root: Path) -> Classes:
    """The images beneath ``root`` by class.

    Raises:
        HarnessError: a folder has no image or a name that is no text, or the images lie at another
            depth than 1 or 2.
    """
    found: Classes = {}
    empty = []
    for place, folders, files in os.walk(root, onerror=_refuse, followlinks=True):
        name = Path(place).relative_to(root).as_posix()
        depth = len(PurePosixPath(name).parts)
        # Deeper than is allowed, so as to tell where images are; but a link to a parent must end.
        folders[:] = sorted(filter(_visible, folders), key=_natural) if depth < 6 else []
        if images := sorted(filter(_is_image, files), key=_natural):
            found[name] = [Path(place, image) for image in images]
        elif not folders and depth < 6:
            empty.append(place)
    if empty or not found:
        raise HarnessError(
            f"no image in {_listed(empty or [str(root)])}", "Fill or remove what is empty"
        )
    for name in found:
        if any("\ud800" <= sign <= "\udfff" for sign in name):  # how Python reads other bytes
            raise HarnessError(f"the folder name {name!r} in {root} is not UTF-8", "Rename it")
    # The first image at each depth; the root itself is '.', which has no parts.
    samples: dict[int, Path] = {}
    for name, paths in found.items():
        samples.setdefault(len(PurePosixPath(name).parts), paths[0])
    if len(samples) > 1:
        places = _listed(str(path.relative_to(root)) for path in samples.values())
        raise HarnessError(f"images lie at different depths in {root}: {places}", LAYOUT)
    ((depth, sample),) = samples.items()
    if depth not in (1, 2):
        where = "in no class folder" if depth == 0 else "too deep"
        raise HarnessError(f"the images of {root} lie {where}: {sample.relative_to(root)}", LAYOUT)
    return found


def _visible(name: str) -> bool:
    """Whether a name is neither hidden nor what macOS leaves behind (``.DS_Store``, ``._x``)."""
    return not name.startswith(".") and name != "__MACOSX"


def _is_image(name: str) -> bool:
    return _visible(name) and os.path.splitext(name)[1].lower() in SUFFIXES


def _natural(name: str) -> tuple[list[str | int], str]:
    """Sorts ``a2`` before ``a10``, and ``a02`` always on the same side of ``a2``."""
    parts = re.split("([0-9]+)", name)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name


def _refuse(error: OSError) -> NoReturn:
    raise HarnessError(
        f"cannot read the folder {error.filename}: {error.strerror}", "Check its permissions"
    ) from error


def _held_out(wanted: str | Sequence[str], classes: Iterable[str]) -> frozenset[str]:
    """The classes that ``wanted`` means, each its own name or that of its group."""
    group = {name: name.partition("/")[0] for name in classes}
    known = {*group, *group.values()}
    wanted = (wanted,) if isinstance(wanted, str) else wanted
    for name in wanted:
        if name not in known:
            raise HarnessError(
                f"held_out names '{name}', which is no class or group{did_you_mean(name, known)}"
            )
    return frozenset(name for name in group if name in wanted or group[name] in wanted)


def _verify(paths: Iterable[Path]) -> None:
    """Open every file, without decoding it: better a word now than in the middle of a run."""
    broken: list[tuple[Path, Exception]] = []
    for path in paths:
        try:
            with Image.open(path, formats=FORMATS) as image:
                image.verify()
        except Exception as error:  # Pillow's parsers let through whatever a broken file provokes
            broken.append((path, error))
    if broken:
        first, reason = broken[0]
        others = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        raise HarnessError(
            f"cannot read the image {first}{others}: {reason}", "Repair or remove it"
        ) from reason


def _split(classes: Classes, names: Sequence[str]) -> Split:
    label = {name: index for index, name in enumerate(names)}
    labels = [label[name] for name, paths in classes.items() for _ in paths]
    paths = tuple(path for paths in classes.values() for path in paths)
    return Split(FileInputs(paths), torch.tensor(labels, dtype=torch.int64))


def _listed(names: Iterable[str], most: int = 3) -> str:
    ordered = sorted(names, key=_natural)
    shown = ", ".join(ordered[:most])
    return f"{shown} and {len(ordered) - most} more" if len(ordered) > most else shown


@hookimpl
def harness_datasets() -> Sequence[type[Dataset]]:
    return [Folder]
