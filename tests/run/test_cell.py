"""A cell ends as a record, whatever happens in it; what is tested is never learned from."""

import json
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from types import ModuleType
from typing import ClassVar

import numpy as np
import optuna
import pytest
import torch
from harness_plugins.strategies.linear_probe import LinearProbe
from optuna.distributions import CategoricalDistribution
from PIL import Image

from harness import metrics
from harness.api import Diverged, GradientStrategy, Recipe, Settings, Space, Strategy, Unsupported
from harness.data import resident
from harness.data.protocols import target_split
from harness.plan import splitfile
from harness.plan.datasets import Datasets

ALL = ["from_scratch", "linear_probe", "partial_freeze", "full_finetune"]
LETTERS = {"dataset": "glyphs", "args": {"per_class": 8}}
SELECTIONS = ("source", "information", "entropy", "density", "dev", "target")
MAML = {"name": "maml", "args": {"meta_steps": 2, "tasks": 1}}


def misbehaving(name, do):
    """A probe that does something else first."""

    @dataclass(frozen=True)
    class Strange(GradientStrategy):
        def recipe(self, backbone, task, hp, run):
            do(task, hp, run)
            return Recipe(backbone, (), lr=1e-2)

    Strange.name = name
    return Strange


def raising(error):
    def do(task, hp, run):
        raise error

    return do


class TestResults:
    def test_every_strategy_works_on_a_whole_task(self, bench):
        strategies = [*ALL, MAML]
        problem = {"dataset": "digits", "shots": [2], "source": LETTERS}
        records = bench.run(*strategies, problems=[problem])
        assert [record.status for record in records] == ["ok"] * 5
        for record in records:
            assert 0 < record.metrics["accuracy"] <= 1
            assert record.metrics.keys() >= {"f1_macro", "log_loss", "ece", "accuracy_val"}
            assert [trial.number for trial in record.trials] == [0, 1]

    def test_every_strategy_works_on_episodes(self, bench):
        problem = {
            "dataset": "glyphs",
            "args": {"per_class": 8},
            "protocol": "episodes",
            "ways": 3,
            "shots": [1],
            "queries": 2,
            "episodes": 4,
            "val_episodes": 2,
            "source": {"dataset": "digits"},
        }
        records = bench.run(*ALL, MAML, problems=[problem])
        assert [record.status for record in records] == ["ok"] * 5
        assert all("accuracy_ci95" in record.metrics for record in records)
        with np.load(bench.store.directory / f"predictions/{records[0].cell}.npz") as stored:
            assert stored["logits"].shape == (4, 6, 3)

    def test_the_same_suite_twice_gives_the_same_bytes(self, bench):
        first = bench.run(*ALL)
        second = bench.run(*ALL, folder="again", cache="another")
        for one, other in zip(first, second, strict=True):
            assert json.dumps(one.metrics) == json.dumps(other.metrics)
            assert [t.value for t in one.trials] == [t.value for t in other.trials]

    def test_the_stored_predictions_give_the_recorded_metrics(self, bench):
        (record,) = bench.run("linear_probe")
        with np.load(
            bench.store.directory / f"predictions/{record.cell}.npz", allow_pickle=False
        ) as stored:
            logits, labels = torch.from_numpy(stored["logits"]), torch.from_numpy(stored["labels"])
        assert metrics.scores(logits, labels)["accuracy"] == record.metrics["accuracy"]

    def test_the_trial_that_validated_best_is_tested(self, bench):
        (record,) = bench.run("full_finetune", budget={"trials": 4, "steps": 10})
        best = max(t.value for t in record.trials)
        chosen = record.trials[record.selected]
        assert chosen.value == best == record.metrics["accuracy_val"]
        ties = [t for t in record.trials if t.value == best]
        assert chosen.loss == min(t.loss for t in ties)

    def test_a_selected_predictor_can_be_kept(self, bench):
        from safetensors.torch import load_file

        (record,) = bench.run("linear_probe", save_predictors=True)
        saved = load_file(bench.store.directory / f"predictors/{record.cell}.safetensors")
        assert set(saved) == {"head.weight", "head.bias", "head.centre", "head.scale"}
        trained = saved["head.weight"].numel() + saved["head.bias"].numel()
        assert trained == record.trainable_params

    @pytest.mark.parametrize("strategy", ["linear_probe", "full_finetune", "from_scratch", "lp_ft"])
    def test_a_predictor_that_was_kept_has_the_accuracy_of_its_record(self, bench, strategy):
        """Restored on the backbone that was adapted, which is built anew, with batch norm."""
        (record,) = bench.run(strategy, save_predictors=True)
        restored, inputs, labels = bench.restored(record)
        correct = restored.logits(inputs).argmax(1) == labels
        assert correct.double().mean().item() == record.metrics["accuracy"]

    def test_only_events_and_records_say_what_happened(self, bench, capfd):
        bench.run("linear_probe")
        hooks = [hook for hook, _ in bench.events]
        assert hooks[0] == "harness_cell_started"
        assert hooks.count("harness_trial_finished") == 2
        assert hooks[-1] == "harness_cell_finished"
        assert capfd.readouterr() == ("", "")


