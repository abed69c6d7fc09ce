"""Tasks are cut from data so that nothing of what is tested is shown."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.data.examples import ArrayInputs, Data, Split
from harness.data.protocols import (
    class_split,
    draw_episodes,
    episode_task,
    make_source,
    query_labels,
)
from harness.data.resident import ResidentPool
from harness.errors import HarnessError

CPU = torch.device("cpu")


def some_data(classes=20, each=6, held_out=()):
    labels = torch.arange(classes).repeat(each)
    images = torch.arange(len(labels), dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    return Data(
        train=Split(ArrayInputs(images.contiguous()), labels),
        classes=tuple(f"class {c}" for c in range(classes)),
        held_out=frozenset(f"class {c}" for c in held_out),
    )


class TestClassSplit:
    @given(st.integers(12, 60), st.integers(1, 5))
    def test_every_class_has_one_part(self, classes, held_out):
        split = class_split(some_data(classes, held_out=range(held_out)))
        assert sorted(split.base + split.val + split.novel) == list(range(classes))
        assert split.novel == tuple(range(held_out))
        assert len(split.val) == max(5, round(0.1 * (classes - held_out)))

    def test_without_held_out_classes_there_is_no_base(self):
        split = class_split(some_data(20))
        assert split.base == ()
        assert len(split.val) == 6


class TestSource:
    def test_shows_neither_novel_nor_validation_classes(self):
        data = some_data(20, held_out=(0, 1))
        pool = ResidentPool(data.train.inputs.images)
        source = make_source(data, pool, rotations=False, device=CPU)
        split = class_split(data)
        shown = data.train.labels[source.examples.inputs.rows].unique().tolist()
        assert shown == list(split.base)
        assert source.examples.labels.unique().tolist() == list(range(source.classes))

    def test_rotations_are_classes_of_their_own(self):
        data = some_data(3)
        images = torch.randint(0, 255, (18, 1, 4, 4), dtype=torch.uint8)
        source = make_source(data, ResidentPool(images), rotations=True, device=CPU)
        assert source.classes == 12
        first = source.examples.inputs
        upright = first[torch.tensor([0])]
        for quarter in range(4):
            turned = torch.nonzero(source.examples.labels == 3 * quarter).flatten()[:1]
            assert torch.equal(first[turned], upright.rot90(quarter, (-2, -1)))


class TestEpisodes:
    @given(st.integers(2, 6), st.integers(1, 3), st.integers(1, 3), st.integers(0, 50))
    def test_support_and_queries_are_of_the_same_classes_and_share_nothing(
        self, ways, shots, queries, seed
    ):
        labels = torch.arange(8).repeat(6)
        for episode in draw_episodes(
            labels, range(8), ways=ways, shots=shots, queries=queries, episodes=3, seed=seed
        ):
            assert len(set(episode.classes)) == ways
            assert not set(episode.support) & set(episode.query)
            truth = torch.tensor(episode.classes)
            support = labels[list(episode.support)]
            assert torch.equal(support, truth.repeat_interleave(shots))
            assert torch.equal(labels[list(episode.query)], truth[query_labels(episode)])

    def test_a_task_carries_only_the_support_labels(self):
        data = some_data()
        (episode,) = draw_episodes(
            data.train.labels, range(20), ways=5, shots=2, queries=3, episodes=1, seed=0
        )
        task = episode_task(episode, ResidentPool(data.train.inputs.images), CPU)
        assert task.val is None
        assert task.train.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
        assert not hasattr(task.train.inputs.pool, "labels")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"ways": 9}, "9-way episodes need 9 classes, but there are 8"),
            ({"shots": 5, "queries": 2}, "has 6 examples: too few for 5 shots and 2 queries"),
        ],
    )
    def test_what_cannot_be_drawn_is_refused_with_the_numbers(self, options, message):
        given = {"ways": 5, "shots": 1, "queries": 1, **options}
        with pytest.raises(HarnessError, match=message):
            draw_episodes(torch.arange(8).repeat(6), range(8), episodes=1, seed=0, **given)
