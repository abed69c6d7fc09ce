"""Workers: a cell that kills its process is recorded, and the others go on."""

import json

CRASH = """
    import os
    from dataclasses import dataclass
    from typing import ClassVar

    from harness.api import Strategy, hookimpl

    @dataclass(frozen=True)
    class Crash(Strategy):
        name: ClassVar[str] = "crash"

        def adapt(self, backbone, task, hp, run):
            os._exit(7)

    @hookimpl
    def harness_strategies():
        return [Crash]
"""


def test_a_worker_that_dies_takes_only_its_cell_with_it(harness, tiny_suite, plugin_file, tmp_path):
    plugin = plugin_file("crash", CRASH)
    strategies = 'strategies=["crash", "linear_probe"]'
    ended = harness(
        *("suite", tiny_suite, "--plugin", plugin, "--jobs", "2", "--format", "json"),
        *("--set", strategies, "--set", "seeds=[0]"),
    )
    assert ended.status == 1, ended.err
    crashed, healthy = json.loads(ended.out)
    assert crashed["status"] == "crashed"
    assert crashed["reason"] == "the worker process died with exit code 7"
    assert crashed["accuracy"] is None
    assert healthy["status"] == "ok"
    assert "crashed: crash on digits" in ended.err
