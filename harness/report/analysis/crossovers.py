"""Tell how the order of strategies changes with the number of examples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import pandas as pd
from markupsafe import Markup

from harness.report import format
from harness.report.analysis.pairwise import seen_from
from harness.report.analysis.results import own_tests
from harness.report.analysis.tests import Decisions
from harness.report.analysis.winners import Standing
from harness.shots import Shots, shots_text

LEVELS = 3
"""Numbers of shots from which on it is told: two are side by side in the table."""

MOST = 4
"""Problems of which it is told, at most."""


def crossovers(table: pd.DataFrame, decisions: Decisions) -> list[Markup]:
    """Tell for each problem with several numbers of shots who has the highest mean with the fewest
    and with the most examples, and where those two change places.

    ``table``: the ``summary`` that the decisions were made on.
    """
    standings = {standing.setting: standing for standing in decisions.standings}
    found: list[Markup] = []
    for facet, rows in own_tests(table).groupby("facet", sort=False):
        levels = rows.drop_duplicates("setting")[["setting", "shots"]]
        shots = dict(zip(levels["setting"], levels["shots"], strict=True))
        if len(shots) >= LEVELS and all(standings[setting].tested for setting in shots):
            ahead = [standings[setting] for setting in shots]
            found += _on(str(facet), shots, ahead, decisions.pairwise)
    return found[:MOST]


def _on(
    facet: str, shots: Mapping[int, Shots], ahead: Sequence[Standing], pairs: pd.DataFrame
) -> Iterator[Markup]:
    few, *_, many = (standing.ranking[0] for standing in ahead)
    if few == many:
        if all(standing.ranking[0] == few for standing in ahead):
            text = "On <b>{}</b>, <b>{}</b> has the highest mean with any number of examples."
            yield Markup(text).format(facet, few)
        return
    rows = seen_from(pairs, many).query("right == @few").to_dict("records")
    known: dict[int, Any] = {row["setting"]: row for row in rows}
    both = {shots_text(each): known[setting] for setting, each in shots.items() if setting in known}
    told = [
        f"{format.signed_plus_minus(100 * row['difference'], 100 * row['half'])} with {words}"
        for words, row in both.items()
    ]
    text = (
        "On <b>{}</b> the order changes with the number of examples: <b>{}</b> minus <b>{}</b> is,"
        " in points, {}."
    )
    sentence = Markup(text).format(facet, many, few, format.listing(told))
    changes = [
        (before, after)
        for before, after in pairwise(both)
        if both[before]["difference"] < 0 < both[after]["difference"]
    ]
    if len(changes) == 1:
        text = " They change places between {} and {}."
        sentence += Markup(text).format(*changes[0])
    for name, outcome in ((few, "worse"), (many, "better")):
        if sure := [words for words, row in both.items() if row["outcome"] == outcome]:
            text = " <b>{}</b> is shown to be ahead with {}."
            sentence += Markup(text).format(name, format.listing(sure))
    yield sentence
