"""A training that was cut short goes on, and comes to the same bit for bit."""

import copy
import itertools
import math
from functools import cache

import optuna
import pytest
import torch
from harness_plugins.strategies._adversary import Adversary
from harness_plugins.strategies.maml import Maml
from harness_plugins.strategies.protonet import ProtoNet
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from harness.api import (
    OneClass,
    Recalibration,
    Recipe,
    Regulariser,
    Source,
    Task,
    Training,
    constant,
    fit,
    fit_heads,
    standardised_head,
)
from harness.run import stopping
from harness.run.checkpoint import Checkpoint
from harness.testing import CutShort, a_run, cut_short, digits, shots, small_backbone, whole

STEPS = 12

few = settings(max_examples=4, database=None)


@pytest.fixture(autouse=True)
def nobody_asks_to_stop():
    stopping.forget()
    yield
    stopping.forget()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("checkpoints")


# ── what is trained ───────────────────────────────────────────────────────────────────────────


@cache
def backbone():
    return small_backbone()


@cache
def dropping():
    """The same with dropout, which draws from the global generator."""
    return backbone().edited(lambda body: body[1].append(nn.Dropout(0.3))).eval()


@cache
def task():
    examples = digits(backbone())
    unlabelled = shots(examples, 8, 10, skip=60).inputs
    return Task(
        shots(examples, 8, 10),
        OneClass.of(10),
        shots(examples, 8, 10, skip=10),
        unlabelled,
        shifted=True,
    )


class Distance(Regulariser):
    """L2-SP's penalty: how far the model has come."""

    def penalty(self, batch):
        start = dict(backbone().body_parameters())
        moved = batch.model.backbone.body_parameters()
        return sum((p - start[name].detach()).square().sum() for name, p in moved)


def adversary():
    torch.manual_seed(0)
    return Adversary(8, 6, 0.1)


def everything(**options):
    return Recipe(backbone(), backbone().parameters_from(0), **{"lr": 1e-2, **options})


def probe(lr):
    return Recipe(backbone(), (), lr=lr, head=standardised_head(backbone(), task(), a_run()))


RECIPES = {
    "AdamW, batch norm": lambda: everything(weight_decay=1e-2),
    "plain descent": lambda: everything(
        optimizer=torch.optim.SGD,
        schedule=constant,
        regularisers=[Recalibration(task().train.inputs, 32)],
        lr=0.1,
    ),
    "a frozen prefix": lambda: Recipe(backbone(), backbone().parameters_from(2), lr=1e-2),
    "a probe": lambda: probe(0.1),
    "dropout": lambda: Recipe(dropping(), dropping().parameters_from(0), lr=1e-2),
    "a penalty": lambda: everything(regularisers=[Distance()]),
    "an adversary": lambda: everything(regularisers=[adversary()]),
}


def by_fit(kind):
    def work(run):
        model = fit(RECIPES[kind](), task(), run)
        return {**model.trained, **dict(model.backbone.named_buffers())}, run.curve

    return work


def probe_then_all(run):
    """LP-FT (Kumar et al. 2022): two trainings, the second from where the first ended."""
    head = fit(Recipe(dropping(), (), lr=0.1), Task(task().train, OneClass.of(10)), run).head
    names = dropping().parameters_from(0)
    model = fit(Recipe(dropping(), names, lr=1e-3, head=head), task(), run)
    return model.trained, run.curve


def heads(count):
    """So many settings of a probe, trained at once."""

    def work(run):
        recipes = [probe(0.1 / n) for n in range(1, count + 1)]
        models = fit_heads(recipes, [task()] * count, run)
        return {f"{n}": model.head.weight for n, model in enumerate(models)}, run.curve

    return work


def by_prepare(strategy, hp):
    def work(run):
        source = Source(shots(digits(backbone()), 10, 6), OneClass.of(6))
        prepared = strategy.prepare(copy.deepcopy(backbone()), source, hp, run)
        return prepared.state_dict(), run.curve

    return work


WORK = {
    **{kind: (by_fit(kind), STEPS) for kind in RECIPES},
    "a head by itself": (heads(1), STEPS),
    "heads at once": (heads(3), STEPS),
    "two trainings": (probe_then_all, 2 * STEPS),
    "MAML": (
        by_prepare(
            Maml(ways=3, queries=2, tasks=2),
            {"inner_lr": 0.4, "inner_steps": 1, "meta_lr": 1e-2, "meta_steps": STEPS},
        ),
        STEPS,
    ),
    "prototypes": (by_prepare(ProtoNet(ways=4), {"meta_lr": 1e-2, "meta_steps": STEPS}), STEPS),
}
"""What there is to do, and the steps that it takes."""


@cache
def uninterrupted(kind):
    return whole(WORK[kind][0], steps=STEPS)


def assert_same(found, kind):
    (tensors, curve), (expected, told) = found, uninterrupted(kind)
    assert curve == told
    assert tensors.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensors[name], tensor), name


