"""The models that cells selected, on disk: they stay until a report recommends some of them."""

from __future__ import annotations

from harness.record.store import PENDING, Store
from harness.report.analysis.recommended import recommended
from harness.report.analysis.report import Report
from harness.report.format import plural, size
from harness.suite.schema import Suite


def prune(store: Store, report: Report, suite: Suite) -> str:
    """Remove the models that the suite does not keep, once no cell is left to run, and tell in a
    line what stays; nothing where there is none."""
    files = {path.stem: path for path in (store.directory / "predictors").glob("*.safetensors")}
    if suite.kept_predictors == "recommended" and not report.frame["status"].eq(PENDING).any():
        wanted = {*recommended(report).values()}
        for cell in files.keys() - wanted:
            files.pop(cell).unlink(missing_ok=True)
    if not files:
        return ""
    total = size(sum(path.stat().st_size for path in files.values()))
    return f"{plural(len(files), 'model')} kept ({total}), for harness predict and harness ship"
