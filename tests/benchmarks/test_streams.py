"""What it saves to read files ahead of their use: ratios, the two sides taken in turn.

Run with ``pytest tests/benchmarks --benchmark-enable -s``. A step of training on each batch of
decoded files, which are read either between the steps or while they run. No time is asserted.
"""

import os

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from harness.api import FileInputs, ImageBackbone
from harness.data.resident import on_host
from harness.data.streamed import StreamedPool

BATCHES = torch.arange(384).split(32)


@pytest.fixture(params=["jpg", "png"])
def files(request, tmp_path):
    """Smooth noise of 160 pixels a side."""
    draw = np.random.default_rng(0)
    paths = []
    for number in range(len(torch.cat(BATCHES))):
        noise = Image.fromarray(draw.integers(0, 256, (160, 160, 3), dtype=np.uint8))
        paths.append(tmp_path / f"{number}.{request.param}")
        noise.filter(ImageFilter.GaussianBlur(2)).save(paths[-1])
    return FileInputs(tuple(paths))


@pytest.fixture
def preprocess():
    """For a small convolutional net of 112 pixels."""
    return ImageBackbone(torch.nn.Flatten(), [], input_size=112).preprocess


@pytest.fixture
def pool(files, preprocess, device):
    return StreamedPool(files, preprocess, device)


@pytest.fixture
def step(device):
    """A step of descent on a batch."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 7, stride=4),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 32, 3, stride=2),
        torch.nn.ReLU(),
        torch.nn.Conv2d(32, 32, 3),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(32, 10),
    ).to(device)
    optimizer = torch.optim.AdamW(net.parameters())

    def step_(images):
        loss = net(images.float() / 255).logsumexp(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step_


def synchronise(device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def test_files_read_ahead_against_files_read_between_the_steps(compare, pool, step, device):
    from harness.data import streamed

    def between():
        for rows in BATCHES:
            step(pool.preprocess(streamed._raw[pool].read(rows.tolist())).to(device))
        synchronise(device)

    def ahead():
        for images in pool.stream(BATCHES):
            step(images)
        synchronise(device)

    compare(between, ahead)


def test_a_set_prepared_by_all_cores_against_one(compare, files, preprocess):
    """As in the process that cells are forked from, where torch computes with one thread."""
    before, cores = torch.get_num_threads(), os.cpu_count()
    torch.set_num_threads(1)
    try:
        compare(lambda: on_host(files, preprocess, 1), lambda: on_host(files, preprocess, cores))
    finally:
        torch.set_num_threads(before)
