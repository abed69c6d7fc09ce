"""Trainings on torch's ``meta`` device, whose tensors have no values: they refuse to mix with those
of the CPU, and to be read. So a tensor in the wrong place fails here without an accelerator, and so
does a step that waits for the device. What waits silently is counted: a longer training may not
wait more often.
"""

from contextlib import contextmanager
from dataclasses import fields, replace
from functools import cache

import pytest
import torch
from harness_plugins.meta import _meta_training
from harness_plugins.meta._meta_gradient import Inner, can_batch
from harness_plugins.pretrainings import mlm, supervised
from harness_plugins.pretrainings.simclr import SimClr
from harness_plugins.strategies import co_tuning, logistic_probe, protonet
from torch import Tensor
from torch.overrides import TorchFunctionMode

from harness.api import (
    Augment,
    Examples,
    GradientStrategy,
    Inputs,
    OneClass,
    Recalibration,
    Recipe,
    Regulariser,
    Source,
    Strategy,
    Task,
    TextBackbone,
    fit,
    sent,
)
from harness.data import meta
from harness.data.resident import ResidentPool, RotatedPool
from harness.model import backbone as backbones
from harness.model import batched_heads, feature_store
from harness.model.descend import LossGuard
from harness.registry import Sources, load_once
from harness.run import context
from harness.testing import CPU, a_run, digits, shots, small_backbone

META = torch.device("meta")

CLASSES, EACH = 5, 6

ANSWERS = {
    "item": lambda tensor: 1.0,
    "__bool__": lambda tensor: True,
    "__float__": lambda tensor: 1.0,
    "__int__": lambda tensor: 1,
    "tolist": lambda tensor: torch.ones(tensor.shape).tolist(),
    "cpu": lambda tensor: torch.ones(tensor.shape, dtype=tensor.dtype),
    "allclose": lambda *tensors, **tolerances: True,
    "equal": lambda *tensors: True,
}
"""What is read where reading is permitted."""


class Watch(TorchFunctionMode):
    """Notes what waits for a device without an error, and answers what is permitted to read."""

    def __init__(self):
        super().__init__()
        self.waits = []
        self.permitted = False

    @contextmanager
    def reading(self):
        before, self.permitted = self.permitted, True
        try:
            yield
        finally:
            self.permitted = before

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        there = bool(args) and isinstance(args[0], Tensor) and args[0].is_meta
        if self.permitted:
            if there and name in ANSWERS:
                return ANSWERS[name](*args, **kwargs)
            if there and name == "__getitem__" and _is_mask(args[1]):
                return args[0][(torch.zeros(3, dtype=torch.int64),) * args[1].ndim]
            return func(*args, **kwargs)
        if there and name in ("__getitem__", "__setitem__") and any(map(_here, _parts(args[1]))):
            self.waits.append("indexed by a tensor of the CPU")
        found = func(*args, **kwargs)
        arrived = isinstance(found, Tensor) and found.is_meta and not there
        if arrived and name in ("to", "tensor", "as_tensor") and not kwargs.get("non_blocking"):
            self.waits.append("copied from the CPU")
        return found


def _parts(index):
    return index if isinstance(index, tuple) else (index,)


def _here(part):
    return isinstance(part, Tensor) and part.device == CPU


def _is_mask(index):
    return isinstance(index, Tensor) and index.dtype == torch.bool


