"""Any dataset with wrong labels among those that are learned from."""

import pytest
import torch
from harness_plugins.datasets.noisy_labels import NoisyLabels, harness_datasets
from scipy.stats import chisquare

from harness.api import Data, HarnessError, Split, TextInputs
from harness.plan.datasets import Datasets
from harness.registry import load


def words(each, classes=3, test=5):
    """Texts of a number of classes, and as many of each."""

    def split(each):
        labels = torch.arange(each * classes) % classes
        return Split(TextInputs(tuple(f"{number}" for number in range(len(labels)))), labels)

    names = tuple(f"class {place}" for place in range(classes))
    return Data(split(each), names, split(test) if test else None)


def moved(data, noisy):
    """How many labels of each class (rows) became which (columns)."""
    classes = len(data.classes)
    pairs = data.train.labels * classes + noisy.train.labels
    return pairs.bincount(minlength=classes**2).reshape(classes, classes)


def test_the_plugin_brings_noisy_labels():
    assert harness_datasets() == [NoisyLabels]


def test_pair_flips_go_to_the_next_class_and_from_the_last_to_the_first():
    data = words(40)
    noisy = NoisyLabels("any", rate=0.25, kind="pair_flip").wrap(data)
    assert moved(data, noisy).tolist() == [[30, 10, 0], [0, 30, 10], [10, 0, 30]]


def test_symmetric_noise_goes_to_all_other_classes_alike():
    data = words(3000, classes=4)
    counts = moved(data, NoisyLabels("any", rate=0.3).wrap(data))
    assert counts.diagonal().tolist() == [2100] * 4
    for label, row in enumerate(counts.tolist()):
        others = row[:label] + row[label + 1 :]
        assert chisquare(others).pvalue > 0.001


def test_only_training_labels_change():
    data = words(40)
    noisy = NoisyLabels("any", rate=0.5).wrap(data)
    assert noisy.train.inputs is data.train.inputs
    assert noisy.test is data.test
    assert data.train.labels.tolist() == (torch.arange(120) % 3).tolist()
    assert noisy.notes == (
        "noisy_labels changed 60 of 120 training labels (symmetric), of which some validate; test "
        "labels are as they were",
    )


def test_a_higher_rate_changes_the_same_labels_likewise_and_more():
    data = words(40)
    clean = data.train.labels
    few, many = (NoisyLabels("any", rate=rate).wrap(data).train.labels for rate in (0.2, 0.6))
    assert torch.equal(few[few != clean], many[few != clean])
    assert (many != clean).sum() == 3 * (few != clean).sum()


def test_the_seed_says_which():
    data = words(40)
    one, same, other = (NoisyLabels("any", seed=s).wrap(data).train.labels for s in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(("rate", "wrong"), [(0, 0), (1, 120)])
def test_none_or_all_may_be_wrong(rate, wrong):
    data = words(40)
    assert (NoisyLabels("any", rate=rate).wrap(data).train.labels != data.train.labels).sum() == (
        wrong
    )


def test_of_data_without_a_test_split_one_is_set_apart_before_labels_change():
    noisy = NoisyLabels("any", rate=1).wrap(words(40, test=0))
    clean = torch.tensor([int(text) % 3 for text in noisy.test.inputs.texts])
    assert torch.equal(noisy.test.labels, clean)
    assert noisy.test.labels.bincount().tolist() == [8, 8, 8]


def test_digits_are_mislabelled_as_a_suite_asks_for_it():
    datasets = Datasets(load())
    noisy = datasets.load("noisy_labels", {"dataset": "digits", "rate": 0.4})
    clean = datasets.load("noisy_labels", {"dataset": "digits", "rate": 0})
    changed = (noisy.data.train.labels != clean.data.train.labels).double().mean()
    assert changed == pytest.approx(0.4, abs=0.005)
    assert noisy.digest != clean.digest


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_a_rate_that_is_no_share_is_refused(rate):
    with pytest.raises(HarnessError, match=r"^noisy_labels' rate is .*\. Give a share from 0 to 1"):
        NoisyLabels("any", rate=rate)
