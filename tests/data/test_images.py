"""Image files as pixels: what a viewer shows is what a model sees, of whatever format and depth."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from harness.data.images import Facts, decode, examine
from harness.data.pixels import is_image

GREY = np.random.default_rng(0).integers(0, 256, (5, 7), np.uint8)

UPRIGHT = {
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, 2).T,
    8: np.rot90,
}
"""What each value of EXIF's orientation tag asks for, by its definition."""


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def deep(order="<"):
    """Sixteen bits whose upper eight are the same as the lower, and as those of GREY."""
    return Image.fromarray(GREY.astype(f"{order}u2") * 257)


MODES = {
    "L": lambda: Image.fromarray(GREY),
    "P": lambda: Image.fromarray(GREY).convert("P"),
    "LA": lambda: Image.fromarray(GREY).convert("LA"),
    "RGB": lambda: Image.fromarray(GREY).convert("RGB"),
    "RGBA": lambda: Image.fromarray(GREY).convert("RGBA"),
    "CMYK": lambda: Image.fromarray(GREY).convert("RGB").convert("CMYK"),
    "I;16": deep,
    "I;16B": lambda: deep(">"),
}

KINDS = [
    *(("TIFF", {}, mode) for mode in MODES),
    *(("TIFF", {"compression": "tiff_lzw"}, mode) for mode in MODES),
    *(("PNG", {}, mode) for mode in MODES if mode != "CMYK"),
    *(("WEBP", {"lossless": True}, mode) for mode in ("L", "RGB", "RGBA")),
]


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize(("kind", "options", "mode"), KINDS)
def test_every_mode_is_turned_as_its_eight_bit_twin(tmp_path, kind, options, mode, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "stored"
    path.write_bytes(encoded(MODES[mode](), kind, exif=exif, **options))
    pixels = decode(path.read_bytes())
    expected = torch.from_numpy(UPRIGHT[orientation](GREY).copy())
    grey = mode in ("L", "I;16", "I;16B") and kind != "WEBP"
    assert len(pixels) == (1 if grey else 3)
    for channel in pixels:
        assert torch.equal(channel, expected)
    facts = examine(path.read_bytes())
    assert (facts.channels, facts.height, facts.width) == tuple(pixels.shape)


@pytest.mark.parametrize(
    ("kind", "options", "mode", "orientation", "was_wrong"),
    [
        ("TIFF", {}, "L", 6, True),
        ("TIFF", {}, "L", 3, False),
        ("TIFF", {}, "RGB", 6, False),
        ("TIFF", {"compression": "tiff_lzw"}, "L", 6, False),
        ("TIFF", {}, "I;16", 8, True),
        ("PNG", {}, "I;16", 2, True),
        ("PNG", {}, "I;16", 1, False),
        ("PNG", {}, "L", 6, False),
    ],
)
def test_files_that_were_turned_wrongly_before_are_known(
    kind, options, mode, orientation, was_wrong
):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert examine(encoded(MODES[mode](), kind, exif=exif, **options)).turned == was_wrong


# ── depth ─────────────────────────────────────────────────────────────────────────────────────


def test_a_pgm_says_its_own_range():
    assert decode(b"P5 3 1 65535\n" + bytes([0, 0, 1, 1, 255, 255])).tolist() == [[[0, 1, 255]]]
    assert decode(b"P2 3 1 4095\n0 2048 4095\n").tolist() == [[[0, 128, 255]]]


@pytest.mark.parametrize(
    ("dtype", "said"), [(np.int32, "32-bit integers"), (np.float32, "floating-point numbers")]
)
def test_pixels_of_unknown_range_are_refused(dtype, said):
    content = encoded(Image.fromarray(np.array([[1, 2]], dtype)), "TIFF")
    for read in (decode, examine):
        with pytest.raises(ValueError, match=f"{said} of unknown range; save it with 8 or 16 bits"):
            read(content)


def tiff(bits, interpretation, pixels):
    """An uncompressed grey TIFF of a row of pixels, packed already."""
    width = len(pixels) * 8 // bits
    entries = [
        *((256, width), (257, 1), (258, bits), (259, 1), (262, interpretation)),
        *((273, 8), (277, 1), (278, 1), (279, len(pixels))),
    ]
    body = pixels + bytes(-len(pixels) % 2)
    directory = b"".join(
        tag.to_bytes(2, "little") + b"\4\0\1\0\0\0" + value.to_bytes(4, "little")
        for tag, value in entries
    )
    start = (8 + len(body)).to_bytes(4, "little")
    return b"II*\0" + start + body + len(entries).to_bytes(2, "little") + directory + bytes(4)


def test_twelve_bits_span_the_whole_range():
    content = tiff(12, 1, bytes([0xFF, 0xF8, 0x00]))  # 4095 and 2048
    assert decode(content).tolist() == [[[255, 128]]]
    assert examine(content).rescaled


def test_sixteen_bits_with_white_as_zero_are_as_their_eight_bit_twin():
    assert decode(tiff(8, 0, bytes([0, 255]))).tolist() == [[[255, 0]]]
    content = tiff(16, 0, bytes([0, 0, 255, 255]))
    assert decode(content).tolist() == [[[255, 0]]]
    assert examine(content).rescaled
    assert not examine(tiff(16, 1, bytes([0, 0, 255, 255]))).rescaled


# ── transparency ──────────────────────────────────────────────────────────────────────────────


def test_what_is_transparent_lies_on_white():
    """Icons and drawings often are black throughout, and all of their shape is in the alpha."""
    black = np.zeros((1, 3, 4), np.uint8)
    black[0, :, 3] = 255, 0, 128
    content = encoded(Image.fromarray(black), "PNG")
    assert decode(content).tolist() == [[[0, 255, 127]]] * 3
    assert examine(content).flattened


@pytest.mark.parametrize(
    ("mode", "hidden", "channels"), [("L", 5, 1), ("RGB", (5, 5, 5), 3), ("P", 5, 3)]
)
def test_a_colour_may_be_declared_transparent(mode, hidden, channels):
    image = Image.fromarray(np.array([[5, 7]], np.uint8)).convert(mode)
    content = encoded(image, "PNG", transparency=hidden)
    assert decode(content).tolist() == [[[255, 7]]] * channels


def test_an_alpha_that_hides_nothing_changes_nothing():
    content = encoded(MODES["RGBA"](), "PNG")
    assert torch.equal(decode(content)[0], torch.from_numpy(GREY))
    assert examine(content) == Facts(5, 7, channels=3)


# ── frames and formats ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PNG"])
def test_of_several_frames_the_first_is_used_and_that_is_known(kind):
    frames = [Image.new("L", (2, 2), shade) for shade in (9, 99)]
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    assert set(decode(content).flatten().tolist()) == {9}
    assert examine(content).frames
    assert not examine(encoded(frames[0], kind)).frames


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "JPEG2000", "AVIF", "WEBP", "BMP", "PPM"])
def test_an_image_is_known_by_its_content(tmp_path, kind):
    path = tmp_path / "scan"
    path.write_bytes(encoded(Image.new("RGB", (8, 8)), kind))
    assert is_image(path)
    assert decode(path.read_bytes()).shape == (3, 8, 8)


def test_text_and_postscript_are_no_images(tmp_path):
    """Pillow hands PostScript to an interpreter."""
    for content in (
        b"",
        b"P1 was the first patient",
        b"Pyramids",
        encoded(Image.new("L", (4, 4)), "EPS"),
    ):
        (tmp_path / "file").write_bytes(content)
        assert not is_image(tmp_path / "file")
    with pytest.raises(ValueError, match="it is not one of JPEG, PNG"):
        decode(content)
