"""Tasks are cut from data so that nothing of what is tested is shown."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.data.episodes import draw_episodes, episode_task, query_labels
from harness.data.examples import ArrayInputs, Data, Inputs, Split
from harness.data.protocols import (
    adaptation_task,
    class_numbers,
    class_split,
    make_source,
    source_split,
    target_split,
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


def pool_of(data):
    """The training images as a pool holds them."""
    return ResidentPool(data.train.inputs.images[data.train.order])


class TestAdaptation:
    def given(self):
        """Two domains whose classes are the same but stand in another order."""
        source, target = some_data(4), some_data(4)
        source = replace(source, classes=("class 3", "class 1", "class 0", "class 2"))
        pools = [pool_of(data) for data in (source, target)]
        labelled = source_split(source, shots=2, seed=0, val_fraction=0.2)
        unlabelled = target_split(target, shots="all", seed=0, val_fraction=0.2, test_fraction=0.2)
        task = adaptation_task(source, pools[0], labelled, target, pools[1], unlabelled, CPU)
        return source, target, labelled, unlabelled, task

    def test_labels_of_the_source_are_numbered_as_the_targets(self):
        source, target, _, _, task = self.given()
        for examples in (task.train, task.val):
            rows = source.train.order[examples.inputs.rows]
            names = [source.classes[label] for label in source.train.labels[rows]]
            assert [target.classes[label] for label in examples.labels] == names
        assert task.classes == 4

    def test_the_target_is_shown_without_labels_and_only_what_is_for_training(self):
        _, target, labelled, unlabelled, task = self.given()
        places = task.unlabelled.rows
        assert sorted(target.train.order[places].tolist()) == list(unlabelled.train)
        assert places.tolist() == sorted(places.tolist())  # in an order that tells no label
        assert not set(unlabelled.train) & {*unlabelled.val, *unlabelled.test}
        assert isinstance(task.unlabelled, Inputs)  # which have no labels
        assert labelled.test == ()

    def test_domains_with_other_classes_are_refused(self):
        with pytest.raises(HarnessError, match=r"other classes: the target lacks 'class 3'\. Give"):
            class_numbers(some_data(4), some_data(3))
        target = replace(some_data(3), classes=("class 0", "b", "c"))
        said = r"the source lacks 'b', 'c'; the target lacks 'class 1', 'class 2', 'class 3'\. Give"
        with pytest.raises(HarnessError, match=said):
            class_numbers(some_data(4), target)


class TestSource:
    def test_shows_neither_novel_nor_validation_classes(self):
        data = some_data(20, held_out=(0, 1))
        pool = pool_of(data)
        source = make_source(data, pool, rotations=False, device=CPU)
        split = class_split(data)
        shown = data.train.labels[data.train.order[source.examples.inputs.rows]].unique().tolist()
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
            labels,
            range(8),
            ways=ways,
            shots=shots,
            queries=queries,
            episodes=3,
            seed=seed,
            names="abcdefgh",
        ):
            assert len(set(episode.classes)) == ways
            assert not set(episode.support) & set(episode.query)
            truth = torch.tensor(episode.classes)
            support = labels[list(episode.support)]
            assert torch.equal(support, truth.repeat_interleave(shots))
            assert torch.equal(labels[list(episode.query)], truth[query_labels(episode)])

    @given(st.integers(2, 4), st.integers(1, 2), st.integers(1, 3), st.integers(0, 50))
    def test_support_and_queries_share_no_group(self, ways, shots, queries, seed):
        """Groups of several classes, of which each class is in six."""
        labels = torch.arange(6).repeat(12)
        groups = torch.arange(72) // 12 * 3 + labels % 3
        assert {len(groups[labels == label].unique()) for label in range(6)} == {6}
        for episode in draw_episodes(
            labels,
            range(6),
            ways=ways,
            shots=shots,
            queries=queries,
            episodes=3,
            seed=seed,
            names="abcdef",
            groups=groups,
        ):
            rows = torch.tensor(episode.support), torch.tensor(episode.query)
            assert not set(groups[rows[0]].tolist()) & set(groups[rows[1]].tolist())
            truth = torch.tensor(episode.classes)
            assert torch.equal(labels[rows[0]], truth.repeat_interleave(shots))
            assert torch.equal(labels[rows[1]], truth[query_labels(episode)])

    def test_what_is_in_one_group_cannot_be_asked_and_shown(self):
        labels, groups = torch.arange(2).repeat(8), torch.arange(2).repeat(8)
        with pytest.raises(HarnessError, match=r"no groups can be set apart .* as 'a', 'b'"):
            draw_episodes(
                labels,
                range(2),
                ways=2,
                shots=1,
                queries=1,
                episodes=1,
                seed=0,
                names="ab",
                groups=groups,
            )

    def test_a_task_carries_only_the_support_labels(self):
        data = some_data()
        (episode,) = draw_episodes(
            data.train.labels,
            range(20),
            ways=5,
            shots=2,
            queries=3,
            episodes=1,
            seed=0,
            names=data.classes,
        )
        task = episode_task(episode, data.train, pool_of(data), CPU, data.classes)
        assert task.val is None
        assert task.target.names == tuple(data.classes[label] for label in episode.classes)
        assert task.train.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
        assert not hasattr(task.train.inputs.pool, "labels")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"ways": 9}, "9-way episodes need 9 classes, but there are 8: 'a', 'b', 'c', 'd', "),
            (
                {"shots": 5, "queries": 2},
                r"5 shots and 2 queries: 'a' \(6\), .*, 'e' \(6\) and 3 more\. Lower shots or q",
            ),
        ],
    )
    def test_what_cannot_be_drawn_is_refused_with_the_numbers(self, options, message):
        given = {"ways": 5, "shots": 1, "queries": 1, "names": "abcdefgh", **options}
        with pytest.raises(HarnessError, match=message):
            draw_episodes(torch.arange(8).repeat(6), range(8), episodes=1, seed=0, **given)
