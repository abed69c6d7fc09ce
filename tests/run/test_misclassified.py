"""Which errors are kept for the report, and what of them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harness.data.examples import ArrayInputs, FileInputs, Split, TextInputs
from harness.run.misclassified import EACH, KINDS, MOST_CONFIDENT, chosen, misclassified

NAMES = ("ant", "bee", "cat")


def split_of(inputs):
    return Split(inputs, torch.zeros(len(inputs), dtype=torch.int64))


def logits_of(*rows):
    """Logits whose softmax gives these probabilities."""
    return np.log(np.array(rows))


predicted = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.floats(0.25, 1)), max_size=120
)


@given(predicted)
def test_the_most_confident_and_some_of_each_frequent_kind_are_chosen(rows):
    true, taken, confidence = (
        (np.array(column) for column in zip(*rows, strict=True))
        if rows
        else (
            np.empty(0, int),
            np.empty(0, int),
            np.empty(0),
        )
    )
    places = chosen(true, taken, confidence)
    wrong = [place for place, (a, b, _) in enumerate(rows) if a != b]
    assert set(places) <= set(wrong)
    assert len(set(places)) == len(places)
    sure = [rows[place][2] for place in places]
    assert sure == sorted(sure, reverse=True)
    # None that is left out is surer than one of the first.
    assert (
        sure[:MOST_CONFIDENT] == sorted((rows[p][2] for p in wrong), reverse=True)[:MOST_CONFIDENT]
    )
    kinds = Counter(rows[place][:2] for place in wrong)
    kept = Counter(rows[place][:2] for place in places)
    assert all(kept[kind] >= min(EACH, n) for kind, n in kinds.items()) or len(kinds) > KINDS
    assert len(places) <= MOST_CONFIDENT + KINDS * EACH


def test_an_error_is_told_by_its_classes_and_confidence():
    arrays = {
        "logits": logits_of([0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.1, 0.1, 0.8], [0.05, 0.9, 0.05]),
        "labels": np.array([0, 1, 0, 1]),
        "ids": np.array([3, 2, 1, 0]),
    }
    images = torch.arange(4, dtype=torch.uint8).reshape(4, 1, 1, 1)
    errors = misclassified(split_of(ArrayInputs(images)), arrays, np.arange(3), NAMES, True)
    image = errors[0].pop("image")
    errors[1].pop("image")
    assert errors == [
        {"id": 1, "true": "ant", "taken": "cat", "confidence": 0.8},
        {"id": 2, "true": "bee", "taken": "ant", "confidence": 0.5},
    ]
    assert image.startswith("image/png;base64,")


def test_episodes_have_classes_of_their_own():
    """Of two episodes with two classes each, one example of either is wrong."""
    arrays = {
        "logits": logits_of([[0.9, 0.1], [0.6, 0.4]], [[0.2, 0.8], [0.3, 0.7]]),
        "labels": np.array([[0, 1], [0, 1]]),
        "ids": np.array([[5, 6], [7, 8]]),
    }
    columns = np.array([[2, 0], [1, 2]])
    texts = split_of(TextInputs(tuple("abcdefghi")))
    assert misclassified(texts, arrays, columns, NAMES, True) == [
        {"id": 7, "true": "bee", "taken": "cat", "confidence": 0.8, "text": "h"},
        {"id": 6, "true": "ant", "taken": "cat", "confidence": 0.6, "text": "g"},
    ]


def one_wrong(inputs, with_inputs=True):
    arrays = {"logits": logits_of([0.9, 0.1]), "labels": np.array([1]), "ids": np.array([1])}
    (error,) = misclassified(split_of(inputs), arrays, np.arange(2), NAMES, with_inputs)
    return error


def test_a_file_is_named_by_the_end_of_its_path(tmp_path: Path):
    (tmp_path / "secret/bee").mkdir(parents=True)
    paths = tuple(tmp_path / f"secret/bee/{number}.png" for number in range(2))
    for path in paths:
        Image.new("L", (4, 4)).save(path)
    assert one_wrong(FileInputs(paths))["name"] == "bee/1.png"


def test_a_long_text_is_cut():
    assert one_wrong(TextInputs(("", "x" * 1000)))["text"] == "x" * 299 + "…"


def test_inputs_stay_where_they_are_if_the_suite_says_so(tmp_path: Path):
    paths = (tmp_path / "not read.png",) * 2
    told = one_wrong(FileInputs(paths), with_inputs=False)
    assert told == {"id": 1, "true": "bee", "taken": "ant", "confidence": 0.9}


def test_a_cell_keeps_the_errors_of_its_stored_predictions(bench):
    (record,) = bench.run("linear_probe")
    folder = bench.store.directory
    errors = json.loads((folder / f"misclassified/{record.cell}.json").read_text())
    with np.load(folder / f"predictions/{record.cell}.npz") as stored:
        wrong = stored["logits"].argmax(1) != stored["labels"]
        ids = dict(zip(stored["ids"].tolist(), stored["labels"].tolist(), strict=True))
    assert 0 < len(errors) <= wrong.sum()
    assert all(error["true"] == str(ids[error["id"]]) != error["taken"] for error in errors)
    assert all(error["image"].startswith("image/png;base64,") for error in errors)


def test_a_cell_keeps_no_input_if_the_suite_says_so(bench):
    (record,) = bench.run("linear_probe", report={"examples": False})
    errors = json.loads((bench.store.directory / f"misclassified/{record.cell}.json").read_text())
    assert errors
    assert all(error.keys() == {"id", "true", "taken", "confidence"} for error in errors)


def test_what_reports_show_is_no_part_of_the_key(bench):
    (shown,) = bench.run("linear_probe")
    (hidden,) = bench.run("linear_probe", report={"examples": False}, folder="hidden")
    assert shown.cell == hidden.cell