def test_chance_in_a_layer_is_the_same_in_every_trial_and_whatever_ran_before(bench):
    """Dropout and the like draw from the global generator, which is no part of a cell's key."""
    drawn = {"first": [], "second": []}
    for name, seen in drawn.items():
        spy = misbehaving(
            name, lambda task, hp, run, seen=seen: seen.append(torch.rand(2).tolist())
        )
        bench.add(spy)
    bench.run("first", "second")
    bench.run("second", folder="alone")
    assert len(drawn["second"]) >= 4  # two trials a cell, and what counting its FLOPs takes
    assert len({tuple(pair) for pair in (*drawn["first"], *drawn["second"])}) == 1


class TestAdaptation:
    """Letters turned into another domain: the same ones, drawn with another seed."""

    PROBLEM = {
        "dataset": "glyphs",
        "label": "other letters",
        "args": {"per_class": 6, "seed": 1},
        "protocol": "adaptation",
        "source": {"dataset": "glyphs", "args": {"per_class": 6}},
    }

    def run(self, bench, *strategies, **changes):
        return bench.run(*strategies, problems=[{**self.PROBLEM, **changes}])

    def test_every_strategy_gives_a_record_that_tells_how_it_was_selected(self, bench):
        records = self.run(bench, "source_only", "coral", "dann", "target_supervised")
        assert [(record.status, record.reason) for record in records] == [("ok", None)] * 4
        assert [record.oracle for record in records] == [None, None, None, "labels"]
        assert all("accuracy_val" in record.metrics for record in records)
        assert len({record.split_hash for record in records}) == 1

    @pytest.mark.parametrize("selection", SELECTIONS)
    def test_the_targets_labels_are_seen_by_none_but_the_oracle(self, bench, selection):
        tasks = []
        spy = misbehaving("spy", lambda task, hp, run: tasks.append(task))
        spy.protocols = frozenset({"adaptation"})
        bound = misbehaving("bound", lambda task, hp, run: tasks.append(task))
        bound.protocols, bound.sees_target_labels = spy.protocols, True
        names = bench.add(spy), bench.add(bound)
        record, _ = self.run(bench, *names, selection=selection)
        split = json.loads((bench.store.directory / f"splits/{record.split_hash}.json").read_text())
        assert len(tasks) > 2
        # The last ones are given without validation, to count the FLOPs of training alone.
        blind, *_, seeing = (task for task in tasks if task.val is not None)
        datasets = Datasets(bench.registry)
        source = datasets.load("glyphs", self.PROBLEM["source"]["args"]).data.train
        target = datasets.load("glyphs", self.PROBLEM["args"]).data.train
        assert source.order[blind.train.inputs.rows].tolist() == split["source"]["train"]
        assert source.order[blind.val.inputs.rows].tolist() == split["source"]["val"]
        assert sorted(target.order[blind.unlabelled.rows].tolist()) == split["target"]["train"]
        without = blind.unlabelled_val
        assert (without is None) == (selection in ("source", "target"))
        if without is not None:
            assert sorted(target.order[without.rows].tolist()) == split["target"]["val"]
        assert target.order[seeing.train.inputs.rows].tolist() == split["target"]["train"]
        assert target.order[seeing.val.inputs.rows].tolist() == split["target"]["val"]
        shown = {*split["target"]["train"], *split["target"]["val"]}
        assert not shown & set(split["target"]["test"])

    def test_a_trial_is_scored_by_what_the_suite_selects_on(self, bench):
        """The best trial by each measure, of the same trials."""
        found = {
            selection: bench.run(
                "coral",
                folder=selection,
                problems=[{**self.PROBLEM, "selection": selection}],
            )[0]
            for selection in SELECTIONS
        }
        scores = {
            name: [(trial.value, -trial.loss) for trial in record.trials]
            for name, record in found.items()
        }
        assert len({tuple(each) for each in scores.values()}) == len(SELECTIONS)
        for name, record in found.items():
            assert record.selected == scores[name].index(max(scores[name]))
        assert found["information"].metrics["information_val"] <= np.log(62)
        assert "accuracy_val" not in found["information"].metrics
        assert found["target"].oracle == "selection"


