"""What a cell gets, and what it may take of the machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from harness.suite.table import Fraction, Table


class AugmentSpec(Table):
    """Random views of training images, drawn anew in every step. By default, none.

    Each image has draws of its own (:class:`harness.model.augment.Augment`).
    """

    crop_scale: Annotated[float, Field(gt=0, le=1)] = 1.0
    """The smallest share of the area that a crop keeps."""

    shift: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """The largest share of the side that an image is moved by."""

    rotate: Annotated[float, Field(ge=0, le=180)] = 0.0
    """The most degrees that an image is turned by."""

    flip: bool = False
    """Mirror half of the images: right for photographs, wrong for characters."""

    jitter: Annotated[float, Field(ge=0, le=1)] = 0.0
    """How much brightness, contrast and saturation change: 1 is by up to 80 %."""


class Budget(Table):
    """What every cell gets alike."""

    trials: PositiveInt | None = None
    """Hyperparameter settings that are tried, the strategy's defaults first; pruned and failed ones
    count. 8, unless ``seconds`` are given."""

    seconds: PositiveFloat | None = None
    """Seconds of tuning, in place of ``trials``: what fits is tried."""

    steps: PositiveInt = 200
    """Optimiser steps of a trial, at most."""

    batch_size: PositiveInt = 64
    """Examples a step."""

    prepare_trials: PositiveInt = 1
    """Different settings of ``prepare`` that trials take in turn, of which the first are the
    defaults."""

    sampler: Literal["random", "tpe"] = "random"
    """How settings are drawn: at random, the same for every strategy by name and range, or by what
    came of those before (``tpe``)."""

    pruner: Literal["none", "median"] = "none"
    """``median`` ends a trial that is below the median of those before at the same step."""

    evaluations: PositiveInt = 4
    """How often a training is scored on validation on its way; its best state is kept."""

    patience: PositiveInt | None = None
    """End a training early where so many evaluations were no better than one before."""

    precision: Literal["auto", "float32", "tf32", "bfloat16"] = "auto"
    """What models compute in; ``auto`` is what suits device and model."""

    augment: AugmentSpec | None = None
    """Random views of training images. Frozen blocks are then run in every step, as nothing can be
    stored of them."""

    threads: PositiveInt = 1
    """Threads that a cell computes with on the CPU, however many cores the machine has: another
    number rounds otherwise."""

    @model_validator(mode="before")
    @classmethod
    def _one_of_two(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        given = {key for key in ("trials", "seconds") if value.get(key) is not None}
        if len(given) == 2:
            raise ValueError("give 'trials' or 'seconds', not both")
        return value if given else {**value, "trials": 8}

    def meaning(self) -> dict[str, Any]:
        """What a cell's key hashes: options that came later count where they are used."""
        later = {"evaluations", "patience", "precision", "augment", "threads"}
        used = self.model_dump(mode="json", include=later, exclude_defaults=True)
        return {**self.model_dump(mode="json", exclude=later), **used}


class Limits(Table):
    """What a cell may take of the machine, and what is done about those that took more.

    No part of a cell's key.
    """

    timeout: PositiveFloat | None = None
    """Seconds of wall clock that an attempt at a cell may take."""

    memory: PositiveFloat | None = None
    """GiB of the host's memory that a cell may take, beyond the data that all cells share."""

    device_headroom: Fraction = 0.05
    """Share of a GPU's memory that is left alone; its workers divide the rest."""

    checkpoint: PositiveFloat = 60.0
    """Seconds between two checkpoints of a long training."""

    features: Annotated[float, Field(ge=0)] = 10.0
    """GiB of disk for activations of frozen blocks, shared by all cells and runs; 0 keeps none."""

    accumulate: bool = False
    """Try a trial that memory refuses again with half as many examples at once, whose gradients are
    added up: that is the same but for batch norm, and the record says so."""

    failures: Annotated[int, Field(ge=0)] = 20
    """Stop the run when so many cells in a row came to a bad end; 0 never stops it."""

    retries: Annotated[int, Field(ge=0)] = 0
    """How often a cell that ends as one of ``retry`` is begun again, from its finished trials."""

    retry: Annotated[
        tuple[Literal["failed", "timeout", "oom", "crashed", "diverged"], ...],
        Field(strict=False),
    ] = ("timeout", "oom", "crashed")
    """Ends of a cell after which it is begun again."""
