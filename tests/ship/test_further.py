"""The selected settings, trained once more: what is certified, and what is claimed."""

import json
import shutil

import pytest
import torch

from harness.data.examples import ArrayInputs, TextInputs
from harness.errors import HarnessError
from harness.ship.further import Joined, More

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture
def ship(compared, tmp_path, harness):
    """Ships the recommended model to a folder, and gives how that ended, its certificate, its card
    and what the program in it is told."""
    shutil.copytree(compared, tmp_path, dirs_exist_ok=True)

    def ship(*words):
        ended = harness("ship", "results/shipped", "--to", "out", *words)
        assert ended.status == 0, ended.err
        names = ("certificate.json", "README.md", "model.json")
        certificate, card, told = ((tmp_path / "out" / name).read_text() for name in names)
        return ended, json.loads(certificate), card, json.loads(told)

    return ship


def test_what_learned_from_validation_too_is_scored_on_the_sealed_test(ship):
    _, certificate, card, told = ship("--refit")
    assert certificate["training"]["inputs"] == 3 * (5 + 5)
    test = certificate["sealed_test"]
    assert (test["inputs"], test["passes"]) == (3 * 8, True)
    assert test["accuracy_of_the_file"] == test["accuracy_of_the_model"]
    assert "trained once more on train + validation: 30 examples" in card
    assert (told["temperature"], told["threshold"], told["drift"]) == (1, None, None)


def test_what_learned_from_the_test_claims_no_accuracy(ship):
    ended, certificate, card, _ = ship("--refit", "--with-test")
    assert certificate["training"]["inputs"] == 3 * (5 + 5 + 8)
    assert certificate["sealed_test"] == {"none": "the test examples were learned from"}
    assert "| accuracy | not known: the test examples were learned from |" in card
    assert "recall" not in card
    assert "accuracy of the file" not in ended.err


def test_new_examples_are_learned_from_and_the_rest_stays_held_out(ship, photos, harness, tmp_path):
    photos(tmp_path / "new", each=4, seed=1)
    _, certificate, card, told = ship("--add", "new")
    assert certificate["training"]["inputs"] == 3 * (5 + 4)
    assert certificate["sealed_test"]["inputs"] == 3 * 8
    assert "trained once more on train + added: 27 examples" in card
    assert told["temperature"] != 1
    (tmp_path / "new/red").rename(tmp_path / "new/rose")
    refused = harness("ship", "results/shipped", "--to", "other", "--add", "new")
    assert "the model has no classes 'rose'" in refused.err.splitlines()[-1]


def test_examples_of_the_sealed_test_are_not_added(ship, harness):
    refused = harness("ship", "results/shipped", "--to", "out", "--add", "photos")
    assert refused.status == 2
    assert "24 of the examples to add are in the sealed test" in refused.err.splitlines()[-1]


def test_the_test_is_only_learned_from_with_validation():
    with pytest.raises(HarnessError, match="--with-test goes with --refit"):
        More(test=True)


def test_joined_inputs_are_read_in_their_order():
    images = ArrayInputs(torch.arange(3, dtype=torch.uint8).reshape(3, 1, 1, 1))
    more = ArrayInputs(torch.full((1, 1, 2, 2), 9, dtype=torch.uint8))
    joined = Joined([images, more, images])
    assert len(joined) == 7
    assert [int(image.flatten()[0]) for image in joined.read([6, 3, 0, 4])] == [2, 9, 0, 0]
    assert Joined([TextInputs(("a",)), TextInputs(("b", "c"))]).read([2, 0]) == ["c", "a"]
    assert joined.digest() != Joined([images, images, more]).digest()
