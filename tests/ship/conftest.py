"""A small comparison on photos of three colours, run once for all that is shipped of it."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

SUITE = """
name = "shipped"
seeds = [0, 1]
strategies = ["linear_probe", "full_finetune"]
budget = { trials = 2, steps = 20, batch_size = 16 }

[[backbones]]
model = "conv4"
weights = "random"
input_size = 16
args = { width = 8, channels = 3 }

[[problems]]
dataset = "folder"
args = { root = "photos" }
fit = "crop"
shots = 5
val_fraction = 0.4
"""


def write_photos(root, each=40, seed=0):
    """Noise with a colour a class, larger and longer than what the model takes, as PNG."""
    draw = np.random.default_rng(seed)
    for number, colour in enumerate(["red", "green", "blue"]):
        folder = root / colour
        folder.mkdir(parents=True)
        for name in range(each):
            pixels = draw.integers(0, 150, (24, 31, 3), np.uint8)
            pixels[..., number] += 40
            Image.fromarray(pixels).save(folder / f"{name}.png")


@pytest.fixture(scope="session")
def photos():
    """Writes ``each`` photos of each colour below a folder."""
    return write_photos


@pytest.fixture(scope="session")
def run_outside():
    """Runs ``harness`` with some words in a folder, where Python leaves what it compiles beside the
    source, as it does by default."""
    usual = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}

    def run(folder, *words):
        program = [sys.executable, "-c", "from harness.cli import main; main()", *words]
        ended = subprocess.run(program, cwd=folder, capture_output=True, text=True, env=usual)
        assert ended.returncode == 0, ended.stderr

    return run


@pytest.fixture(scope="session")
def compared(tmp_path_factory, run_outside):
    """The folder in which a suite was run on 40 photos of each colour."""
    folder = tmp_path_factory.mktemp("compared")
    write_photos(folder / "photos")
    (folder / "shipped.toml").write_text(SUITE)
    run_outside(folder, "suite", "shipped.toml")
    return folder
