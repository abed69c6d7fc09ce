"""Suites on real data that is not part of the project, cut short; skipped where it is absent."""

import json
import zipfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SHARED = HERE.parent.parent.parent / "shared/data"

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not SHARED.is_dir(), reason="the real data is not here"),
]


@pytest.fixture
def data(tmp_path):
    """``data/`` as the suites expect it."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "usps.npz").symlink_to(SHARED / "usps.npz")
    (folder / "mnist.npz").symlink_to(SHARED / "mnist-9k.npz")
    (folder / "cifar10_resnet20.safetensors").symlink_to(SHARED / "cifar10_resnet20.safetensors")
    with zipfile.ZipFile(SHARED / "omniglot-small.zip") as archive:
        archive.extractall(folder)
    return folder


def accuracies(ended):
    rows = json.loads(ended.out)
    return {row["label"]: row["accuracy"] for row in rows if row["status"] == "ok"}


def test_photograph_weights_from_a_users_plugin_read_digits(harness, data):
    short = ["--set", "budget.trials=1", "--set", "budget.steps=100"]
    ended = harness(
        *("suite", "mnist", "--plugin", HERE / "cifar_resnet20.py", *short),
        *("--only", "label=linear_probe", "--only", "shots=10", "--format", "json"),
    )
    assert ended.status == 0, ended.err
    assert accuracies(ended)["linear_probe"] > 0.55  # ten ways by chance: 0.1


def test_characters_of_unseen_alphabets(harness, data):
    short = ["--set", "budget.trials=1", "--set", "backbones.0.weights.steps=40"]
    short += ["--set", "problems.0.episodes=20", "--set", "problems.0.val_episodes=2"]
    short += ["--set", "strategies.4.args.meta_steps=2"]
    ended = harness(
        *("suite", "omniglot", *short, "--only", "label=linear_probe,maml"),
        *("--only", "shots=1", "--format", "json"),
    )
    assert ended.status == 0, ended.err
    assert accuracies(ended)["linear_probe"] > 0.35  # five ways by chance: 0.2
    (split,) = Path("results/omniglot/splits").glob("*.json")
    novel = json.loads(split.read_text())["classes"]["novel"]
    assert len(novel) == 59
    assert {name.partition("/")[0] for name in novel} == {"Sanskrit", "Tagalog"}


def test_digits_of_a_domain_without_labels(harness, data):
    short = ["--set", "budget.trials=1", "--set", "budget.steps=60", "--set", "seeds=[0]"]
    compared = ["source_only", "coral", "dann", "target_supervised"]
    ended = harness(
        *("suite", "domains", *short, "--only", "problem=USPS → MNIST"),
        *("--only", "label=" + ",".join(compared), "--format", "json"),
    )
    assert ended.status == 0, ended.err
    found = accuracies(ended)
    assert found.keys() == set(compared)
    assert found["source_only"] > 0.3  # ten ways by chance: 0.1
    assert found["target_supervised"] > found["source_only"]
    page = Path("results/domains/report/index.html").read_text()
    assert "target_supervised (bound)" in page
    assert "Gap closed by adaptation" in page
