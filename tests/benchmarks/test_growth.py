"""How time grows with twice the images, classes, trials or steps: at most twofold, often less."""

import pytest
import torch
from harness_plugins.backbones.timm import Timm
from harness_plugins.strategies.full_finetune import FullFinetune
from harness_plugins.strategies.linear_probe import LinearProbe

from harness.api import Inputs, OneClass, Task
from harness.data.examples import Examples
from harness.data.resident import ResidentPool
from harness.testing import a_run

BASE = {"images": 512, "classes": 16, "trials": 16, "steps": 64}
"""Of a linear probe, from images, with a store that is empty."""

TUNED = ("images", "classes", "trials", "steps")


@pytest.fixture(scope="module")
def backbone(device):
    torch.manual_seed(0)
    return Timm().build("test_resnet", input_size=32, pretrained=False, args={}).eval().to(device)


def a_task(backbone, images, classes):
    pixels = torch.randint(0, 256, (images, 3, 32, 32), dtype=torch.uint8)
    inputs = Inputs(ResidentPool(pixels.to(backbone.device)), torch.arange(images))
    return Task(
        Examples(inputs, torch.arange(images).to(backbone.device) % classes), OneClass.of(classes)
    )


@pytest.mark.parametrize("what", TUNED)
def test_a_tuned_probe(compare, benchmark, backbone, what):
    base = BASE if benchmark.enabled else {**BASE, "images": 64, "steps": 4}

    def tuned(size):
        task = a_task(backbone, size["images"], size["classes"])
        settings = [
            {"lr": 10 ** (-3 + 3 * n / size["trials"]), "weight_decay": 1e-4}
            for n in range(size["trials"])
        ]

        def sweep():
            run = a_run(steps=size["steps"], batch_size=64, device=backbone.device)
            LinearProbe().adapt_batch(backbone, [(task, hp) for hp in settings], run)

        return sweep

    compare(tuned({**base, what: 2 * base[what]}), tuned(base))


@pytest.mark.parametrize("what", ["images", "classes", "steps"])
def test_a_full_finetune(compare, benchmark, backbone, what):
    """Twice the images take no longer, as the budget counts steps."""
    base = {**BASE, "steps": 10} if benchmark.enabled else {**BASE, "images": 64, "steps": 2}

    def trained(size):
        task = a_task(backbone, size["images"], size["classes"])

        def train():
            run = a_run(steps=size["steps"], batch_size=64, device=backbone.device)
            FullFinetune().adapt(backbone, task, FullFinetune.defaults, run)

        return train

    compare(trained({**base, what: 2 * base[what]}), trained(base))
