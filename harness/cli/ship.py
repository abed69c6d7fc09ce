"""``harness ship``: the model that a comparison recommends, as files that run elsewhere."""

from __future__ import annotations

from pathlib import Path

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


@click.command("ship")
@click.argument("directory", metavar="DIR/NAME", type=click.Path(path_type=Path))
@click.option(
    "--to", required=True, type=click.Path(path_type=Path), help="The folder to make, a new one."
)
@model_options
@support_option
@coverage_option
@click.option(
    "--refit", is_flag=True, help="Train the selected settings once more, on validation too."
)
@click.option(
    "--with-test", is_flag=True, help="With --refit: on the test too, and claim no accuracy."
)
@click.option(
    "--add",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Train the selected settings once more, with new labelled examples, a folder a class.",
)
@click.option(
    "--compress",
    multiple=True,
    type=click.Choice(["int8", "float16"]),
    help="Make this smaller variant too. May be repeated; the smallest that passes is kept.",
)
@click.option(
    "--prune",
    multiple=True,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="FRACTION",
    help="Make a variant without this fraction of the channels of each layer. May be repeated.",
)
@click.option(
    "--student",
    multiple=True,
    metavar="MODEL[=WEIGHTS]",
    help="Make a variant that is another model, taught by this one: a backbone of these results,"
    " or any model with its published weights, 'random' ones or a safetensors file.",
)
@click.option(
    "--delta",
    type=click.FloatRange(0, 100, min_open=True),
    default=1.0,
    show_default=True,
    help="Points of accuracy that a variant may differ by.",
)
@plugin_options
def command(
    directory: Path,
    to: Path,
    cell: str | None,
    label: str | None,
    problem: str | None,
    shots: str | None,
    backbone: str | None,
    device: str,
    support: Path | None,
    coverage: float,
    refit: bool,
    with_test: bool,
    add: Path | None,
    compress: tuple[str, ...],
    prune: tuple[float, ...],
    student: tuple[str, ...],
    delta: float,
    plugin: tuple[Path, ...],
    plugins_dir: tuple[Path, ...],
) -> int:
    """Make a folder of the recommended model that runs without the harness, and certify it.

    It holds the model as ONNX and as safetensors, a program to run it, predict.py, which needs
    onnxruntime, NumPy and Pillow (for texts tokenizers) alone, a model card, and a certificate: the
    exported file was run in a process without PyTorch on training inputs and on the sealed test,
    from files to logits. Where it answers otherwise than the model that was tested, it is refused.

    Needs: pip install 'transfer-harness[ship]'

    \b
    Examples:
      harness ship results/quickstart --shots 5 --to digits
      harness ship results/mine --problem leaves --shots 20 --label lp_ft --to leaves
      harness ship results/mine --to leaves-int8 --compress int8 --delta 0.5
      harness ship results/mine --to leaves-half --prune 0.3 --prune 0.5
      harness ship results/mine --to leaves-small --student mobilenetv3_small_050
      harness ship results/mine --refit --to leaves-all
      harness ship results/mine --add new-leaves/ --to leaves-2
      harness ship results/omniglot --shots 5 --support alphabet/ --to letters

    \b
    Exit status: 0 certified, 1 refused, 2 wrong usage.
    """
    from harness.record.store import Store
    from harness.report.format import percent, size
    from harness.ship.basis import Ready, given, of_test
    from harness.ship.further import More, further
    from harness.ship.labelled import labelled
    from harness.ship.opened import adapted, opened, tested
    from harness.ship.pruned import Pruned
    from harness.ship.shipping import Order, ship
    from harness.ship.smaller import Quantised, Way
    from harness.ship.student import student as asked_for

    try:
        import onnx  # noqa: F401  # the exporter's
        import onnxruntime  # noqa: F401

        if prune:
            import torch_pruning  # noqa: F401
    except ImportError as error:
        raise HarnessError(
            f"{error.name} is not installed", "pip install 'transfer-harness[ship]'"
        ) from None
    ways: list[Way] = [
        *map(Quantised, compress),
        *map(Pruned, prune),
        *(asked_for(each, Store(directory)) for each in student),
    ]
    order = Order(to, coverage, ways, delta / 100)
    registry = load_plugins(plugin, plugins_dir)
    tell_left_out(Store(directory), plugin, plugins_dir)
    asked = {"problem": problem, "shots": shots, "backbone": backbone, "label": label}
    found, store = chosen(directory, asked, cell, coverage), Store(directory)
    if support is not None and (refit or with_test or add is not None):
        raise HarnessError(
            "--support gives all that a model learns from", "Leave out --refit, --with-test, --add"
        )
    with opened(found.choice.record, store, registry, device) as there:
        if support is not None:
            model = adapted(there, support, "text", say)
            ready = Ready(model, given(model, found.choice.why), found.calibration, found.reference)
        elif refit or with_test or add is not None:
            added = labelled(add, there.backbone, "text", say) if add is not None else None
            more = More(refit, with_test, added)
            ready = further(there, tested(there, say), more, coverage, found.choice.why, say)
        else:
            whole = tested(there, say)
            basis = of_test(whole, store, found.choice.why)
            ready = Ready(whole, basis, found.calibration, found.reference)
        done = ship(ready, order, registry, say)
    tries = {"training inputs": done.training, "test inputs": done.test}
    for name, tried in tries.items():
        if tried is not None:
            say(
                f"{tried.inputs:,} {name}: logits differ by at most {tried.largest:.1g} of their"
                f" range, {tried.same:.2%} keep their class"
            )
    if done.scores is None:
        say(f"how accurate it is is not known: {done.untested}")
    else:
        file, whole_model = percent(done.scores.file), percent(done.scores.model)
        say(f"accuracy of the file {file} %, of the model {whole_model} %")
    for variant in done.smaller.variants[1:] if done.smaller is not None else ():
        own, costs = variant.validation, variant.costs
        assert own is not None
        say(
            f"{variant.name}: {size(costs.bytes)}, {size(costs.memory['1'])} of memory,"
            f" {100 * own.difference:+.2f} points"
            f" ({100 * own.low:+.2f} to {100 * own.high:+.2f}) on {own.examples:,} validation"
            f" examples: {variant.verdict}"
        )
    click.echo(str(done.folder))
    if not done.passes:
        say("refused: the exported file does not answer what the tested model does")
    return int(not done.passes)
