"""Image files in a folder a class."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal, NoReturn

import torch

from harness.api import (
    ARCHIVES,
    Data,
    Dataset,
    FileInputs,
    HarnessError,
    Mistakes,
    Split,
    abridged,
    did_you_mean,
    hookimpl,
    is_archive,
    is_image,
    listed,
    located,
    natural,
    one_name,
    unpacked,
)

SUFFIXES = set(
    ".avif .bmp .gif .jfif .jp2 .jpe .jpeg .jpg .mpo .pbm .pgm .png .pnm .ppm .tif .tiff "
    ".webp".split()
)
"""Of files that have to be images. Others are asked for the bytes that they begin with."""

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
    official; ``train`` alone will do too. Images are known by their suffix, and others by their
    first bytes. Hidden files and ``__MACOSX`` are passed over, and so are files that are no
    images; ``harness validate`` tells how many of these there are.

    An archive of such a tree will do: zip, or tar as it is or with gz, bz2 or xz. It is unpacked
    once, into ``~/.cache/transfer-harness`` or the folder that ``HARNESS_CACHE`` names; a single
    folder around all of it does not count. The data are the same as the folder's.

    Args:
        root: the folder, or the archive. A relative path is taken from the current folder.
        held_out: a class or a group of them, or several: ``episodes`` are made of these, and a
            backbone with this source does not see them.
        unreadable: what to do about images that cannot be decoded: ``"refuse"`` the dataset, or
            ``"leave_out"`` these, which reports and records then name.
        merge_classes: whether classes whose names differ only in white space, in how an accent is
            composed or in how a number is written are one; else they are refused.
    """

    name: ClassVar[str] = "folder"
    licence: ClassVar[str] = "that of your data"

    root: Path | str
    held_out: str | Sequence[str] = ()
    unreadable: Literal["refuse", "leave_out"] = "refuse"
    merge_classes: bool = False

    def load(self) -> Data:
        """Find the files, each to be decoded when needed to uint8 ``[3, H, W]``; labels int64.

        Raises:
            HarnessError: the tree has another shape, a folder has no image, there is one class
                only or two that are spelled nearly alike, ``held_out`` names no class, an image
                cannot be decoded, or the archive is damaged or not safe.
        """
        root = Path(self.root).expanduser()
        if not is_archive(root):
            return self._load(root)
        tree = unpacked(root)
        try:
            return self._load(tree)
        except Mistakes as error:  # of places in the archive, which its owner knows
            lines = [line.replace(str(tree), str(root)) for line in error.lines]
            raise Mistakes(error.where.replace(str(tree), str(root)), lines) from error
        except HarnessError as error:
            raise HarnessError(error.message.replace(str(tree), str(root)), error.remedy) from error

    def _load(self, root: Path) -> Data:
        train, test, passed = _train_and_test(root)
        names = one_name([*train, *test], str(root), merge=self.merge_classes)
        train, test = _merged(train, names), _merged(test, names)
        if len(train) < 2:
            raise HarnessError(f"{root} has labels of one class only: {next(iter(train))}", LAYOUT)
        mistakes = [
            f"test has the class '{name}', which train lacks{did_you_mean(name, train)}"
            for name in test
            if name not in train
        ]
        held_out, unknown = _held_out(self.held_out, train)
        if mistakes := [*mistakes, *unknown]:
            raise Mistakes(str(root), mistakes)
        classes = tuple(train)
        splits = [_split(half, classes) for half in (train, test) if half]
        found = sum(len(split.labels) for split in splits)
        notes = _passed_over(passed, found)
        if bad := {path: why for split in splits for path, why in _unreadable(split).items()}:
            if self.unreadable == "refuse":
                raise HarnessError(
                    f"{root}: {len(bad):,} of {found:,} images cannot be decoded: "
                    f"{listed(bad, root)}",
                    'Repair or remove what is damaged, or set unreadable = "leave_out"',
                )
            notes.append(
                f"{len(bad):,} of {found:,} images cannot be decoded and are left out: "
                f"{listed(bad, root)}"
            )
            splits = [_split(_without(half, bad), classes) for half in (train, test) if half]
        return Data(
            train=splits[0],
            classes=classes,
            test=splits[1] if test else None,
            held_out=held_out,
            notes=tuple(notes),
        )


