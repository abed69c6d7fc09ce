"""Batches and regularisers: one pass for all terms, on what is stored where nothing forbids it."""

import copy
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from harness_plugins.tricks.cutmix import Cutting
from harness_plugins.tricks.mixup import Mixing
from torch import nn

from harness.api import (
    Augment,
    Classifier,
    OneClass,
    Recipe,
    Regulariser,
    Task,
    constant,
    fit,
    fit_heads,
)
from harness.model.regulariser import Batch, copied
from harness.testing import a_run, cut_short, digits, shots, small_backbone, whole


@pytest.fixture
def task(backbone):
    examples = digits(backbone)
    unlabelled = shots(examples, 3, 10, skip=30).inputs
    return Task(shots(examples, 5, 10), OneClass.of(10), shots(examples, 5, 10, skip=5), unlabelled)


def passes(backbone):
    """A list that grows by the size of each pass through the first block."""
    seen = []
    backbone.body[0].register_forward_hook(lambda module, args, output: seen.append(len(output)))
    return seen


def a_batch(backbone, task, taps=(), first=0):
    recipe = Recipe(backbone, backbone.parameters_from(first), lr=0.1)
    model = Classifier(recipe, task, a_run())

    def of(inputs, targets, **more):
        index = torch.arange(len(inputs))
        return Batch(model, inputs, targets, index, 0.5, torch.Generator(), **more)

    other = of(task.unlabelled[:], None)
    train = task.train
    return of(train.inputs[:], train.labels, unlabelled=other, taps=frozenset(taps))


class TestBatch:
    def test_all_terms_share_one_pass_of_both(self, backbone, task):
        batch = a_batch(backbone, task, taps=(1,))
        seen = passes(batch.model.backbone)
        # What is asked of the other first is of the same pass.
        found = [batch.unlabelled.features, batch.logits, batch.features, batch.entering(3)]
        found += [batch.entering(1), batch.unlabelled.entering(1), batch.unlabelled.logits]
        assert seen == [80]
        assert [len(each) for each in found] == [30, 50, 50, 50, 50, 30, 30]
        plain = copy.deepcopy(backbone).train()
        both = torch.cat([task.train.inputs[:], task.unlabelled[:]])
        first = plain.body[0](plain.normalise(both))
        torch.testing.assert_close(batch.entering(1), first[:50])
        torch.testing.assert_close(batch.unlabelled.entering(1), first[50:])
        torch.testing.assert_close(batch.features, plain.features(both)[:50])

    def test_a_changed_one_computes_its_own(self, backbone, task):
        batch = a_batch(backbone, task)
        seen = passes(batch.model.backbone)
        other = replace(batch, inputs=batch.inputs[:4], targets=batch.targets[:4])
        assert [len(batch.features), len(other.features)] == [50, 4]
        assert seen == [80, 34]
        assert other.unlabelled is not batch.unlabelled

    def test_parts_have_all_that_belongs_together(self, backbone, task):
        batch = replace(a_batch(backbone, task), unlabelled=None)
        parts = [*batch.split([20, 20, 10])]
        assert torch.equal(torch.cat([part.inputs for part in parts]), batch.inputs)
        assert torch.equal(torch.cat([part.targets for part in parts]), batch.targets)
        assert torch.equal(torch.cat([part.index for part in parts]), batch.index)

    def test_a_block_that_nobody_tapped_is_refused(self, backbone, task):
        with pytest.raises(ValueError, match="block 2 is not among the taps"):
            a_batch(backbone, task, taps=(1,)).entering(2)


