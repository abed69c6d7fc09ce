"""Conformance checks that plugin authors inherit, and small real things to try plugins on.

::

    from harness.testing import StrategyChecks

    class TestMyStrategy(StrategyChecks):
        strategy = MyStrategy()
"""

from harness.testing.checks import (
    BackboneChecks,
    DatasetChecks,
    PretrainingChecks,
    RegulariserChecks,
)
from harness.testing.small import (
    CPU,
    CutShort,
    a_run,
    cut_short,
    digits,
    residual_backbone,
    shots,
    small_backbone,
    teacher,
    whole,
)
from harness.testing.strategies import StrategyChecks, TrickChecks

__all__ = [
    "CPU",
    "BackboneChecks",
    "CutShort",
    "DatasetChecks",
    "PretrainingChecks",
    "RegulariserChecks",
    "StrategyChecks",
    "TrickChecks",
    "a_run",
    "cut_short",
    "digits",
    "residual_backbone",
    "shots",
    "small_backbone",
    "teacher",
    "whole",
]