EPISODES = {
    "dataset": "glyphs",
    "args": {"per_class": 8},
    "protocol": "episodes",
    "ways": 3,
    "queries": 2,
    "episodes": 4,
    "val_episodes": 2,
}


def within(things):
    """Everything that can be reached from ``things`` without importing anything: attributes,
    items, closures, bound methods, frames of generators, as deep as they go."""
    waiting, seen, kept = [*things], set(), []
    while waiting:
        thing = waiting.pop()
        if isinstance(thing, type | ModuleType | None) or id(thing) in seen:
            continue
        seen.add(id(thing))
        kept.append(thing)  # so that no id is given twice
        yield thing
        if isinstance(thing, torch.Tensor | np.ndarray | str | bytes | int | float | PurePath):
            continue
        if isinstance(thing, Mapping):
            waiting += [*thing.keys(), *thing.values()]
        elif isinstance(thing, list | tuple | set | frozenset | deque):
            waiting += [*thing]
        waiting += [*vars(thing).values()] if hasattr(thing, "__dict__") else []
        slots = [name for cls in type(thing).__mro__ for name in getattr(cls, "__slots__", ())]
        waiting += [getattr(thing, name, None) for name in slots if isinstance(name, str)]
        waiting += [cell.cell_contents for cell in getattr(thing, "__closure__", None) or ()]
        waiting += [getattr(thing, "__self__", None), getattr(thing, "__func__", None)]
        waiting += [*(getattr(thing, "__defaults__", None) or ())]
        frame = getattr(thing, "gi_frame", None)
        waiting += [*frame.f_locals.values()] if frame else []


def rows_of_numbers(thing):
    """A thing as whole numbers in a row, if it is that."""
    if isinstance(thing, torch.Tensor | np.ndarray):
        return thing.flatten().tolist() if "int" in str(thing.dtype) else None
    if isinstance(thing, list | tuple) and all(type(part) is int for part in thing):
        return [*thing]
    return None


def spying(look):
    """A probe that hands everything it is ever given to ``look``."""

    @dataclass(frozen=True)
    class Spy(GradientStrategy):
        name: ClassVar[str] = "spy"
        protocols: ClassVar[frozenset[str]] = frozenset({"transfer", "episodes", "adaptation"})

        def prepare(self, backbone, source, hp, run):
            look(backbone, source, hp, run)
            return backbone

        def adapt_batch(self, backbone, batch, run):
            look(backbone, batch, run)
            yield from super().adapt_batch(backbone, batch, run)

        def recipe(self, backbone, task, hp, run):
            look(backbone, task, hp, run)
            return Recipe(backbone, (), lr=1e-2)

        def adapt(self, backbone, task, hp, run):
            return Looking(super().adapt(backbone, task, hp, run))

    @dataclass
    class Looking:
        inner: object

        def logits(self, inputs):
            look(inputs)
            return self.inner.logits(inputs)

        def __getattr__(self, name):
            return getattr(self.inner, name)

    return Spy


