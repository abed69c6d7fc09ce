"""The training loop against independent ones: scikit-learn's optimum and a plain loop."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.optim import SGD

from harness.api import (
    Augment,
    Diverged,
    ImageBackbone,
    Inputs,
    OneClass,
    Recipe,
    Regulariser,
    Task,
    Unsupported,
    constant,
    fit,
)
from harness.data.resident import ResidentPool
from harness.metrics import information
from harness.model.objective import batch_order
from harness.testing import a_run, digits, shots, small_backbone


@pytest.fixture
def task(backbone):
    examples = digits(backbone)
    return Task(shots(examples, 10, 10), OneClass.of(10), shots(examples, 10, 10, skip=10))


def probe(backbone, **options):
    return Recipe(backbone, trainable=(), **{"lr": 1e-2, **options})


def everything(backbone, **options):
    return Recipe(backbone, backbone.parameters_from(0), **{"lr": 1e-3, **options})


class Distance(Regulariser):
    """L2-SP (Li et al. 2018): the further from the start, the more it costs."""

    def __init__(self, start, weight):
        super().__init__()
        self.start = {name: p.detach().clone() for name, p in start.body_parameters()}
        self.weight = weight

    def penalty(self, batch):
        return self.weight * self.of(batch.model.backbone)

    def of(self, model):
        moved = model.body_parameters()
        return sum((p - self.start[name]).square().sum() for name, p in moved)


class TestOracles:
    def test_a_linear_probe_comes_to_scikit_learns_optimum(self):
        """Multinomial logistic regression by L-BFGS, on 4 pixels that no plane separates."""
        pixels = torch.nn.Sequential(torch.nn.AvgPool2d(8), torch.nn.Flatten())
        backbone = ImageBackbone(pixels, [["0"]], input_size=16, mean=[0.3], std=[0.3])
        examples = shots(digits(backbone), 100, 10)
        features = backbone.features(examples.inputs[:]).detach().double()
        oracle = LogisticRegression(C=float("inf"), tol=1e-6, max_iter=5000)
        oracle.fit(features.numpy(), examples.labels.numpy())
        optimum = F.cross_entropy(
            torch.from_numpy(oracle.decision_function(features.numpy())), examples.labels
        )
        run = a_run(steps=1500, batch_size=len(examples))
        model = fit(probe(backbone, lr=0.3), Task(examples, OneClass.of(10)), run)
        reached = F.cross_entropy(model.logits(examples.inputs).double(), examples.labels)
        assert reached.item() == pytest.approx(optimum.item(), abs=1e-3)

    def test_stored_activations_change_nothing(self, backbone, task):
        """Partial freeze on stored activations equals a loop that runs the whole model."""
        backbone = backbone.double()
        head = torch.nn.Linear(8, 10).double()
        names = backbone.parameters_from(2)
        recipe = Recipe(backbone, names, lr=1e-2, weight_decay=1e-3, head=head)
        model = fit(recipe, Task(task.train, OneClass.of(10)), a_run(steps=15, batch_size=1000))

        plain = copy.deepcopy(backbone)
        plain.train_only(set(recipe.trainable))
        live = [*head.parameters(), *(p for p in plain.parameters() if p.requires_grad)]
        groups = [
            {"params": [p for p in live if p.ndim > 1], "weight_decay": 1e-3},
            {"params": [p for p in live if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=1e-2)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 15)
        for _ in range(15):
            optimizer.zero_grad()
            loss = F.cross_entropy(head(plain.features(task.train.inputs[:])), task.train.labels)
            loss.backward()
            optimizer.step()
            schedule.step()
        plain.eval()
        expected = head(plain.features(task.train.inputs[:])).float()
        assert torch.allclose(model.logits(task.train.inputs), expected, atol=1e-6)


class TestWhatTrains:
    def test_frozen_parameters_stay_bit_for_bit(self, backbone, task):
        recipe = Recipe(backbone, backbone.parameters_from(1), lr=1e-2)
        model = fit(recipe, task, a_run())
        for name, parameter in model.backbone.body_parameters():
            same = torch.equal(parameter, dict(backbone.body_parameters())[name])
            assert same == (backbone.block_of(name) == 0)

    def test_the_backbone_it_started_from_is_left_alone(self, backbone, task):
        before = backbone.digest()
        fit(everything(backbone), task, a_run())
        assert backbone.digest() == before
        assert not any(module.training for module in backbone.modules())

    def test_a_probe_shares_the_backbone_and_trains_only_the_head(self, backbone, task):
        model = fit(probe(backbone), task, a_run())
        assert model.backbone is backbone
        assert {name: tuple(t.shape) for name, t in model.trained.items()} == {
            "head.weight": (10, 8),
            "head.bias": (10,),
        }

    def test_a_head_to_start_from_is_where_training_starts(self, backbone, task):
        head = torch.nn.Linear(8, 10)
        run = a_run(steps=1)
        model = fit(probe(backbone, head=head, lr=1e-12), Task(task.train, OneClass.of(10)), run)
        assert torch.allclose(model.head.weight, head.weight, atol=1e-9)
        assert model.head is not head

    def test_a_penalty_pulls(self, backbone, task):
        distance = Distance(backbone, 10)
        free = fit(everything(backbone, lr=1e-2), Task(task.train, OneClass.of(10)), a_run())
        recipe = everything(backbone, lr=1e-2, regularisers=[distance])
        held = fit(recipe, Task(task.train, OneClass.of(10)), a_run())
        assert distance.of(held.backbone) < 0.5 * distance.of(free.backbone)

    def test_plain_gradient_descent_takes_the_step_that_calculus_says(self, backbone, task):
        """From a zero head, one step moves the weights by the class means of the features."""
        recipe = probe(backbone, lr=0.5, optimizer=SGD, schedule=constant, steps=1)
        run = a_run(batch_size=1000)
        model = fit(recipe, Task(task.train, OneClass.of(10)), run)
        features = backbone.features(task.train.inputs[:]).detach().double()
        targets = F.one_hot(task.train.labels, 10).double() - 0.1
        expected = 0.5 * targets.T @ features / len(features)
        assert torch.allclose(model.head.weight.double(), expected, atol=1e-6)


class TestSelection:
    def test_returns_the_state_that_validated_best(self, backbone, task):
        run = a_run(steps=40)
        model = fit(everything(backbone, lr=1e-2), task, run)
        accuracy = (model.logits(task.val.inputs).argmax(1) == task.val.labels).double().mean()
        assert [step for step, _ in run.curve] == [10, 20, 30, 40]
        assert accuracy.item() == pytest.approx(max(value for _, value in run.curve))

    def test_without_validation_nothing_is_reported(self, backbone, task):
        run = a_run()
        fit(everything(backbone), Task(task.train, OneClass.of(10)), run)
        assert run.curve == []

    def test_validation_is_not_billed_to_fitting(self, backbone, task):
        run = a_run()
        with run.clock.phase("fit"):
            fit(everything(backbone), task, run)
        assert run.clock.seconds["score"] > 0

    def test_a_recipe_may_take_fewer_steps_than_the_budget_but_not_more(self, backbone, task):
        for asked, taken in ((4, 4), (400, 20)):
            run = a_run(steps=20)
            fit(probe(backbone, steps=asked), task, run)
            assert run.curve[-1][0] == taken

    @pytest.mark.parametrize("rate", [1e30, float("nan")])
    def test_a_loss_that_is_not_a_number_ends_the_trial(self, backbone, task, rate):
        recipe = everything(backbone, lr=rate, optimizer=SGD)
        with pytest.raises(Diverged, match=r"not a number|not finite"):
            fit(recipe, task, a_run())


class TestPatience:
    def test_training_ends_where_validation_is_no_better(self, backbone, task):
        """With a rate of zero no score beats the first: three more, and it is over."""
        run = a_run(steps=40)
        run.evaluations, run.patience = 20, 3
        fit(probe(backbone, lr=0.0), task, run)
        assert [step for step, _ in run.curve] == [2, 4, 6, 8]

    def test_a_score_that_is_better_starts_the_count_anew(self, backbone, task):
        patient, whole = a_run(steps=60), a_run(steps=60)
        for run in (patient, whole):
            run.evaluations = 30
        patient.patience = 5
        for run in (patient, whole):
            fit(everything(backbone, lr=3e-3), task, run)
        seen = [value for _, value in patient.curve]
        scores = [value for _, value in whole.curve]
        assert scores[: len(seen)] == seen
        ends = [at for at in range(6, 31) if max(scores[: at - 5]) > max(scores[at - 5 : at])]
        assert len(seen) >= (ends[0] if ends else 30)

    def test_and_the_best_state_is_still_the_one_returned(self, backbone, task):
        run = a_run(steps=60)
        run.evaluations, run.patience = 30, 2
        model = fit(everything(backbone, lr=3e-2), task, run)
        accuracy = (model.logits(task.val.inputs).argmax(1) == task.val.labels).double().mean()
        assert accuracy.item() == pytest.approx(max(value for _, value in run.curve))


class TestAugmentation:
    def test_views_are_drawn_anew_in_every_step(self, backbone, task):
        seen = []

        class Spy(Augment):
            def __call__(self, images, generator):
                seen.append(super().__call__(images, generator))
                return seen[-1]

        run = a_run(steps=3, batch_size=1000)
        run.augment = Spy(shift=0.2)
        fit(everything(backbone), task, run)
        assert len(seen) == 3
        assert not torch.equal(seen[0], seen[1])

    def test_trials_see_the_same_views(self, backbone, task):
        def trained(run):
            run.augment = Augment(shift=0.2, rotate=20, jitter=0.4)
            return fit(everything(backbone), task, run).trained

        one, other = trained(a_run()), trained(a_run())
        assert all(torch.equal(one[name], other[name]) for name in one)

    def test_views_that_change_nothing_change_nothing(self, backbone, task):
        """Of float64 pixels too: what is stored and what is run anew are the same numbers."""
        run = a_run()
        run.augment = Augment()
        recipe = Recipe(backbone, backbone.parameters_from(2), lr=1e-2)
        plain, viewed = fit(recipe, task, a_run()), fit(recipe, task, run)
        for name, value in plain.trained.items():
            torch.testing.assert_close(viewed.trained[name], value, rtol=1e-3, atol=1e-4)

    def test_the_frozen_blocks_run_in_every_step(self, backbone, task):
        """The store steps aside for training; validation inputs are not augmented, and stored."""
        run = a_run(steps=4, batch_size=16)
        run.augment = Augment(flip=True)
        seen = []
        backbone.body[0].register_forward_hook(lambda m, a, out: seen.append(len(out)))
        fit(Recipe(backbone, (), lr=1e-2), task, run)
        assert seen[:4].count(16) == 4 or seen.count(16) >= 4


class TestPrecision:
    def test_bfloat16_learns_as_well(self, backbone, task):
        exact, rounded = a_run(steps=60), a_run(steps=60)
        rounded.precision = "bfloat16"
        accuracies = []
        for run in (exact, rounded):
            fit(everything(backbone, lr=1e-2), task, run)
            accuracies.append(max(value for _, value in run.curve))
        assert accuracies[1] == pytest.approx(accuracies[0], abs=0.06)
        assert accuracies[1] > 0.3

    def test_it_is_what_forward_passes_compute_in(self, backbone, task):
        run = a_run(steps=1)
        run.precision = "bfloat16"
        kinds = []
        backbone.num_features  # noqa: B018 (found out in float32)
        backbone.body[0][0].register_forward_hook(lambda m, args, out: kinds.append(out.dtype))
        model = fit(everything(backbone), task, run)
        assert set(kinds) == {torch.bfloat16}
        assert model.features(task.val.inputs).dtype == torch.float32


class Pull(Regulariser):
    """A distance between two domains' mean features, times a factor that trains along."""

    unlabelled = True

    def __init__(self, seen=None):
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()))
        self.seen = [] if seen is None else seen

    def penalty(self, batch):
        self.seen.append((len(batch), len(batch.unlabelled), batch.progress))
        return self.distance(batch.features, batch.unlabelled.features)

    def distance(self, source, target):
        return self.factor * (source.mean(0) - target.mean(0)).square().sum()


