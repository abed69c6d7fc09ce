"""Published claims that a suite's results are held against."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt

from harness.suite.table import Table


class ClaimPlace(Table):
    """The settings that a claim speaks of: those with all that is given here."""

    problem: str | None = None
    """Label of the problem."""

    shots: PositiveInt | Literal["vtab1k", "all"] | None = None
    """Shots of the setting."""

    ways: PositiveInt | None = None
    """Classes of an episode."""

    backbone: str | None = None
    """Label of the backbone."""

    test: str | None = None
    """Label of a further test; by default the problem's own."""

    def given(self) -> dict[str, Any]:
        return self.model_dump(exclude_none=True)


class Claim(Table):
    """A published claim on the accuracy of two strategies of the suite.

    There is no sign for equality: that two can't be told apart does not show that they are equal.
    """

    left: str
    """Label of a strategy."""

    sign: Literal[">", "<"]
    """Whether the accuracy of ``left`` is above or below that of ``right``."""

    right: str
    """Label of another strategy."""

    where: ClaimPlace = Field(default_factory=ClaimPlace)
    """The settings that it speaks of; by default all."""

    source: Annotated[str, Field(min_length=1)]
    """Who found so, and where."""

    @property
    def title(self) -> str:
        return f"{self.left} {self.sign} {self.right}"
