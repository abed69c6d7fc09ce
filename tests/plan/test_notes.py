"""What of the data is not used is told; what is decoded otherwise than before is another cell."""

import numpy as np
import pytest
from PIL import Image

from harness.plan.notes import notes, notes_told


def pictures(root, *sizes, **options):
    """Two classes of five images each of the sizes, width first."""
    for label in ("a", "b"):
        (root / label).mkdir(parents=True)
        for number, size in enumerate(sizes * 5):
            shade = number + 100 * (label == "b")
            Image.new(options.get("mode", "L"), size, shade).save(root / label / f"{number}.png")
    return {"dataset": "folder", "args": {"root": str(root)}, "shots": 1}


@pytest.fixture
def told(planned, toy_data, table):
    """The sentences on a problem."""

    def of(**problem):
        table["problems"] = [problem]
        return [sentence for _, sentence in notes_told(toy_data, planned(table))]

    return of


CROPPED = "images lose more than a fifth of their area, as their middle is cropped: fit = 'pad' or "


def test_images_that_lose_more_than_a_fifth_to_the_crop_are_counted(told, tmp_path):
    problem = pictures(tmp_path / "mixed", (10, 8), (100, 79), (8, 40))
    keeps = "'squash' keeps all of it"
    assert told(**problem) == [f"20 of 30 {CROPPED}{keeps}"]
    assert told(**problem, fit="crop") == [f"20 of 30 {CROPPED}{keeps}"]
    assert told(**problem, fit="pad") == told(**problem, fit="squash") == []
    assert told(**pictures(tmp_path / "square", (8, 8), (10, 8))) == []


def test_the_size_is_that_of_the_upright_image(told, tmp_path):
    """A tall and a wide image are cropped alike, whatever the tag says."""
    problem = pictures(tmp_path / "x", (8, 8))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (8, 20)).save(tmp_path / "x/a/0.png", exif=exif)
    assert told(**problem) == [f"1 of 10 {CROPPED}'squash' keeps all of it"]


def test_what_a_dataset_left_out_and_further_frames_are_told_of_sources_too(
    told, tmp_path, planned, toy_data, table
):
    problem = pictures(tmp_path / "x", (8, 8))
    (tmp_path / "x/a/notes.txt").write_text("no image")
    frames = [Image.new("L", (8, 8), shade) for shade in (1, 2)]
    frames[0].save(tmp_path / "x/b/film.tif", save_all=True, append_images=frames[1:])
    sentences = [
        "1 of 12 files are no images and were passed over: 1 .txt",
        "1 of 11 images have several frames, of which the first is used",
    ]
    assert told(**problem) == sentences
    source = {key: problem[key] for key in ("dataset", "args")}
    assert told(dataset="toy", source=source) == [f"source 'folder': {line}" for line in sentences]
    table["backbones"][0]["weights"] = {"source": "folder", "args": problem["args"]}
    table["problems"] = [{"dataset": "toy"}]
    assert notes(toy_data, planned(table)[0]) == [f"source 'folder': {s}" for s in sentences]


# ── keys ──────────────────────────────────────────────────────────────────────────────────────


def deep(root, orientation):
    """Sixteen-bit images, one of them with an orientation."""
    problem = pictures(root, (8, 8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.full((8, 8), 9, np.uint16)).save(root / "a/0.png", exif=exif)
    return problem


def test_cells_whose_images_were_turned_wrongly_run_again_and_no_others(planned, table, tmp_path):
    def meaning(problem, **weights):
        table["problems"] = [problem]
        table["backbones"][0]["weights"] = weights or "random"
        return planned(table)[0].meaning

    turned, straight = deep(tmp_path / "turned", 6), deep(tmp_path / "straight", 1)
    assert meaning(turned)["revisions"] == ["images upright"]
    assert "revisions" not in meaning(straight)
    source = {"source": {key: turned[key] for key in ("dataset", "args")}}
    found = meaning({"dataset": "toy", **source})
    assert "revisions" not in found
    assert found["source"]["corrections"] == ["images upright"]
    weights = meaning({"dataset": "toy"}, source="folder", args=turned["args"])["backbone"][
        "weights"
    ]
    assert weights["corrections"] == ["images upright"]
    weights = meaning({"dataset": "toy"}, source="folder", args=straight["args"])["backbone"][
        "weights"
    ]
    assert "corrections" not in weights


def test_fit_makes_another_cell_and_its_absence_does_not(planned, table):
    def cell(**problem):
        table["problems"] = [{"dataset": "toy", "source": {"dataset": "digits"}, **problem}]
        return planned(table)[0]

    assert "fit" not in cell().meaning["problem"]
    assert "fit" not in cell().meaning["source"]
    assert cell(fit="pad").meaning["problem"]["fit"] == "pad"
    assert cell(fit="pad").meaning["source"]["fit"] == "pad"
    assert len({cell().cell, *(cell(fit=fit).cell for fit in ("crop", "pad", "squash"))}) == 4
