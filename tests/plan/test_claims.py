"""What a suite's claims speak of has to be in it."""

import pytest

from harness.errors import Mistakes

CLAIM = {
    "left": "full_finetune",
    "sign": ">",
    "right": "linear_probe",
    "where": {"problem": "toy", "shots": 1},
    "source": "Kumar et al. 2022",
}


@pytest.fixture
def claimed(table):
    return lambda **changes: {**table, "claims": [{**CLAIM, **changes}]}


@pytest.mark.parametrize(
    "where",
    [
        {},
        {"problem": "toy"},
        {"shots": 2},
        {"problem": "toy", "shots": 2, "backbone": "conv4"},
    ],
)
def test_a_claim_on_what_is_there_is_planned_and_changes_no_cell(planned, claimed, table, where):
    assert [c.cell for c in planned(claimed(where=where))] == [c.cell for c in planned(table)]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"left": "full_finetun"},
            "claim 'full_finetun > linear_probe': there is no strategy 'full_finetun' (did you "
            "mean 'full_finetune'?)",
        ),
        (
            {"left": "linear_probe"},
            "claim 'linear_probe > linear_probe' compares a strategy with itself",
        ),
        (
            {"where": {"problem": "toi"}},
            "claim 'full_finetune > linear_probe': no problem of the suite is 'toi' (did you mean "
            "'toy'?)",
        ),
        (
            {"where": {"shots": 5}},
            "claim 'full_finetune > linear_probe': no shots of the suite is '5' (known: 1, 2)",
        ),
        (
            {"where": {"test": "corrupted"}},
            "claim 'full_finetune > linear_probe': no test of the suite is 'corrupted'",
        ),
    ],
)
def test_what_is_not_there_is_named(planned, claimed, changes, said):
    with pytest.raises(Mistakes) as refused:
        planned(claimed(**changes))
    assert refused.value.lines == [said]


def test_a_place_that_no_setting_has_is_named(planned, claimed):
    table = claimed(where={"problem": "digits", "shots": 1})
    table["problems"] = [*table["problems"], {"dataset": "digits", "shots": 3}]
    with pytest.raises(
        Mistakes, match=r"no setting of the suite has all of problem = 'digits', sh"
    ):
        planned(table)


def test_a_claim_may_name_a_further_test(planned, claimed):
    table = claimed(where={"test": "other"})
    table["problems"][0]["tests"] = [{"dataset": "toy", "args": {"seed": 1}, "label": "other"}]
    assert planned(table)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sign": "="}, "claims[0].sign: should be '>' or '<', not '='"),
        ({"source": ""}, "claims[0].source"),
        ({"where": {"dataset": "toy"}}, "claims[0].where.dataset: unknown key"),
        ({"where": {"shots": "few"}}, "claims[0].where.shots: should be a whole number above 0"),
    ],
)
def test_a_claim_that_is_no_claim_is_refused(planned, claimed, changes, said):
    with pytest.raises(Mistakes) as refused:
        planned(claimed(**changes))
    (line,) = refused.value.lines
    assert line.startswith(said)
