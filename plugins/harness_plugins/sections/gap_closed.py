"""``gap_closed``: how much of what target labels are worth each adaptation gains without them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from harness import hookimpl

if TYPE_CHECKING:
    import pandas as pd

    from harness.api import Section

LOWER, UPPER = "source_only", "target_supervised"
"""The strategies that bound the gap: nothing of the target, and all of its labels."""

SAME = 1e-9
"""Means that differ by less differ by rounding."""

SETTING = ["problem", "shots", "backbone"]

DASH = "–"

ABOUT = Markup(
    "<p>How far each strategy gets from <b>{lower}</b>, which knows nothing of the target, to "
    "<b>{upper}</b>, which knows its labels: (accuracy − lower) / (upper − lower), each a mean "
    "over the seeds with which all three are ok. 100 % is as good as having the labels; below "
    "0 % adapting hurts.</p>"
)

TABLE = Markup(
    '<div class="scroll" role="region" tabindex="0" aria-label="Gap closed">\n<table>\n'
    '<thead><tr><th scope="col" class="text">problem</th><th scope="col" class="text">backbone'
    '</th><th scope="col" class="text">strategy</th><th scope="col">gap closed (%)</th>'
    '<th scope="col">seeds</th></tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n</div>'
)

GAP = Markup(' class="gap"')

ROW = Markup(
    '<tr><td class="text">{problem}</td><td class="text">{backbone}</td>'
    '<td class="text">{label}</td><td{kind}>{share}</td><td>{seeds}</td></tr>'
)

NOTE = Markup('<p class="note">{}</p>')


@hookimpl
def harness_report_sections(frame: pd.DataFrame, directory: Path) -> Sequence[Section]:
    cells = frame[frame["protocol"] == "adaptation"]
    lower, upper = (_label(cells, strategy) for strategy in (LOWER, UPPER))
    if lower is None or upper is None:
        return []
    rows: list[Markup] = []
    notes: dict[str, None] = {}
    for (problem, shots, backbone), group in cells.groupby(SETTING, sort=False):
        where = problem if shots == "all" else f"{problem}, {shots} shots"
        for label in group.loc[~group["label"].isin([lower, upper]), "label"].unique():
            share, seeds, note = _share(group, label, lower, upper)
            if note:
                notes[f"{where} ({backbone}): {note}"] = None
            rows.append(
                ROW.format(
                    problem=where,
                    backbone=backbone,
                    label=label,
                    kind=GAP if note else "",
                    share=share,
                    seeds=seeds,
                )
            )
    if not rows:
        return []
    html = [
        ABOUT.format(lower=lower, upper=upper),
        TABLE.format(rows=Markup("\n").join(rows)),
        *map(NOTE.format, notes),
    ]
    from harness.api import Section  # with it comes PyTorch, which other reports do without

    return [Section("Gap closed by adaptation", Markup("\n").join(html))]


def _label(cells: pd.DataFrame, strategy: str) -> str | None:
    """What the suite calls a strategy; the first label, if it has several."""
    found = cells.loc[cells["strategy"] == strategy, "label"]
    return None if found.empty else str(found.iloc[0])


def _share(group: pd.DataFrame, label: str, lower: str, upper: str) -> tuple[str, str, str]:
    """The share of the gap that ``label`` closes in one setting (%), over which seeds, and what
    keeps it from being told, if anything does."""
    ok = group[(group["status"] == "ok") & group["accuracy"].notna()]
    accuracy = ok.pivot(index="seed", columns="label", values="accuracy").astype("float64")
    paired = accuracy.reindex(columns=[lower, label, upper]).dropna()
    planned = int((group["label"] == label).sum())
    seeds = str(planned) if len(paired) == planned else f"{len(paired)} of {planned}"
    if paired.empty:
        return DASH, seeds, f"with no seed are {label}, {lower} and {upper} all ok."
    bottom, middle, top = paired.mean()
    if top - bottom <= SAME:
        return DASH, seeds, f"{upper} is no better than {lower}, so there is no gap to close."
    text = f"{100 * (middle - bottom) / (top - bottom):.1f}"
    return "0.0" if text == "-0.0" else text.replace("-", "−"), seeds, ""
