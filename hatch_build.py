"""Puts the suites into the wheel. An editable install reads them from the checkout instead,
where a forced include would leave a stray copy."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class BundleSuites(BuildHookInterface):  # type: ignore[type-arg]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "standard":
            build_data["force_include"]["suites"] = "harness/suites"
