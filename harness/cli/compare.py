"""``harness compare``: two strategies of a results folder, or two folders, against each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import format_option

if TYPE_CHECKING:
    from harness.report.analysis.compare import Comparison


@click.command("compare")
@click.argument("directory", metavar="DIR/NAME", type=click.Path(path_type=Path))
@click.argument("others", metavar="LEFT RIGHT | DIR/OTHER", nargs=-1, required=True)
@click.option(
    "--metric", default="accuracy", show_default=True, help="Any numeric column of the export."
)
@format_option
def command(directory: Path, others: tuple[str, ...], metric: str, output: str) -> int:
    """Compare two strategies of a results folder, or two folders, and say what is surely so.

    LEFT and RIGHT are labels of the suite. Two folders are compared cell by cell: those of one
    label, problem, shots, backbone and seed.

    \b
    Examples:
      harness compare results/quickstart linear_probe full_finetune
      harness compare results/quickstart maml full_finetune --metric log_loss
      harness compare results/before results/after --format json
    """
    from harness.errors import HarnessError
    from harness.report.analysis.compare import two_folders, two_labels

    match others:
        case (left, right):
            found = two_labels(directory, left, right, metric)
        case (other,) if Path(other).is_dir():
            found = two_folders(directory, Path(other), metric)
        case (other,):
            raise HarnessError(
                f"there is no folder '{other}'", "Name two strategies of a folder, or two folders"
            )
        case _:
            raise click.UsageError("name two strategies of a folder, or two folders.")
    if output == "json":
        click.echo(_json(found))
    else:
        click.echo(_text(found))
    return 0


def _json(found: Comparison) -> str:
    from harness.report.analysis.compare import numbers, rows, sentences

    told = {
        "left": found.left,
        "right": found.right,
        "metric": found.metric,
        "overall": {**numbers(found.over_problems), "test": found.test},
        "settings": rows(found),
        "verdict": sentences(found),
        "notes": found.notes,
    }
    return json.dumps(told, indent=1, ensure_ascii=False)


def _text(found: Comparison) -> str:
    from tabulate import tabulate

    from harness.report import format
    from harness.report.analysis.compare import amount, sentences
    from harness.report.analysis.stats import ALPHA

    unit = "\n(%)" if found.unit else ""
    heads = ["setting", f"{found.left}{unit}", f"{found.right}{unit}"]
    heads += [f"difference\n({found.unit})" if found.unit else "difference"]
    heads += ["seeds", "p (Holm)", "finding"]
    align = ["left", "right", "right", "right", "right", "right", "left"]
    models = any(setting.models for setting in found.settings)
    if models:
        heads.append("models\nthat differ")
        align.append("right")
    table = []
    for setting in found.settings:
        estimate = setting.estimate
        sides = (found.scale * side.mean() for side in (setting.left, setting.right))
        row = [
            setting.title,
            *(f"{side:.1f}" if found.unit else format.significant(side) for side in sides),
            amount(found, estimate.value, estimate.half).removesuffix(f" {found.unit}"),
            str(len(setting.seeds)),
            format.p_number(setting.p_holm),
            _finding(found, setting.outcome),
        ]
        differ = sum(tested.p < ALPHA for tested in setting.models.values())
        table.append([*row, f"{differ} of {len(setting.models)}"] if models else row)
    shown = tabulate(table, headers=heads, colalign=align, disable_numparse=True)
    head = f"{found.metric}: {found.left} minus {found.right}"
    notes = [f"Note: {note}." for note in found.notes]
    return "\n".join([head, "", shown, "", *sentences(found), *notes])


def _finding(found: Comparison, told: str) -> str:
    from harness.report import format

    higher = {"better": found.left, "worse": found.right}.get(told)
    return f"{higher} is higher" if higher else format.OUTCOMES[told]