def resumed_at(run):
    """The steps that each training of a run has done when it begins; it fills as they do."""
    found, resume = [], run.resume

    def noting(training):
        found.append(resume(training))
        return found[-1]

    run.resume = noting
    return found


def asked_to_stop(run, at):
    """Ask at the ``at``-th step, as a signal would."""
    keep, steps = run.keep, itertools.count(1)

    def asking(step, training):
        if next(steps) == at:
            stopping.ask()
        keep(step, training)

    run.keep = asking


def begun(checkpoint, name="work"):
    run = a_run(steps=STEPS, checkpoint=checkpoint)
    run.begin(name)
    return run


# ── going on ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", WORK)
class TestAnyTraining:
    @given(data=st.data())
    @few
    def test_that_was_killed_comes_to_the_same(self, kind, folder, data):
        work, steps = WORK[kind]
        after = data.draw(st.integers(1, steps))
        assert_same(cut_short(work, folder / "killed", after=after, steps=STEPS), kind)

    @given(data=st.data())
    @few
    def test_that_was_asked_to_stop_comes_to_the_same(self, kind, folder, data):
        work, steps = WORK[kind]
        at = data.draw(st.integers(1, steps))
        checkpoint = Checkpoint(folder / "stopped", every=math.inf)
        run = begun(checkpoint)
        asked_to_stop(run, at)
        with pytest.raises(KeyboardInterrupt), run.seeded("work"):
            work(run)
        stopping.forget()
        run = begun(checkpoint)
        done = resumed_at(run)
        with run.seeded("work"):
            assert_same(work(run), kind)
        assert done[-1] == (at if steps == STEPS else max(0, at - STEPS))
        run.end()
        assert not checkpoint.file.exists()


