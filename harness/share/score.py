"""Score predictions that were made elsewhere, and put them beside a suite's own results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.errors import HarnessError, abridged
from harness.record import elsewhere
from harness.record.predictions import class_names, read_predictions
from harness.record.reading import InvalidFile
from harness.record.schema import Coordinates, Record
from harness.record.store import Store, predictions_file
from harness.report.analysis.results import own_tests, tidy
from harness.report.format import plural
from harness.share.answers import Answers, Given, read
from harness.ship.choose import one_setting, with_results

OF_PROBABILITIES = {"log_loss", "ece", "auroc_macro"}
"""Metrics that bare classes do not have."""


class Tested(NamedTuple):
    """What a seed is tested on, as its cells left it: ``ids`` and ``labels`` int64 ``[N]``."""

    record: Record
    ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]


def score(
    store: Store, path: Path, name: str, asked: Mapping[str, str | None], seeds: Sequence[int]
) -> list[Record]:
    """Score a file of predictions on the test of one setting, and keep a record for each seed. Of
    the same name, setting and seed there is one: the last.

    Args:
        asked: what chooses the setting, as for ``one_setting``.
        seeds: those whose tests it answers, where the file does not tell; all where there are none.

    Raises:
        HarnessError: the setting is not one, its tests are not known, or the file has not just one
            answer for each example that they have.
    """
    if not name.isprintable() or not name.strip():
        raise HarnessError(f"--label {name!r} is no name", "Give one that can be printed")
    if isinstance(store.plan().config.get("seeds"), Mapping):
        raise HarnessError(
            f"{store.directory} is of a suite that adds seeds by its own results alone",
            "Run it with a list of seeds in another folder (--results)",
        )
    tests = _tests(store, asked)
    if unknown := [str(seed) for seed in seeds if seed not in tests]:
        raise HarnessError(
            f"--seed {', '.join(unknown)}: there are no predictions of such a seed",
            f"Choose of {', '.join(map(str, tests))}",
        )
    answers = read(path, next(iter(tests.values())).classes)
    if told := [seed for seed in answers.by_seed if seed is not None]:
        if seeds:
            raise HarnessError(f"{path} tells seeds itself", "Leave out --seed")
        if unknown := [str(seed) for seed in told if seed not in tests]:
            raise HarnessError(
                f"{path} has the seed {abridged(unknown)}, of which there are no predictions here",
                f"Choose of {', '.join(map(str, tests))}",
            )
    chosen = {seed: tests[seed] for seed in told or seeds or tests}
    _require_complete(answers, chosen)
    return [_kept(store, answers, name, test) for test in chosen.values()]


def _tests(store: Store, asked: Mapping[str, str | None]) -> dict[int, Tested]:
    """What each seed of a setting is tested on."""
    frame = one_setting(store, with_results(store, own_tests(tidy(store.frame()))), asked)
    if frame["protocol"].iloc[0] == "episodes":
        raise HarnessError(
            "episodes are drawn from the seed, and have no ids to answer by",
            "Choose a problem of another protocol",
        )
    found: dict[int, Tested] = {}
    for cell, seed in sorted(zip(frame["cell"], frame["seed"], strict=True), key=lambda c: c[1]):
        record = store.record(cell)
        if record is None or seed in found:
            continue
        try:
            arrays = read_predictions(store.directory / predictions_file(cell), "ids")
        except (FileNotFoundError, InvalidFile):
            continue
        width = arrays["logits"].shape[-1]
        classes = class_names(store.directory, record.split_hash, width)
        found[int(seed)] = Tested(record, arrays["ids"], arrays["labels"], classes)
    if not found:
        raise HarnessError(
            f"{store.directory} has no predictions in that setting, which tell what is tested",
            "Run the suite again",
        )
    return found


def _require_complete(answers: Answers, tests: Mapping[int, Tested]) -> None:
    """
    Raises:
        HarnessError: an id that is tested is missing, or one is there that is not.
    """
    for seed, test in tests.items():
        given = answers.of(seed)
        if missing := [number for number in test.ids.tolist() if number not in given]:
            raise HarnessError(
                f"{answers.path} lacks {plural(len(missing), 'id')} of the {len(test.ids):,} that "
                f"are tested with seed {seed}: {abridged(missing)}",
                "Answer all, or say of which seed they are: --seed N, or a column 'seed'",
            )
    known: dict[int | None, set[int]] = {seed: {*test.ids.tolist()} for seed, test in tests.items()}
    if None in answers.by_seed:
        known = {None: set().union(*known.values())}
    for of_seed, given in answers.by_seed.items():
        if unknown := sorted(given.keys() - known[of_seed]):
            of = (
                f"seed {of_seed}"
                if of_seed is not None
                else " or ".join(f"seed {s}" for s in tests)
            )
            raise HarnessError(
                f"{answers.path} has {plural(len(unknown), 'id')} not tested with {of}: "
                f"{abridged(unknown)}",
                "The test ids of each split are in its file: harness splits SUITE",
            )


def _kept(store: Store, answers: Answers, name: str, test: Tested) -> Record:
    """Write the predictions and the record of one seed."""
    place = elsewhere.placed(name, test.record)
    logits = _logits(answers.of(place.seed), test)
    record = Record(
        **{part: getattr(place, part) for part in Coordinates.model_fields},
        status="ok",
        config={"answers": "classes" if answers.bare else "probabilities"},
        meaning={"data": test.record.meaning.get("data"), "predictions": answers.digest},
        split_hash=test.record.split_hash,
        metrics=_metrics(logits, test.labels, answers.bare),
    )
    arrays = {"logits": logits, "labels": test.labels, "ids": test.ids}
    store.write_predictions(record.cell, arrays)
    store.write_record(record)
    return record


def _logits(given: Given, test: Tested) -> NDArray[np.float64]:
    return np.stack([given[number] for number in test.ids.tolist()])


def _metrics(logits: NDArray[Any], labels: NDArray[np.int64], bare: bool) -> dict[str, float]:
    import torch

    from harness.metrics import scores

    found = scores(torch.from_numpy(logits), torch.from_numpy(labels))
    return {name: value for name, value in found.items() if not (bare and name in OF_PROBABILITIES)}