@pytest.fixture
def watch(monkeypatch):
    """On the ``meta`` device; what has to know values is named here, and nothing else may."""
    watch = Watch()

    def permit(owner, name):
        original = getattr(owner, name)

        def reading(*args, **kwargs):
            with watch.reading():
                return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, reading)

    def instead(owner, name, other):
        monkeypatch.setattr(owner, name, other)

    permit(LossGuard, "check")  # every 20 steps
    instead(context.CellRun, "scoring", lambda run: watch.reading())  # a few times a training
    permit(batched_heads.Heads, "hand_out")  # after the last step
    permit(backbones.Backbone, "_try_entering")  # once a model and block
    permit(backbones.Backbone, "digest")  # once a model, as activations are looked up by it
    permit(SimClr, "_scores")  # after the last step, too
    permit(mlm.MaskedLanguageModel, "_score")
    permit(mlm, "guesses")  # how many tokens were chosen decides on how many logits there are

    def fit_then_score(*args, **kwargs):
        model = fit(*args, **kwargs)
        watch.permitted = True
        return model

    instead(supervised, "fit", fit_then_score)

    # L-BFGS looks at each iteration whether it has arrived.
    def solved(features, labels, classes, penalties):
        shape = len(penalties), len(features), classes, features.shape[2]
        return features.new_zeros(shape), features.new_zeros(shape[:-1])

    instead(logistic_probe, "solve", solved)
    instead(co_tuning, "solve", solved)
    permit(co_tuning, "relationship")  # before the first step

    # Before the first step, the rows of each class are found.
    def episodes(source, *, ways, shots, queries, generator):
        members = torch.arange(len(source.examples)).split(EACH)
        return meta._sample(source, members, ways, shots, queries, generator)

    instead(_meta_training, "source_episodes", episodes)
    instead(protonet, "source_episodes", episodes)

    # What torch has for real devices alone.
    for optimizer in (torch.optim.Adam, torch.optim.AdamW):
        instead(torch.optim, optimizer.__name__, unfused(optimizer))
    instead(feature_store, "numerics", lambda device: "none")
    seeded = context.seeded
    instead(context, "seeded", lambda seed, device: seeded(seed, CPU))
    return watch


def unfused(optimizer):
    return lambda groups, **settings: optimizer(groups, **{**settings, "fused": False})


def on_meta(examples):
    pool = ResidentPool(examples.inputs.pool.prepared.to(META), "meta")
    return Examples(Inputs(pool, examples.inputs.rows), examples.labels.to(META))


@cache
def the_digits():
    return digits(small_backbone())


def the_task(*, val=True, unlabelled=False):
    """30 digits to train on, more than a batch."""
    examples = the_digits()
    train = on_meta(shots(examples, EACH, CLASSES))
    return Task(
        train,
        OneClass.of(CLASSES),
        on_meta(shots(examples, 2, CLASSES, skip=EACH)) if val else None,
        on_meta(shots(examples, 3, CLASSES, skip=20)).inputs if unlabelled else None,
    )


def the_source():
    return Source(on_meta(shots(the_digits(), EACH, CLASSES)), OneClass.of(CLASSES))


def a_run_on_meta(steps, augment=None):
    run = a_run(steps=steps, batch_size=8, device=META)
    run.evaluations, run.augment = 1, augment
    return run


def waits(watch, work, steps):
    """What waited silently in ``work`` of so many steps."""
    watch.waits, watch.permitted = [], False
    with watch:
        work(steps)
    return watch.waits


def does_not_wait(watch, work, least=2):
    """That no step waits: twice as many wait no more often."""
    assert len(waits(watch, work, 2 * least)) == len(waits(watch, work, least))


BUILT_IN = load_once(Sources())
CLASS_OF = {
    name: plugin.cls
    for (kind, name), plugin in BUILT_IN.plugins.items()
    if kind == "strategy" and not plugin.missing
}
SOLVED = {"ridge_probe", "ncm", "lda_probe", "svm_probe", "tca"}
"""These take no step that could wait, and look at what they solve for."""
CHANGED = {"fixmatch"}
"""These change images by torchvision, which takes numbers to the device one by one."""
STRATEGIES = [name for name in CLASS_OF if name not in SOLVED | CHANGED]
AT_ONCE = [n for n in STRATEGIES if CLASS_OF[n].adapt_batch is not Strategy.adapt_batch]
PREPARED = [n for n in STRATEGIES if CLASS_OF[n].prepare is not Strategy.prepare]

VIEWS = Augment(crop_scale=0.5, shift=0.1, rotate=10.0, flip=True, jitter=0.5)


def a_strategy(name):
    """With episodes for which the source is large enough."""
    shape = {"ways": 3, "shots": 1, "queries": 2}
    own = {field.name for field in fields(CLASS_OF[name]) if field.init}
    return CLASS_OF[name](**{name: size for name, size in shape.items() if name in own})


