"""What a suite comes to: its cells, in order."""

import pytest

from harness.errors import HarnessError
from harness.plan.cells import select
from harness.record.schema import Coordinates, Plan
from harness.suite.problems import SourceSpec

# ── cells ─────────────────────────────────────────────────────────────────────────────────────


def test_every_combination_is_a_cell(planned, table):
    cells = planned(table)
    assert [(cell.seed, cell.shots, cell.strategy) for cell in cells] == [
        (seed, shots, strategy)
        for seed in (0, 1)
        for shots in (1, 2)
        for strategy in ("linear_probe", "full_finetune")
    ]
    assert len({cell.cell for cell in cells}) == 8
    assert {(cell.suite, cell.dataset, cell.protocol, cell.ways) for cell in cells} == {
        ("small", "toy", "transfer", None)
    }


def test_cells_that_share_weights_and_data_stand_together(planned, table):
    table["backbones"].append({"model": "conv4", "label": "wide", "weights": "random"})
    table["problems"].append({"dataset": "digits"})
    places = [(cell.backbone, cell.dataset) for cell in planned(table)]
    assert list(dict.fromkeys(places)) == [
        ("conv4", "toy"),
        ("conv4", "digits"),
        ("wide", "toy"),
        ("wide", "digits"),
    ]
    assert sorted(places, key=places.index) == places


def test_a_title_says_which_cell_it_is(planned, table):
    assert planned(table)[0].title == "linear_probe on toy, 1-shot, seed 0 (conv4)"
    table["problems"] = [
        {
            "dataset": "toy",
            "label": "noise",
            "args": {"classes": 12, "each": 20},
            "protocol": "episodes",
            "ways": 3,
            "shots": 1,
        }
    ]
    assert planned(table)[0].title == "linear_probe on noise, 3-way 1-shot, seed 0 (conv4)"


def test_a_cells_config_has_the_defaults_filled_in(planned, table):
    config = planned(table)[0].config()
    assert config["budget"]["batch_size"] == 64
    assert config["problem_spec"]["val_fraction"] == 0.2
    assert (config["shots"], config["seed"]) == (1, 0)


def test_a_plan_is_stored_with_a_suite_that_can_be_read_again(toys, toy_data, table):
    from harness.plan.cells import plan
    from harness.suite.read import parse

    planned = plan(parse(table, "here"), toys, toy_data, "here")
    stored = Plan.model_validate_json(planned.to_json().model_dump_json())
    assert stored.summaries.keys() == {cell.label for cell in planned.cells}
    assert parse(stored.config, "there") == planned.suite
    assert [cell.cell for cell in stored.cells] == [cell.cell for cell in planned.cells]


# ── sources ───────────────────────────────────────────────────────────────────────────────────

EPISODES = {
    "dataset": "toy",
    "args": {"classes": 12, "each": 20, "held_out": ["class 0", "class 1", "class 2"]},
    "protocol": "episodes",
    "ways": 3,
}


@pytest.mark.parametrize(
    ("problem", "weights", "source"),
    [
        ({}, "random", None),
        ({}, {"source": "digits"}, SourceSpec(dataset="digits")),
        (
            {"source": {"dataset": "toy", "args": {"seed": 1}}},
            {"source": "digits"},
            SourceSpec(dataset="toy", args={"seed": 1}),
        ),
        (
            {},
            {"source": "toy", "args": {"seed": 2}, "rotations": True},
            SourceSpec(dataset="toy", args={"seed": 2}, rotations=True),
        ),
        (EPISODES, "random", SourceSpec(dataset="toy", args=EPISODES["args"])),
    ],
)
def test_prepare_learns_from_the_source_that_is_nearest(planned, table, problem, weights, source):
    table["problems"] = [{"dataset": "toy", "shots": 1} | problem]
    table["backbones"][0]["weights"] = weights
    assert all(cell.source_spec == source for cell in planned(table))


def test_held_out_classes_make_a_dataset_its_own_source(planned, table):
    table["problems"] = [EPISODES]
    table["backbones"][0]["weights"] = {"source": "toy", "args": EPISODES["args"]}
    assert planned(table)


# ── adaptation ────────────────────────────────────────────────────────────────────────────────


ADAPTATION = {
    "dataset": "toy",
    "label": "noise",
    "protocol": "adaptation",
    "source": {"dataset": "toy", "args": {"seed": 1}},
}