class TestAligning:
    @pytest.fixture
    def task(self, backbone):
        """Digits as they are, and turned upside down without their labels."""
        examples = digits(backbone)
        turned = ResidentPool(examples.inputs[:].flip(-2))
        return Task(
            shots(examples, 10, 10),
            OneClass.of(10),
            shots(examples, 10, 10, skip=10),
            Inputs(turned, torch.arange(100, 300)),
            shifted=True,
        )

    def test_both_domains_are_shown_in_batches_and_how_far_training_is(self, backbone, task):
        calls = []
        fit(everything(backbone, regularisers=[Pull(calls)]), task, a_run(steps=4, batch_size=32))
        assert calls == [(32, 32, step / 4) for step in range(4)]

    def test_a_step_is_the_gradient_of_both_losses_on_one_pass(self, backbone, task):
        """Plain descent, against the same step written out; batch norm sees both domains."""
        recipe = everything(
            backbone, regularisers=[Pull()], optimizer=SGD, schedule=constant, lr=0.1
        )
        task = replace(task, val=None)
        model = fit(recipe, task, a_run(steps=1, batch_size=1000))
        oracle = copy.deepcopy(backbone).train()
        head, pull = nn.Linear(8, 10), Pull()
        nn.init.zeros_(head.weight), nn.init.zeros_(head.bias)
        both = oracle.features(torch.cat([task.train.inputs[:], task.unlabelled[:]]))
        source, target = both[: len(task.train)], both[len(task.train) :]
        loss = F.cross_entropy(head(source), task.train.labels) + pull.distance(source, target)
        loss.backward()
        expected = {n: p - 0.1 * p.grad for n, p in oracle.body_parameters() if p.grad is not None}
        trained = model.trained
        assert all(torch.allclose(trained[name], p, atol=1e-6) for name, p in expected.items())
        assert len(expected) == len(trained) - 2  # and the head

    def test_the_last_state_is_kept_whatever_the_source_validates(self, backbone, task):
        run = a_run(steps=20)
        model = fit(everything(backbone, regularisers=[Pull()], lr=0.5), task, run)
        accuracies = [value for _, value in run.curve]
        assert len(accuracies) == 4
        correct = model.logits(task.val.inputs).argmax(1) == task.val.labels
        assert correct.double().mean().item() == accuracies[-1]

    def test_where_the_target_validates_without_labels_the_best_state_is_kept(self, backbone, task):
        """By mutual information, with an early end."""
        held_out = shots(digits(backbone), 10, 10, skip=40).inputs
        run = a_run(steps=40)
        run.evaluations, run.patience = 20, 2
        recipe = everything(backbone, regularisers=[Pull()], lr=0.3)
        model = fit(recipe, replace(task, unlabelled_val=held_out), run)
        scores = [value for _, value in run.curve]
        assert len(scores) < 20
        assert scores[-1] < max(scores)
        found, _ = information(model.logits(held_out))
        assert found == pytest.approx(max(scores))

    def test_where_they_are_of_the_same_domain_the_best_state_is_kept(self, backbone, task):
        lost = []
        for lr in (0.3, 1.0, 3.0):  # at such rates a training goes astray, sooner or later
            run = a_run(steps=40)
            run.evaluations = 20
            recipe = everything(backbone, regularisers=[Pull()], lr=lr)
            model = fit(recipe, replace(task, shifted=False), run)
            correct = model.logits(task.val.inputs).argmax(1) == task.val.labels
            best = max(value for _, value in run.curve)
            assert correct.double().mean().item() == best
            lost.append(best - run.curve[-1][1])
        assert any(lost)

    def test_stored_activations_change_nothing(self, backbone, task):
        """With the first block frozen, both domains start from what is stored."""
        recipe = Recipe(backbone, backbone.parameters_from(1), lr=1e-2, regularisers=[Pull()])
        stored = fit(recipe, task, a_run(steps=8))
        backbone._enterable = dict.fromkeys(range(3), False)
        whole = fit(recipe, task, a_run(steps=8))
        assert (stored.entry, whole.entry) == (1, 0)
        for name, value in stored.trained.items():
            assert torch.allclose(value, whole.trained[name], atol=1e-5)

    def test_the_recipes_own_module_is_left_alone(self, backbone, task):
        pull = Pull()
        fit(everything(backbone, regularisers=[pull], lr=0.1), task, a_run(steps=2))
        assert pull.factor.item() == 1

    def test_without_unlabelled_inputs_all_who_look_at_them_are_named(self, backbone, task):
        recipe = everything(backbone, regularisers=[Pull(), Distance(backbone, 1), Pull()])
        with pytest.raises(Unsupported, match=r"^Pull, Pull need unlabelled inputs"):
            fit(recipe, replace(task, unlabelled=None), a_run())


