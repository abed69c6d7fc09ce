"""A benchmarking harness that compares transfer-learning strategies.

Plugin authors import from :mod:`harness.api`; this module stays light so that the command
line starts at once.
"""

from harness.markers import hookimpl

__all__ = ["__version__", "hookimpl"]
__version__ = "0.1.0"
