"""Data before and after preprocessing: raw splits that datasets give, inputs that models take."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import torch
from torch import Tensor

from harness.errors import HarnessError, is_systems
from harness.hashing import sha256

if TYPE_CHECKING:
    from harness.data.images import Facts

RawBatch: TypeAlias = "Tensor | list[Tensor] | list[str]"
"""Images as uint8 ``[B, C, H, W]``, or one ``[C, H, W]`` each where sizes differ, or texts."""


Fit: TypeAlias = Literal["crop", "pad", "squash"]
"""How an image becomes square: the middle of it, all of it between bars, or all of it distorted."""


class RawInputs(Protocol):
    """The inputs of a split as they come: any number of them, read when asked for."""

    def __len__(self) -> int: ...

    def read(self, rows: Sequence[int]) -> RawBatch:
        """The inputs at ``rows``. Several threads call it at once."""
        ...

    def digest(self) -> str:
        """SHA-256 of the content, whatever its path or time."""
        ...


@dataclass(frozen=True)
class ArrayInputs:
    """Images held in memory: ``images`` is uint8 ``[N, C, H, W]``."""

    images: Tensor

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise ValueError(
                f"images must be uint8 [N, C, H, W], not {self.images.dtype} "
                f"{list(self.images.shape)}"
            )

    def __len__(self) -> int:
        return len(self.images)

    def read(self, rows: Sequence[int]) -> Tensor:
        return self.images[torch.as_tensor(rows, dtype=torch.int64)]

    def digest(self) -> str:
        return tensor_digest(self.images)


@dataclass(frozen=True)
class FileInputs:
    """Image files, decoded when asked for, each to uint8 ``[1 or 3, H, W]``: upright, grey of 16
    bits scaled to 8, on white where they are transparent, and the first of several frames."""

    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, rows: Sequence[int]) -> list[Tensor]:
        return [self._decode(self.paths[row]) for row in rows]

    @staticmethod
    def _decode(path: Path) -> Tensor:
        from harness.data.images import decode

        try:
            return decode(path.read_bytes())
        except Exception as error:  # what a damaged file raises depends on its format
            mend = (
                "Look after the file and the disk" if is_systems(error) else "Repair or remove it"
            )
            raise HarnessError(f"cannot read the image {path}: {error}", mend) from error

    @cached_property
    def digests(self) -> tuple[bytes, ...]:
        """SHA-256 of each file, read once; empty of one that cannot be opened."""
        return tuple(map(_file_digest, self.paths))

    @cached_property
    def facts(self) -> tuple[Facts | str, ...]:
        """What there is to know of each file, or why it cannot be decoded."""
        from harness.data.inspection import inspect

        return tuple(inspect(self.paths, self.digests))

    @property
    def unreadable(self) -> dict[Path, str]:
        """The files that cannot be decoded, each with the reason."""
        pairs = zip(self.paths, self.facts, strict=True)
        return {path: found for path, found in pairs if isinstance(found, str)}

    def digest(self) -> str:
        return sha256(b"".join(self.digests))


def _file_digest(path: Path) -> bytes:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return b""


@dataclass(frozen=True)
class TextInputs:
    """Texts held in memory."""

    texts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)

    def read(self, rows: Sequence[int]) -> list[str]:
        return [self.texts[row] for row in rows]

    def digest(self) -> str:
        content = hashlib.sha256()
        for text in self.texts:
            encoded = text.encode("utf-8", "surrogatepass")
            content.update(f"{len(encoded)}:".encode() + encoded)
        return content.hexdigest()


@dataclass(frozen=True)
class RawRows:
    """Some rows of raw inputs."""

    raw: RawInputs
    rows: Tensor
    reading: str = ""
    """How they are decoded or prepared, where that is not what it always was."""

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, rows: Sequence[int]) -> RawBatch:
        return self.raw.read(self.rows[list(rows)].tolist())

    def digest(self) -> str:
        content = f"{self.raw.digest()}:{self.rows.tolist()}{self.reading}"
        return sha256(content)


def _chosen(inputs: RawInputs, rows: Tensor) -> RawInputs:
    match inputs:
        case ArrayInputs():
            return ArrayInputs(inputs.images[rows])
        case FileInputs():
            return FileInputs(tuple(inputs.paths[row] for row in rows.tolist()))
        case TextInputs():
            return TextInputs(tuple(inputs.texts[row] for row in rows.tolist()))
    return RawRows(inputs, rows)


@dataclass(frozen=True)
class Split:
    """Raw inputs and their labels (int64 ``[N]``, indices into the dataset's classes), and, where
    there are some, the numbers of the groups that they belong to (int64 ``[N]``), such as a
    hospital, a camera or a population. ``columns`` are what else a table says of each, by which a
    suite may group them: ``N`` texts a name. The digest does not cover these."""

    inputs: RawInputs
    labels: Tensor
    groups: Tensor | None = None
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, numbers in (("labels", self.labels), ("groups", self.groups)):
            if numbers is None:
                continue
            if numbers.dtype != torch.int64 or numbers.shape != (len(self.inputs),):
                raise ValueError(
                    f"{name} must be int64 [{len(self.inputs)}], not {numbers.dtype} "
                    f"{list(numbers.shape)}"
                )

    def digest(self) -> str:
        groups = "" if self.groups is None else f":{tensor_digest(self.groups)}"
        return sha256(f"{self.inputs.digest()}:{tensor_digest(self.labels)}{groups}")

    def subset(self, rows: Tensor) -> Split:
        """The split of some rows, int64 ``[n]``, whose inputs are of the same kind."""
        groups = None if self.groups is None else self.groups[rows]
        columns = {
            name: tuple(texts[row] for row in rows.tolist()) for name, texts in self.columns.items()
        }
        return Split(_chosen(self.inputs, rows), self.labels[rows], groups, columns)

    @cached_property
    def order(self) -> Tensor:
        """The rows in the order in which a pool holds them, int64 ``[N]``.

        Shuffled: a dataset's own order often is by class, and strategies see where an input
        stands. The seed is the content, which they can't know, and is the same for everybody.
        """
        seed = int(self.digest()[:15], 16)
        return torch.randperm(len(self.labels), generator=torch.Generator().manual_seed(seed))

    @cached_property
    def places(self) -> Tensor:
        """Where a pool holds each row, int64 ``[N]``."""
        return self.order.argsort()

    def placed(self, pool: Pool, rows: Tensor) -> Inputs:
        """The inputs at ``rows`` of the split, from the pool that holds it."""
        return Inputs(pool, self.places[rows])


@dataclass(frozen=True)
class Data:
    """What a dataset plugin loads.

    ``test`` is the official test split; where there is none the harness draws one.
    ``held_out`` names the classes that are kept for ``episodes``: as a source, the dataset
    then shows the others only. ``unlabelled`` are inputs without labels, for strategies that learn
    from them too. ``notes`` are sentences on what was left out, for the user; the digest does not
    cover them.
    """

    train: Split
    classes: tuple[str, ...]
    test: Split | None = None
    held_out: frozenset[str] = field(default_factory=frozenset)
    notes: tuple[str, ...] = ()
    unlabelled: RawInputs | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        """Which of ``train``, ``test`` and ``unlabelled`` there are."""
        there = {"test": self.test, "unlabelled": self.unlabelled}
        return ("train", *(name for name, part in there.items() if part is not None))

    @property
    def tested(self) -> tuple[str, Split]:
        """The part that is tested from, and its name: ``test`` where there is one, or ``train``."""
        return ("test", self.test) if self.test is not None else ("train", self.train)

    def part(self, name: str) -> tuple[RawInputs, Tensor]:
        """The raw inputs of a part, and the rows in the order in which a pool holds them."""
        if name == "unlabelled":
            assert self.unlabelled is not None
            return self.unlabelled, torch.arange(len(self.unlabelled))
        split = self.train if name == "train" else self.test
        assert split is not None
        return split.inputs, split.order

    def digest(self) -> str:
        parts = [self.train.digest(), self.test.digest() if self.test else "-"]
        parts += [*self.classes, "|", *sorted(self.held_out)]
        if self.unlabelled is not None:
            parts += ["unlabelled", self.unlabelled.digest()]
        return sha256("\x1f".join(parts))


def tensor_digest(tensor: Tensor) -> str:
    """SHA-256 of a tensor's dtype, shape and bytes."""
    array = tensor.detach().cpu().contiguous()
    content = hashlib.sha256(f"{array.dtype}{list(array.shape)}".encode())
    content.update(array.reshape(-1).view(torch.uint8).numpy().data)
    return content.hexdigest()


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on another device, which the host does not wait for.

    Where it indexes one of a GPU as it is, it is copied there all the same, and only when all that
    was asked of the GPU before is done.
    """
    return tensor.to(device, non_blocking=True)


class Pool(Protocol):
    """Prepared inputs of one split for one backbone; ``rows`` are int64 on the CPU."""

    digest: str
    held: str
    """Where its inputs are: ``device``, or ``streamed`` if they are read when asked for."""

    def __len__(self) -> int: ...

    def take(self, rows: Tensor) -> Tensor:
        """The prepared inputs at ``rows``, ``[len(rows), ...]``, on the run's device."""
        ...

    def stream(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        """What :meth:`take` gives for the rows of each batch, in order.

        What has to be read is read by threads, a few batches ahead: for that, ``batches`` is
        asked for rows before they are needed.
        """
        ...


@dataclass(frozen=True)
class Inputs:
    """Prepared model inputs: some rows of a pool. They carry no labels."""

    pool: Pool
    rows: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        """Model inputs at ``index``, ``[b, ...]`` on the device.

        ``index`` is a slice, or int64 positions on the CPU.
        """
        return self.pool.take(self.rows[index])

    def stream(self, batches: Iterable[Tensor | slice]) -> Iterator[Tensor]:
        """Model inputs at the index of each batch, as by ``self[index]``, in order.

        For loops over many batches: where inputs are read from files, those of the next batches
        are read while the present one is used.
        """
        return self.pool.stream(self.rows[index] for index in batches)

    def subset(self, index: Tensor) -> Inputs:
        return Inputs(self.pool, self.rows[index])

    def by_place(self) -> Inputs:
        """The same inputs in the pool's own order, which tells nothing of their labels."""
        return Inputs(self.pool, self.rows.sort().values)


@dataclass(frozen=True)
class Examples:
    """Prepared inputs with labels, int64 ``[n]`` on the device, ``0 … classes - 1``, and the groups
    that they belong to, likewise, where the dataset tells them."""

    inputs: Inputs
    labels: Tensor
    groups: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, index: Tensor) -> Examples:
        there = sent(index, self.labels.device)
        groups = None if self.groups is None else self.groups[there]
        return Examples(self.inputs.subset(index), self.labels[there], groups)
