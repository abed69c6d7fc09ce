"""``harness validate``: bad input is one clear line with a remedy, and nothing is written.

What is refused here is refused by ``harness suite`` in the same words, before it writes.
"""

import os
import re

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from harness.record.store import Store
from harness.report import write
from harness.report.analysis.report import analyse


def test_a_good_suite_says_how_much_it_is(harness, tiny_suite):
    ended = harness("validate", tiny_suite)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out == f"{tiny_suite}: 4 cells, no mistakes\n"


def test_a_suite_may_be_changed_in_passing(harness, tiny_suite):
    ended = harness("validate", tiny_suite, "--set", "seeds=[1, 2, 3]")
    assert ended.out == f"{tiny_suite}: 6 cells, no mistakes\n"


def npz(path, **changes):
    content = {
        "x_train": np.zeros((20, 8, 8), np.uint8),
        "y_train": np.arange(20) % 2,
    } | changes
    np.savez(path, **content)


def test_examples_on_both_sides_of_a_split_are_told(harness, edited, tmp_path):
    """Four of six test images are among those that train or validate, one with another label."""
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
    tested = np.concatenate([images[:4], 255 - images[:2]])
    npz(
        tmp_path / "twins.npz",
        x_train=images,
        y_train=np.arange(40) % 2,
        x_test=tested,
        y_test=np.array([1, 1, 0, 1, 0, 1]),
    )
    path = edited(DIGITS, 'dataset = "arrays"\nlabel = "pairs"\nargs = { path = "twins.npz" }')
    ended = harness("validate", path, "--set", "problems.0.shots=[1, 'all']")
    assert ended.status == 0
    first, *others = ended.out.splitlines()
    assert first.endswith("8 cells, no mistakes")
    counts = [int(line.split(": ")[1].split()[0]) for line in others[:-1]]
    assert sum(counts) == 4
    for line in others[:-1]:
        assert re.search(r" of 6 test examples (is|are) identical to a ", line)
    assert others[-1] == "problem 'pairs': 2 examples are identical to one of another class"


def folder(root, **counts):
    for label, count in counts.items():
        (root / label).mkdir(parents=True)
        for number in range(count):
            Image.new("L", (8, 8), number).save(root / label / f"{number}.png")


def corrupt(root):
    folder(root, a=5, b=5)
    (root / "b" / "3.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")


DIGITS = 'dataset = "digits"'

