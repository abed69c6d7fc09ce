"""Conformance checks that plugin authors inherit, and small real things to try plugins on.

::

    from harness.testing import StrategyChecks

    class TestMyStrategy(StrategyChecks):
        strategy = MyStrategy()

``harness check my_strategy.py`` runs the same checks without a test. The name of each says what has
to be, and its docstring what helps where it is not.
"""

from harness.testing.checks import BackboneChecks, DatasetChecks, PretrainingChecks
from harness.testing.executors import ExecutorChecks
from harness.testing.regularisers import RegulariserChecks
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
    "ExecutorChecks",
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
