"""Copies are known by place, remembered by content, and make groups that a file can hold."""

import json
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_sample_images

from harness.data import copies
from harness.data.examples import ArrayInputs, Data, FileInputs, Split, TextInputs
from harness.data.group_file import group_file
from harness.data.grouping import Groups, groups_of
from harness.data.leakage import near_leakage, told
from harness.data.loaded import Loaded
from harness.data.splits import Manifest
from harness.errors import HarnessError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of the test's own."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def parts(count):
    """As many parts of a photograph, which do not overlap."""
    photo = load_sample_images().images[0]
    return [
        Image.fromarray(photo[256 + 48 * (n // 10) :, 64 * (n % 10) :][:48, :64])
        for n in range(count)
    ]


@pytest.fixture
def photos(tmp_path):
    """Six photographs to train on, of which the fourth is a recompressed copy of the first and the
    sixth the second once more, and two to test on, the first of them a crop of the third."""
    one, two, three, *others = parts(5)
    folder = tmp_path / "photos"
    folder.mkdir()
    learned = [one, two, three, one.resize((90, 68)), others[0], two]
    for number, image in enumerate(learned):
        image.save(folder / f"{number}.{'jpg' if number == 3 else 'png'}")
    three.crop((1, 1, 62, 46)).save(folder / "6.png")
    others[1].save(folder / "7.png")
    paths = sorted(folder.iterdir())
    labels = torch.tensor([0, 1, 0, 1, 0, 1])
    train = Split(FileInputs(tuple(paths[:6])), labels)
    data = Data(train, ("a", "b"), test=Split(FileInputs(tuple(paths[6:])), labels[:2]))
    return Loaded(data, data.digest())


def test_copies_are_found_by_place_in_both_parts(photos):
    assert copies.identical(photos) == [[1, 5]]
    assert {(pair.one, pair.other) for pair in copies.near(photos)} == {(0, 3), (2, 6)}
    assert copies.belonging(photos, None).tolist() == [0, 1, 2, 0, 3, 1, 2, 4]
    groups = Groups(torch.tensor([0, 1, 2, 3, 4, 5]), torch.tensor([6, 4]))
    assert copies.belonging(photos, groups).tolist() == [0, 1, 2, 0, 3, 1, 2, 3]


def test_what_was_found_is_remembered_and_damage_is_not_believed(photos, cache, monkeypatch):
    found = copies.near(photos)
    (file,) = (cache / "near").glob("*.json")

    def never(*args):
        raise AssertionError("it was looked for again")

    with monkeypatch.context() as patch:
        patch.setattr(copies, "near_duplicates", never)
        assert [(p.one, p.other) for p in copies.near(photos)] == [(p.one, p.other) for p in found]
    for damage in ("", "[[0, 1", "[[0, 99, 1.0]]", "[[0]]", '{"a": 1}', "[[2, 1, 0.5]]"):
        file.write_text(damage)
        assert [(p.one, p.other) for p in copies.near(photos)] == [(p.one, p.other) for p in found]
    assert len(json.loads(file.read_text())) == 2


def test_a_cache_that_cannot_be_written_costs_time_and_nothing_else(photos, cache):
    cache.mkdir(exist_ok=True)
    (cache / "near").write_text("a file where a folder should be")
    assert len(copies.near(photos)) == 2


def test_too_many_images_are_looked_through_only_when_that_is_asked_for(photos, monkeypatch):
    monkeypatch.setattr(copies, "MOST_PIXELS", 8 * 48 * 64)  # the crop and the copy are of others
    assert copies.near_at_once(photos) is None
    copies.near(photos)
    assert len(copies.near_at_once(photos)) == 2  # they are known by now


def test_texts_and_tiny_images_have_no_near_duplicates():
    labels = torch.tensor([0, 1])
    tiny = ArrayInputs(torch.zeros(2, 1, 8, 8, dtype=torch.uint8))
    for inputs, modality in ((TextInputs(("a", "a ")), "text"), (tiny, "image")):
        data = Data(Split(inputs, labels), ("a", "b"))
        assert copies.near_at_once(Loaded(data, data.digest(), modality)) == []


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=4), max_size=6))
def test_groups_are_the_smallest_that_no_set_is_torn_by(sets):
    numbers = copies.together(10, sets).tolist()
    assert all(len({numbers[place] for place in places}) == 1 for places in sets)
    reached = {(one, one) for one in range(10)}
    reached |= {pair for places in sets for pair in ((a, b) for a in places for b in places)}
    for middle in range(10):
        into = [one for one, other in reached if other == middle]
        out = [other for one, other in reached if one == middle]
        reached |= {(one, other) for one in into for other in out}
    assert all(
        (numbers[one] == numbers[other]) == ((one, other) in reached)
        for one, other in combinations(range(10), 2)
    )


