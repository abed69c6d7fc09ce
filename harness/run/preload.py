"""What cells import sooner or later: for a process that theirs are forked from."""

import scipy.stats
import sklearn.metrics
import timm

import harness.run.job

__all__ = ["harness", "scipy", "sklearn", "timm"]
