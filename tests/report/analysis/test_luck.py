"""What all seeds have in common is told, as no interval counts it."""

from __future__ import annotations

import pandas as pd
import pytest

from harness.report.analysis.luck import luck

SOURCE = {"source": "glyphs"}


def sentences(seeds: list[int], *backbones: dict[str, object]) -> list[str]:
    frame = pd.DataFrame({"seed": seeds, "problem": "digits", "shared": False, "examples": 9.0})
    return luck({"backbones": list(backbones)}, frame)


@pytest.mark.parametrize("weights", ["hub", SOURCE, {**SOURCE, "seeds": 1}, {"file": "w"}])
def test_one_pretraining_is_one_whatever_it_is(weights: object) -> None:
    (told,) = sentences([0, 1, 2], {"model": "resnet", "weights": weights})
    assert told.startswith("All seeds start from the same weights of resnet, which come from one")


def test_random_weights_and_models_that_are_not_compared_are_nobodys_luck() -> None:
    teacher = {"model": "vit", "weights": "hub", "compared": False}
    assert sentences([0, 1], {"model": "resnet", "weights": "random"}, teacher) == []


def test_several_pretrainings_are_counted_as_they_were_used() -> None:
    def of(seeds: list[int], several: int) -> str:
        backbone = {"model": "m", "label": "net", "weights": {**SOURCE, "seeds": several}}
        (told,) = sentences(seeds, backbone)
        return told

    assert of([0, 1, 2], 3).startswith("Each seed has a pretraining of net of its own")
    assert of([0, 1, 2], 9).startswith("Each seed has a pretraining of net of its own")
    assert of([0, 1, 2, 3], 3).startswith("The 4 seeds share 3 pretrainings of net")
    assert of([0, 3, 6], 3).startswith("All seeds start from the same weights of net")
