"""The report of a results folder as data: read, analyse, and then render.

Whatever a sentence, a table or a plot tells is decided here; the terminal, the files of tables and
the page render one :class:`Report` and decide nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from harness.data.leakage import WORDS, sentence
from harness.record.schema import Plan
from harness.record.store import Store
from harness.report import format
from harness.report.analysis import constant, fronts, predictions, starts
from harness.report.analysis.claims import claims
from harness.report.analysis.design import design
from harness.report.analysis.details import Details, collect
from harness.report.analysis.findings import Findings, findings
from harness.report.analysis.fronts import Front
from harness.report.analysis.luck import luck, with_examples
from harness.report.analysis.predictions import Predicted, Unread
from harness.report.analysis.results import Strategies, own_tests, strategies, summary, tidy
from harness.report.analysis.tests import Decisions, decide, evidence
from harness.report.analysis.tuning import Tuning, tuning
from harness.report.workers import Submit, serial


@dataclass(frozen=True)
class Report:
    """What the records of a results folder tell.

    ``records``: the frame of ``Store.frame``, and ``frame``, a row a cell of it, made tidy ·
    ``table``: the ``summary`` of all its rows, a row a strategy in a setting · ``details``: what
    the records hold besides · ``decisions`` and ``findings``: what the tests say, and in sentences
    · ``luck``: what all seeds have in common, so that no interval counts it · ``by_seconds`` and
    ``by_memory``: Pareto fronts · ``tuning`` · ``predicted`` and ``unread``: test predictions, and
    those that can't be used · ``leaks``: a sentence for each kind of identical inputs in two splits
    · ``noted``: by problem, what was done with its data · ``claims``: the suite's, held against
    ``decisions``.
    """

    directory: Path
    plan: Plan
    records: pd.DataFrame
    frame: pd.DataFrame
    table: pd.DataFrame
    details: Details
    strategies: Strategies
    decisions: Decisions
    findings: Findings
    luck: list[str]
    by_seconds: Front
    by_memory: Front
    tuning: Tuning
    predicted: list[Predicted]
    unread: list[Unread]
    leaks: list[str]
    noted: Mapping[str, str]
    claims: pd.DataFrame


def analyse(store: Store, submit: Submit = serial) -> Report:
    """Read a results folder and work out all that its report tells.

    Args:
        submit: takes what other processes can do meanwhile.

    Raises:
        HarnessError: the plan or the records can't be read, or two cells can't be told apart.
    """
    plan = store.plan()
    records, details = collect(store, submit)
    tested = with_examples(store.directory, tidy(records))
    tests = evidence(tested, design(plan.config))
    frame, table = own_tests(tested), summary(tested, tests.pairwise())
    tuned = tuning(frame, table, details, plan.config.get("budget") or {}, submit)
    predicted, unread = predictions.read(store.directory, tested)
    decisions, known = decide(store.directory, tested, table, tests), strategies(frame)
    found = findings(table, decisions, known.baseline)
    below = starts.sentences(starts.below_start(frame))
    beware, others = constant.sentences(tested, decisions.standings)
    noted = frame[frame["notes"] != ""].groupby("problem", sort=False)["notes"]
    return Report(
        directory=store.directory,
        plan=plan,
        records=records,
        frame=frame,
        table=table,
        details=details,
        strategies=known,
        decisions=decisions,
        findings=replace(
            found, advice=[*found.advice, *beware], suite=[*found.suite, *below, *others]
        ),
        luck=luck(plan.config, frame),
        by_seconds=fronts.by_seconds(table),
        by_memory=fronts.by_memory(table),
        tuning=tuned(),
        predicted=predicted,
        unread=unread,
        leaks=_leaks(tested),
        noted={str(problem): str(text) for problem, text in noted.first().items()},
        claims=claims(plan.config, tested, decisions.pairwise),
    )


def _leaks(frame: pd.DataFrame) -> list[str]:
    """For each kind of identical inputs where there should be none, a sentence with the problems,
    and further tests of them, where that is: each by its cell with most of them."""
    most: dict[str, Counter[str]] = {}
    leaking = frame[frame["leaks"] != ""]
    further = leaking["test"].where(leaking["test"] == "", " · " + leaking["test"])
    for problem, text in zip(leaking["problem"] + further, leaking["leaks"], strict=True):
        for part in text.split(", "):
            count, where = part.split()
            most.setdefault(where, Counter())
            most[where] |= Counter({problem: int(count)})
    return [
        f"{_share(counts)}: {sentence(where, counts.total())}"
        for where in WORDS
        if (counts := most.get(where))
    ]


def _share(counts: Counter[str]) -> str:
    """``of digits``, or how many of each: ``3 of digits and 4 of mnist``."""
    if len(counts) == 1:
        return f"of {next(iter(counts))}"
    return format.listing(f"{count:,} of {problem}" for problem, count in counts.items())
