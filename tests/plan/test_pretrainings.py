"""Several pretrainings: a cell's seed says which is its own, and its key says so too."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import Mistakes
from harness.suite.backbones import BackboneSpec

WEIGHTS = {"source": "digits", "steps": 2}


def suite(weights, seeds=(0, 1, 2, 3), **changes):
    return {
        "name": "several",
        "seeds": list(seeds),
        "strategies": ["from_scratch", "linear_probe"],
        "budget": {"trials": 1, "steps": 2, "batch_size": 16},
        "backbones": [{"model": "conv4", "weights": weights, "input_size": 16}],
        "problems": [{"dataset": "toy", "shots": [1, 2]}],
        **changes,
    }


def keys(planned, table):
    return {(c.label, c.shots, c.seed): c.cell for c in planned(table)}


def test_one_pretraining_is_what_there_was_before(planned):
    assert keys(planned, suite({**WEIGHTS, "seeds": 1})) == keys(planned, suite(WEIGHTS))


def test_a_seed_has_the_key_of_its_pretraining_alone(planned):
    """The first seeds stay done where more pretrainings are asked for."""
    found = keys(planned, suite({**WEIGHTS, "seed": 5, "seeds": 3}))
    for (label, shots, seed), key in found.items():
        alone = suite({**WEIGHTS, "seed": 5 + seed % 3}, seeds=[seed])
        assert keys(planned, alone)[label, shots, seed] == key


def test_a_cells_own_pretraining_is_what_it_is_run_with(planned):
    for cell in planned(suite({**WEIGHTS, "seeds": 3})):
        assert cell.backbone_spec.weights.seed == cell.seed % 3
        assert cell.config()["backbone_spec"]["weights"]["seed"] == cell.seed % 3


def test_second_models_are_drawn_too(planned):
    """A teacher has two pretrainings, and the model that learns from it has three."""
    teacher = {"model": "conv4", "label": "teacher", "weights": {**WEIGHTS, "seeds": 2}}
    distilled = {"name": "distill", "args": {"teacher": "teacher"}}
    table = suite({**WEIGHTS, "seeds": 3}, seeds=range(7))
    table["strategies"] = [{"name": "full_finetune", "tricks": [distilled]}]
    table["backbones"].append({**teacher, "input_size": 16, "compared": False})
    cells = planned(table)
    assert len({cell.cell for cell in cells}) == 14
    for cell in cells:
        (second,) = cell.further_specs.values()
        assert (cell.backbone_spec.weights.seed, second.weights.seed) == (
            cell.seed % 3,
            cell.seed % 2,
        )


@given(st.integers(0, 2**20), st.integers(1, 9), st.integers(0, 2**20))
def test_pretrainings_follow_the_first(first, several, seed):
    spec = BackboneSpec(model="m", weights={**WEIGHTS, "seed": first, "seeds": several})
    drawn = spec.drawn(seed).weights.seed
    assert first <= drawn < first + several
    assert (drawn - first - seed) % several == 0


@pytest.mark.parametrize(
    ("several", "should"),
    [(0, "be greater than 0"), (-1, "be greater than 0"), (1.5, "be a whole number")],
)
def test_there_is_a_whole_number_of_them(planned, several, should):
    told = rf"backbones\[0\].weights.seeds \('conv4'\): should {should}, not {several}"
    with pytest.raises(Mistakes, match=told):
        planned(suite({**WEIGHTS, "seeds": several}))
