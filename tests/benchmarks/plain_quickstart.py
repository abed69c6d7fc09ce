"""The cells of ``suites/quickstart.toml`` as a plain script does them, one trial after another.

    python tests/benchmarks/plain_quickstart.py

The same model, data, splits and settings; the loops are those that one writes by hand: every
forward pass through the whole model, ``torch.optim.AdamW`` as it comes, torch's own threads.
Weights and, for each seed, MAML's initialisation are made once and kept in a variable. Nothing is
written down, and no cost is measured. Prints each cell's accuracy, and the seconds of it all.
"""

import copy
import itertools
import math
import statistics
import time

import timm
import torch
import torch.nn.functional as F
from torch.func import functional_call
from torchvision.transforms.v2 import functional as image_ops

from harness.plan import configure
from harness.plan.cells import plan
from harness.plan.datasets import Datasets
from harness.plan.targets import cell_manifest
from harness.registry import load
from harness.run.tune import Tuner
from harness.suite.read import find, read

MEAN = STD = 0.5


def images_of(raw):
    """Float images ``[N, 3, 32, 32]`` of a split."""
    pixels = raw.read(range(len(raw))).expand(-1, 3, -1, -1)
    if pixels.shape[-1] != 32:
        pixels = image_ops.resize(pixels, [32], antialias=True)
    return (pixels.float() / 255 - MEAN) / STD


def a_model(classes, body=None):
    model = timm.create_model("test_resnet", num_classes=classes)
    if body is not None:
        model.load_state_dict(body, strict=False)
    torch.nn.init.zeros_(model.get_classifier().weight)
    torch.nn.init.zeros_(model.get_classifier().bias)
    return model


def body_of(model):
    """What a model knows without its classifier."""
    head = {id(p) for p in model.get_classifier().parameters()}
    return {n: t for n, t in model.state_dict(keep_vars=True).items() if id(t) not in head}


def accuracy(model, images, labels):
    model.eval()
    with torch.no_grad():
        logits = torch.cat([model(part) for part in images.split(256)])
    return (logits.argmax(1) == labels).float().mean().item()


