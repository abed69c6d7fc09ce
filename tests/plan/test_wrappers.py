"""Datasets that are made of others: what a suite calls them, and what their cells' keys hash."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from harness import registry
from harness.api import Data, DatasetWrapper, HarnessError
from harness.data.examples import ArrayInputs, RawRows, Split, TextInputs
from harness.plan.datasets import Datasets


def wrapped(table, args, dataset="inverted", **problem):
    """The suite with one problem, on wrapped data."""
    return {**table, "problems": [{"dataset": dataset, "args": args, "shots": 1, **problem}]}


TOY = {"dataset": "toy"}
TWICE = {"dataset": "inverted", "args": TOY}


def test_a_wrapper_is_given_what_the_other_dataset_loads(toys):
    datasets = Datasets(toys)
    inner = datasets.load("toy", {"each": 2})
    outer = datasets.load("inverted", {"dataset": "toy", "args": {"each": 2}})
    assert torch.equal(outer.data.train.inputs.images, 255 - inner.data.train.inputs.images)
    assert outer.data.classes == inner.data.classes
    assert datasets.load("toy", {"each": 2}) is inner


@pytest.mark.parametrize(
    ("args", "title"), [(TOY, "inverted(toy)"), (TWICE, "inverted(inverted(toy))")]
)
def test_a_problem_is_called_after_all_of_them_unless_it_has_a_label(planned, table, args, title):
    assert {cell.problem for cell in planned(wrapped(table, args))} == {title}
    assert {cell.dataset for cell in planned(wrapped(table, args))} == {"inverted"}
    assert {cell.problem for cell in planned(wrapped(table, args, label="mine"))} == {"mine"}


def test_problems_on_plain_data_are_called_as_they_were(planned, table):
    assert {cell.problem for cell in planned(table)} == {"toy"}


def keys_of(planned, table, args, dataset="inverted"):
    return {cell.cell for cell in planned(wrapped(table, args, dataset))}


def test_keys_hash_what_becomes_of_the_data(planned, table):
    plain = keys_of(planned, table, {}, "toy")
    once = keys_of(planned, table, TOY)
    other = keys_of(planned, table, {**TOY, "args": {"seed": 1}})
    assert plain.isdisjoint(once)
    assert once.isdisjoint(other), "an argument of the other dataset changes the data"
    assert keys_of(planned, table, TWICE) == plain, "black for white, twice, are the same data"
    assert keys_of(planned, table, {**TOY, "args": {"seed": 0}}) == once, "its default"


@pytest.mark.parametrize(
    ("args", "line"),
    [
        ({}, "dataset 'inverted': argument 'dataset' is missing"),
        ({"dataset": "toi"}, "unknown dataset 'toi' (did you mean 'toy'?)"),
        (
            {**TOY, "args": {"eech": 2}},
            "dataset 'toy': unknown argument 'eech' (did you mean 'each'?)",
        ),
        ({**TOY, "args": 3}, "dataset 'inverted': argument 'args' "),
        ({**TOY, "blakc": 3}, "dataset 'inverted': unknown argument 'blakc'"),
        (
            {"dataset": "inverted", "args": {"dataset": "toi"}},
            "unknown dataset 'toi' (did you mean 'toy'?)",
        ),
        (
            {"dataset": "toy texts"},
            "dataset 'inverted' does not take text, which dataset 'toy texts' is. Wrap another: "
            "'harness plugins' tells what each takes",
        ),
        ({**TOY, "args": {"trouble": "broken"}}, "dataset 'toy' cannot be loaded: ValueError: bro"),
        ({**TOY, "trouble": "no ink"}, "dataset 'inverted' cannot be loaded: ValueError: no ink"),
    ],
)
def test_a_mistake_in_either_is_one_line_before_anything_runs(planned, table, args, line):
    with pytest.raises(HarnessError) as caught:
        planned(wrapped(table, args))
    (told,) = caught.value.each()
    assert told.startswith(f"here: {line}")


@dataclass(frozen=True)
class Same(DatasetWrapper):
    """Takes anything, and leaves it as it is."""

    name: ClassVar[str] = "same"

    def wrap(self, data: Data) -> Data:
        return data


def test_what_it_is_of_follows_the_other_dataset(toys):
    datasets = Datasets(toys)
    toys.plugins["dataset", "same"] = registry.Registered("dataset", "same", Same, "file", "here")
    try:
        found = [datasets.load("same", {"dataset": name}).modality for name in ("toy", "toy texts")]
    finally:
        del toys.plugins["dataset", "same"]
    assert found == ["image", "text"]


def test_weights_and_sources_may_be_of_wrapped_data(planned, table):
    table["backbones"] = [{"model": "conv4", "weights": {"source": "inverted", "args": TOY}}]
    once = {cell.cell for cell in planned(table)}
    table["backbones"][0]["weights"]["args"] = {**TOY, "args": {"seed": 1}}
    assert once.isdisjoint({cell.cell for cell in planned(table)})


def test_a_class_is_a_dataset_or_a_wrapper():
    assert registry.check("dataset", Same) is None
    assert registry.check("dataset", int) == (
        "<class 'int'> is not a subclass of harness.api.Dataset or harness.api.DatasetWrapper"
    )


# ── some rows of a split ──────────────────────────────────────────────────────────────────────


class Strange:
    """Raw inputs of somebody's own kind."""

    def __len__(self):
        return 3

    def read(self, rows):
        return [torch.full((1, 2, 2), row, dtype=torch.uint8) for row in rows]

    def digest(self):
        return "strange"


@pytest.mark.parametrize(
    ("inputs", "kind"),
    [
        (ArrayInputs(torch.arange(12, dtype=torch.uint8).reshape(3, 1, 2, 2)), ArrayInputs),
        (TextInputs(("a", "b", "c")), TextInputs),
        (Strange(), RawRows),
    ],
)
def test_some_rows_of_a_split_keep_their_labels_and_groups(inputs, kind):
    split = Split(inputs, torch.tensor([0, 1, 2]), torch.tensor([5, 6, 7]))
    part = split.subset(torch.tensor([2, 0]))
    assert isinstance(part.inputs, kind)
    pairs = zip(part.inputs.read([0, 1]), inputs.read([2, 0]), strict=True)
    assert all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in pairs)
    assert (part.labels.tolist(), part.groups.tolist()) == ([2, 0], [7, 5])
    assert part.digest() == split.subset(torch.tensor([2, 0])).digest()
    assert part.digest() != split.subset(torch.tensor([0, 2])).digest()
