"""Published claims that a suite's results are held against."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt

from harness.suite.table import Table


class ClaimPlace(Table):
    """The settings that a claim speaks of: those with all that is given here, and the problem's own
    test where no further ``test`` is named."""

    problem: str | None = None
    shots: PositiveInt | Literal["vtab1k", "all"] | None = None
    ways: PositiveInt | None = None
    backbone: str | None = None
    test: str | None = None

    def given(self) -> dict[str, Any]:
        return self.model_dump(exclude_none=True)


class Claim(Table):
    """A published claim: the accuracy of ``left`` is above (``>``) or below (``<``) that of
    ``right``, two strategies of the suite, ``where`` it says; ``source`` says who found so.

    There is no sign for equality: that two can't be told apart does not show that they are equal.
    """

    left: str
    sign: Literal[">", "<"]
    right: str
    where: ClaimPlace = Field(default_factory=ClaimPlace)
    source: Annotated[str, Field(min_length=1)]

    @property
    def title(self) -> str:
        return f"{self.left} {self.sign} {self.right}"