def train(model, trainable, data, val, *, lr, decay, steps, batch, sgd=False):
    """The best of four states, by validation."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for parameter in trainable:
        parameter.requires_grad_(True)
    optimizer = (torch.optim.SGD if sgd else torch.optim.AdamW)(
        trainable, lr=lr, weight_decay=decay
    )
    images, labels = data
    best, order = (-1.0, {}), []
    for step in range(1, steps + 1):
        if len(order) < batch:
            order = torch.randperm(len(images)).tolist()
        index, order = order[:batch], order[batch:]
        model.train()
        if sgd is False:
            for group in optimizer.param_groups:
                group["lr"] = lr * 0.5 * (1 + math.cos(math.pi * (step - 1) / steps))
        optimizer.zero_grad()
        F.cross_entropy(model(images[index]), labels[index]).backward()
        optimizer.step()
        if step in {math.ceil(steps * part / 4) for part in range(1, 5)}:
            score = accuracy(model, *val)
            if score > best[0]:
                best = score, copy.deepcopy(model.state_dict())
    model.load_state_dict(best[1])
    return best[0], model


def meta_train(model, images, labels, *, lr, inner_lr, steps, meta_steps, tasks=4, ways=5):
    """Second-order MAML, one task after another."""
    body = dict(model.named_parameters())
    optimizer = torch.optim.Adam(body.values(), lr=lr)
    by_class = [torch.nonzero(labels == c).flatten() for c in range(int(labels.max()) + 1)]
    model.train()
    for _ in range(meta_steps):
        optimizer.zero_grad()
        for _ in range(tasks):
            chosen = torch.randperm(len(by_class))[:ways].tolist()
            rows = [by_class[c][torch.randperm(len(by_class[c]))[:6]] for c in chosen]
            support = torch.cat([r[:1] for r in rows])
            query = torch.cat([r[1:] for r in rows])
            answers = torch.arange(ways)
            values = dict(body)
            for _ in range(steps):
                logits = functional_call(model, values, (images[support],))[:, :ways]
                loss = F.cross_entropy(logits, answers)
                slopes = torch.autograd.grad(
                    loss, list(values.values()), create_graph=True, allow_unused=True
                )
                values = {
                    n: v if g is None else v - inner_lr * g
                    for (n, v), g in zip(values.items(), slopes, strict=True)
                }
            logits = functional_call(model, values, (images[query],))[:, :ways]
            (F.cross_entropy(logits, answers.repeat_interleave(5)) / tasks).backward()
        optimizer.step()
    return body_of(model)


def main():
    started = time.perf_counter()
    registry = load()
    datasets = Datasets(registry)
    planned = plan(read(find("quickstart")), registry, datasets, "quickstart")
    digits = datasets.load("digits", {}).data.train
    glyphs = datasets.load("glyphs", {}).data
    images, labels = images_of(digits.inputs), digits.labels
    letters, names = images_of(glyphs.train.inputs), glyphs.train.labels
    weights = planned.suite.backbones[0].weights
    torch.manual_seed(0)
    source = a_model(len(glyphs.classes))
    held = torch.randperm(len(letters))
    val, train_rows = held[: len(held) // 20], held[len(held) // 20 :]
    _, source = train(
        source,
        list(source.parameters()),
        (letters[train_rows], names[train_rows]),
        (letters[val], names[val]),
        lr=weights.lr,
        decay=weights.weight_decay,
        steps=weights.steps,
        batch=weights.batch_size,
    )
    body = {n: t.detach().clone() for n, t in body_of(source).items()}
    initial = {}
    found = {}
    for cell in planned.cells:
        torch.manual_seed(cell.seed)
        manifest = cell_manifest(datasets, cell)
        rows = [torch.tensor(part) for part in (manifest.train, manifest.val, manifest.test)]
        learn, check, test = [(images[r], labels[r]) for r in rows]
        configured = configure.strategy(registry, cell.strategy_spec)
        tuner = Tuner(configured, cell.budget, cell.seed)
        best = (-1.0, None)
        for ((_, hp),) in itertools.islice(tuner.rounds(lambda: 0.0), cell.budget.trials):
            start, options = body, {"steps": cell.budget.steps}
            if cell.strategy == "maml":
                if cell.seed not in initial:
                    initial[cell.seed] = meta_train(
                        a_model(5, body),
                        letters,
                        names,
                        lr=hp["meta_lr"],
                        inner_lr=hp["inner_lr"],
                        steps=hp["inner_steps"],
                        meta_steps=hp["meta_steps"],
                    )
                start = initial[cell.seed]
                options = {"steps": min(hp["adapt_steps"], cell.budget.steps), "sgd": True}
            model = a_model(10, None if cell.strategy == "from_scratch" else start)
            trainable = list(model.parameters())
            if cell.strategy == "linear_probe":
                trainable = list(model.get_classifier().parameters())
            elif cell.strategy == "partial_freeze":
                stages = [model.layer1, model.layer2, model.layer3, model.layer4]
                parts = [*stages[-hp["train_blocks"] :], model.get_classifier()]
                trainable = [p for part in parts for p in part.parameters()]
            trial = train(
                model,
                trainable,
                learn,
                check,
                lr=hp.get("lr", hp.get("adapt_lr")),
                decay=hp.get("weight_decay", 0.0),
                batch=cell.budget.batch_size,
                **options,
            )
            best = max(best, trial, key=lambda found: found[0])
        found.setdefault((str(cell.shots), cell.strategy), []).append(accuracy(best[1], *test))
        print(f"{cell.title}: {found[str(cell.shots), cell.strategy][-1]:.1%}", flush=True)
    for (shots, strategy), accuracies in found.items():
        print(f"{shots:>4} {strategy:15} {statistics.mean(accuracies):.1%}")
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