class TestBatches:
    @given(examples=st.integers(2, 60), size=st.integers(1, 20), steps=st.integers(1, 30))
    def test_every_example_is_seen_once_an_epoch(self, examples, size, steps):
        generator = torch.Generator().manual_seed(0)
        batches = list(batch_order(examples, size, steps, generator))
        assert len(batches) == steps
        if examples <= size:
            assert batches == [slice(None)] * steps
            return
        assert all(len(batch) == size for batch in batches)
        seen = torch.cat(batches)
        for start in range(0, len(seen) - examples + 1, examples):
            assert seen[start : start + examples].sort().values.tolist() == list(range(examples))


class Noting(Regulariser):
    """Notes which examples each batch is of, and what is drawn."""

    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    def batch(self, batch):
        drawn = torch.randint(2**31, (), generator=batch.generator).item()
        self.seen.append((batch.index.tolist(), drawn))
        return batch


class TestStages:
    """A training in several calls of ``fit``, each of which says how many steps came before."""

    def seen(self, *stages):
        backbone, seen = small_backbone(), []
        task = Task(shots(digits(backbone), 5, 10), OneClass.of(10))
        for before, steps in stages:
            recipe = probe(backbone, regularisers=[Noting(seen)], steps=steps, steps_before=before)
            fit(recipe, task, a_run(steps=30, batch_size=4))
        return seen

    def test_batches_go_on_where_the_stage_before_ended(self):
        whole, parts = self.seen((0, 20)), self.seen((0, 7), (7, 13))
        assert [index for index, _ in parts] == [index for index, _ in whole]
        examples = [example for index, _ in parts for example in index]
        assert sorted(examples[:50]) == list(range(50))  # an epoch, across the stages

    def test_what_is_drawn_is_drawn_anew(self):
        drawn = [draw for _, draw in self.seen((0, 7), (7, 13))]
        assert len({*drawn}) == 20

    def test_a_stage_of_no_steps_changes_nothing(self):
        backbone = small_backbone()
        task = Task(shots(digits(backbone), 5, 10), OneClass.of(10))
        model = fit(everything(backbone, steps=0), task, a_run(steps=30))
        before = dict(backbone.body_parameters())
        assert all(torch.equal(p, before[name]) for name, p in model.backbone.body_parameters())