class TestSealedTest:
    def test_no_tested_input_is_adapted_to_or_validated_on(self, bench):
        seen = []
        spy = misbehaving(
            "spy",
            lambda task, hp, run: seen.extend(
                [*task.train.inputs.rows.tolist(), *task.val.inputs.rows.tolist()]
            ),
        )
        (record,) = bench.run(bench.add(spy), problems=[{"dataset": "digits", "shots": ["all"]}])
        split = json.loads((bench.store.directory / f"splits/{record.split_hash}.json").read_text())
        order = Datasets(bench.registry).load("digits", {}).data.train.order
        rows = set(order[seen].tolist())
        assert not rows & set(split["test"])
        assert rows | set(split["test"]) == set(range(1797))

    @pytest.mark.parametrize("guess", ["by position", "by the nearest place"])
    @pytest.mark.parametrize("protocol", ["transfer", "episodes"])
    def test_where_an_input_stands_tells_nothing_of_its_label(self, bench, guess, protocol):
        """Letters come class by class, as folders do: position alone would be right every time."""

        @dataclass(frozen=True)
        class Guesser(Strategy):
            name: ClassVar[str] = "guesser"

            def adapt(self, backbone, task, hp, run):
                return Guess(task)

        class Guess:
            trained: ClassVar[dict] = {}

            def __init__(self, task):
                self.rows, self.labels = task.train.inputs.rows, task.train.labels
                self.classes = task.classes

            def logits(self, inputs):
                found = torch.arange(len(inputs)) * self.classes // len(inputs)
                if guess == "by the nearest place":
                    nearest = (inputs.rows[:, None] - self.rows).abs().argmin(1)
                    found = self.labels[nearest]
                return torch.nn.functional.one_hot(found, self.classes).float()

        problem = {"dataset": "glyphs", "args": {"per_class": 20}, "protocol": protocol, "shots": 5}
        ways = {"ways": 5, "queries": 10, "episodes": 40, "val_episodes": 2}
        problem |= ways if protocol == "episodes" else {}
        (record,) = bench.run(bench.add(Guesser), problems=[problem])
        chance = 1 / 5 if protocol == "episodes" else 1 / 52
        tested = 2000 if protocol == "episodes" else 208
        assert record.metrics["accuracy"] < chance + 4 * (chance / tested) ** 0.5

    def test_a_task_has_no_test_part(self, bench):
        tasks = []
        bench.run(bench.add(misbehaving("spy", lambda task, hp, run: tasks.append(task))))
        names = {"train", "val", "target", "unlabelled", "unlabelled_val", "unlabelled_measure"}
        names |= {"shifted"}
        assert set(vars(tasks[0])) == names
        assert tasks[0].unlabelled is tasks[0].unlabelled_val is None
        assert tasks[0].target.names == tuple("0123456789")

    def test_groups_and_inputs_without_labels_are_in_the_task(self, bench, tmp_path):
        generator = np.random.default_rng(0)
        content = {
            name: generator.integers(0, 256, (count, 16, 16), dtype=np.uint8)
            for name, count in (("x_train", 40), ("x_unlabelled", 25))
        }
        labels = np.arange(40) % 2
        np.savez(tmp_path / "data.npz", **content, y_train=labels, groups_train=labels + 10)
        problem = {"dataset": "arrays", "args": {"path": str(tmp_path / "data.npz")}}
        tasks = []
        spy = bench.add(misbehaving("spy", lambda task, hp, run: tasks.append(task)))
        bench.run(spy, problems=[problem])
        assert (tasks[0].train.groups == tasks[0].train.labels + 10).all()
        assert len(tasks[0].unlabelled) == 25
        assert not tasks[0].shifted

    def test_episodes_are_drawn_by_groups(self, bench, tmp_path):
        images = np.random.default_rng(0).integers(0, 256, (120, 16, 16), dtype=np.uint8)
        groups = np.arange(120) // 20
        content = {"x_train": images, "y_train": np.arange(120) % 10, "groups_train": groups}
        np.savez(tmp_path / "data.npz", **content)
        few = {"ways": 2, "shots": 1, "queries": 2, "episodes": 5, "val_episodes": 3}
        problem = {"dataset": "arrays", "args": {"path": str(tmp_path / "data.npz")}, **few}
        spy = bench.add(misbehaving("spy", lambda task, hp, run: None))
        problems = [{**problem, "protocol": "episodes", "groups": True}]
        record, *_ = bench.run(spy, problems=problems)
        split = json.loads((bench.store.directory / f"splits/{record.split_hash}.json").read_text())
        for episode in (*split["val"], *split["test"]):
            assert not {*groups[episode["support"]]} & {*groups[episode["query"]]}

    @pytest.mark.parametrize(
        "problem",
        [
            {"dataset": "digits", "shots": [2], "source": LETTERS},
            {
                **TestAdaptation.PROBLEM,
                "source": {"dataset": "glyphs", "args": {"per_class": 5}},
                "selection": "target",
                "test_fraction": 0.4,
            },
            {**EPISODES, "shots": [1], "source": {"dataset": "digits"}},
        ],
        ids=lambda problem: problem.get("protocol", "transfer"),
    )
    def test_no_label_that_is_tested_can_be_reached_from_what_a_strategy_is_given(
        self, bench, problem
    ):
        """A spy follows whatever it is given, from ``prepare`` to the tested inputs."""
        found, looks = [], []

        def look(*given):
            looks.append(given)
            found.extend(filter(None, map(rows_of_numbers, within(given))))

        name = bench.add(spying(look))
        (record,) = bench.run(name, problems=[problem], budget={"trials": 1, "steps": 2})
        assert record.status == "ok", record.reason
        data = Datasets(bench.registry).load(problem["dataset"], problem.get("args", {})).data
        with np.load(bench.store.directory / f"predictions/{record.cell}.npz") as predictions:
            answers = predictions["labels"].flatten().tolist()
        secrets = [data.train.labels.tolist(), answers]
        assert min(map(len, secrets)) > 12  # long enough to be told from anything by chance
        assert len(looks) >= 4
        assert len(found) >= 8
        for numbers in found:
            assert numbers not in secrets

    def test_no_file_name_can_be_reached_where_inputs_are_read_as_they_are_needed(
        self, bench, tmp_path, monkeypatch
    ):
        """The folder that an image lies in is its label."""
        for label in ("cats", "dogs"):
            for part, count in (("train", 4), ("test", 2)):
                folder = tmp_path / "pets" / part / label
                folder.mkdir(parents=True)
                for grey in range(count):
                    Image.new("L", (16, 16), 40 * grey).save(folder / f"{grey}.png")
        monkeypatch.setattr(resident, "free_bytes", lambda device: 1000)
        pools, told = [], []

        def look(*given):
            reached = [*within(given)]
            pools.extend(thing for thing in reached if isinstance(thing, resident.StreamedPool))
            told.extend(str(thing) for thing in reached if isinstance(thing, str | PurePath))

        problem = {"dataset": "folder", "args": {"root": str(tmp_path / "pets")}, "shots": [1]}
        (record,) = bench.run(bench.add(spying(look)), problems=[problem])
        assert record.status == "ok", record.reason
        assert pools
        assert told
        # The classes have names that everyone may know; no path, and nothing else, has them.
        assert {text for text in told if "cats" in text or "dogs" in text} <= {"cats", "dogs"}

    def test_the_disk_cache_has_no_label_of_the_target(self, bench):
        """Neither in its files nor in their names, as numbers of any width."""
        problem = {"dataset": "digits", "shots": [2], "source": LETTERS}
        pretrained = {"source": "glyphs", "args": {"per_class": 4}, "steps": 2}
        backbone = {"model": "conv4", "weights": pretrained, "input_size": 16}
        records = bench.run("linear_probe", MAML, problems=[problem], backbones=[backbone])
        assert [record.status for record in records] == ["ok", "ok"]
        files = [path for path in (bench.folder / "cache").rglob("*") if path.is_file()]
        assert {path.parent.name for path in files} >= {"weights", "prepared"}
        data = Datasets(bench.registry).load("digits", {}).data
        with np.load(bench.store.directory / f"predictions/{records[0].cell}.npz") as predictions:
            secrets = [predictions["labels"], predictions["ids"], data.train.labels.numpy()]
        for path in files:
            content = path.read_bytes()
            for secret in secrets:
                for width in ("u1", "i2", "i4", "i8", "f4"):
                    assert secret.astype(width)[:32].tobytes() not in content
                assert str(secret[:32].tolist()).strip("[]").encode() not in content

    def test_twins_of_what_is_tested_are_counted_in_the_record(self, bench, tmp_path):
        """A source that has every third image of the target, and shows all it has."""
        images = np.random.default_rng(0).integers(0, 256, (60, 8, 8), np.uint8)
        for name, rows in {"target": slice(None), "source": slice(None, None, 3)}.items():
            labels = (np.arange(60) % 2)[rows]
            np.savez(tmp_path / f"{name}.npz", x_train=images[rows], y_train=labels)
        target, source = (
            {"dataset": "arrays", "args": {"path": str(tmp_path / f"{name}.npz")}}
            for name in ("target", "source")
        )
        transfer = {**target, "label": "one", "source": source}
        adaptation = {**target, "label": "other", "source": source, "protocol": "adaptation"}
        (one,) = bench.run("linear_probe", problems=[transfer])
        (other,) = bench.run("source_only", problems=[adaptation])
        for record, part in ((one, None), (other, "target")):
            file = bench.store.directory / f"splits/{record.split_hash}.json"
            split = json.loads(file.read_text())
            tested = (split[part] if part else split)["test"]
            assert record.leaks == {"source-test": sum(row % 3 == 0 for row in tested)}

    def test_a_file_of_splits_that_changes_after_planning_stops_the_cell(self, bench, tmp_path):
        loaded = Datasets(bench.registry).load("digits", {})
        path = tmp_path / "splits.json"

        def publish(seed):
            split = target_split(
                loaded.data, shots=2, seed=seed, val_fraction=0.2, test_fraction=0.2
            )
            path.write_text(splitfile.write("digits", loaded, [(2, 0, split)]))

        class Meanwhile(list):
            def append(self, event):
                publish(seed=1)

        publish(seed=0)
        bench.events = Meanwhile()
        problem = {"dataset": "digits", "shots": [2], "splits": str(path)}
        (record,) = bench.run("linear_probe", problems=[problem])
        assert record.status == "failed"
        assert (
            record.reason == f"{path} has changed since the suite was planned. Run the suite again"
        )

    def test_one_seed_is_one_split_for_all(self, bench):
        records = bench.run(*ALL)
        assert len({record.split_hash for record in records}) == 1
        (other,) = bench.run("linear_probe", seeds=[1])
        assert other.split_hash != records[0].split_hash


