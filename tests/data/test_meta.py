"""Episodes of a source: who is in them, and that they never show one example twice."""

import itertools

import pytest
import torch

from harness.api import HarnessError, OneClass, Source, source_episodes
from harness.testing import digits, shots, small_backbone


@pytest.fixture
def source():
    return Source(shots(digits(small_backbone()), 8, 10), OneClass.of(10))


def episodes(source, **changes):
    asked = {"ways": 3, "shots": 2, "queries": 4, **changes}
    return source_episodes(source, **asked, generator=torch.Generator().manual_seed(0))


def test_an_episode_has_its_classes_in_order_and_every_image_once(source):
    pixels = source.examples.inputs[:]
    true = {
        image.numpy().tobytes(): int(y)
        for image, y in zip(pixels, source.examples.labels, strict=True)
    }
    for episode in itertools.islice(episodes(source), 20):
        assert episode.support_labels.tolist() == [0, 0, 1, 1, 2, 2]
        assert episode.query_labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
        shown = [image.numpy().tobytes() for image in (*episode.support, *episode.query)]
        assert len(set(shown)) == 18
        labels = torch.cat([episode.support_labels, episode.query_labels]).tolist()
        pairs = {(label, true[image]) for label, image in zip(labels, shown, strict=True)}
        assert len(pairs) == 3  # one source class for each label


@pytest.mark.parametrize("changes", [{"ways": 11}, {"shots": 5}])
def test_a_source_that_is_too_small_is_refused_at_once(source, changes):
    with pytest.raises(HarnessError, match="too few for episodes"):
        episodes(source, **changes)