def test_a_training_may_be_cut_short_any_number_of_times(folder):
    work, _ = WORK["dropout"]
    file = folder / "often"
    for _ in range(STEPS // 2):
        run = begun(CutShort(file, 2))
        with pytest.raises(CutShort.Killed), run.seeded("work"):
            work(run)
    run = begun(Checkpoint(file, every=math.inf))
    done = resumed_at(run)
    with run.seeded("work"):
        assert_same(work(run), "dropout")
    assert done == [STEPS]


def test_an_earlier_training_that_is_done_again_leaves_a_later_ones_checkpoint_alone(folder):
    file = folder / "two"
    with pytest.raises(CutShort.Killed):  # in the second training, after 3 steps
        probe_then_all(begun(CutShort(file, STEPS + 3)))
    before = file.read_bytes()
    run = begun(Checkpoint(file, every=0.0))  # which is always due
    asked_to_stop(run, 5)
    with pytest.raises(KeyboardInterrupt):  # in the first one, done again
        probe_then_all(run)
    assert file.read_bytes() == before


def test_of_two_trainings_at_once_the_later_one_is_kept(folder):
    def one(number):
        model = nn.Linear(1, 1)
        nn.init.constant_(model.weight, number)
        return Training(model=model)

    run = begun(checkpoint := Checkpoint(folder / "at once", every=0.0))
    first, second = one(1.0), one(2.0)
    run.resume(first), run.resume(second)
    run.keep(7, second)
    run.keep(9, first)
    tensors, notes = checkpoint.load()
    assert (notes["step"], notes["training"]) == (7, 2)
    assert tensors["training.model.weight"].item() == 2.0


ALL = by_fit("AdamW, batch norm")


class TestBookkeeping:
    def killed(self, file, work=ALL, **begun_with):
        run = a_run(steps=STEPS, checkpoint=CutShort(file, 7))
        run.begin(0, **begun_with)
        run.clock.seconds["fit"] += 100.0
        with pytest.raises(CutShort.Killed), run.clock.phase("fit"):
            work(run)

    @pytest.mark.parametrize("work", [ALL, heads(1), heads(3)])
    def test_a_tuner_is_told_again_what_was_reported(self, work, folder):
        study = optuna.create_study()
        self.killed(folder / "told", work, trial=study.ask())
        run = a_run(steps=STEPS, checkpoint=Checkpoint(folder / "told", every=math.inf))
        run.begin(0, trial := study.ask(), curve := [])
        work(run)
        assert [step for step, _ in curve] == [3, 6, 9, 12]
        of_one = {step: value for step, value in curve if not isinstance(value, list)}
        assert study.get_trials()[trial.number].intermediate_values == of_one

    def test_seconds_are_billed_once_whoever_spent_them(self, folder):
        self.killed(folder / "billed")
        run = a_run(steps=STEPS, checkpoint=Checkpoint(folder / "billed", every=math.inf))
        run.clock.seconds["fit"] = 1000.0  # by the trials before
        run.begin(0)
        with run.clock.phase("fit"):
            run.clock.seconds["fit"] += 50.0  # to come to where the other one was
            fit(RECIPES["AdamW, batch norm"](), task(), run)
        assert 1100 < run.clock.read("fit") < 1140
        assert run.clock.read("score") > 0

    def test_writing_is_billed_to_nobody(self, folder):
        run = a_run(checkpoint=Checkpoint(folder / "unbilled", every=0.0))
        run.begin(0)
        with run.clock.phase("fit"):
            fit(everything(), task(), run)
        spent = dict(run.clock.seconds)
        assert spent["checkpoint"] > 0
        assert run.billed() == pytest.approx(spent["fit"] + spent["score"])

    def test_a_checkpoint_is_for_the_trial_that_left_it(self, folder):
        self.killed(file := folder / "trial")
        run = begun(Checkpoint(file, every=math.inf), name=1)
        done = resumed_at(run)
        fit(everything(), task(), run)
        assert done == [0]

    def test_nothing_is_looked_at_while_nothing_is_due(self, folder):
        class Untouchable:
            def state(self):
                raise AssertionError

        for checkpoint in (None, Checkpoint(folder / "short", every=60.0)):
            run = begun(checkpoint)
            assert run.resume(Untouchable()) == 0
            run.keep(1, Untouchable())
        assert not (folder / "short").exists()

    def test_without_a_place_to_keep_it_a_training_stops_too(self):
        run = begun(None)
        asked_to_stop(run, 2)
        with pytest.raises(KeyboardInterrupt):
            fit(everything(), task(), run)

    def test_a_disk_that_can_not_be_written_to_fails_no_training(self, tmp_path):
        (tmp_path / "file").touch()
        run = begun(Checkpoint(tmp_path / "file" / "below", every=0.0))
        with run.seeded("work"):
            assert_same(by_fit("AdamW, batch norm")(run), "AdamW, batch norm")


# ── what is not believed ──────────────────────────────────────────────────────────────────────


BROKEN_OFF = "dropout"


@pytest.fixture(scope="module")
def written(folder):
    """The checkpoint of a training that was killed after five steps."""
    run = begun(CutShort(folder / "written", 5))
    with pytest.raises(CutShort.Killed), run.seeded("work"):
        by_fit(BROKEN_OFF)(run)
    return (folder / "written").read_bytes()


class TestDamage:
    def assert_starts_anew(self, file):
        run = begun(Checkpoint(file, every=math.inf))
        done = resumed_at(run)
        with run.seeded("work"):
            assert_same(by_fit(BROKEN_OFF)(run), BROKEN_OFF)
        assert done == [0]

    def test_what_is_whole_is_believed(self, written, tmp_path):
        (tmp_path / "c").write_bytes(written)
        _, notes = Checkpoint(tmp_path / "c", 1.0).load()
        assert notes["step"] == 5

    @given(share=st.floats(0, 1, exclude_max=True))
    @settings(max_examples=30)
    def test_a_torn_file_is_not(self, written, folder, share):
        (folder / "torn").write_bytes(written[: int(share * len(written))])
        assert Checkpoint(folder / "torn", 1.0).load() is None

    @given(data=st.data())
    @settings(max_examples=100)
    def test_a_file_with_a_bit_turned_is_not(self, written, folder, data):
        header = 8 + int.from_bytes(written[:8], "little")
        place = data.draw(st.integers(0, header - 1) | st.integers(0, len(written) - 1))
        turned = bytearray(written)
        turned[place] ^= 1 << data.draw(st.integers(0, 7))
        (folder / "turned").write_bytes(turned)
        assert Checkpoint(folder / "turned", 1.0).load() is None

    def test_training_then_starts_anew(self, written, tmp_path):
        (tmp_path / "c").write_bytes(written[: len(written) // 2])
        self.assert_starts_anew(tmp_path / "c")

    @pytest.mark.parametrize("other", ["plain descent", "a frozen prefix", "an adversary"])
    def test_so_it_does_from_another_trainings_checkpoint(self, other, tmp_path):
        run = begun(CutShort(tmp_path / "c", 5))
        with pytest.raises(CutShort.Killed):
            by_fit(other)(run)
        self.assert_starts_anew(tmp_path / "c")


def test_tied_weights_can_be_kept(tmp_path):
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    training = Training(model=model)
    checkpoint = Checkpoint(tmp_path / "tied", 0.0)
    checkpoint.save(training.state(), {})
    training.load(checkpoint.load()[0])


def test_what_does_not_fit_when_half_of_it_is_loaded_is_taken_back(tmp_path):
    class Picky:
        refuses = False

        def state_dict(self):
            return {}

        def load_state_dict(self, state):
            if self.refuses:
                self.refuses = False
                raise RuntimeError

    def one(weight):
        model = nn.Linear(1, 1)
        nn.init.constant_(model.weight, weight)
        return model, Picky()

    model, picky = one(1.0)
    left = Training(model=model, picky=picky)
    run = begun(Checkpoint(tmp_path / "c", every=0.0))
    run.resume(left)
    run.keep(7, left)
    model, picky = one(2.0)
    picky.refuses = True
    run = begun(Checkpoint(tmp_path / "c", every=math.inf))
    assert run.resume(Training(model=model, picky=picky)) == 0
    assert model.weight.item() == 2.0
