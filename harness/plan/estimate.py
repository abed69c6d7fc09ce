"""What cells will cost: from what others took here, else from steps of their models that are
timed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from harness.contract import overrides
from harness.plan.cell import Cell
from harness.plan.datasets import Datasets
from harness.plan.step_cost import EACH, Sizes, StepCost, measure
from harness.record.schema import Record
from harness.record.typical import Typical, took
from harness.suite.backbones import BackboneSpec
from harness.suite.problems import AdaptationProblem, EpisodesProblem, TransferProblem

if TYPE_CHECKING:
    from harness.registry import Registry


def estimate(
    cells: Sequence[Cell],
    records: Iterable[Record],
    registry: Registry,
    datasets: Datasets,
    device: str = "cpu",
) -> dict[str, float | None]:
    """Seconds for each cell, by key: what its like took, with other seeds; else what its strategy
    and its task took elsewhere on this backbone; else what one step of its model takes on
    ``device``, times all steps.

    The last counts one pass of all examples for a strategy that trains nothing of the backbone,
    which the first such cell makes and all others find made; and for any other all blocks in each
    step, which is more than one takes that trains some of them. What is learned before, for many
    cells (weights from a source, ``prepare``), is not counted. ``None`` where the model can't be
    built.
    """
    known = [pair for record in records if (pair := took(record))]
    typical, run_here = Typical(known), {cell.backbone for cell, _ in known}
    costs: dict[str, StepCost | None] = {}
    passed: set[object] = set()
    found: dict[str, float | None] = {}
    for cell in cells:
        if cell.backbone in run_here:
            found[cell.cell] = typical.near(cell)
            continue
        if cell.budget.seconds is not None:
            found[cell.cell] = cell.budget.seconds
            continue
        if cell.backbone not in costs:
            costs[cell.backbone] = _measured(cell, registry, device)
        cost = costs[cell.backbone]
        strategy = registry.get("strategy", cell.strategy).cls
        if cost is None:
            found[cell.cell] = None
        elif strategy.family == "probes" and not overrides(strategy, "prepare"):
            data = (cell.backbone, cell.problem)
            examples = 0 if data in passed else _examples(cell, datasets)
            passed.add(data)
            found[cell.cell] = EACH + examples * cost.forward
        else:
            found[cell.cell] = EACH + _training(cell, cost, datasets)
    return found


def _measured(cell: Cell, registry: Registry, device: str) -> StepCost | None:
    spec: BackboneSpec = cell.backbone_spec
    try:
        return measure(
            spec.model, spec.input_size, spec.args, registry, device, cell.budget.threads
        )
    except Exception:  # it is the cell's to say why, and its record's to keep
        return None


def _examples(cell: Cell, datasets: Datasets) -> int:
    loaded = datasets.load(cell.dataset, cell.problem_spec.args)
    return sum(len(part.labels) for part in loaded.parts)


def _training(cell: Cell, cost: StepCost, datasets: Datasets) -> float:
    problem, budget = cell.problem_spec, cell.budget
    if isinstance(problem, EpisodesProblem):
        support, queries = (problem.ways * each for each in (int(cell.shots), problem.queries))
        trials = budget.trials or 1
        episode = cost.training(
            budget.model_copy(update={"trials": 1, "evaluations": 0}), Sizes(support, 0, queries)
        )
        return episode * (trials * problem.val_episodes + problem.episodes)
    sizes = _sizes(cell, problem, datasets)
    domains = 2 if isinstance(problem, AdaptationProblem) else 1
    return domains * cost.training(budget, sizes)


def _sizes(cell: Cell, problem: TransferProblem | AdaptationProblem, datasets: Datasets) -> Sizes:
    data = datasets.load(cell.dataset, problem.args).data
    count = len(data.train.labels)
    tested = len(data.test.labels) if data.test else round(problem.test_fraction * count)
    if isinstance(cell.shots, int):
        few = cell.shots * len(data.classes)
        return Sizes(few, few, tested)
    if cell.shots == "vtab1k":
        return Sizes(800, 200, tested)
    left = count - (0 if data.test else tested)
    validating = round(problem.val_fraction * left)
    return Sizes(left - validating, validating, tested)
