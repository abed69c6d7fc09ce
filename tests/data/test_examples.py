"""Raw inputs: what a file holds is what a model sees, and content alone makes the digest."""

import numpy as np
import pytest
import torch
from PIL import Image

from harness.data.examples import ArrayInputs, Data, FileInputs, Split, tensor_digest
from harness.errors import HarnessError


def decoded(path):
    return FileInputs((path,)).read([0])[0]


class TestImageFiles:
    def test_grey_stays_grey_and_colour_has_three_channels(self, tmp_path):
        grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
        Image.fromarray(grey).save(tmp_path / "grey.png")
        Image.fromarray(np.stack([grey] * 3, 2)).save(tmp_path / "colour.png")
        assert torch.equal(decoded(tmp_path / "grey.png"), torch.from_numpy(grey)[None])
        assert decoded(tmp_path / "colour.png").shape == (3, 3, 4)

    def test_black_and_white_spans_the_whole_range(self, tmp_path):
        Image.fromarray(np.array([[True, False]])).save(tmp_path / "bilevel.png")
        assert decoded(tmp_path / "bilevel.png").tolist() == [[[255, 0]]]

    def test_sixteen_bits_are_scaled_and_not_clipped(self, tmp_path):
        Image.fromarray(np.array([[0, 257, 65535]], dtype=np.uint16)).save(tmp_path / "deep.png")
        assert decoded(tmp_path / "deep.png").tolist() == [[[0, 1, 255]]]

    def test_a_turned_photograph_is_set_upright(self, tmp_path):
        photo = Image.fromarray(np.zeros((10, 20, 3), dtype=np.uint8))
        exif = photo.getexif()
        exif[0x0112] = 6  # orientation: turn by a quarter
        photo.save(tmp_path / "photo.jpg", exif=exif)
        assert decoded(tmp_path / "photo.jpg").shape == (3, 20, 10)

    @pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n torn"])
    def test_a_damaged_file_is_named(self, tmp_path, content):
        (tmp_path / "bad.png").write_bytes(content)
        with pytest.raises(HarnessError, match=r"cannot read the image .*bad\.png"):
            decoded(tmp_path / "bad.png")

    def test_a_file_that_the_system_refuses_need_not_be_repaired(self, tmp_path):
        with pytest.raises(HarnessError, match=r"gone\.png.*Look after the file and the disk"):
            decoded(tmp_path / "gone.png")

    def test_a_torn_photograph_is_named(self, tmp_path):
        noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "photo.jpg")
        whole = (tmp_path / "photo.jpg").read_bytes()
        (tmp_path / "photo.jpg").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(HarnessError, match=r"photo\.jpg"):
            decoded(tmp_path / "photo.jpg")

    def test_the_digest_is_of_the_content_and_not_of_the_path(self, tmp_path):
        for name, shade in (("a.png", 0), ("b.png", 0), ("c.png", 9)):
            Image.new("L", (4, 4), shade).save(tmp_path / name)
        a, b, c = (FileInputs((tmp_path / name,)).digest() for name in ("a.png", "b.png", "c.png"))
        assert a == b != c


class TestArrays:
    def test_images_must_be_bytes_in_four_dimensions(self):
        with pytest.raises(ValueError, match="uint8"):
            ArrayInputs(torch.zeros(2, 1, 4, 4))
        with pytest.raises(ValueError, match=r"\[2, 4, 4\]"):
            ArrayInputs(torch.zeros(2, 4, 4, dtype=torch.uint8))

    def test_labels_must_match_the_inputs(self):
        images = ArrayInputs(torch.zeros(2, 1, 4, 4, dtype=torch.uint8))
        with pytest.raises(ValueError, match=r"int64 \[2\]"):
            Split(images, torch.zeros(3, dtype=torch.int64))


def test_a_datasets_digest_covers_all_that_it_holds():
    def data(pixel=0, label=0, name="a", held_out=()):
        images = torch.full((2, 1, 2, 2), pixel, dtype=torch.uint8)
        split = Split(ArrayInputs(images), torch.tensor([label, 1]))
        return Data(split, classes=(name, "b"), held_out=frozenset(held_out)).digest()

    digests = [data(), data(pixel=1), data(label=1), data(name="c"), data(held_out=["a"])]
    assert len(set(digests)) == 5
    assert data() == data()


def test_tensor_digest_tells_shapes_and_types_apart():
    four = torch.arange(4, dtype=torch.uint8)
    assert tensor_digest(four) != tensor_digest(four.reshape(2, 2))
    assert tensor_digest(four) != tensor_digest(four.view(torch.int8))
    assert tensor_digest(four.reshape(2, 2).T) == tensor_digest(four.reshape(2, 2).T.contiguous())
