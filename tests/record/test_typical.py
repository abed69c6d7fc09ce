"""What cells like one took."""

from harness.record.typical import Typical


def test_cells_that_differ_by_seed_alone_are_alike(makes):
    took = [(makes.cell(str(seed), seed=seed), seconds) for seed, seconds in enumerate([1, 2, 9])]
    typical = Typical(took)
    assert typical.of(makes.cell("new", seed=7)) == 2
    assert typical.of(makes.cell("new", shots=1)) is None


def test_the_nearest_is_the_same_strategy_elsewhere_then_any_cell(makes):
    typical = Typical([(makes.cell("a"), 2), (makes.cell("b", label="slow"), 10)])
    assert typical.near(makes.cell("new", problem="other")) == 2
    assert typical.near(makes.cell("new", label="unheard of")) == 6
    assert Typical([]).near(makes.cell("new")) is None