class TestEnds:
    @pytest.mark.parametrize(
        ("error", "status", "reason"),
        [
            (ValueError("wrong\nturn"), "failed", "ValueError: wrong turn (test_cell.py, line"),
            (Unsupported("not for me"), "unsupported", "not for me"),
            (Diverged("away"), "diverged", "away"),
            (MemoryError("all gone"), "oom", "out of memory: all gone"),
            (torch.OutOfMemoryError("CUDA"), "oom", "out of memory: CUDA"),
        ],
    )
    def test_are_typed_and_explained_and_stop_nothing(self, bench, error, status, reason):
        strange = bench.add(misbehaving("strange", raising(error)))
        record, healthy = bench.run(strange, "linear_probe")
        assert record.status == status
        assert record.reason.startswith(reason)
        assert record.metrics == {}
        assert "Traceback" in record.traceback
        assert healthy.status == "ok"
        assert bench.store.record(record.cell) == record

    def test_an_error_deep_in_a_library_names_the_plugins_line(self, bench):
        def do(task, hp, run):
            torch.nn.functional.conv2d(torch.zeros(2), "no weight")

        name = bench.add(misbehaving("strange", do))
        found = bench.registry.plugins["strategy", name]
        bench.registry.plugins["strategy", name] = replace(found, file=Path(__file__))
        (record,) = bench.run(name)
        assert "(test_cell.py, line" in record.reason

    def test_a_healthy_cell_beside_a_failing_one_scores_as_it_does_alone(self, bench):
        strange = bench.add(misbehaving("strange", raising(ValueError("no"))))
        _, beside = bench.run(strange, "full_finetune")
        (alone,) = bench.run("full_finetune", folder="alone", cache="alone-cache")
        assert beside.metrics == alone.metrics

    def test_a_failed_trial_counts_and_the_others_go_on(self, bench):
        def do(task, hp, run):
            if hp["lr"] == 1e-3:  # the default: trial 0
                raise ValueError("not this one")

        (record,) = bench.run(bench.add(misbehaving("picky", do)), budget={"trials": 3, "steps": 2})
        assert record.status == "ok"
        assert [trial.state for trial in record.trials] == ["failed", "complete", "complete"]
        assert "not this one" in record.trials[0].reason
        assert record.selected != 0

    def test_a_hopeless_trial_is_pruned_and_counts(self, bench):
        """The median pruner waits for four trials; the later ones report worse than those."""
        reported = []

        @dataclass(frozen=True)
        class Fading(GradientStrategy):
            name: ClassVar[str] = "fading"

            def recipe(self, backbone, task, hp, run):
                reported.append(0.9 if len(reported) < 4 else 0.1)
                run.report(0, reported[-1])
                return Recipe(backbone, (), lr=1e-2)

        budget = {"trials": 6, "steps": 2, "pruner": "median"}
        (record,) = bench.run(bench.add(Fading), budget=budget)
        assert record.status == "ok"
        assert [trial.state for trial in record.trials] == ["complete"] * 4 + ["pruned"] * 2
        assert record.trials[5].reason == "pruned at step 0 with 0.100"

    @pytest.mark.parametrize(
        ("logits", "status", "reason"),
        [
            (torch.zeros(1, 3), "failed", "logits must be float"),
            (torch.zeros(20, 10, dtype=torch.int64), "failed", "logits must be float"),
            (torch.full((20, 10), float("nan")), "diverged", "not finite"),
        ],
    )
    def test_answers_of_the_wrong_kind_are_not_scored(self, bench, logits, status, reason):
        class Oracle:
            trained: ClassVar[dict] = {}

            def logits(self, inputs):
                return logits

        @dataclass(frozen=True)
        class Wrong(Strategy):
            name: ClassVar[str] = "wrong"

            def adapt(self, backbone, task, hp, run):
                return Oracle()

        (record,) = bench.run(bench.add(Wrong))
        assert record.status == status
        assert reason in record.reason

    def test_an_interrupt_gets_out_and_leaves_a_record(self, bench):
        strange = bench.add(misbehaving("strange", raising(KeyboardInterrupt())))
        with pytest.raises(KeyboardInterrupt):
            bench.run(strange)
        (record,) = bench.store.records()
        assert (record.status, record.reason) == ("interrupted", "stopped; finished trials: 0")


