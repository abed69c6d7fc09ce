"""A cell that is cut short goes on after its last finished trial, to the same record."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from harness_plugins.strategies.full_finetune import FullFinetune
from harness_plugins.strategies.linear_probe import LinearProbe
from harness_plugins.strategies.maml import Maml

from harness.api import Diverged
from harness.run.trials import Trials

LETTERS = {"dataset": "glyphs", "args": {"per_class": 8}}

EPISODES = {
    "dataset": "glyphs",
    "args": {"per_class": 8},
    "protocol": "episodes",
    "ways": 3,
    "shots": [1],
    "queries": 2,
    "episodes": 3,
    "val_episodes": 2,
    "source": {"dataset": "digits"},
}
TRANSFER = {"dataset": "digits", "shots": [2], "source": LETTERS}


class Fuse:
    """Blows at the start of a call of ``adapt``, once."""

    def __init__(self):
        self.at, self.calls = None, 0

    def touch(self):
        self.calls += 1
        if self.calls - 1 == self.at:
            self.at = None
            raise KeyboardInterrupt


def cut_short(strategy, fuse):
    @dataclass(frozen=True)
    class Cut(strategy):
        name: ClassVar[str] = "cut"

        def adapt_batch(self, backbone, batch, run):
            fuse.touch()
            if batch[0][1].get("lr", 0) > 5e-3:
                raise Diverged("too fast")
            return [*super().adapt_batch(backbone, batch, run)]

    return Cut


@pytest.mark.parametrize("at", [0, 1, 2, 3])
@pytest.mark.parametrize(
    ("strategy", "problem", "budget"),
    [
        (FullFinetune, TRANSFER, {"trials": 4, "pruner": "median"}),
        (FullFinetune, EPISODES, {"trials": 4, "sampler": "tpe"}),
        (Maml, TRANSFER, {"trials": 4, "prepare_trials": 2}),
    ],
)
def test_no_finished_trial_is_done_again(bench, unmeasured, strategy, problem, budget, at):
    fuse = Fuse()
    args = {"meta_steps": 2, "tasks": 1} if strategy is Maml else {}
    entry = {"name": bench.add(cut_short(strategy, fuse)), "args": args}
    given = {"problems": [problem], "budget": {"steps": 4, "batch_size": 16, **budget}}
    (whole,) = bench.run(entry, **given)
    calls = fuse.calls

    fuse.at, fuse.calls = at, 0
    with pytest.raises(KeyboardInterrupt):
        bench.run(entry, folder="cut", **given)
    (left,) = bench.store.records()
    assert (left.status, left.reason) == ("interrupted", f"stopped; finished trials: {at}")
    (gone_on,) = bench.run(entry, folder="cut", **given)
    assert unmeasured(gone_on) == unmeasured(whole)
    # The call that was cut short, and a trial that is selected is done again for its predictor.
    assert fuse.calls - calls in (1, 2)
    assert not [*bench.store.directory.glob("partial/*")]


def test_seconds_of_the_earlier_process_are_billed(bench):
    fuse = Fuse()
    entry = bench.add(cut_short(FullFinetune, fuse))
    one_by_one = {"budget": {"trials": 2, "steps": 4, "pruner": "median"}}
    fuse.at = 1
    with pytest.raises(KeyboardInterrupt):
        bench.run(entry, **one_by_one)
    (left,) = bench.store.records()
    (gone_on,) = bench.run(entry, **one_by_one)
    first = gone_on.trials[0]
    assert first == left.trials[0]
    assert gone_on.seconds["tune"] >= first.seconds
    assert gone_on.peak_host_bytes >= left.peak_host_bytes


class TestTogether:
    """Settings that are known before any is tried go to ``adapt_batch`` at once."""

    BUDGET = {"trials": 5, "steps": 12, "batch_size": 16}

    @pytest.fixture
    def probe(self, bench):
        """A linear probe, and how many settings it was handed at a time."""
        sizes = []

        @dataclass(frozen=True)
        class Told(LinearProbe):
            name: ClassVar[str] = "told"

            def adapt_batch(self, backbone, batch, run):
                sizes.append(len(batch))
                if self.refuses and len(batch) > 1:
                    raise RuntimeError("one of them")
                return super().adapt_batch(backbone, batch, run)

            refuses: bool = False

        return bench.add(Told), sizes

    def test_they_come_to_what_each_comes_to_alone(self, bench, probe):
        name, sizes = probe
        together, alone = (
            bench.run({"name": name, "args": {"refuses": refuses}}, budget=self.BUDGET)[0]
            for refuses in (False, True)
        )
        assert sizes[:2] == [5, 5]
        assert sizes[2:] == [1] * 5
        assert [trial.together for trial in together.trials] == [5] * 5
        assert [trial.together for trial in alone.trials] == [1] * 5
        for one, other in zip(together.trials, alone.trials, strict=True):
            assert one.settings == other.settings
            assert one.value == pytest.approx(other.value, abs=0.06)
            assert (
                [step for step, _ in one.curve]
                == [step for step, _ in other.curve]
                == [3, 6, 9, 12]
            )
            assert one.curve[-1][1] == pytest.approx(other.curve[-1][1], abs=0.06)

    def test_each_is_billed_an_equal_share(self, bench, probe):
        (record,) = bench.run(probe[0], budget=self.BUDGET)
        assert len({trial.seconds for trial in record.trials}) == 1
        assert len({trial.fit_seconds for trial in record.trials}) == 1
        billed = sum(trial.seconds for trial in record.trials)
        tuned, features = record.seconds["tune"], record.seconds["features"]
        assert tuned <= billed * 1.001
        assert billed <= (tuned + features) * 1.001

    @pytest.mark.parametrize("option", [{"pruner": "median"}, {"patience": 2}, {"seconds": 0.01}])
    def test_but_not_where_one_depends_on_another(self, bench, probe, option):
        name, sizes = probe
        budget = {**self.BUDGET, **option}
        if "seconds" in option:
            del budget["trials"]
        (record,) = bench.run(name, budget=budget)
        assert record.status == "ok"
        assert set(sizes) == {1}

    def test_who_overrides_adapt_is_asked_one_by_one(self, bench):
        asked = []

        @dataclass(frozen=True)
        class Own(LinearProbe):
            name: ClassVar[str] = "own"

            def adapt(self, backbone, task, hp, run):
                asked.append(hp["lr"])
                return super().adapt(backbone, task, hp, run)

        (record,) = bench.run(bench.add(Own), budget=self.BUDGET)
        assert asked[:5] == [trial.settings["lr"] for trial in record.trials]

    def test_a_cell_that_was_cut_short_after_them_comes_to_the_same_record(
        self, bench, unmeasured, monkeypatch
    ):
        """The selected head is made again in the company that it had."""
        given = {"budget": self.BUDGET}
        (whole,) = bench.run("linear_probe", **given)
        with monkeypatch.context() as cut:
            cut.setattr(Trials, "_best", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                bench.run("linear_probe", folder="cut", **given)
        (gone_on,) = bench.run("linear_probe", folder="cut", **given)
        assert unmeasured(gone_on) == unmeasured(whole)


def test_what_failed_by_itself_starts_anew(bench):
    """Its trials may have failed for a reason that is gone."""
    broken = [True]

    @dataclass(frozen=True)
    class Moody(FullFinetune):
        name: ClassVar[str] = "moody"

        def adapt(self, backbone, task, hp, run):
            if broken:
                raise OSError("the network is down")
            return super().adapt(backbone, task, hp, run)

    name = bench.add(Moody)
    (failed,) = bench.run(name)
    assert failed.status == "failed"
    broken.clear()
    (again,) = bench.run(name)
    assert again.status == "ok"
    assert [trial.state for trial in again.trials] == ["complete", "complete"]


class TestMemory:
    """Where memory refuses a trial, fewer examples go through the model at once, if asked for."""

    @pytest.fixture
    def hungry(self, bench):
        """A strategy with memory for five examples at once, and what it was asked."""
        asked = []

        @dataclass(frozen=True)
        class Hungry(FullFinetune):
            name: ClassVar[str] = "hungry"

            def adapt(self, backbone, task, hp, run):
                asked.append(run.micro_batch)
                if run.micro_batch > 5:
                    raise torch.OutOfMemoryError("CUDA out of memory")
                return super().adapt(backbone, task, hp, run)

        return bench.add(Hungry), asked

    def test_a_refusal_ends_the_cell(self, bench, hungry):
        name, asked = hungry
        (record,) = bench.run(name)
        assert (record.status, asked) == ("oom", [16])

    def test_halves_are_tried_and_recorded(self, bench, hungry):
        name, asked = hungry
        (record,) = bench.run(name, limits={"accumulate": True})
        assert record.status == "ok"
        # The second trial begins with what was left; costs are counted with it, too.
        assert asked[:4] == [16, 8, 4, 4]
        assert [trial.at_once for trial in record.trials] == [4, 4]
        (enough,) = bench.run("full_finetune", limits={"accumulate": True})
        assert [trial.at_once for trial in enough.trials] == [None, None]

    def test_there_is_an_end_to_it(self, bench):
        @dataclass(frozen=True)
        class Insatiable(FullFinetune):
            name: ClassVar[str] = "insatiable"

            def adapt(self, backbone, task, hp, run):
                raise MemoryError

        (record,) = bench.run(bench.add(Insatiable), limits={"accumulate": True})
        assert record.status == "oom"


class TestConclude:
    """One predictor of those of all trials."""

    class Mean:
        """Averages probabilities."""

        def __init__(self, predictors):
            self.predictors = predictors

        @property
        def trained(self):
            return {
                f"{number}.{name}": tensor
                for number, each in enumerate(self.predictors)
                for name, tensor in each.trained.items()
            }

        def logits(self, inputs):
            shares = [each.logits(inputs).softmax(1) for each in self.predictors]
            return torch.stack(shares).mean(0).log()

    @pytest.fixture
    def ensemble(self, bench):
        mean, seen = self.Mean, []

        @dataclass(frozen=True)
        class Ensemble(FullFinetune):
            name: ClassVar[str] = "ensemble"
            protocols: ClassVar[frozenset[str]] = frozenset({"transfer"})

            def conclude(self, trials, task, run):
                seen.append([(trial.hp, trial.value) for trial in trials])
                return mean([trial.predictor for trial in trials])

        return bench.add(Ensemble), seen

    def test_is_given_all_that_came_to_an_end_the_best_first(self, bench, ensemble):
        name, seen = ensemble
        (record,) = bench.run(name, budget={"trials": 3, "steps": 4, "batch_size": 16})
        assert record.status == "ok", record.reason
        (trials,) = seen
        values = [value for _, value in trials]
        assert values == sorted(values, reverse=True)
        assert sorted(hp["lr"] for hp, _ in trials) == sorted(
            trial.settings["lr"] for trial in record.trials
        )

    def test_what_it_gives_is_scored_tested_and_counted(self, bench, ensemble):
        name, _ = ensemble
        budget = {"trials": 3, "steps": 4, "batch_size": 16}
        mean, single = bench.run(name, "full_finetune", budget=budget)
        assert mean.trainable_params == 3 * single.trainable_params
        assert mean.metrics["log_loss"] != single.metrics["log_loss"]
        assert mean.metrics["log_loss_val"] != single.metrics["log_loss_val"]
        assert [trial.value for trial in mean.trials] == [trial.value for trial in single.trials]

    def test_trials_of_an_earlier_process_are_in_it_too(
        self, bench, ensemble, unmeasured, monkeypatch
    ):
        name, _ = ensemble
        given = {"budget": {"trials": 3, "steps": 4, "batch_size": 16}}
        (whole,) = bench.run(name, **given)
        with monkeypatch.context() as cut:
            cut.setattr(Trials, "_best", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                bench.run(name, folder="cut", **given)
        (gone_on,) = bench.run(name, folder="cut", **given)
        assert unmeasured(gone_on) == unmeasured(whole)
