"""What was selected is scored once on the problem's own test, and once on each further one."""

import json
import time

import numpy as np
import pytest
import torch
from harness_plugins.datasets.digits import Digits
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, f1_score, log_loss

from harness.plan.datasets import Datasets
from harness.plan.targets import cell_manifest
from harness.record.reading import record
from harness.record.store import misclassified_file, predictions_file
from harness.run import trials


@pytest.fixture
def bent(tmp_path):
    """Digits with noise in an npz file: row for row those of the dataset."""
    digits = load_digits()
    noise = np.random.default_rng(0).integers(0, 100, digits.images.shape)
    path = tmp_path / "bent.npz"
    images = (digits.images * 15 + noise).clip(0, 255).astype(np.uint8)
    np.savez(path, x_train=images, y_train=digits.target)
    return {"dataset": "arrays", "args": {"path": str(path)}, "label": "bent"}


@pytest.fixture
def turned(tmp_path):
    """A few digits whose classes stand in another order, with a test split."""
    digits = Digits().load().train
    path = tmp_path / "turned.npz"
    images = digits.inputs.images.squeeze(1).numpy()
    order = np.roll(np.arange(10), 3)  # class number -> the digit that it is
    labels = np.argsort(order)[digits.labels.numpy()]
    np.savez(
        path,
        x_train=images[:100],
        y_train=labels[:100],
        x_test=images[-200:],
        y_test=labels[-200:],
        classes=order.astype(str),
    )
    return {"dataset": "arrays", "args": {"path": str(path)}, "label": "turned"}


def problem(*tests, **changes):
    return [{"dataset": "digits", "shots": [2], "tests": [*tests], **changes}]


def answers(bench, record, test=None):
    with np.load(bench.store.directory / predictions_file(record.cell, test)) as file:
        return dict(file)


def test_a_further_test_is_scored_by_its_own_answers(bench, bent, turned):
    (done,) = bench.run("linear_probe", problems=problem(bent, turned))
    assert done.status == "ok"
    assert [*done.further] == ["bent", "turned"]
    for test, told in done.further.items():
        found = answers(bench, done, test)
        chances = torch.tensor(found["logits"]).double().softmax(1).numpy()
        guess, labels = found["logits"].argmax(1), found["labels"]
        assert told.examples == len(labels)
        assert told.metrics["accuracy"] == pytest.approx(accuracy_score(labels, guess))
        assert told.metrics["f1_macro"] == pytest.approx(f1_score(labels, guess, average="macro"))
        expected = log_loss(labels, chances, labels=range(10))
        assert told.metrics["log_loss"] == pytest.approx(expected, rel=1e-5)


def test_of_a_copy_the_same_rows_are_tested_as_of_the_original(bench, bent):
    (done,) = bench.run("linear_probe", problems=problem(bent))
    own, copy = answers(bench, done), answers(bench, done, "bent")
    assert (own["ids"] == copy["ids"]).all()
    assert (own["labels"] == copy["labels"]).all()
    assert done.further["bent"].metrics["accuracy"] < done.metrics["accuracy"]


def test_labels_are_numbered_as_the_problem_numbers_its_classes(bench, turned):
    (done,) = bench.run("linear_probe", problems=problem(turned))
    found = answers(bench, done, "turned")
    assert (found["labels"] == load_digits().target[-200:]).all()


def test_the_rest_of_the_record_is_as_without_further_tests(bench, bent, turned, unmeasured):
    for strategies in (["full_finetune"], ["linear_probe"]):
        (bare,) = bench.run(*strategies, problems=problem(), folder="bare", cache="bare")
        (done,) = bench.run(*strategies, problems=problem(bent, turned), folder="both")
        apart = ("cell", "meaning", "config", "tests", "further", "leaks")
        ours, theirs = ({**unmeasured(one)} for one in (done, bare))
        for name in apart:
            ours.pop(name), theirs.pop(name)
        assert ours == theirs
        assert done.leaks == bare.leaks


def test_twins_of_what_was_learned_from_are_counted(bench, turned):
    """The last 200 digits are tested there, whatever a split of all digits has drawn."""
    (done,) = bench.run("linear_probe", problems=problem(turned, shots=["all"]))
    (cell,) = bench.planned.cells
    drawn = cell_manifest(Datasets(bench.registry), cell)
    last = {*range(1797 - 200, 1797)}
    assert done.further["turned"].leaks == {
        "train-test": len(last & {*drawn.train}),
        "val-test": len(last & {*drawn.val}),
    }


def test_nothing_of_it_is_billed(bench, bent, monkeypatch):
    """Predicting takes a second each time, and one of two tests is billed."""
    logits = trials.Trials.logits

    def slow(self, predictor, inputs, task):
        if self._clock._stack == ["test"]:
            time.sleep(0.5)
        return logits(self, predictor, inputs, task)

    monkeypatch.setattr(trials.Trials, "logits", slow)
    (done,) = bench.run("linear_probe", problems=problem(bent))
    assert 0.5 <= done.seconds["test"] < 1.0
    assert done.cached == []


def test_each_test_is_asked_for_once(bench, bent, turned, monkeypatch):
    asked = []
    logits = trials.Trials.logits

    def counted(self, predictor, inputs, task):
        asked.append(len(inputs))
        return logits(self, predictor, inputs, task)

    monkeypatch.setattr(trials.Trials, "logits", counted)
    (done,) = bench.run("linear_probe", problems=problem(bent, turned))
    own = len(answers(bench, done)["ids"])
    assert asked.count(200) == 1
    assert asked.count(own) == 2  # its own test, and that of the copy


def test_the_record_on_the_disk_holds_them(bench, bent):
    (done,) = bench.run("linear_probe", problems=problem(bent))
    assert record(bench.store.record_file(done.cell), done.cell).further == done.further


def test_errors_are_kept_of_each_test(bench, bent, turned):
    """Told by the names that the problem gives its classes, with what was shown."""
    (done,) = bench.run("linear_probe", problems=problem(bent, turned))
    digits = load_digits()
    for test in ("bent", "turned"):
        found = answers(bench, done, test)
        guess = dict(zip(found["ids"].tolist(), found["logits"].argmax(1).tolist(), strict=True))
        file = bench.store.directory / misclassified_file(done.cell, test)
        errors = json.loads(file.read_text())
        assert errors
        for error in errors:
            row = error["id"] - (200 if test == "turned" else 0)  # its tested ones are the last
            assert error["true"] == str(digits.target[row])
            assert error["taken"] == str(guess[error["id"]]) != error["true"]
            assert error["image"].startswith("image/png;base64,")


def test_adaptation_has_them_too(bench, bent):
    source = {"dataset": "arrays", "args": bent["args"]}
    adaptation = problem(
        {**bent, "label": "as before"}, protocol="adaptation", source=source, shots=["all"]
    )
    (done,) = bench.run("source_only", problems=adaptation)
    assert done.status == "ok"
    found = answers(bench, done, "as before")
    right = accuracy_score(found["labels"], found["logits"].argmax(1))
    assert done.further["as before"].metrics["accuracy"] == pytest.approx(right)
    assert (found["ids"] == answers(bench, done)["ids"]).all()
