"""Hold published claims against what a suite has found, by the report's own tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd

from harness.record.store import Store
from harness.report.analysis.design import design
from harness.report.analysis.luck import with_examples
from harness.report.analysis.pairwise import seen_from
from harness.report.analysis.results import SETTING, tidy
from harness.report.analysis.tests import evidence

CLAIM = ["left", "sign", "right", "source"]

VERDICTS = {
    (">", "better"): "agrees",
    (">", "worse"): "disagrees",
    ("<", "better"): "disagrees",
    ("<", "worse"): "agrees",
}
"""By a claim's sign and what the test says of its left. All else is undecided."""


def claims(config: Mapping[str, Any], frame: pd.DataFrame, pairwise: pd.DataFrame) -> pd.DataFrame:
    """Make a row for each claim of a suite in each setting that it speaks of.

    ``frame`` is tidy, ``pairwise`` the tests that were made on it. The columns: ``CLAIM``; the
    setting (``SETTING``, and ``facet``, as people read it); ``difference`` (mean accuracy of the
    left minus the right, as a fraction), its ``half`` width and ``p_holm``, NaN where the two are
    not paired; ``verdict``: ``agrees``, ``disagrees`` or ``undecided``.
    """
    places = frame.drop_duplicates("setting")[["setting", *SETTING, "facet"]]
    parts = []
    for claim in config.get("claims", ()):
        # Where nothing is said of a test, it is the problem's own.
        where = {"test": "", **claim.get("where", {})}
        here = places
        for name, value in where.items():
            here = here[here[name] == value]
        tested = seen_from(pairwise, claim["left"])
        tested = tested[tested["right"] == claim["right"]]
        measured = ["setting", "difference", "half", "p_holm", "outcome"]
        found = here.merge(tested[measured], on="setting", how="left")
        verdicts = [VERDICTS.get((claim["sign"], told), "undecided") for told in found["outcome"]]
        parts.append(found.assign(verdict=verdicts, **{name: claim[name] for name in CLAIM}))
    columns = [*CLAIM, *SETTING, "facet", "difference", "half", "p_holm", "verdict"]
    return pd.concat(parts)[columns] if parts else pd.DataFrame(columns=columns)


def of_folder(store: Store) -> pd.DataFrame:
    """The claims of the suite of a results folder, decided as in its report.

    Raises:
        HarnessError: as ``Store.frame``.
    """
    config = store.plan().config
    frame = with_examples(store.directory, tidy(store.frame()))
    return claims(config, frame, evidence(frame, design(config)).pairwise())


def summed_up(found: pd.DataFrame) -> str:
    """``Of 4 published claims, a row a setting: 2 agree, 1 disagrees, 1 is undecided.``"""
    words = {"agrees": "agree", "disagrees": "disagree", "undecided": "undecided"}
    counts = Counter(found["verdict"])
    parts = [f"{counts[verdict]} {word}" for verdict, word in words.items() if counts[verdict]]
    return f"Published claims, each in its settings: {', '.join(parts)}."
