"""Tricks in suites: what they join, what they are part of, and what is refused."""

import pytest

from harness.errors import Mistakes
from harness.plan import configure
from harness.plan.cells import plan
from harness.plan.keys import differences
from harness.suite.read import parse
from harness.suite.schema import StrategySpec


def configured(toys, **given):
    return configure.strategy(toys, StrategySpec.model_validate({"name": "full_finetune", **given}))


def test_a_suites_tricks_amend_all_its_strategies_before_their_own(planned, table):
    own = {"name": "full_finetune", "tricks": ["ema"]}
    table |= {"strategies": ["linear_probe", own], "tricks": ["mixup"]}
    found = {cell.label: [t.name for t in cell.strategy_spec.tricks] for cell in planned(table)}
    assert found == {"linear_probe": ["mixup"], "full_finetune+ema": ["mixup", "ema"]}


def test_what_a_plan_tells_of_a_strategy_tells_its_tricks_too(toys, toy_data, table):
    """Three labels for one strategy with different tricks are three descriptions."""
    own = {"name": "full_finetune", "label": "smooth", "tricks": ["ema"]}
    table |= {"strategies": ["full_finetune", own]}
    told = plan(parse(table, "here"), toys, toy_data, "here").summaries
    plain = told["full_finetune"]
    ema = "Keep an exponential moving average of the weights, which starts from the first ones."
    assert told["smooth"] == f"{plain} With ema: {ema}"


def test_spaces_join_under_the_names_of_the_tricks(toys):
    found = configured(toys, tricks=["mixup", {"name": "ema", "args": {"decay": 0.95}}])
    assert found.space.keys() == {"lr", "weight_decay", "mixup.alpha"}
    assert found.defaults() == {
        "lr": 1e-3,
        "weight_decay": 1e-4,
        "mixup.alpha": 0.2,
        "ema.decay": 0.95,
    }


def test_arguments_of_a_trick_are_its_fields_too(toys):
    tricks = [{"name": "bss", "args": {"count": 3, "weight": 0.1}}]
    found = configured(toys, tricks=tricks)
    assert found.strategy.tricks[0].count == 3
    assert found.fixed == {"bss.weight": 0.1}


def test_a_key_counts_tricks_only_where_there_are_some(planned, table):
    plain = planned(table)
    table["strategies"] = ["linear_probe", {"name": "full_finetune", "tricks": ["ema"]}]
    amended = planned(table)
    same = [one.cell == other.cell for one, other in zip(plain, amended, strict=True)]
    assert same == [cell.strategy == "linear_probe" for cell in plain]


def test_a_key_tells_the_order_the_arguments_and_the_code_of_tricks(planned, table):
    def meaning(*tricks):
        table["strategies"] = [{"name": "full_finetune", "tricks": [*tricks], "label": "it"}]
        return planned(table)[0].meaning

    first = meaning("ema", "label_smoothing")
    changed = [line.split(":")[0] for line in differences(first, meaning("label_smoothing", "ema"))]
    assert changed == ["strategy.tricks.ema.place", "strategy.tricks.label_smoothing.place"]
    fixed = {"name": "ema", "args": {"decay": 0.5}}
    assert [*differences(first, meaning(fixed, "label_smoothing"))] == [
        "strategy.defaults.ema.decay: was 0.9, is 0.5",
        "strategy.tricks.ema.args.decay: was absent, is 0.5",
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"tricks": ["mixupp"]},
            "unknown trick 'mixupp' (did you mean 'mixup'?). "
            "'harness plugins' lists them all; --plugin FILE loads your own",
        ),
        (
            {"tricks": [{"name": "ema", "args": {"decoy": 0.5}}]},
            "trick 'ema': unknown argument 'decoy' (did you mean 'decay'?). "
            "'harness describe ema' tells what it takes",
        ),
        (
            {"strategies": ["logistic_probe"], "tricks": ["ema"]},
            "strategy 'logistic_probe' has no training that tricks could amend: ema. Name tricks "
            "in the strategies that they are for, { name = …, tricks = […] }",
        ),
        (
            {"strategies": [{"name": "lp_ft", "tricks": ["ema"]}], "tricks": ["ema"]},
            "tricks of strategy 'lp_ft+ema': 'ema' stands there 2 times",
        ),
        ({"tricks": "ema"}, "tricks: should be a list, not 'ema'"),
        ({"tricks": [3]}, "tricks[0]: should be a name or a table, not 3"),
        (
            {"tricks": [{"name": "ema", "arg": {}}]},
            "tricks[0].arg: unknown key (did you mean 'args'?)",
        ),
        (
            {"strategies": [{"name": "lp_ft", "tricks": [{"name": "ema", "label": "x"}]}]},
            "strategies[0].tricks[0].label ('lp_ft'): unknown key (known: args, name)",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_words(planned, table, change, said):
    with pytest.raises(Mistakes) as caught:
        planned(table | change)
    assert [*caught.value.lines] == [said]


def test_a_trick_that_does_not_take_the_modality_is_refused(planned, table):
    table |= {
        "strategies": ["full_finetune"],
        "tricks": ["mixup"],
        "problems": [{"dataset": "toy texts"}],
    }
    with pytest.raises(Mistakes) as caught:
        planned(table)
    assert any("trick 'mixup' does not take text" in line for line in caught.value.lines)


def test_a_backbone_that_a_trick_cannot_train_is_refused(planned, table):
    with pytest.raises(Mistakes) as caught:
        planned(table | {"strategies": ["full_finetune"], "tricks": ["for deep"]})
    assert [*caught.value.lines] == [
        "trick 'for deep', backbone 'conv4': it has 4 blocks. Give one of 9 or more"
    ]
