"""A process from which others are forked: it has the slow imports behind it and has run nothing."""

from __future__ import annotations

import multiprocessing
from multiprocessing import forkserver
from multiprocessing.context import BaseContext

PRELOAD = "harness.run.preload"


def context() -> BaseContext:
    """Where clean processes come from; where nothing can be forked, they import anew."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    return multiprocessing.get_context("forkserver")


def start() -> None:
    """Start the server, which imports while this process goes on."""
    if context().get_start_method() == "forkserver":
        context().set_forkserver_preload([PRELOAD])
        forkserver.ensure_running()
