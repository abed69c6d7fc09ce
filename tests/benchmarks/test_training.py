"""The training loop against others' on the same work: images a second, and what freezing saves.

Each prints the bound, too: its FLOPs at the rate of a float32 matrix product, over its time.
"""

import pytest
import timm
import torch
import torch.nn.functional as F
from harness_plugins.backbones.timm import Timm
from timm.data import create_loader
from timm.optim import create_optimizer_v2
from torch.utils.flop_counter import FlopCounterMode

from harness.api import Inputs, OneClass, Recipe, Task, batch_order, fit
from harness.data.examples import Examples
from harness.data.resident import ResidentPool
from harness.model.precision import suited
from harness.testing import a_run, digits, shots

ON_CPU = [("resnet18", 224, 8), ("vit_tiny_patch16_224", 224, 8), ("test_resnet", 32, 64)]
ON_GPU = [("resnet50", 224, 128), ("vit_small_patch16_224", 224, 128)]
"""Each with its pixels and its batch size."""

STEPS = 4


def a_task(backbone, size, examples):
    images = torch.randint(0, 256, (examples, 3, size, size), dtype=torch.uint8)
    inputs = Inputs(ResidentPool(images.to(backbone.device)), torch.arange(examples))
    return Task(Examples(inputs, torch.arange(examples).to(backbone.device) % 10), OneClass.of(10))


@pytest.fixture(params=ON_GPU if torch.cuda.is_available() else ON_CPU, ids=lambda model: model[0])
def work(request, benchmark, device):
    """A backbone, a task of four batches, the size of one, and a maker of runs."""
    name, size, batch = request.param
    if not benchmark.enabled:
        size, batch = min(size, 32), 4
    torch.manual_seed(0)
    backbone = Timm().build(name, input_size=size, pretrained=False, args={}).eval().to(device)

    def a_run_of(steps):
        run = a_run(steps=steps, batch_size=batch, device=device)
        run.precision = suited(backbone, device)
        return run

    return name, backbone, a_task(backbone, size, STEPS * batch), batch, a_run_of


def flops(function):
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


def full(backbone):
    return Recipe(backbone, backbone.parameters_from(0), lr=1e-3)


def report_share(benchmark, operations, seconds, rate):
    share = operations / seconds / rate
    benchmark.extra_info["share of the matrix rate"] = share
    print(f"  {share:.0%} of the rate of a matrix product")


def test_full_finetune_against_a_bare_loop(benchmark, compare, matrix_rate, device, work):
    """As anyone writes it: float images, the model as timm makes it, AdamW, no validation; in the
    same precision."""
    name, backbone, task, batch, a_run_of = work
    size = task.train.inputs[:1].shape[-1]
    sized = {"img_size": size} if "vit" in name else {}
    mean, std = backbone.mean, backbone.std

    def bare():
        model = timm.create_model(name, num_classes=10, **sized).to(device).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        order = batch_order(len(task.train), batch, STEPS, torch.Generator().manual_seed(0))
        for index in order:
            images = (task.train.inputs[index].float() - mean) / std
            with a_run_of(1).autocast():
                loss = F.cross_entropy(model(images), task.train.labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def ours():
        fit(full(backbone), task, a_run_of(STEPS))

    compare(bare, ours)
    if benchmark.enabled:
        report_share(benchmark, flops(ours), benchmark.extra_info["seconds"][1], matrix_rate)


class Uint8Images(torch.utils.data.Dataset):
    """Decoded already: what timm's loader is given is as cheap as it can be."""

    def __init__(self, task):
        from PIL import Image

        arrays = task.train.inputs[:].permute(0, 2, 3, 1).cpu().numpy()
        self.images = [Image.fromarray(array) for array in arrays]
        self.labels = task.train.labels.tolist()
        self.transform = None

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.transform(self.images[index]), self.labels[index]


def test_full_finetune_against_timms_loop(compare, device, work):
    """What timm's ``train.py`` does in an epoch, without augmentation, logging or checkpoints: its
    loader with workers, its optimizer, a loss that is read in every step, a rate set by step."""
    name, backbone, task, batch, a_run_of = work
    size = task.train.inputs[:1].shape[-1]
    sized = {"img_size": size} if "vit" in name else {}
    data = Uint8Images(task)
    loader = create_loader(
        data,
        (3, size, size),
        batch,
        is_training=True,
        no_aug=True,
        num_workers=2,
        use_prefetcher=False,
        persistent_workers=True,
        device=device,
    )

    def timms():
        model = timm.create_model(name, num_classes=10, **sized).to(device).train()
        optimizer = create_optimizer_v2(model, opt="adamw", lr=1e-3, weight_decay=1e-4)
        for images, labels in loader:
            images, labels = images.to(device), labels.to(device)
            with a_run_of(1).autocast():
                loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()

    def ours():
        fit(full(backbone), task, a_run_of(STEPS))

    try:
        compare(timms, ours)
    finally:
        loader._iterator = None  # its workers end


def test_partial_freeze_against_full_finetune(benchmark, compare, work):
    """The last block trains, for 30 steps; the ratio of FLOPs is the most that can be saved."""
    _, backbone, task, _, a_run_of = work
    partial = Recipe(backbone, backbone.parameters_from(len(backbone.blocks) - 1), lr=1e-3)
    steps = 30 if benchmark.enabled else 2

    def frozen():
        fit(partial, task, a_run_of(steps))

    def all_of_it():
        fit(full(backbone), task, a_run_of(steps))

    ratio = compare(all_of_it, frozen, rounds=5)
    if benchmark.enabled:
        bound = flops(all_of_it) / flops(frozen)
        benchmark.extra_info.update(flops=bound, reached=ratio / bound)
        print(f"  {ratio / bound:.2f} of the ratio of FLOPs, {bound:.2f}")


def test_an_early_end_against_all_steps(benchmark, compare, device):
    """Digits from scratch, scored 40 times; five that were no better end the training."""
    torch.manual_seed(0)
    backbone = Timm().build("test_resnet", input_size=32, pretrained=False, args={}).to(device)
    examples = digits(backbone)
    task = Task(shots(examples, 60, 10), OneClass.of(10), shots(examples, 20, 10, skip=60))
    test = shots(examples, 90, 10, skip=80)
    found = {}

    def trained(patience):
        def train():
            run = a_run(steps=400 if benchmark.enabled else 4, batch_size=64, device=device)
            run.evaluations, run.patience = 40, patience
            found[patience] = fit(full(backbone), task, run)

        return train

    compare(trained(None), trained(5), rounds=3)
    for patience, model in found.items():
        right = model.logits(test.inputs).argmax(1) == test.labels
        print(f"  patience {patience}: {right.double().mean().item():.1%} on test images")