BAD = {
    "unknown strategy": (
        ('"linear_probe"', '"linear_prob"'),
        "unknown strategy 'linear_prob' (did you mean 'linear_probe'?). 'harness plugins' lists",
    ),
    "unknown dataset": (
        (DIGITS, 'dataset = "digit"'),
        "unknown dataset 'digit' (did you mean 'digits'?). "
        "'harness plugins' lists them all; --plugin FILE loads your own",
    ),
    "unknown model": (
        ('"conv4"', '"conv-4"'),
        "unknown model 'conv-4' (did you mean 'conv4'?). Name a timm model or one that",
    ),
    "misspelt key": (
        ("seeds", "sedes"),
        "sedes: unknown key (did you mean 'seeds'?)",
    ),
    "wrong type": (
        ("trials = 2", 'trials = "two"'),
        "budget.trials: should be a whole number, not 'two'",
    ),
    "syntax error": (
        ("trials = 2", "trials = "),
        "is not valid TOML: Invalid value (at line 6, column 10). Mend that line",
    ),
    "missing folder": (
        (DIGITS, 'dataset = "folder"\nargs = { root = "nowhere" }'),
        "/nowhere (a relative path is taken from the current folder). Give a folder",
    ),
    "missing argument": (
        (DIGITS, 'dataset = "folder"'),
        "dataset 'folder': argument 'root' is missing. 'harness describe folder' tells what it",
    ),
    "missing npz": (
        (DIGITS, 'dataset = "arrays"\nargs = { path = "nowhere.npz" }'),
        "/nowhere.npz (a relative path is taken from the current folder). Give the path of an npz",
    ),
    "npz with wrong shapes": (
        (DIGITS, 'dataset = "arrays"\nargs = { path = "flat.npz" }'),
        "x_train is [20, 64], not [N, H, W], [N, H, W, C] or [N, C, H, W] with C 1 or 3",
    ),
    "npz of different lengths": (
        (DIGITS, 'dataset = "arrays"\nargs = { path = "short.npz" }'),
        "x_train has 19 images, but y_train has 20 labels",
    ),
    "corrupt image": (
        (DIGITS, 'dataset = "folder"\nargs = { root = "corrupt" }'),
        "Repair or remove what is damaged",
    ),
    "one class only": (
        (DIGITS, 'dataset = "folder"\nargs = { root = "single" }'),
        "single has labels of one class only: a. Expected root/<class>/<image> or",
    ),
    "labels of one class only": (
        (DIGITS, 'dataset = "arrays"\nargs = { path = "ones.npz" }'),
        "y_train has labels of one class only: 1",
    ),
    "more shots than images": (
        ("shots = 2", "shots = 174"),
        "problem 'digits', 174 shots: classes have too few examples to train on, to validate and "
        "to test: '0' (178, needs 384), '1' (182, needs 384), '2' (177, needs 383), '3' (183, ",
    ),
    "no source": (
        ('"linear_probe"', '"maml"'),
        "strategy 'maml' learns from a source before it adapts, but problem 'digits' with "
        "backbone 'conv4' has none: give the problem a 'source' or the backbone",
    ),
    "target as source": (
        ('weights = "random"', 'weights = { source = "digits" }'),
        "problem 'digits' and its source 'digits' are the same data: what is tested would be "
        "learned from. Choose another source",
    ),
    "missing weights file": (
        ('weights = "random"', 'weights = { file = "nowhere.safetensors" }'),
        "/nowhere.safetensors (a relative path is taken from the current folder)",
    ),
}


@pytest.mark.parametrize("command", ["validate", "suite"])
@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_line_and_nothing_is_written(
    harness, edited, tmp_path, command, name
):
    npz(tmp_path / "flat.npz", x_train=np.zeros((20, 64), np.uint8))
    npz(tmp_path / "short.npz", x_train=np.zeros((19, 8, 8), np.uint8))
    npz(tmp_path / "ones.npz", y_train=np.ones(20, int))
    folder(tmp_path / "single", a=5)
    corrupt(tmp_path / "corrupt")
    (old, new), said = BAD[name]
    suite = edited(old, new)
    ended = harness(command, suite)
    assert (ended.status, ended.out) == (2, "")
    assert ended.complaint.startswith(f"harness: {suite}")
    assert said in ended.complaint
    assert not (tmp_path / "results").exists()


def test_all_mistakes_come_at_once(harness, edited):
    suite = edited('"linear_probe"', '"linear_prob"', '"conv4"', '"conv-4"', "digits", "digit")
    head, *lines = harness("validate", suite).err.splitlines()
    assert head == f"harness: {suite}: 3 mistakes"
    assert [line.split(" (")[0] for line in lines] == [
        "  unknown strategy 'linear_prob'",
        "  unknown model 'conv-4'",
        "  unknown dataset 'digit'",
    ]


def test_a_suite_that_is_not_there_is_answered_with_the_nearest(harness):
    assert harness("validate", "quikstart").complaint == (
        "harness: there is no suite 'quikstart' (did you mean 'quickstart'?). Give the path of a "
        "TOML file or the name of a suite that comes with the harness"
    )


