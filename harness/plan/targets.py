"""Which examples of a target a cell learns from and is tested on: drawn, or as a file says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from harness.data import leakage
from harness.data.further_tests import rows_to_test
from harness.data.grouping import Groups, Shared
from harness.data.leakage import Leaks, Shown
from harness.data.loaded import Loaded
from harness.data.protocols import source_classes, source_split, target_split
from harness.data.resident import rows_of
from harness.data.splits import Manifest
from harness.errors import HarnessError
from harness.plan.datasets import Datasets
from harness.shots import Shots, shots_order
from harness.suite.backbones import SourceWeights
from harness.suite.problems import AdaptationProblem, Problem, TransferProblem

if TYPE_CHECKING:
    from harness.plan.cell import Cell

TargetProblem: TypeAlias = TransferProblem | AdaptationProblem


def target_manifest(
    datasets: Datasets, problem: TargetProblem, shots: Shots, seed: int
) -> Manifest:
    """The split of a problem's target: under ``adaptation``, where ``shots`` count in the source,
    all of it.

    Raises:
        HarnessError: it cannot be drawn, or the file of splits has none that fits.
    """
    loaded = datasets.load(problem.dataset, problem.args)
    val_shots = None
    if isinstance(problem, AdaptationProblem):
        shots = "all"
    else:
        val_shots = problem.val_shots
    if problem.splits is not None:
        file = datasets.splits(problem.splits)
        try:
            return file.manifest(loaded, shots, seed)
        except HarnessError as error:
            raise HarnessError(f"{problem.splits}: {error.message}", error.remedy) from None
    return target_split(
        loaded.data,
        shots=shots,
        seed=seed,
        val_fraction=problem.val_fraction,
        val_shots=val_shots,
        test_fraction=problem.test_fraction,
        groups=target_groups(datasets, problem),
    )


def source_manifest(
    datasets: Datasets, problem: AdaptationProblem, shots: Shots, seed: int
) -> Manifest:
    """The split of a problem's source domain.

    Raises:
        HarnessError: it cannot be drawn.
    """
    spec = problem.source
    return source_split(
        datasets.load(spec.dataset, spec.args).data,
        shots=shots,
        seed=seed,
        val_fraction=problem.val_fraction,
        groups=datasets.groups(spec.dataset, spec.args, spec.groups),
    )


def target_groups(datasets: Datasets, problem: Problem) -> Groups | None:
    """Which examples of a problem's target belong together, if it says so.

    Raises:
        HarnessError: the data have no such groups.
    """
    return datasets.groups(problem.dataset, problem.args, problem.groups)


def groups_meaning(datasets: Datasets, problem: Problem) -> dict[str, Any]:
    """What groups add to the meaning of a problem's cells, where splits are drawn by them: which
    examples belong together, and not how that was said."""
    found = {}
    if not (isinstance(problem, TargetProblem) and problem.splits is not None):
        found["target"] = target_groups(datasets, problem)
    if isinstance(problem, AdaptationProblem):
        source = problem.source
        found["source"] = datasets.groups(source.dataset, source.args, source.groups)
    told = {part: groups.digest() for part, groups in found.items() if groups is not None}
    return {"groups": told} if told else {}


def shared_groups(datasets: Datasets, problem: Problem, manifest: Manifest) -> Shared:
    """What of a split of a problem is of groups on its other side; see :meth:`Groups.shared`."""
    groups = target_groups(datasets, problem)
    return {} if groups is None else groups.shared(manifest)


def split_meaning(
    datasets: Datasets, problem: TargetProblem, shots: Shots, seed: int
) -> dict[str, str]:
    """What a split from a file adds to a cell's meaning: its content, wherever the file is. A
    split that is drawn follows from what the problem says."""
    if problem.splits is None:
        return {}
    loaded = datasets.load(problem.dataset, problem.args)
    return {"split": target_manifest(datasets, problem, shots, seed).digest(loaded.digest)}


def cell_manifest(datasets: Datasets, cell: Cell) -> Manifest:
    """The split of a cell's target, the same that its key was taken from.

    Raises:
        HarnessError: the file of splits has changed since then.
    """
    problem = cell.problem_spec
    assert isinstance(problem, TransferProblem | AdaptationProblem)
    manifest = target_manifest(datasets, problem, cell.shots, cell.seed)
    data = datasets.load(problem.dataset, problem.args).digest
    if problem.splits is not None and manifest.digest(data) != cell.meaning["split"]:
        raise HarnessError(
            f"{problem.splits} has changed since the suite was planned", "Run the suite again"
        )
    return manifest


def shown_before(datasets: Datasets, cell: Cell) -> list[Shown]:
    """What sources show of a cell, whatever its strategy makes of it: all that weights may be
    learned from, and the labelled examples of a source domain."""
    weights, problem = cell.backbone_spec.weights, cell.problem_spec
    sources: list[tuple[str, Mapping[str, Any]]] = []
    shown: list[Shown] = []
    if isinstance(weights, SourceWeights):
        sources.append((weights.source, weights.args))
    if isinstance(problem, AdaptationProblem):
        source = datasets.load(problem.source.dataset, problem.source.args)
        drawn = source_manifest(datasets, problem, cell.shots, cell.seed)
        shown.append((source, [*drawn.train, *drawn.val]))
    elif (spec := cell.source_spec) is not None and (spec.dataset, spec.args) not in sources:
        sources.append((spec.dataset, spec.args))
    return [*(_rows(datasets, *source) for source in sources), *shown]


def target_leaks(datasets: Datasets, cell: Cell, manifest: Manifest) -> Leaks:
    """What leaks into the test of a cell under ``transfer`` or ``adaptation``."""
    loaded = datasets.load(cell.dataset, cell.problem_spec.args)
    found = leakage.leakage(loaded, manifest, shown_before(datasets, cell))
    near = leakage.near_leakage(loaded, datasets.near_duplicates(loaded) or (), manifest)
    return found | near | shared_groups(datasets, cell.problem_spec, manifest)


def further_tests(
    datasets: Datasets, cell: Cell, manifest: Manifest
) -> Iterator[tuple[str, Loaded, Sequence[int]]]:
    """The further tests of a cell, whose split is given: their names, data and the rows that are
    tested of them."""
    learned = datasets.load(cell.dataset, cell.problem_spec.args)
    for test in cell.problem_spec.tests:
        other = datasets.load(test.dataset, test.args)
        yield test.title, other, rows_to_test(learned, manifest, other)


def further_leaks(
    datasets: Datasets, cell: Cell, manifest: Manifest, other: Loaded, rows: Sequence[int]
) -> Leaks:
    """What leaks into a further test of a cell."""
    learned = datasets.load(cell.dataset, cell.problem_spec.args)
    shown = shown_before(datasets, cell)
    return leakage.further_leakage(learned, manifest, other, rows, shown)


def leaks_told(datasets: Datasets, cells: Iterable[Cell]) -> Iterator[tuple[str, str]]:
    """The problems with leaks, and a sentence for each kind: of the cell of a problem that learns
    from most, with the first seed."""
    largest: dict[tuple[str, str, str], Cell] = {}
    for cell in cells:
        place = cell.problem, cell.protocol, cell.backbone
        known = largest.setdefault(place, cell)
        if cell.seed == known.seed and shots_order(cell.shots) > shots_order(known.shots):
            largest[place] = cell
    told: dict[tuple[str, str], None] = {}
    for cell in largest.values():
        if cell.protocol == "episodes":  # drawn only as they are run
            continue
        split = cell_manifest(datasets, cell)
        leaks = target_leaks(datasets, cell, split)
        sentences = leakage.told(leaks, test=len(split.test), val=len(split.val))
        told |= {(cell.problem, sentence): None for sentence in sentences}
        for name, other, rows in further_tests(datasets, cell, split):
            leaks = further_leaks(datasets, cell, split, other, rows)
            sentences = leakage.told(leaks, test=len(rows), val=len(split.val))
            told |= {(f"{cell.problem} · {name}", sentence): None for sentence in sentences}
    yield from told


def _rows(datasets: Datasets, dataset: str, args: Mapping[str, Any]) -> Shown:
    """The training examples that a dataset shows as a source."""
    source = datasets.load(dataset, args)
    if not source.data.held_out:
        return source, range(len(source.data.train.labels))
    return source, rows_of(source.data.train.labels, source_classes(source.data)).tolist()