class TestCost:
    def test_phases_add_up(self, bench):
        (record,) = bench.run("linear_probe")
        seconds = record.seconds
        parts = ("prepare", "features", "tune", "test")
        assert seconds["total"] == pytest.approx(sum(seconds[part] for part in parts))
        assert 0 < seconds["fit"] <= seconds["tune"]
        trials = sum(trial.seconds for trial in record.trials)  # with the features they caused
        assert seconds["tune"] - 1e-6 <= trials <= seconds["tune"] + seconds["features"] + 1e-6

    def test_features_that_another_cell_computed_are_billed_and_marked(self, bench):
        plain = {"name": "linear_probe", "label": "no decay", "args": {"weight_decay": 0.0}}
        first, second = bench.run("linear_probe", plain)
        assert first.cached == []
        assert second.cached == ["features"]
        assert second.seconds["features"] == pytest.approx(first.seconds["features"])

    def test_parameters_are_counted(self, bench):
        probe, full = bench.run("linear_probe", "full_finetune")
        head = 8 * 10 + 10
        assert probe.trainable_params == head
        assert full.trainable_params == full.total_params + head
        assert probe.total_params == full.total_params

    def test_seconds_budget_counts_what_is_billed(self, bench):
        (record,) = bench.run("full_finetune", budget={"seconds": 0.3, "steps": 2})
        spent = [trial.seconds for trial in record.trials]
        assert sum(spent[:-1]) <= 0.3
        assert len(record.trials) > 1

    def test_seconds_of_trials_that_fail_or_are_pruned_are_spent(self, bench):
        """Whatever a trial comes to, half a second of work leaves room for at most four."""

        def do(task, hp, run):
            time.sleep(0.5)
            if hp["lr"] != 1e-3:  # all but trial 0
                raise optuna.TrialPruned if hp["lr"] < 1e-3 else ValueError("no")

        budget = {"seconds": 2.0, "steps": 2}
        (record,) = bench.run(bench.add(misbehaving("slow", do)), budget=budget)
        assert record.status == "ok"
        assert 2 <= len(record.trials) <= 4
        assert all(trial.seconds >= 0.5 for trial in record.trials)
        assert {trial.state for trial in record.trials[1:]} <= {"pruned", "failed"}