def settings_of(strategy, space, steps):
    """The defaults, with as many steps where a strategy has a number of its own."""
    own = {"adapt_steps": steps, "meta_steps": steps}
    return {name: own.get(name, strategy.defaults[name]) for name in space}


@pytest.mark.parametrize("augment", [None, VIEWS], ids=["stored", "augmented"])
@pytest.mark.parametrize("name", STRATEGIES)
def test_adapt_and_logits(watch, name, augment):
    strategy = a_strategy(name)
    adapts = strategy.protocols == {"adaptation"}
    task = the_task(unlabelled=adapts or strategy.needs_unlabelled)

    def work(steps):
        hp = settings_of(strategy, strategy.space, steps)
        model = small_backbone().to(META)
        if isinstance(strategy, GradientStrategy) and strategy.needs_source:  # by what it left
            few = settings_of(strategy, strategy.prepare_space, 2)
            model = strategy.prepare(model, the_source(), few, a_run_on_meta(2))
        predictor = strategy.adapt(model, task, hp, a_run_on_meta(steps, augment))
        assert predictor.logits(task.val.inputs).shape == (len(task.val), CLASSES)

    # With fewer steps than stages, gradual unfreezing has a stage more for each.
    does_not_wait(watch, work, least=4 if name == "gradual_unfreeze" else 2)


@pytest.mark.parametrize("several", ["settings", "episodes"])
@pytest.mark.parametrize("name", AT_ONCE)
def test_adapt_at_once(watch, name, several):
    strategy, task = a_strategy(name), the_task()
    tasks = [task, task] if several == "settings" else [the_task(val=False), the_task(val=False)]

    def work(steps):
        hp = settings_of(strategy, strategy.space, steps)
        model, run = small_backbone().to(META), a_run_on_meta(steps)
        run.batch_size = 8 if several == "settings" else CLASSES * EACH
        for found in strategy.adapt_batch(model, [(task, hp) for task in tasks], run):
            assert found.logits(task.val.inputs).shape == (len(task.val), CLASSES)

    does_not_wait(watch, work)


@pytest.mark.parametrize("name", PREPARED)
def test_prepare(watch, name):
    strategy = a_strategy(name)

    def work(steps):
        hp = settings_of(strategy, strategy.prepare_space, steps)
        model = small_backbone().to(META)
        prepared = strategy.prepare(model, the_source(), hp, a_run_on_meta(steps))
        assert prepared.device == META

    does_not_wait(watch, work)


def test_all_tasks_of_a_meta_step_are_one_batch(watch):
    """Else MAML would go on with them one by one, and what was wrong would not be seen."""
    source = the_source()
    draws = torch.Generator()
    episode = next(
        _meta_training.source_episodes(source, ways=3, shots=1, queries=2, generator=draws)
    )
    with watch:
        assert can_batch(small_backbone().to(META), Inner(0.4, 1, 3), episode)