@pytest.mark.parametrize(
    ("manifest", "found"),
    [
        (Manifest((0, 1, 2), (3, 5), (4,), official=False), {"near-val": 1}),
        (Manifest((0, 1), (2,), (3, 4), official=False), {"near-test": 1}),
        (Manifest((0, 1, 4), (2, 5), (0, 1), official=True), {"near-test": 1}),
        (Manifest((0, 3, 4), (1, 5), (1,), official=True), {}),
    ],
)
def test_near_duplicates_that_cross_a_split_are_counted(photos, manifest, found):
    assert near_leakage(photos, copies.near(photos), manifest) == found
    for sentence in told(found, test=len(manifest.test), val=len(manifest.val)):
        assert sentence.startswith("1 of ")
        assert "'harness data PATH --groups-to FILE'" in sentence


def test_a_file_of_groups_is_read_as_it_was_written_wherever_the_data_lie(photos, tmp_path):
    file = tmp_path / "groups.csv"
    file.write_text(group_file(photos.data, copies.belonging(photos, None).tolist()))
    lines = file.read_text().splitlines()
    assert lines[0] == "group,digest,split,row,file"
    assert [line.split(",")[2:4] for line in lines[1:]] == [
        *(["train", "0"], ["train", "3"], ["train", "1"], ["train", "5"]),
        *(["train", "2"], ["test", "0"]),
    ]
    found = groups_of(photos.data, file=file)
    assert found.train.tolist() == [0, 1, 2, 0, 3, 1]
    assert found.test.tolist() == [2, 4]
    order = torch.tensor([5, 3, 0])  # of other names, in another order, and fewer of them
    moved = Data(photos.data.train.subset(order), ("a", "b"))
    for path in moved.train.inputs.paths:
        path.rename(tmp_path / path.name)
    paths = tuple(tmp_path / path.name for path in moved.train.inputs.paths)
    again = Data(Split(FileInputs(paths), moved.train.labels), ("a", "b"))
    assert groups_of(again, file=file).train.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no file of groups "),
        ("a,b\n1,2\n", "it has no column digest and group"),
        ("group,digest\n0,00\n1,00\n", "line 3: the example 00 is in the groups '0' and '1'"),
        ("group,digest\n0,00\n0,01\n", "it groups no example of these data"),
        (b"group,digest\n\xff\xfe\n", "it can't be read"),
    ],
)
def test_a_file_that_is_of_no_use_is_refused_in_a_line(photos, tmp_path, text, message):
    file = tmp_path / "groups.csv"
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(HarnessError, match="groups") as refused:
        groups_of(photos.data, file=file)
    assert message in str(refused.value)


def test_a_file_without_groups_leaves_each_example_alone(tmp_path):
    file = tmp_path / "groups.csv"
    file.write_text("group,digest\n")
    images = ArrayInputs(torch.from_numpy(np.eye(3, dtype=np.uint8)[:, None, None, :]))
    data = Data(Split(images, torch.tensor([0, 1, 0])), ("a", "b"))
    assert groups_of(data, file=file).train.tolist() == [0, 1, 2]