class TestPrepare:
    @staticmethod
    def learner(calls):
        @dataclass(frozen=True)
        class Learner(GradientStrategy):
            name: ClassVar[str] = "learner"
            needs_source: ClassVar[bool] = True
            prepare_space: ClassVar[Space] = {}
            defaults: ClassVar[Settings] = GradientStrategy.defaults

            def prepare(self, backbone, source, hp, run):
                calls.append((source.classes, len(source.examples)))
                with torch.no_grad():
                    backbone.body[0][0].bias += 1
                return backbone

            def recipe(self, backbone, task, hp, run):
                return Recipe(backbone, (), lr=hp["lr"])

        return Learner

    def test_is_done_once_for_all_targets_and_shots(self, bench):
        calls = []
        name = bench.add(self.learner(calls))
        problem = {"dataset": "digits", "shots": [1, 2], "source": LETTERS}
        records = bench.run(name, problems=[problem], seeds=[0, 1])
        assert [record.status for record in records] == ["ok"] * 4
        assert len(calls) == 2  # one a seed
        assert calls[0][1] == 8 * calls[0][0]
        assert [("prepare" in r.cached) for r in records] == [False, True, False, True]
        assert records[0].seconds["prepare"] == records[1].seconds["prepare"] > 0

    def test_that_uses_stored_activations_pays_for_them_once(self, bench):
        """``billed`` leaves out the waiting that the cost of the activations already covers."""

        @dataclass(frozen=True)
        class Looker(GradientStrategy):
            name: ClassVar[str] = "looker"

            def prepare(self, backbone, source, hp, run):
                run.activations(backbone, source.examples.inputs, len(backbone.blocks))
                seconds = run.clock.seconds
                assert 0 < seconds["features"] <= seconds["activations"]
                expected = sum(seconds.values()) - seconds["activations"]
                assert run.billed() == pytest.approx(expected)
                assert run.billed() < sum(seconds.values())
                return backbone

            def recipe(self, backbone, task, hp, run):
                return Recipe(backbone, (), lr=1e-2)

        problem = {"dataset": "digits", "shots": [2], "source": LETTERS}
        (record,) = bench.run(bench.add(Looker), problems=[problem])
        assert record.status == "ok", record.reason

    def test_is_found_again_by_another_process(self, bench):
        calls = []
        name = bench.add(self.learner(calls))
        problem = {"dataset": "digits", "shots": [2], "source": LETTERS}
        (first,) = bench.run(name, problems=[problem])
        (second,) = bench.run(name, problems=[problem], folder="again")
        assert len(calls) == 1
        assert second.metrics == first.metrics
        assert "prepare" in second.cached