class Recurring(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.mix = torch.nn.Embedding(12, 6), torch.nn.Conv1d(6, 6, 3, padding=1)

    def forward(self, ids):
        states = self.tokens(ids)
        mixed = states + self.mix(states.transpose(1, 2)).transpose(1, 2)
        return torch.cat([mixed, torch.ones_like(mixed[..., :1])], -1)


def a_text_backbone():
    return TextBackbone(
        Recurring(),
        blocks=[["tokens"], ["mix"]],
        encode=lambda texts: torch.zeros(len(texts), 9, dtype=torch.int32),
        vocabulary=12,
        pad=0,
        mask=2,
        special=frozenset({0, 1, 2}),
    )


@pytest.mark.parametrize("name", BUILT_IN.names("pretraining"))
def test_pretraining(watch, name):
    pretraining = BUILT_IN.get("pretraining", name).cls()
    texts = pretraining.modalities == {"text"}

    def work(steps):
        model, source = small_backbone(), the_source()
        if texts:
            model = a_text_backbone()
            ids = torch.empty(len(source.examples), 9, dtype=torch.int32, device=META)
            inputs = Inputs(ResidentPool(ids, "ids"), source.examples.inputs.rows)
            source = Source(Examples(inputs, source.examples.labels), OneClass.of(CLASSES))
        trained, _ = pretraining.pretrain(
            model.to(META), source, a_run_on_meta(steps), lr=1e-3, weight_decay=1e-4
        )
        assert trained.device == META

    does_not_wait(watch, work)


def test_rotated_classes(watch):
    task = the_task(val=False)
    pool = RotatedPool(task.train.inputs.pool)
    turned = Inputs(pool, torch.arange(0, len(pool), 240))
    labels = torch.zeros(len(turned), dtype=torch.int64, device=META)

    def work(steps):
        model = small_backbone().to(META)
        recipe = Recipe(model, model.parameters_from(0), lr=1e-3)
        rotated = Task(Examples(turned, labels), OneClass.of(CLASSES))
        fit(recipe, rotated, a_run_on_meta(steps, augment=VIEWS))

    does_not_wait(watch, work)


class Everything(Regulariser):
    """Uses all there is: draws, unlabelled inputs, what enters a block, state of its own."""

    unlabelled, taps = True, (1,)

    def __init__(self):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.ones(()))
        self.register_buffer("mean", torch.zeros(len(the_digits().inputs)))

    def batch(self, batch):
        order = torch.randperm(len(batch), generator=batch.generator)
        return replace(batch, inputs=batch.inputs[sent(order, META)].float())

    def penalty(self, batch):
        self.mean[batch.index] = batch.logits.detach().mean(1)
        both = batch.entering(1).mean() - batch.unlabelled.entering(1).mean()
        return self.factor * both.square()

    def stepped(self, model):
        self.mean.lerp_(model.head.weight.detach().mean(), 0.1)


@pytest.mark.parametrize("augment", [None, VIEWS], ids=["stored", "augmented"])
def test_regularisers(watch, augment):
    task = the_task(unlabelled=True)

    def work(steps):
        model = small_backbone().to(META)
        regularisers = [Everything(), Recalibration(task.train.inputs, 8)]
        recipe = Recipe(
            model, model.parameters_from(1), lr={"": 1e-3, "head": 1e-2}, regularisers=regularisers
        )
        fit(recipe, task, a_run_on_meta(steps, augment))

    does_not_wait(watch, work)


class Penalty(Regulariser):
    """A function of the backbone."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def penalty(self, batch):
        return self.function(batch.model.backbone)


class TestFaultsAreSeen:
    """By the very means above."""

    def _fit(self, watch, penalty=None, labels=META):
        task = the_task(val=False)
        train = Examples(task.train.inputs, torch.zeros(len(task.train), dtype=torch.int64))
        train = Examples(train.inputs, train.labels.to(labels))

        def work(steps):
            model = small_backbone().to(META)
            added = [] if penalty is None else [Penalty(penalty)]
            recipe = Recipe(model, model.parameters_from(0), lr=1e-3, regularisers=added)
            fit(recipe, Task(train, OneClass.of(CLASSES)), a_run_on_meta(steps))

        does_not_wait(watch, work)

    def test_none(self, watch):
        self._fit(watch, lambda model: next(model.parameters()).square().sum())

    def test_labels_on_the_cpu(self, watch):
        with pytest.raises(RuntimeError, match="device"):
            self._fit(watch, labels=CPU)

    def test_a_step_that_reads(self, watch):
        with pytest.raises(RuntimeError, match="meta"):
            self._fit(watch, lambda model: next(model.parameters()).sum() * model.mean.sum().item())

    def test_a_step_that_indexes_from_the_cpu(self, watch):
        with pytest.raises(AssertionError):
            self._fit(watch, lambda model: next(model.parameters())[torch.tensor([0])].sum())

    def test_a_step_that_copies(self, watch):
        with pytest.raises(AssertionError):
            self._fit(watch, lambda model: torch.ones(()).to(META) * next(model.parameters()).sum())
