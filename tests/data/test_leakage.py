"""Identical inputs on both sides of a split are counted, whatever kind of input they are."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harness.data.digests import example_digests
from harness.data.episodes import Episode
from harness.data.examples import ArrayInputs, Data, FileInputs, RawRows, Split, TextInputs
from harness.data.leakage import episode_leakage, further_leakage, leakage, sentence, told
from harness.data.loaded import Loaded
from harness.data.splits import Manifest

texts = st.lists(st.sampled_from("abcdefgh"), min_size=3, max_size=20)


def loaded(train, test=None, labels=None):
    """Texts, of one class unless ``labels`` tells."""

    def split(words, labels=None):
        known = torch.tensor(labels) if labels else torch.zeros(len(words), dtype=torch.int64)
        return Split(TextInputs(tuple(words)), known)

    data = Data(train=split(train, labels), classes=("0", "1"), test=split(test) if test else None)
    return Loaded(data, "any")


def manifest(train, val, test, official=False):
    return Manifest(tuple(train), tuple(val), tuple(test), official)


@given(texts, st.data())
def test_counts_are_of_examples_with_a_twin(words, data):
    """Against every pair, compared one by one."""
    part = data.draw(st.lists(st.sampled_from(["train", "val", "test"]), min_size=len(words)))
    rows = {
        name: [i for i, p in enumerate(part[: len(words)]) if p == name]
        for name in ("train", "val", "test")
    }

    def count(asked, seen):
        return sum(any(words[i] == words[j] for j in rows[seen]) for i in rows[asked])

    pairs = {"train-test": ("test", "train"), "val-test": ("test", "val")}
    pairs |= {"train-val": ("val", "train")}
    expected = {name: count(*pair) for name, pair in pairs.items()}
    found = leakage(loaded(words), manifest(**rows))
    assert found == {name: count for name, count in expected.items() if count}


def test_an_official_test_split_has_ids_of_its_own():
    data = loaded(["a", "b", "c", "d"], test=["d", "x", "a", "a"])
    found = leakage(data, manifest([0, 1], [2], [0, 1, 2, 3], official=True))
    assert found == {"train-test": 2}  # "a" twice; "d" is not among what is trained on


def test_what_a_source_shows_is_compared_with_what_is_tested():
    data, source = loaded(["a", "b", "c", "d"]), loaded(["d", "c", "b"])
    split = manifest([0], [1], [2, 3])
    assert leakage(data, split, [(source, [0, 1])]) == {"source-test": 2}
    assert leakage(data, split, [(source, [2])]) == {}


def test_a_further_test_is_compared_with_all_that_was_learned_from():
    learned = loaded(["a", "b", "c", "d"])
    other = loaded(["x", "y"], test=["a", "c", "c", "d", "s", "new"])
    source = loaded(["s", "t"])
    split = manifest(train=[0, 1], val=[2], test=[3])
    found = further_leakage(learned, split, other, range(6), [(source, range(2))])
    assert found == {"train-test": 1, "val-test": 2, "source-test": 1}
    assert further_leakage(learned, split, other, [3, 5]) == {}


def test_one_input_with_two_labels_is_ambiguous_wherever_it_occurs():
    data = loaded(["a", "a", "a", "b", "b", "c"], labels=[0, 1, 0, 1, 1, 0])
    found = leakage(data, manifest([0, 3], [1, 5], [2, 4]))
    assert found["ambiguous"] == 3
    assert found["train-test"] == 2


def test_queries_are_compared_with_the_support_of_their_own_episode():
    data = loaded(["a", "b", "a", "b", "c"])
    one, other = Episode((0,), (0,), (2, 3)), Episode((0,), (1,), (2, 4))
    assert episode_leakage(data, [one, other]) == {"train-test": 1}
    source = loaded(["c", "z"])
    assert episode_leakage(data, [one, other], [(source, [0])]) == {
        "train-test": 1,
        "source-test": 1,
    }


def test_sentences_name_both_numbers():
    leaks = {"train-test": 12, "train-val": 1, "ambiguous": 3}
    assert list(told(leaks, test=2000, val=50)) == [
        "12 of 2,000 test examples are identical to a training example",
        "1 of 50 validation examples is identical to a training example",
        "3 examples are identical to one of another class",
    ]


def test_one_example_is_one():
    assert sentence("near-val", 1).startswith("1 validation example is nearly the same as")
    assert sentence("ambiguous", 1) == "1 example is identical to one of another class"


class TestDigests:
    @dataclass(frozen=True)
    class Plain:
        """Inputs of a plugin's own kind, which only reads."""

        things: list

        def __len__(self):
            return len(self.things)

        def read(self, rows):
            return [self.things[row] for row in rows]

        def digest(self):
            raise NotImplementedError

    def test_images_in_memory_are_alike_whoever_holds_them(self):
        images = torch.randint(0, 3, (600, 1, 2, 2), dtype=torch.uint8)
        digests = example_digests(ArrayInputs(images))
        assert digests == example_digests(self.Plain(list(images)))
        for i, j in torch.randint(0, 600, (500, 2)).tolist():
            assert (digests[i] == digests[j]) is torch.equal(images[i], images[j])

    def test_the_same_bytes_in_another_shape_are_another_image(self):
        flat = torch.zeros(1, 1, 2, 8, dtype=torch.uint8)
        shapes = [(1, 1, 2, 8), (1, 1, 8, 2), (1, 4, 2, 2)]
        found = {example_digests(ArrayInputs(flat.reshape(shape))) for shape in shapes}
        assert len(found) == 3

    def test_a_view_of_images_is_hashed_as_a_copy(self):
        images = torch.randint(0, 255, (4, 6, 6, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
        copied = example_digests(ArrayInputs(images.contiguous()))
        assert example_digests(ArrayInputs(images)) == copied

    @pytest.mark.parametrize("word", ["", "ß", "\ud800", "a\x00b"])
    def test_texts_are_compared_letter_by_letter(self, word):
        (digest,) = example_digests(TextInputs((word,)))
        assert (digest,) == example_digests(self.Plain([word]))
        assert digest not in example_digests(TextInputs((word + " ", word.upper() + "x")))

    def test_files_are_compared_by_their_bytes_which_are_read_once(self, tmp_path):
        for number, grey in enumerate((7, 9, 7)):
            Image.new("L", (4, 4), grey).save(tmp_path / f"{number}.png")
        inputs = FileInputs(tuple(sorted(tmp_path.iterdir())))
        one, other, twin = example_digests(inputs)
        assert one == twin != other
        before = inputs.digest()
        (tmp_path / "0.png").unlink()
        assert inputs.digest() == before


class Knowing(TextInputs):
    """Texts that say themselves which of them are the same."""

    @property
    def digests(self):
        return tuple(text.lower().encode() for text in self.texts)


def test_inputs_may_know_their_own_hashes_and_rows_have_those_of_what_they_are_rows_of():
    knowing = Knowing(("A", "b", "a"))
    assert example_digests(knowing) == (b"a", b"b", b"a")
    assert example_digests(RawRows(knowing, torch.tensor([2, 1]))) == (b"a", b"b")