def test_what_is_not_used_of_the_data_is_told_by_both_commands(harness, edited, tmp_path):
    folder(tmp_path / "mixed", a=5, b=5)
    Image.new("L", (8, 30), 99).save(tmp_path / "mixed/a/long.png")
    (tmp_path / "mixed/b/scan.pdf").write_text("no image")
    path = edited(DIGITS, 'dataset = "folder"\nlabel = "scans"\nargs = { root = "mixed" }')
    lines = [
        "problem 'scans': 1 of 12 files are no images and were passed over: 1 .pdf",
        "problem 'scans': 1 of 11 images lose more than a fifth of their area, as their middle is "
        "cropped: fit = 'pad' or 'squash' keeps all of it",
    ]
    assert harness("validate", path, "--set", "problems.0.shots=1").out.splitlines()[1:3] == lines
    ended = harness("suite", path, "--set", "problems.0.shots=1", "--inline", "--set", "seeds=[0]")
    assert ended.status == 0
    assert [line.removeprefix("harness: ") for line in ended.err.splitlines()[:2]] == lines
    page = (tmp_path / "results/tiny/report/index.html").read_text()
    assert "1 of 12 files are no images and were passed over: 1 .pdf" in page


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_a_suite_that_may_not_be_read_is_refused(harness, tiny_suite):
    tiny_suite.chmod(0)
    assert "Permission denied" in harness("validate", tiny_suite).complaint


@pytest.mark.parametrize("override", ["budget.trials", "budget.trials.x=1", "seeds.7=1"])
def test_an_override_that_fits_nothing_is_refused(harness, tiny_suite, override):
    ended = harness("validate", tiny_suite, "--set", override)
    assert ended.status == 2
    assert ended.complaint.startswith(f"harness: --set {override}: ")
    assert ended.complaint.endswith(
        "Write KEY=VALUE with a TOML value, such as --set budget.trials=2"
    )


@pytest.fixture
def copied(tmp_path, tiny_suite):
    """Parts of two photographs as a folder, each with a recompressed copy, and a suite on them."""
    for label, photo in zip(("china", "flower"), load_sample_images().images, strict=True):
        folder = tmp_path / "photos" / label
        folder.mkdir(parents=True)
        for number in range(12):
            left, top = 64 * (number % 6), 192 + 64 * (number // 6)
            part = Image.fromarray(photo[top : top + 64, left : left + 64])
            part.save(folder / f"{number}.png")
            part.resize((80, 80)).save(folder / f"{number}_copy.jpg", quality=85)
    (tmp_path / "copied.toml").write_text(
        tiny_suite.read_text()
        .replace('"tiny"', '"copied"')
        .replace('dataset = "digits"\nshots = 2', 'dataset = "folder"\nargs = { root = "photos" }')
    )


def test_near_duplicates_across_a_drawn_split_are_told_until_groups_keep_them_together(
    harness, tmp_path, copied, monkeypatch
):
    monkeypatch.setattr(write, "write_report", lambda report, *rest: report.directory)
    ended = harness("validate", "copied.toml")
    (line,) = [text for text in ended.out.splitlines() if "test examples are nearly" in text]
    assert line.startswith("problem 'folder': ")
    assert "groups = { file = FILE } keeps them on one side of a split that is drawn" in line
    ended = harness("suite", "copied.toml", "--inline", "--only", "label=linear_probe")
    assert ended.status == 0, ended.err
    records = Store(tmp_path / "results/copied").records()
    assert all(record.leaks["near-test"] >= 2 for record in records)
    told, *_ = analyse(Store(tmp_path / "results/copied")).leaks
    assert told.startswith("of folder: ")
    assert "test examples are nearly the same as one that is trained" in told
    assert harness("data", "photos", "--groups-to", "copies.csv").status == 0
    grouped = ("--set", 'problems.0.groups={file="copies.csv"}')
    ended = harness("validate", "copied.toml", *grouped)
    assert ended.status == 0, ended.err
    assert "nearly" not in ended.out
    ended = harness("validate", "copied.toml", "--set", 'problems.0.groups={file="none.csv"}')
    assert ended.status == 2
    assert "there is no file of groups" in ended.err