@pytest.mark.parametrize("logs", [False, True])
def test_what_a_table_says_is_mixed_as_inputs_and_targets_are(logs):
    """mixup, CutMix and their parts: targets are a table of labels, and follow their own way."""
    count, generator = 12, torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 3
    table = F.one_hot(labels, 3).float() * 0.7 + 0.1
    index = torch.randperm(count, generator=generator)
    inputs = torch.zeros(count, 1, 8, 8)
    batch = Batch(None, inputs, table[index], index, 0.0, generator)
    told = table.log() if logs else table
    assert torch.equal(batch.look_up(told, logs=logs), told[index])
    for mixing in (Mixing(1.0, 3), Cutting(1.0, 3), Mixing(1.0, 3)):
        batch = mixing.batch(batch)
        found = torch.cat([part.look_up(told, logs=logs) for part in batch.split([5, 4, 3])])
        torch.testing.assert_close(found.exp() if logs else found, batch.targets)
    assert not torch.allclose(batch.targets, table[index], atol=1e-2)


class Look(Regulariser):
    """Notes what enters some blocks, and lets their means cost something."""

    def __init__(self, *taps):
        super().__init__()
        self.taps, self.seen = taps, []

    def penalty(self, batch):
        maps = [batch.entering(block) for block in self.taps]
        self.seen.append([each.detach().clone() for each in maps])
        return sum(each.square().mean() for each in maps)


class TestTaps:
    @pytest.mark.parametrize("first", [0, 1, 2, 3])
    @pytest.mark.parametrize("block", [0, 1, 2, 3])
    def test_give_the_same_on_what_is_stored(self, backbone, task, block, first):
        """One plain step, against the same on a model that cannot be entered midway."""
        found = []
        for enterable in (True, False):
            model = small_backbone()
            if not enterable:
                model._enterable = dict.fromkeys(range(3), False)
            look = Look(block)
            recipe = Recipe(
                model,
                model.parameters_from(first),
                lr=0.1,
                optimizer=torch.optim.SGD,
                schedule=constant,
                regularisers=[look],
            )
            trained = fit(
                recipe, Task(task.train, OneClass.of(10)), a_run(steps=2, batch_size=20)
            ).trained
            found.append((trained, look.seen))
        (one, seen), (other, expected) = found
        for name, value in one.items():
            torch.testing.assert_close(value, other[name], rtol=1e-4, atol=1e-6)
        for step in range(2):
            torch.testing.assert_close(
                seen[step][0].float(), expected[step][0].float(), rtol=1e-4, atol=1e-5
            )

    @pytest.mark.parametrize(
        ("first", "regulariser", "stored"),
        [
            (2, Look(2, 3), True),
            (2, Look(1), False),
            (3, Look(3), True),
            (3, Look(2), False),
            (2, None, True),
        ],
    )
    def test_the_frozen_blocks_run_only_where_they_are_looked_into(
        self, backbone, task, first, regulariser, stored
    ):
        seen = passes(backbone)
        names = backbone.parameters_from(first)
        added = [regulariser] if regulariser else []
        fit(Recipe(backbone, names, lr=0.1, regularisers=added), task, a_run(steps=30))
        assert (sum(seen) < 300) == stored

    def test_what_a_block_writes_over_is_seen_as_it_was(self, task):
        def edit(body):
            body[0].append(nn.LogSigmoid())  # below zero, all of it
            body[1].insert(0, nn.ReLU(inplace=True))

        backbone, look = small_backbone().edited(edit).eval(), Look(1)
        recipe = Recipe(backbone, backbone.parameters_from(0), lr=0.1, regularisers=[look])
        fit(recipe, task, a_run(steps=1))
        assert (look.seen[0][0] < 0).all()


