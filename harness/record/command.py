"""``harness suite`` as it was called, as far as that says which cells there are and where."""

from __future__ import annotations

import shlex

from pydantic import BaseModel, ConfigDict


class Command(BaseModel):
    """A call of ``harness suite``. Paths are as they were given, from where it was called."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    suite: str
    """The suite's name or file."""

    overrides: tuple[str, ...] = ()
    """``KEY=VALUE`` of each ``--set``."""

    plugins: tuple[str, ...] = ()
    """Each ``--plugin``."""

    plugins_dirs: tuple[str, ...] = ()
    """Each ``--plugins-dir``."""

    results: str | None = None
    """``--results``, where it is not the default."""

    def line(self, override: str) -> str:
        """What a shell is told to call it once more with ``override``, in place of those that set
        the same key."""
        key = override.partition("=")[0]
        kept = [each for each in self.overrides if each.partition("=")[0] != key]
        words = ["harness", "suite", self.suite]
        for option, values in (
            ("--set", [*kept, override]),
            ("--plugin", self.plugins),
            ("--plugins-dir", self.plugins_dirs),
            ("--results", [] if self.results is None else [self.results]),
        ):
            words += [word for value in values for word in (option, value)]
        return shlex.join(words)
