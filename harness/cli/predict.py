"""``harness predict``: what the model that a comparison recommends says of new inputs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.choosing import chosen, say
from harness.cli.options import (
    coverage_option,
    load_plugins,
    model_options,
    plugin_options,
    support_option,
    tell_left_out,
)
from harness.errors import HarnessError

if TYPE_CHECKING:
    import pandas as pd

    from harness.cli.choosing import Chosen
    from harness.run.reopened import Restored


@click.command("predict")
@click.argument("directory", metavar="DIR/NAME", type=click.Path(path_type=Path))
@click.argument(
    "inputs", metavar="INPUTS…", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@model_options
@support_option
@click.option(
    "--top",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Name so many of the most probable classes.",
)
@coverage_option
@click.option(
    "--column", default="text", show_default=True, help="The column of CSV files with the texts."
)
@click.option(
    "--format",
    "output",
    type=click.Choice(["csv", "json", "parquet"]),
    default="csv",
    show_default=True,
    help="What to print on standard output.",
)
@plugin_options
def command(
    directory: Path,
    inputs: tuple[Path, ...],
    cell: str | None,
    label: str | None,
    problem: str | None,
    shots: str | None,
    backbone: str | None,
    device: str,
    support: Path | None,
    top: int,
    coverage: float,
    column: str,
    output: str,
    plugin: tuple[Path, ...],
    plugins_dir: tuple[Path, ...],
) -> int:
    """Classify new images or texts with the model that a comparison recommends.

    INPUTS are image files, folders or archives of them; or CSV files with texts, or text files with
    one a line. Prints a row for each: the class, its probability, the next ones and, where there
    are validation examples enough, whether the model is unsure: its set is all classes that can't
    be ruled out, and holds the true one as often as --coverage says, for inputs like those it was
    trained on. An input that can't be read is a row that says so. Where there are 20 validation
    examples or more, typicality says how usual the model's answer to an input is (a p-value), and
    drift_p whether all these inputs together differ from what it was validated on.

    \b
    Examples:
      harness predict results/quickstart photos/ --shots 5 > classes.csv
      harness predict results/quickstart new.png --label linear_probe --shots 5
      harness predict results/text tweets.csv --column tweet --format json
      harness predict results/omniglot new/ --shots 5 --support alphabet/

    \b
    Exit status: 0 all inputs were classified, 1 some could not be read, 2 wrong usage.
    """
    from harness.record.store import Store
    from harness.ship.opened import adapted, opened, usable

    if output == "parquet" and sys.stdout.isatty():
        raise HarnessError("Parquet is no text for a terminal", "Add > FILE.parquet")
    registry = load_plugins(plugin, plugins_dir)
    tell_left_out(Store(directory), plugin, plugins_dir)
    asked = {"problem": problem, "shots": shots, "backbone": backbone, "label": label}
    found = chosen(directory, asked, cell, coverage)
    with opened(found.choice.record, Store(directory), registry, device) as there:
        model = usable(there, say) if support is None else adapted(there, support, column, say)
        frame = _predicted(model, inputs, found, top, column)
    _tell_drift(frame)
    _print(frame, output)
    return int(bool((frame["error"] != "").any()))


def _predicted(
    model: Restored, paths: tuple[Path, ...], found: Chosen, top: int, column: str
) -> pd.DataFrame:
    from rich.console import Console
    from rich.progress import track

    from harness.model.text import TextBackbone
    from harness.report.format import plural
    from harness.run.inputs import preparation
    from harness.ship.answers import predicted
    from harness.ship.new_inputs import AT_ONCE, images, prepared, texts

    if isinstance(model.backbone, TextBackbone):
        items, passed = texts(paths, column), 0
    else:
        items, passed = images(paths)
    if passed:
        say(f"passed over, as no images: {plural(passed, 'file')}")
    if not items:
        raise HarnessError("there is nothing to classify in what was given", "Give other inputs")
    ready = preparation(model.backbone, model.cell.problem_spec.fit)
    batches = track(
        prepared(items, model.backbone.device, ready),
        total=-(-len(items) // AT_ONCE),
        description="",
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    return predicted(
        batches, model.predictor, model.classes, found.calibration, found.reference, top
    )


def _tell_drift(frame: pd.DataFrame) -> None:
    from harness.ship.runtime.drift import sentence

    if "drift_p" in frame:
        p = frame["drift_p"].dropna()
        say(sentence(float(p.iloc[0]), len(p)))


def _print(frame: pd.DataFrame, output: str) -> None:
    if output == "parquet":
        frame.to_parquet(sys.stdout.buffer, index=False)
    elif output == "json":
        click.echo(frame.to_json(orient="records", indent=1, force_ascii=False))
    else:
        click.echo(frame.to_csv(index=False, lineterminator="\n"), nl=False)