class Half(Regulariser):
    """Learns from every other example, with soft targets, and notes which there were."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def batch(self, batch):
        self.seen.append((batch.index.tolist(), batch.progress))
        targets = F.one_hot(batch.targets[::2], 10).float()
        half = {"inputs": batch.inputs[::2], "index": batch.index[::2], "targets": targets}
        return replace(batch, **half)


class TestWhatIsLearnedFrom:
    def test_is_what_a_regulariser_makes_of_the_batch(self, backbone, task):
        """Learning from half of the batch is learning from half of the examples."""
        half = Half()
        recipe = Recipe(backbone, backbone.parameters_from(0), lr=1e-2, regularisers=[half])
        found = fit(
            recipe, Task(task.train, OneClass.of(10)), a_run(steps=3, batch_size=1000)
        ).trained
        rows = task.train.subset(torch.arange(0, 50, 2))
        plain = replace(recipe, regularisers=())
        expected = fit(plain, Task(rows, OneClass.of(10)), a_run(steps=3, batch_size=1000)).trained
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)
        assert half.seen == [([*range(50)], step / 3) for step in range(3)]

    def test_the_index_says_which_examples_they_are(self, backbone, task):
        half = Half()
        fit(Recipe(backbone, (), lr=1e-2, regularisers=[half]), task, a_run(steps=5, batch_size=10))
        assert sorted(row for rows, _ in half.seen for row in rows) == [*range(50)]

    def test_of_a_frozen_backbone_too_gradients_reach_the_inputs(self, backbone, task):
        """As adversarial training needs (Goodfellow et al. 2015)."""

        class Adversarial(Regulariser):
            def batch(self, batch):
                inputs = batch.inputs.float().requires_grad_()
                loss = F.cross_entropy(replace(batch, inputs=inputs).logits, batch.targets)
                (slope,) = torch.autograd.grad(loss, inputs)
                seen.append(slope)
                return replace(batch, inputs=(inputs + slope.sign()).detach())

        seen = []
        head = nn.Linear(8, 10)
        recipe = Recipe(backbone, (), lr=1e-2, head=head, regularisers=[Adversarial()])
        fit(recipe, task, a_run(steps=2))
        assert all(slope.any() for slope in seen)


class TestCriterion:
    def test_is_the_recipes_own(self, backbone, task):
        calls = []

        def smoothed(logits, targets):
            calls.append((logits.shape, targets.dtype))
            return F.cross_entropy(logits, targets, label_smoothing=0.5)

        recipe = Recipe(backbone, backbone.parameters_from(0), lr=1e-2, criterion=smoothed)
        smooth = fit(recipe, task, a_run())
        sharp = fit(replace(recipe, criterion=None), task, a_run())
        assert set(calls) == {((32, 10), torch.int64)}
        assert smooth.logits(task.train.inputs).std() < sharp.logits(task.train.inputs).std()


class Sharpness(torch.optim.SGD):
    """SAM's first half, with a radius of nothing: it asks for the loss twice."""

    def step(self, closure):
        with torch.enable_grad():
            first, second = closure(), closure()
        assert torch.equal(first, second)
        return super().step()


def test_an_optimiser_may_ask_for_the_loss_again(task):
    """Where no layer looks at a batch, the second pass is the first."""
    found = []
    for optimizer in (Sharpness, torch.optim.SGD):
        backbone = small_backbone().edited(_without_norms).eval()
        recipe = Recipe(backbone, backbone.parameters_from(0), lr=0.1, optimizer=optimizer)
        found.append(fit(recipe, task, a_run()).trained)
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


def _without_norms(body):
    for block in range(3):
        body[block][1] = nn.Identity()


class Averaged(Regulariser):
    """The mean of all weights so far is what is scored and kept."""

    def started(self, model):
        self.register_buffer("count", torch.zeros(()))
        for name, value in model.state_dict().items():
            self.register_buffer(name.replace(".", "/"), torch.zeros_like(value))

    def stepped(self, model):
        self.count += 1
        for name, value in model.state_dict().items():
            mean = self.get_buffer(name.replace(".", "/"))
            mean.copy_(mean + (value - mean) / self.count)

    @contextmanager
    def scoring(self, model):
        own = {name: value.clone() for name, value in model.state_dict().items()}
        averaged = {name: self.get_buffer(name.replace(".", "/")) for name in own}
        model.load_state_dict(averaged)
        yield
        model.load_state_dict(own)


