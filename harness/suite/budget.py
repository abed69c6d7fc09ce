"""What a cell gets, and what it may take of the machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from harness.suite.table import Fraction, Table


class AugmentSpec(Table):
    """Random views of training images, drawn anew in every step; see
    :class:`harness.model.augment.Augment`.

    ``crop_scale`` is the smallest share of the area that a crop keeps, ``shift`` the largest share
    of the side that an image is moved by, ``rotate`` the most degrees it is turned by; ``flip``
    mirrors half of the images; ``jitter`` 1 changes brightness, contrast and saturation
    by up to 80 %.
    """

    crop_scale: Annotated[float, Field(gt=0, le=1)] = 1.0
    shift: Annotated[float, Field(ge=0, lt=1)] = 0.0
    rotate: Annotated[float, Field(ge=0, le=180)] = 0.0
    flip: bool = False
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.0


class Budget(Table):
    """What every cell gets alike.

    ``trials`` or ``seconds`` of tuning (one of them); ``steps`` optimiser steps a trial at most;
    ``prepare_trials`` different settings of ``prepare``, of which the first are the defaults.
    A training is scored on validation ``evaluations`` times on its way, and ends early where
    ``patience`` of them were no better than one before. Models compute in ``precision``; ``auto``
    is what suits device and model. ``augment`` draws views of training images: frozen blocks are
    then run in every step, as nothing can be stored of them. On the CPU a cell computes with
    ``threads`` threads, however many cores the machine has: another number rounds otherwise.
    """

    trials: PositiveInt | None = None
    seconds: PositiveFloat | None = None
    steps: PositiveInt = 200
    batch_size: PositiveInt = 64
    prepare_trials: PositiveInt = 1
    sampler: Literal["random", "tpe"] = "random"
    pruner: Literal["none", "median"] = "none"
    evaluations: PositiveInt = 4
    patience: PositiveInt | None = None
    precision: Literal["auto", "float32", "tf32", "bfloat16"] = "auto"
    augment: AugmentSpec | None = None
    threads: PositiveInt = 1

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

    ``timeout`` seconds of wall clock an attempt; ``memory`` GiB of the host, beyond the data that
    all cells share. The workers on one GPU divide what ``device_headroom`` leaves of its memory.
    Long training keeps a checkpoint every ``checkpoint`` seconds. Activations of frozen blocks are
    kept in ``features`` GiB of disk for all cells and runs; 0 keeps none. A cell that ends with one
    of ``retry`` is begun up to ``retries`` times again, from its finished trials. With
    ``accumulate``, a trial that memory refuses is tried again with half as many examples at once,
    whose gradients are added up: that is the same but for batch norm, and the record says so. A
    run stops when ``failures`` cells in a row came to a bad end; 0 never stops it.
    """

    timeout: PositiveFloat | None = None
    memory: PositiveFloat | None = None
    device_headroom: Fraction = 0.05
    checkpoint: PositiveFloat = 60.0
    features: Annotated[float, Field(ge=0)] = 10.0
    accumulate: bool = False
    failures: Annotated[int, Field(ge=0)] = 20
    retries: Annotated[int, Field(ge=0)] = 0
    retry: Annotated[
        tuple[Literal["failed", "timeout", "oom", "crashed", "diverged"], ...],
        Field(strict=False),
    ] = ("timeout", "oom", "crashed")
