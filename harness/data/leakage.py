"""Leakage: identical inputs on both sides of a split, which a memory answers as well as a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:  # a report needs the words, and none of the PyTorch that comes with these
    from harness.data.episodes import Episode
    from harness.data.loaded import Loaded
    from harness.data.near_duplicates import Pair
    from harness.data.splits import Manifest

Leaks = dict[str, int]
"""Examples that have an identical twin where they should not, by where; see :func:`leakage`."""

Shown: TypeAlias = "tuple[Loaded, Sequence[int]]"
"""What a source shows: a dataset, and rows of its training data."""

WORDS = {
    "train-test": ("test ", "identical to a training example"),
    "val-test": ("test ", "identical to a validation example"),
    "source-test": ("test ", "identical to an example of the source"),
    "train-val": ("validation ", "identical to a training example"),
    "ambiguous": ("", "identical to one of another class"),
    "near-test": (
        "test ",
        "nearly the same as one that is trained or validated on, such as a recompressed or cropped"
        " copy: 'harness data PATH --groups-to FILE' tells which, and groups = { file = FILE }"
        " keeps them on one side of a split that is drawn",
    ),
    "near-val": (
        "validation ",
        "nearly the same as one that is trained on"
        " ('harness data PATH --groups-to FILE' tells which)",
    ),
    "group-test": ("test ", "of a group that is trained or validated on too"),
    "group-val": ("validation ", "of a group that is trained on too"),
}
"""Each kind of leak: what the examples are for, and what they are."""


def leakage(loaded: Loaded, manifest: Manifest, sources: Iterable[Shown] = ()) -> Leaks:
    """Count twins: inputs of the same bytes as decoded, the same file, or the same text.

    Returns:
        ``train-test``, ``val-test`` and ``source-test`` count tested examples, ``train-val``
        those that validate, and ``ambiguous`` all of them that occur with another label too.
        What there is none of is left out.
    """
    test = _taken(loaded.test_digests, manifest.test)
    of_sources = {"source-test": _among(test, _shown(sources))}
    if not loaded.has_twins:  # most have none, and every cell asks
        return _found(of_sources)
    train, val = (_taken(loaded.train_digests, ids) for ids in (manifest.train, manifest.val))
    data = loaded.data
    labels, tested = data.train.labels, (data.test or data.train).labels
    answers = [
        *labels[[*manifest.train, *manifest.val]].tolist(),
        *tested[[*manifest.test]].tolist(),
    ]
    return _found(
        {
            "train-test": twins(test, train),
            "val-test": twins(test, val),
            **of_sources,
            "train-val": twins(val, train),
            "ambiguous": _ambiguous([*train, *val, *test], answers),
        }
    )


def near_leakage(loaded: Loaded, pairs: Sequence[Pair], manifest: Manifest) -> Leaks:
    """Count near duplicates, given those of the data: tested examples that are
    nearly one that is trained or validated on (``near-test``), and examples that validate and are
    nearly one that is trained on (``near-val``)."""
    learned = len(loaded.data.train.labels)
    test = {row + learned * manifest.official for row in manifest.test}
    train, val = {*manifest.train}, {*manifest.val}
    known = train | val
    both = [*((p.one, p.other) for p in pairs), *((p.other, p.one) for p in pairs)]
    return _found(
        {
            "near-test": len({one for one, other in both if one in test and other in known}),
            "near-val": len({one for one, other in both if one in val and other in train}),
        }
    )


def further_leakage(
    learned: Loaded,
    manifest: Manifest,
    other: Loaded,
    rows: Sequence[int],
    sources: Iterable[Shown] = (),
) -> Leaks:
    """Count what of ``rows`` of another dataset, which are tested, is identical to an example that
    a split of ``learned`` trains or validates on, or that a source shows."""
    test = _taken(other.test_digests, rows)
    train, val = (_taken(learned.train_digests, ids) for ids in (manifest.train, manifest.val))
    return _found(
        {
            "train-test": twins(test, train),
            "val-test": twins(test, val),
            "source-test": _among(test, _shown(sources)),
        }
    )


def episode_leakage(
    loaded: Loaded, episodes: Iterable[Episode], sources: Iterable[Shown] = ()
) -> Leaks:
    """Count queries that are identical to a support example of their own episode
    (``train-test``), and to an example of a source (``source-test``)."""
    digests, shown = loaded.train_digests, _shown(sources)
    found = {"train-test": 0, "source-test": 0}
    for episode in episodes:
        queries = _taken(digests, episode.query)
        found["train-test"] += twins(queries, _taken(digests, episode.support))
        found["source-test"] += _among(queries, shown)
    return _found(found)


def told(leaks: Mapping[str, int], *, test: int, val: int) -> Iterator[str]:
    """A sentence for each kind of leak, given how many examples are tested and validate."""
    totals = {"test ": test, "validation ": val}
    for where, count in leaks.items():
        yield sentence(where, count, totals.get(WORDS[where][0]))


def sentence(where: str, count: int, total: int | None = None) -> str:
    """``1 test example is identical to …``, or of how many in all: ``1 of 200 test examples``."""
    purpose, what = WORDS[where]
    share = f"{count:,}" if total is None else f"{count:,} of {total:,}"
    noun = "example" if count == 1 and total is None else "examples"
    return f"{share} {purpose}{noun} {'is' if count == 1 else 'are'} {what}"


def twins(asked: Sequence[bytes], seen: Iterable[bytes]) -> int:
    """How many of ``asked`` are among ``seen``."""
    return _among(asked, [frozenset(seen)])


def _among(asked: Sequence[bytes], seen: Sequence[Set[bytes]]) -> int:
    """How many of ``asked`` are in one of several sets."""
    if len(seen) == 1:
        return sum(map(seen[0].__contains__, asked))
    return sum(any(digest in known for known in seen) for digest in asked)


def _taken(digests: Sequence[bytes], rows: Iterable[int]) -> list[bytes]:
    return list(map(digests.__getitem__, rows))


def _shown(sources: Iterable[Shown]) -> list[Set[bytes]]:
    """What each source shows; of all that it has, the set is kept."""
    return [
        source.train_known
        if rows == range(len(source.train_digests))
        else frozenset(_taken(source.train_digests, rows))
        for source, rows in sources
    ]


def _ambiguous(digests: Sequence[bytes], labels: Sequence[int]) -> int:
    first = dict(zip(digests, labels, strict=True))
    split = {d for d, label in zip(digests, labels, strict=True) if first[d] != label}
    return sum(map(split.__contains__, digests))


def _found(counts: Leaks) -> Leaks:
    return {where: count for where, count in counts.items() if count}
