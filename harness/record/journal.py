"""What a cell has done so far: its finished trials, for whoever goes on with it, and its log.

``partial/KEY.json`` of a results folder is written after each trial and removed when the cell has
ended; a damaged one is as good as none. ``logs/KEY.log`` is what the cell printed.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.record.belief import checksum
from harness.record.schema import Trial


class Partial(BaseModel):
    """An unfinished cell: what :class:`Record` will say of it, as far as it is known.

    ``seconds`` are the clock's phases; ``prepare_seconds`` what ``prepare`` cost, by its settings;
    ``billed`` which activations were paid for, by what they are: one bit a row, in base 64.
    """

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")

    trials: list[Trial] = Field(default_factory=list)
    seconds: dict[str, float] = Field(default_factory=dict)
    prepare_seconds: dict[str, float] = Field(default_factory=dict)
    cached: list[str] = Field(default_factory=list)
    features_reused: bool = False
    billed: dict[str, str] = Field(default_factory=dict)
    peak_host_bytes: int = 0
    peak_device_bytes: int | None = None
    joules: float | None = None


class Journal:
    """Where one cell keeps what it has done."""

    def __init__(self, directory: Path, cell: str) -> None:
        self._file = directory / "partial" / f"{cell}.json"
        self.log = directory / "logs" / f"{cell}.log"

    def logged(self) -> str | None:
        """The log's name in the results folder, if there is something in it."""
        with suppress(OSError):
            if self.log.stat().st_size:
                return f"logs/{self.log.name}"
        return None

    @property
    def checkpoint(self) -> Path:
        """The file for the state of a training that is under way."""
        return self._file.with_suffix(".safetensors")

    def read(self) -> Partial:
        """What was done; nothing where there is no journal that can be believed."""
        try:
            content = json.loads(self._file.read_bytes())
            if content.pop("checksum") == checksum(content):
                return Partial.model_validate(content)
        except (OSError, ValueError, KeyError, AttributeError, RecursionError, ValidationError):
            pass
        return Partial()

    def write(self, partial: Partial) -> None:
        """Replace the journal, if that can be done: without it trials are done again.

        It is not forced to the disk, which may take longer than a trial: what a power cut tears
        is seen by its checksum.
        """
        text = partial.model_dump_json()
        seal = checksum(json.loads(text))
        new = self._file.with_suffix(".new")
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            new.write_text(f'{text.removesuffix("}")},"checksum":"{seal}"}}')
            os.replace(new, self._file)

    def drop(self) -> None:
        """Forget it: the cell has ended, or is to start anew."""
        for file in (self._file, self.checkpoint):
            with suppress(OSError):
                file.unlink()
