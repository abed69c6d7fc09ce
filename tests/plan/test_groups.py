"""A suite's groups: what a key hashes of them, and what is refused before anything runs."""

import csv

import numpy as np
import pytest
from PIL import Image

from harness.errors import HarnessError, Mistakes
from harness.plan.datasets import Datasets
from harness.plan.targets import leaks_told, source_manifest, target_manifest
from harness.suite.read import parse

PATTERN = {"pattern": r"^(p\d+)_"}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """48 images of two classes and of twelve patients, as a folder and as a table."""
    root = tmp_path_factory.mktemp("photos")
    (root / "table.csv").touch()
    with (root / "table.csv").open("w") as file:
        table = csv.writer(file)
        table.writerow(["path", "label", "patient", "person", "site"])
        for number in range(48):
            label, patient = "ab"[number % 2], number // 4
            path = root / "tree" / label / f"p{patient}_{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, 8), number).save(path)
            row = [path, label, patient, f"person {99 - patient}", number // 24]
            table.writerow(row)
    return root


@pytest.fixture
def on(table, photos):
    """The small suite on the photos: ``on(groups, **problem)``; without groups for ``None``."""

    def on(groups, *, dataset="csv_images", **problem):
        place = {"csv_images": {"file": str(photos / "table.csv")}}
        args = place.get(dataset, {"root": str(photos / "tree")})
        grouped = {} if groups is None else {"groups": groups}
        named = {"dataset": dataset, "args": args, "shots": "all"}
        return {**table, "problems": [{**named, **grouped, **problem}]}

    return on


def keys(planned, table):
    return {cell.cell for cell in planned(table)}


def test_a_key_hashes_which_examples_belong_together_and_not_how_that_was_said(planned, on):
    ungrouped, patients = keys(planned, on(None)), keys(planned, on("patient"))
    assert ungrouped.isdisjoint(patients)
    assert keys(planned, on("person")) == patients
    assert keys(planned, on({"column": "patient", "shared": "refuse"})) == patients
    assert all("groups" not in cell.meaning for cell in planned(on(None)))
    assert not any("groups" in cell.meaning["problem"] for cell in planned(on("patient")))


@pytest.mark.parametrize("dataset", ["csv_images", "folder"])
def test_a_split_keeps_the_patients_of_file_names_apart(toys, on, photos, dataset):
    datasets = Datasets(toys)
    problem = parse(on(PATTERN, dataset=dataset), "here").problems[0]
    paths = datasets.load(problem.dataset, problem.args).data.train.inputs.paths
    split = target_manifest(datasets, problem, "all", 0)
    parts = [
        {paths[row].name.split("_")[0] for row in ids}
        for ids in (split.train, split.val, split.test)
    ]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 12


def test_a_source_domain_has_groups_of_its_own(toys, on, photos):
    args = {"file": str(photos / "table.csv")}
    source = {"dataset": "csv_images", "args": args, "groups": "patient"}
    adapted = {"protocol": "adaptation", "dataset": "folder", "source": source}
    problem = parse(on(None, **adapted), "here").problems[0]
    split = source_manifest(Datasets(toys), problem, "all", 0)
    assert not {row // 4 for row in split.train} & {row // 4 for row in split.val}
    assert not split.test


def npz(path, **groups):
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
    halves = {"x_train": images[:30], "x_test": images[30:]}
    labels = {"y_train": np.arange(30) % 2, "y_test": np.arange(10) % 2}
    np.savez(path, **halves, **labels, groups_train=np.arange(30) // 3, **groups)
    return {"dataset": "arrays", "args": {"path": str(path)}, "shots": "all", "groups": True}


def test_groups_on_both_sides_of_a_given_split_are_told_or_refused(toys, planned, table, tmp_path):
    """Four of ten test images are of group 9, which is learned from."""
    problem = npz(tmp_path / "a.npz", groups_test=np.array([9, 9, 9, 9, *range(50, 56)]))
    cells = planned({**table, "problems": [problem]})
    told = "4 of 10 test examples are of a group that is trained or validated on too"
    assert [*leaks_told(Datasets(toys), cells)] == [("arrays", told)]
    problem["groups"] = {"shared": "refuse"}
    with pytest.raises(Mistakes, match=f"split that is given shares groups: {told}. Give another"):
        planned({**table, "problems": [problem]})


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ("patent", r"problem 'csv_images': there is no column 'patent' to group by"),
        (True, "problem 'csv_images': the data tell no groups of their own"),
        ("site", r"classes are in too few groups .* one of its own: 'a' \(2\), 'b' \(2\)"),
        ({"pattern": "p1_"}, "needs one group in parentheses, .* and there are 0"),
        ({"pattern": "(p"}, "is no regular expression"),
        ({"pattern": "(p)", "column": "x"}, "by 'column' or by 'pattern': leave one out"),
        ({"patern": "(p)"}, r"did you mean 'pattern'"),
    ],
)
def test_groups_that_cannot_be_told_apart_are_refused(planned, on, groups, message):
    with pytest.raises(HarnessError, match=message):
        planned(on(groups))