class Unlike(Regulariser):
    """Has a loss of a whole batch: less the spread of its logits."""

    whole = True

    def penalty(self, batch):
        return -batch.logits.std(0).mean()


class TestParts:
    """A batch of which memory takes a part at once is still one batch."""

    @pytest.mark.parametrize("batch_size", [30, 1000])  # some examples, or all of them
    def test_gradients_add_up_to_those_of_the_whole(self, batch_size):
        """Where no layer looks at a batch as a whole, training is the same, in float64."""
        body = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 12), nn.Tanh())
        backbone = ImageBackbone(body, [["1"]], input_size=16).double()
        task = Task(shots(digits(backbone), 10, 10), OneClass.of(10))
        head = nn.Linear(12, 10).double()

        recipe = everything(
            backbone, head=head, optimizer=SGD, lr=0.1, regularisers=[Distance(backbone, 1)]
        )
        trained = []
        for micro_batch in (batch_size, 7):
            run = a_run(steps=6, batch_size=batch_size)
            run.micro_batch = micro_batch
            trained.append(fit(recipe, task, run).trained)
        for name, value in trained[0].items():
            torch.testing.assert_close(trained[1][name], value, rtol=1e-9, atol=1e-12)

    def test_what_has_a_loss_of_a_whole_batch_is_given_whole_ones(self):
        backbone = small_backbone()
        task = Task(shots(digits(backbone), 10, 10), OneClass.of(10))
        head = nn.Linear(backbone.num_features, 10)
        trained = []
        for micro_batch in (30, 7):
            run = a_run(steps=6, batch_size=30)
            run.micro_batch = micro_batch
            trained.append(fit(probe(backbone, head=head, regularisers=[Unlike()]), task, run))
        one, other = (model.trained for model in trained)
        assert all(torch.equal(other[name], value) for name, value in one.items())