class Steps(Regulariser):
    """Notes the weights after each step."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def stepped(self, model):
        self.seen.append({name: value.clone() for name, value in model.state_dict().items()})


@pytest.mark.parametrize("validated", [False, True])
def test_what_is_scored_is_what_is_kept(backbone, task, validated):
    steps, run = Steps(), a_run(steps=8)
    run.evaluations = 1
    recipe = Recipe(
        backbone, backbone.parameters_from(2), lr=1e-2, regularisers=[steps, Averaged()]
    )
    task = replace(task, val=task.val if validated else None)
    model = fit(recipe, task, run)
    assert len(steps.seen) == 8
    for name, value in model.trained.items():
        mean = torch.stack([each[name] for each in steps.seen]).double().mean(0)
        torch.testing.assert_close(value.double(), mean, rtol=1e-5, atol=1e-6)
    if validated:
        correct = model.logits(task.val.inputs).argmax(1) == task.val.labels
        assert run.curve == [(8, correct.double().mean().item())]


def test_where_regularisers_draw_views_stay_the_same(backbone, task):
    """Paired luck: a regulariser more or less changes nothing that others draw."""

    class Drawing(Regulariser):
        def batch(self, batch):
            torch.rand(7, generator=batch.generator)
            return batch

    found = []
    for added in ([], [Drawing()]):
        run = a_run(steps=4)
        run.augment = Augment(shift=0.2, rotate=20)
        recipe = Recipe(backbone, backbone.parameters_from(0), lr=1e-2, regularisers=added)
        found.append(fit(recipe, task, run).trained)
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


def test_a_copy_has_its_own_tensors_and_shares_the_rest(backbone):
    class Holding(Regulariser):
        def __init__(self, teacher):
            super().__init__()
            self.layer = nn.LSTM(2, 2)
            self.register_buffer("mean", torch.zeros(2))
            self.teacher = (teacher,)

    held = Holding(backbone)
    other = copied(held)
    assert other.teacher[0] is backbone
    own, others = ({t.data_ptr() for t in each.state_dict().values()} for each in (held, other))
    assert not own & others
    assert len([*other.parameters()]) == 4
    with torch.no_grad():
        for parameter in held.parameters():
            parameter.fill_(9)
    assert not any((parameter == 9).any() for parameter in other.parameters())
    assert other.layer(torch.ones(1, 2))[0].abs().max() < 0.9


class TestSampler:
    """Which examples each batch is of, where a recipe says so."""

    @staticmethod
    def evens(examples, batch_size, steps, generator):
        """Even rows alone, each with the first twice."""
        rows = torch.arange(0, len(examples), 2)
        for _ in range(steps):
            chosen = rows[torch.randint(len(rows), (batch_size - 1,), generator=generator)]
            yield torch.cat([rows[:1], chosen])

    @pytest.mark.parametrize("first", [0, 2, 3])
    def test_decides_on_every_batch(self, backbone, task, first):
        class Seen(Regulariser):
            def penalty(self, batch):
                seen.append(batch.index.tolist())
                assert torch.equal(batch.targets, task.train.labels[batch.index])
                if not batch.stored:
                    assert torch.equal(batch.inputs, task.train.inputs[batch.index])
                return super().penalty(batch)

        seen = []
        recipe = Recipe(
            backbone,
            backbone.parameters_from(first),
            lr=1e-2,
            regularisers=[Seen()],
            sampler=self.evens,
        )
        run = a_run(steps=5, batch_size=10)
        expected = self.evens(task.train, 10, 5, run.generator("batches"))
        fit(recipe, task, run)
        assert seen == [rows.tolist() for rows in expected]

    def test_heads_that_have_one_are_trained_with_it(self, backbone, task):
        recipes = [Recipe(backbone, (), lr=rate, sampler=self.evens) for rate in (0.1, 1.0)]
        together = fit_heads(recipes, [task, task], a_run())
        for recipe, found in zip(recipes, together, strict=True):
            assert torch.equal(found.head.weight, fit(recipe, task, a_run()).head.weight)

    def test_a_training_that_was_cut_short_goes_on_with_the_batch_that_comes(
        self, backbone, task, tmp_path
    ):
        def work(run):
            names = backbone.parameters_from(0)
            return fit(Recipe(backbone, names, lr=1e-2, sampler=self.evens), task, run).trained

        found = cut_short(work, tmp_path / "checkpoint", after=7)
        for name, value in whole(work).items():
            assert torch.equal(found[name], value)
