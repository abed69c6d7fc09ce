"""Letters that are drawn to look like scikit-learn's digits, so that learning them helps."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness_plugins.datasets.digits import Digits
from harness_plugins.datasets.glyphs import LETTERS, Glyphs, harness_datasets
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch import Tensor, nn

from harness.api import Data, HarnessError, Mistakes
from harness.testing import DatasetChecks


def pixels(data: Data) -> Tensor:
    images = data.train.inputs.read(range(len(data.train.inputs)))
    assert isinstance(images, Tensor)
    return images


@pytest.fixture(scope="module")
def glyphs() -> Data:
    return Glyphs(per_class=32).load()


def test_the_plugin_brings_glyphs() -> None:
    assert harness_datasets() == [Glyphs]


class TestGlyphs(DatasetChecks):
    dataset = Glyphs(per_class=2)


def test_every_letter_has_as_many_images(glyphs: Data) -> None:
    assert pixels(glyphs).shape == (62 * 32, 1, 8, 8)
    assert pixels(glyphs).dtype == torch.uint8
    assert glyphs.train.labels.bincount().tolist() == [32] * 62
    assert glyphs.classes == tuple(LETTERS)
    assert glyphs.test is None


def test_there_is_no_digit_and_no_letter_twice() -> None:
    assert all(letter.isalpha() for letter in LETTERS)
    assert len(set(LETTERS)) == len(LETTERS)


def test_a_size_can_be_asked_for() -> None:
    assert pixels(Glyphs(per_class=2, size=28).load()).shape == (124, 1, 28, 28)


def test_the_seed_decides_the_images_and_nothing_else_does() -> None:
    first, again = Glyphs(per_class=3, seed=1).load(), Glyphs(per_class=3, seed=1).load()
    assert first.digest() == again.digest()
    assert first.digest() != Glyphs(per_class=3, seed=2).load().digest()
    # A longer run goes on where a shorter one ends.
    longer = pixels(Glyphs(per_class=5, seed=1).load()).unflatten(0, (62, 5))
    assert torch.equal(longer[:, :3].flatten(0, 1), pixels(first))


def test_no_image_is_blank_or_the_same_as_another(glyphs: Data) -> None:
    images = pixels(glyphs).flatten(1)
    assert (images.amax(1) > 128).all()
    assert len(images.unique(dim=0)) > 0.99 * len(images)


def test_letters_have_the_ink_and_the_frame_of_digits(glyphs: Data) -> None:
    letters, digits = pixels(glyphs).float(), pixels(Digits().load()).float()
    assert float(letters.mean()) == pytest.approx(float(digits.mean()), rel=0.05)
    # Tightly cropped: ink in the first and last row, hardly any in the first and last column.
    for images in (letters, digits):
        assert (images.amax((1, 3))[:, [0, 7]] > 0).float().mean() > 0.95
        assert images.mean((0, 1, 2))[[0, 7]].max() < 10


def test_letters_can_be_told_apart(glyphs: Data) -> None:
    """Even by a linear model on raw pixels: no class is the double of another."""
    x, y = pixels(glyphs).flatten(1).numpy(), glyphs.train.labels.numpy()
    seen = np.arange(len(y)) % 32 < 24
    model = LinearDiscriminantAnalysis(solver="eigen", shrinkage=0.1).fit(x[seen], y[seen])
    right = model.predict(x[~seen]) == y[~seen]
    assert right.mean() > 0.6
    assert np.bincount(y[~seen], weights=right).min() > 0


def nearest_mean_accuracy(features: Tensor, labels: Tensor, shots: int, draws: int = 20) -> float:
    """Of few-shot classification by the nearest class mean, averaged over draws of the shots."""
    accuracies = []
    for draw in range(draws):
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(draw))
        means = torch.stack(
            [features[order[labels[order] == c][:shots]].mean(0) for c in range(10)]
        )
        accuracies.append((torch.cdist(features, means).argmin(1) == labels).float().mean())
    return float(torch.stack(accuracies).mean())


def test_learning_letters_helps_with_digits(glyphs: Data) -> None:
    """What the dataset is for: a small network that has seen letters only knows digits better."""
    letters, digits = pixels(glyphs).float() / 255, pixels(Digits().load()).float() / 255
    labels = Digits().load().train.labels
    torch.manual_seed(0)
    body = nn.Sequential(
        *(nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Flatten(),
    )
    head = nn.Linear(256, 62)
    untrained = body.eval()(digits).detach()
    optimizer = torch.optim.Adam([*body.parameters(), *head.parameters()], lr=5e-3)
    body.train()
    for _ in range(100):
        rows = torch.randint(len(letters), (128,))
        optimizer.zero_grad()
        F.cross_entropy(head(body(letters[rows])), glyphs.train.labels[rows]).backward()
        optimizer.step()
    trained = body.eval()(digits).detach()
    for shots in (1, 5):
        learned = nearest_mean_accuracy(trained, labels, shots)
        for others in (digits.flatten(1), untrained):
            assert learned > nearest_mean_accuracy(others, labels, shots) + 0.04


@pytest.mark.parametrize("wrong", [{"per_class": 0}, {"size": 2}])
def test_impossible_arguments_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(HarnessError, match="Give at least"):
        Glyphs(**wrong).load()


def test_all_impossible_arguments_are_told() -> None:
    with pytest.raises(Mistakes) as caught:
        Glyphs(per_class=0, size=2).load()
    assert caught.value.lines == [
        "cannot be drawn with per_class = 0. Give at least 1",
        "cannot be drawn with size = 2. Give at least 4",
    ]