class TestWhatAFileDoesNotHold:
    """It stays the cell's own fault: other cells go on."""

    @pytest.mark.filterwarnings("ignore:Choices for a categorical distribution")
    def test_settings_that_json_does_not_have_are_left_out_of_a_failure_that_says_so(self, bench):
        @dataclass(frozen=True)
        class Numpy(LinearProbe):
            name: ClassVar[str] = "numpy"
            space: ClassVar[Space] = {"lr": CategoricalDistribution(np.array([1, 2]))}
            defaults: ClassVar[Settings] = {"lr": np.int64(1)}

            def recipe(self, backbone, task, hp, run):
                return Recipe(backbone, (), lr=float(hp["lr"]))

        failed, good = bench.run(bench.add(Numpy), "linear_probe")
        assert (failed.status, good.status) == ("failed", "ok")
        assert failed.reason.startswith("its record can't hold what it was given for ")
        assert "trials (PydanticSerializationError: Unable to serialize unknown type: <class" in (
            failed.reason
        )
        assert (failed.trials, failed.metrics) == ([], {})
        assert bench.store.record(failed.cell) == failed

    def test_a_score_that_is_reported_as_a_tensor_is_a_number_in_the_record(self, bench):
        def report(task, hp, run):
            run.report(torch.tensor(999), torch.tensor(0.5))

        (record,) = bench.run(bench.add(misbehaving("tensors", report)))
        assert record.status == "ok", record.reason
        assert record.trials[0].curve[0] == (999, 0.5)


class TestSecondModel:
    """A strategy is lent another model of the suite, with its weights and its own inputs."""

    TEACHER: ClassVar = {
        "model": "conv4",
        "label": "teacher",
        "weights": {"source": "glyphs", "args": {"per_class": 4}, "steps": 2, "batch_size": 16},
        "input_size": 32,
        "args": {"width": 4},
        "compared": False,
    }

    def test_has_the_same_examples_prepared_for_it(self, bench):
        seen = []

        def look(task, hp, run):
            teacher = run.backbone("teacher")
            own = teacher.inputs(task.train.inputs)
            seen.append((task.train.inputs[:], own[:], teacher.backbone.features(own[:])))
            with pytest.raises(ValueError, match="does not name 'other'"):
                run.backbone("other")

        strategy = misbehaving("taught", look)
        strategy.backbones = lambda self: {"teacher": "teacher"}
        student = {"model": "conv4", "weights": "random", "input_size": 16, "args": {"width": 8}}
        (record,) = bench.run(bench.add(strategy), backbones=[student, self.TEACHER])
        assert record.status == "ok", record.reason
        small, large, features = seen[0]
        assert (small.shape[2:], large.shape[2:]) == ((16, 16), (32, 32))
        # The same images in the same order: shrunk, each is nearest to its own.
        shrunk = torch.nn.functional.avg_pool2d(large.float(), 2).flatten(1)
        assert (
            torch.cdist(shrunk, small.float().flatten(1)).argmin(1) == torch.arange(len(small))
        ).all()
        assert features.shape == (len(small), 4 * 2 * 2)
        assert record.seconds["pretrain"] > 0
        assert record.config["further_specs"]["teacher"]["input_size"] == 32

    def test_episodes_have_it_too(self, bench):
        asked = []

        def look(task, hp, run):
            asked.append(len(run.backbone("teacher").inputs(task.train.inputs)[:]))

        strategy = misbehaving("taught", look)
        strategy.backbones = lambda self: {"teacher": "teacher"}
        student = {"model": "conv4", "weights": "random", "input_size": 16, "args": {"width": 8}}
        teacher = {**self.TEACHER, "weights": "random"}
        problem = {"dataset": "digits", "protocol": "episodes", "shots": 1, "ways": 3, "queries": 2}
        problem |= {"episodes": 2, "val_episodes": 2}
        strategy = bench.add(strategy)
        (record,) = bench.run(strategy, backbones=[student, teacher], problems=[problem])
        assert record.status == "ok", record.reason
        assert asked
        assert set(asked) == {3}
