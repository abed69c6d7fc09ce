"""The model card of a bundle: what the model is, how good it is and on what, and who may use it."""

from __future__ import annotations

import json
from typing import Any

from scipy.stats import beta

from harness.record.provenance import PACKAGES
from harness.registry import Registry
from harness.report.format import duration, p_number, percent, settings_text, signed, size
from harness.run.reopened import Trained
from harness.ship.basis import Basis, Sealed
from harness.ship.smaller import Smaller

LEVEL = 0.95


def card(
    model: Trained,
    basis: Basis,
    registry: Registry,
    told: dict[str, Any],
    smaller: Smaller | None,
) -> str:
    """Write the card as Markdown."""
    record, cell = model.record, model.cell
    selected = record.trials[record.selected or 0]
    backbone = registry.backbone_for(cell.backbone_spec.model)
    dataset = registry.get("dataset", record.dataset)
    known = ("harness", "python", *PACKAGES)
    versions = ", ".join(f"{n} {v}" for n in known if (v := record.provenance.get(n)))
    lines = [
        f"# {record.title}",
        "",
        f"Classifies {told['kind']}s as one of {len(told['classes'])} classes. Chosen by a"
        f" comparison of transfer strategies: {basis.why}.",
        "",
        "```sh",
        f"pip install onnxruntime numpy {'pillow' if told['kind'] == 'image' else 'tokenizers'}",
        "python predict.py INPUTS > classes.csv",
        "```",
        "",
        "| | |",
        "|---|---|",
        _accuracy(basis),
        f"| strategy | {record.strategy}: {settings_text(selected.settings)} |",
        f"| backbone | {record.backbone}, weights: {_weights(cell.backbone_spec.weights)} |",
        f"| data | {basis.data} |",
        f"| licence of the weights | {backbone.cls.licence or 'not stated'} |",
        f"| licence of the data | {dataset.cls.licence or 'not stated'} |",
        f"| made with | {versions} |",
        "",
        *([] if basis.test is None else _by_class(told["classes"], basis.test)),
        *_variants(smaller),
        "## Limits",
        "",
        (
            "The accuracy holds for inputs like those of the test."
            if basis.test is not None
            else "How accurate this model is was not measured."
        )
        + f" Probabilities are scaled by a temperature of {told['temperature']:.3g}."
        + (
            f" `unsure` marks inputs for which more than one class, or none, fits: sets hold the"
            f" true class in {told['coverage']:.0%} of inputs like those of the validation split."
            if told["threshold"] is not None
            else " No sets are made: no validation examples were left for them, or too few."
        ),
        "",
        "`certificate.json` tells how the exported file was compared with the model that was"
        " tested.",
    ]
    return "\n".join(lines) + "\n"


def _variants(smaller: Smaller | None) -> list[str]:
    if smaller is None:
        return []
    rows = []
    for variant in smaller.variants:
        own, kept = variant.validation, "the whole model"
        if own is not None:
            kept = (
                f"{signed(100 * own.difference)} points ({signed(100 * own.low)} to"
                f" {signed(100 * own.high)}) on {own.examples:,} validation examples:"
                f" {variant.verdict}"
            )
        costs = variant.costs
        cells = [size(costs.bytes)]
        for count in costs.seconds:
            cells += [duration(costs.seconds[count]), size(costs.memory[count])]
        rows.append(f"| {variant.name} | {' | '.join(cells)} | {kept} |")
    test = smaller.test
    told = "None of the smaller ones is here: none passed."
    if smaller.chosen is not None and test is not None:
        told = (
            f"`{smaller.chosen}.onnx` is here too: on the sealed test its accuracy is"
            f" {percent(test.accuracy)}, {signed(100 * test.difference)} points"
            f" ({signed(100 * test.low)} to {signed(100 * test.high)}; McNemar's p"
            f" {p_number(test.p)}). `python predict.py --variant {smaller.chosen} INPUTS` runs it."
        )
    return [
        "## Smaller variants",
        "",
        "| graph | size | 1 input | memory | 32 inputs | memory | accuracy |",
        "|---|---:|---:|---:|---:|---:|---|",
        *rows,
        "",
        "Times are those of a processor, by one thread. Memory is what a process without PyTorch"
        " takes at most, beyond its libraries and its inputs.",
        "",
        told,
        "",
    ]


def clopper_pearson(right: int, number: int) -> tuple[float, float]:
    """The exact 95 % interval of a fraction (Clopper and Pearson 1934)."""
    tail = (1 - LEVEL) / 2
    low = beta.ppf(tail, right, number - right + 1) if right else 0.0
    high = beta.ppf(1 - tail, right + 1, number - right) if right < number else 1.0
    return float(low), float(high)


def _accuracy(basis: Basis) -> str:
    test = basis.test
    if test is None:
        return f"| accuracy | not known: {basis.untested} |"
    number, right = len(test.labels), int((test.logits.argmax(1) == test.labels).sum())
    low, high = clopper_pearson(right, number)
    return (
        f"| accuracy on {number:,} test examples | {percent(right / number)} % (95 % interval of"
        f" this model {percent(low)} to {percent(high)} %, Clopper and Pearson) |"
    )


def _by_class(classes: list[str], answers: Sealed) -> list[str]:
    predicted = answers.logits.argmax(1)
    rows = []
    for number, name in enumerate(classes):
        true, said = answers.labels == number, predicted == number
        both = int((true & said).sum())
        rows.append(
            f"| {name} | {int(true.sum()):,} | {_share(both, int(true.sum()))} |"
            f" {_share(both, int(said.sum()))} |"
        )
    return [
        "## By class",
        "",
        "| class | test examples | recall | precision |",
        "|---|---:|---:|---:|",
        *rows,
        "",
    ]


def _share(part: int, whole: int) -> str:
    return percent(part / whole) if whole else "–"


def _weights(weights: Any) -> str:
    if isinstance(weights, str):
        return weights
    return json.dumps(weights.model_dump(mode="json", exclude_defaults=True))
