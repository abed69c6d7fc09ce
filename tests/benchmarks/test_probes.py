"""How much faster probes are tuned than by others' ways: ratios, the two sides taken in turn.

Run with ``pytest tests/benchmarks/test_probes.py --benchmark-enable -s``; the ratio of medians is
in ``extra_info`` of ``--benchmark-json`` too. No time is asserted.
"""

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness_plugins.backbones.timm import Timm
from harness_plugins.strategies._logistic_regression import solve
from harness_plugins.strategies.linear_probe import LinearProbe
from harness_plugins.strategies.logistic_probe import LogisticProbe
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from harness.api import Classifier, OneClass, Recipe, Task, batch_order, cosine, standardised_head
from harness.testing import a_run, digits, shots

SETTINGS = 20
L2S = np.geomspace(1e-5, 1.0, SETTINGS).tolist()


# ── ready features: the path against one fit a setting ──────────────────────────────────────────


def features_of_digits(examples, width):
    """Random ReLU features of noisy digits, standardised, float32 ``[examples, width]``."""
    draws = np.random.default_rng(0)
    pixels, labels = load_digits(return_X_y=True)
    rows = np.concatenate([draws.permutation(len(labels)) for _ in range(3)])[:examples]
    noisy = pixels[rows] / 16 + draws.normal(0, 0.2, (examples, 64))
    features = np.maximum(noisy @ draws.normal(size=(64, width)) + draws.normal(size=width), 0)
    features -= features.mean(0)
    features /= np.sqrt((features**2).mean())
    return features.astype(np.float32), labels[rows]


def by_scikit_learn(features, labels, l2s, **options):
    models = []
    with warnings.catch_warnings(action="ignore"):
        for l2 in l2s:
            model = LogisticRegression(C=1 / (len(labels) * l2), **options)
            models.append(model.fit(features, labels))
    return [(model.coef_, model.intercept_) for model in models]


def losses(heads, features, labels, l2s):
    found = []
    for (weight, bias), l2 in zip(heads, l2s, strict=True):
        weight, bias = (torch.as_tensor(a, dtype=torch.float64) for a in (weight, bias))
        logits = torch.as_tensor(features).double() @ weight.T + bias
        fit = F.cross_entropy(logits, torch.as_tensor(labels))
        found.append((fit + l2 / 2 * weight.square().sum()).item())
    return np.array(found)


@pytest.mark.parametrize(("examples", "width"), [(1400, 256), (5000, 128), (3000, 512), (500, 768)])
def test_a_sweep_on_ready_features_against_scikit_learn(
    compare, benchmark, device, examples, width
):
    """Losses against those of scikit-learn with a tolerance of 1e-7, in float64."""
    features, labels = features_of_digits(examples, width)
    l2s = L2S if benchmark.enabled else L2S[-2:]

    def one_fit_a_setting():
        return by_scikit_learn(features, labels, l2s, max_iter=1000)

    def path():
        tensors = torch.tensor(features)[None].to(device), torch.tensor(labels)[None].to(device)
        weight, bias = (found.cpu() for found in solve(*tensors, 10, l2s))
        return list(zip(weight[:, 0], bias[:, 0], strict=True))

    compare(one_fit_a_setting, path)
    if benchmark.enabled:
        tight = by_scikit_learn(features.astype(np.float64), labels, l2s, tol=1e-7, max_iter=20_000)
        optima = losses(tight, features, labels, l2s)
        for side in (one_fit_a_setting, path):
            above = (losses(side(), features, labels, l2s) - optima).max()
            benchmark.extra_info[f"{side.__name__} above the optimum"] = above
            print(f"  {side.__name__}: at most {above:.1e} nats above the optimum")


# ── from images: features once against the backbone at every step ───────────────────────────────


@pytest.fixture(scope="module")
def backbone(device):
    torch.manual_seed(0)
    return Timm().build("test_resnet", input_size=32, pretrained=False, args={}).eval().to(device)


@pytest.fixture(scope="module")
def data(backbone):
    """A task of 640 digits and 400 validation images, and 700 test images."""
    examples = digits(backbone)
    task = Task(shots(examples, 64, 10), OneClass.of(10), shots(examples, 40, 10, skip=64))
    return task, shots(examples, 70, 10, skip=104)


STEPS, BATCH = 100, 64
GRID = [
    {"lr": lr, "weight_decay": decay}
    for lr in np.geomspace(1e-3, 1.0, 5).tolist()
    for decay in np.geomspace(1e-5, 1e-1, 4).tolist()
]


def best_on_validation(predictors, task):
    def correct(predictor):
        return accuracy(predictor, task.val)

    return max(predictors, key=correct)


def accuracy(predictor, examples):
    right = predictor.logits(examples.inputs).argmax(1) == examples.labels
    return right.double().mean().item()


def train_epoch_by_epoch(backbone, task, hp, run):
    """A head on features that the frozen backbone computes anew for each batch, and for each of the
    four times that it is validated. Centre and scale are given, free of charge."""
    head = standardised_head(backbone, task, run)
    model = Classifier(Recipe(backbone, (), lr=0.0, head=head), task, run)
    head, best = model.head, (-1.0, {})
    optimizer = torch.optim.AdamW(
        [
            {"params": [head.weight], "weight_decay": hp["weight_decay"]},
            {"params": [head.bias], "weight_decay": 0.0},
        ],
        lr=hp["lr"],
    )
    order = batch_order(len(task.train), BATCH, STEPS, run.generator("batches"))
    for step, batch in enumerate(order):
        with torch.no_grad():
            features = backbone.features(task.train.inputs[batch])
        loss = F.cross_entropy(model.classify(features), task.train.labels[batch])
        for group in optimizer.param_groups:
            group["lr"] = hp["lr"] * cosine(step / STEPS)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % (STEPS // 4) == 0:
            with run.computing():
                score = accuracy(model, task.val)
            if score > best[0]:
                best = score, {name: t.clone() for name, t in head.state_dict().items()}
    head.load_state_dict(best[1])
    return model


@pytest.mark.parametrize("strategy", [LinearProbe(), LogisticProbe()], ids=lambda s: s.name)
def test_a_tuned_probe_against_training_the_frozen_backbone(
    compare, benchmark, backbone, data, strategy
):
    """Twenty settings each, from images, with a store that is empty."""
    task, test = data
    grid = GRID if benchmark.enabled else GRID[-2:]
    settings = grid if strategy.name == "linear_probe" else [{"l2": l2} for l2 in L2S]

    def epoch_by_epoch():
        run = a_run(steps=STEPS, batch_size=BATCH, device=backbone.device)
        found = [train_epoch_by_epoch(backbone, task, hp, run) for hp in grid]
        return best_on_validation(found, task)

    def all_at_once():
        run = a_run(steps=STEPS, batch_size=BATCH, device=backbone.device)
        found = strategy.adapt_batch(backbone, [(task, hp) for hp in settings], run)
        return best_on_validation(found, task)

    chosen = {}

    def keeping(side):
        def timed():
            chosen[side.__name__] = side()

        return timed

    compare(keeping(epoch_by_epoch), keeping(all_at_once), rounds=3)
    for name, predictor in chosen.items():
        benchmark.extra_info[f"{name} accuracy"] = accuracy(predictor, test)
        print(f"  {name}: {accuracy(predictor, test):.1%} on test images")