def _train_and_test(root: Path) -> tuple[Classes, Classes, Counter[str]]:
    """The two trees beneath ``root``, of which the second is empty where there is no official
    split, and how many files were passed over, by suffix."""
    if not root.is_dir():
        raise HarnessError(
            f"{root} is a file" if root.exists() else f"there is no folder {located(root)}",
            f"Give a folder, or an archive of one: {', '.join(ARCHIVES)}",
        )
    tops = [path for path in root.iterdir() if path.is_dir() and _visible(path.name)]
    # A folder called 'train' with images in it is a class: locomotives.
    splits = {
        path.name
        for path in tops
        if path.name.casefold() in SPLITS and not any(map(_is_image, path.iterdir()))
    }
    passed: Counter[str] = Counter()
    if not splits:
        return _classes(root, passed), {}, passed
    names = {path.name for path in tops}
    if "train" not in splits or not names <= {"train", "test"}:
        raise HarnessError(
            f"{root} holds {_listed(names)}: beside 'train' only 'test' may stand",
            "Rename them, and merge a validation split into 'train': the harness draws its own",
        )
    passed.update(
        _suffix(path) for path in root.iterdir() if _visible(path.name) and path.is_file()
    )
    train = _classes(root / "train", passed)
    return train, _classes(root / "test", passed) if "test" in names else {}, passed


def _classes(root: Path, passed: Counter[str]) -> Classes:
    """The images beneath ``root`` by class; visible files that are none are counted by suffix.

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
        folders[:] = sorted(filter(_visible, folders), key=natural) if depth < 6 else []
        paths = [Path(place, file) for file in sorted(filter(_visible, files), key=natural)]
        images = [path for path in paths if _is_image(path)]
        passed.update(_suffix(path) for path in {*paths}.difference(images))
        if images:
            found[name] = images
        elif not folders and depth < 6:
            empty.append(place)
    if empty or not found:
        raise HarnessError(
            f"no image in {_listed(empty or [str(root)])}", "Fill or remove what is empty"
        )
    # How Python reads other bytes.
    if odd := [name for name in found if any("\ud800" <= sign <= "\udfff" for sign in name)]:
        raise HarnessError(
            f"names of folders in {root} are not UTF-8: {_listed(map(repr, odd))}", "Rename them"
        )
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


def _is_image(path: Path) -> bool:
    return _visible(path.name) and (_suffix(path) in SUFFIXES or is_image(path))


def _suffix(path: Path) -> str:
    return path.suffix.lower()


def _passed_over(passed: Mapping[str, int], used: int) -> list[str]:
    """A sentence on the files that are no images, if there are any."""
    if not passed:
        return []
    kinds = ", ".join(
        f"{count:,} {suffix or 'without suffix'}" for suffix, count in sorted(passed.items())
    )
    count = sum(passed.values())
    return [f"{count:,} of {count + used:,} files are no images and were passed over: {kinds}"]


def _refuse(error: OSError) -> NoReturn:
    raise HarnessError(
        f"cannot read the folder {error.filename}: {error.strerror}", "Check its permissions"
    ) from error


def _held_out(
    wanted: str | Sequence[str], classes: Iterable[str]
) -> tuple[frozenset[str], list[str]]:
    """The classes that ``wanted`` means, each its own name or that of its group; and what is wrong
    with those that mean none."""
    group = {name: name.partition("/")[0] for name in classes}
    known = {*group, *group.values()}
    wanted = (wanted,) if isinstance(wanted, str) else wanted
    mistakes = [
        f"held_out names '{name}', which is no class or group{did_you_mean(name, known)}"
        for name in wanted
        if name not in known
    ]
    return (
        frozenset(name for name in group if name in wanted or group[name] in wanted),
        mistakes,
    )


def _merged(classes: Classes, names: Mapping[str, str]) -> Classes:
    """The images of each class under its one name, in natural order."""
    merged: Classes = {}
    for name in sorted(classes, key=lambda name: [*map(natural, name.split("/"))]):
        merged.setdefault(names[name], []).extend(classes[name])
    return merged


def _without(classes: Classes, bad: Collection[Path]) -> Classes:
    """The same without some images.

    Raises:
        HarnessError: a class would have none.
    """
    kept = {name: [path for path in paths if path not in bad] for name, paths in classes.items()}
    if none := [str(classes[name][0].parent) for name, paths in kept.items() if not paths]:
        raise HarnessError(f"no image of {_listed(none)} can be decoded", "Repair or remove them")
    return kept


def _unreadable(split: Split) -> dict[Path, str]:
    assert isinstance(split.inputs, FileInputs)
    return split.inputs.unreadable


def _split(classes: Classes, names: Sequence[str]) -> Split:
    label = {name: index for index, name in enumerate(names)}
    labels = [label[name] for name, paths in classes.items() for _ in paths]
    paths = tuple(path for paths in classes.values() for path in paths)
    return Split(FileInputs(paths), torch.tensor(labels, dtype=torch.int64))


def _listed(names: Iterable[str]) -> str:
    in_order: list[str] = sorted(names, key=natural)
    return abridged(in_order, most=3)


@hookimpl
def harness_datasets() -> Sequence[type[Dataset]]:
    return [Folder]