def test_what_uses_the_targets_labels_is_marked(planned, table):
    table["strategies"] = ["source_only", "coral", "target_supervised"]
    table["problems"] = [ADAPTATION, ADAPTATION | {"label": "oracle", "selection": "target"}]
    marks = {(cell.problem, cell.label): cell.oracle for cell in planned(table)}
    assert marks == {
        ("noise", "source_only"): None,
        ("noise", "coral"): None,
        ("noise", "target_supervised"): "labels",
        ("oracle", "source_only"): "selection",
        ("oracle", "coral"): "selection",
        ("oracle", "target_supervised"): "labels",
    }


def test_how_the_target_is_selected_on_makes_another_cell(planned, table):
    table["strategies"] = ["source_only"]
    ways = ("source", "information", "entropy", "density", "dev", "target")
    table["problems"] = [ADAPTATION | {"label": way, "selection": way} for way in ways]
    assert len({cell.cell for cell in planned(table)}) == 12


# ── --only ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("conditions", "count"),
    [
        ([], 8),
        (["strategy=linear_probe"], 4),
        (["label=linear_probe", "seed=1"], 2),
        (["shots=1,2", "seed=0"], 4),
        (["problem=toy"], 8),
    ],
)
def test_cells_are_selected_by_their_coordinates(planned, table, conditions, count):
    assert len(select(planned(table), conditions)) == count


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("label=linear_prob", "no cell has the label 'linear_prob' (did you mean 'linear_probe'?)"),
        ("shots=all", "no cell has the shots 'all' (known: 1, 2)"),
        ("seed=0,5", "no cell has the seed '5' (known: 0, 1)"),
        ("labels=maml", "not KEY=VALUE with a key among cell, suite, label, strategy"),
        ("maml", "not KEY=VALUE"),
        ("meaning=x", "not KEY=VALUE"),
    ],
)
def test_a_condition_that_no_cell_can_meet_is_refused(planned, table, condition, said):
    with pytest.raises(HarnessError) as caught:
        select(planned(table), ["seed=0", condition])
    assert str(caught.value).startswith(f"--only {condition}: {said}")


def test_conditions_that_exclude_each_other_leave_nothing(planned, table):
    with pytest.raises(HarnessError, match="no cell meets seed=0 and seed=1"):
        select(planned(table), ["seed=0", "seed=1"])


def test_every_coordinate_can_be_selected_by(planned, table):
    cells = planned(table)
    for name in Coordinates.model_fields.keys() - {"tests"}:
        assert cells[0] in select(cells, [f"{name}={getattr(cells[0], name)}"])


ODD = ["a, b", "b", "lr=0.1", 'the "best"', "o'hara", " c ", "a,b,c"]
"""Labels that hold what separates."""


@pytest.mark.parametrize(
    ("value", "labels"),
    [
        *((label, [label]) for label in ODD),
        ("a, b,b", ["a, b", "b"]),
        ("b,a,b,c,lr=0.1", ["b", "lr=0.1", "a,b,c"]),
        (",".join(ODD), ODD),
    ],
)
def test_labels_that_hold_what_separates_can_be_selected(planned, table, value, labels):
    table["strategies"] = [
        {"name": "linear_probe", "label": label, "args": {"lr": 0.1 + place / 10}}
        for place, label in enumerate(ODD)
    ]
    assert {cell.label for cell in select(planned(table), [f"label={value}"])} == {*labels}


def test_all_conditions_that_cannot_be_met_are_told(planned, table):
    with pytest.raises(HarnessError) as caught:
        select(planned(table), ["label=linear_prob,maml", "seeds=1", "shots=1,9"])
    known = "(known: full_finetune, linear_probe)"
    first, *others = str(caught.value).splitlines()
    assert first == "--only: 3 mistakes"
    assert [line.strip().partition("--only ")[2].partition(". ")[0] for line in others] == [
        "label=linear_prob,maml: no cell has the label 'linear_prob' (did you mean "
        f"'linear_probe'?), 'maml' {known}",
        "seeds=1: not KEY=VALUE with a key among cell, suite, label, strategy, dataset, problem, "
        "protocol, oracle, baseline, starts_from, shots, ways, backbone, seed",
        "shots=1,9: no cell has the shots '9' (known: 1, 2)",
    ]
