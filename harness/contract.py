"""The classes that plugins bring, and what the core calls of them; authors find them in
:mod:`harness.api`."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from optuna.distributions import BaseDistribution, FloatDistribution

from harness.data.examples import Data, RawInputs
from harness.data.task import Source, Target, Task
from harness.model.backbone import Backbone
from harness.model.batch_norm import BatchNorm
from harness.model.fit import fit
from harness.model.recipe import Recipe
from harness.model.restoring import restore, stand_in
from harness.model.run import Run
from harness.predictor import Finished, Predictor

Space = Mapping[str, BaseDistribution]
"""Hyperparameters by name, each with the Optuna distribution it is drawn from."""

Settings = Mapping[str, Any]
"""One value for each hyperparameter of a space."""


class Plugin(ABC):
    """What every class that a plugin module brings says of itself."""

    name: ClassVar[str]
    family: ClassVar[str] = ""
    """What it is listed beside, such as ``probes``."""
    citation: ClassVar[str] = ""
    licence: ClassVar[str] = ""
    """Of the data or the weights that it brings."""
    requires: ClassVar[Mapping[str, str]] = {}
    """Modules that have to be importable, each with what ``pip install`` is given for it. Import
    them where they are used: without them the plugin is listed, and refused before a suite runs."""


class Configured(Plugin):
    """A class whose dataclass fields are the ``args`` that a suite gives it."""

    def files(self) -> Mapping[str, Sequence[Path]]:
        """Arguments that name files, each with all the files it stands for.

        They have to be there before a suite runs, and a cell's key hashes what is in them, and not
        where they are. What a dataset loads is part of the key by itself.
        """
        return {}


class Dataset(Configured):
    """A labelled dataset. Subclass it as a frozen dataclass; the fields are its arguments."""

    modality: ClassVar[str] = "image"

    @abstractmethod
    def load(self) -> Data:
        """Read the data.

        Raises:
            HarnessError: the files are missing or wrong; says which and what to do.
        """


class BackboneFactory(Plugin):
    """Builds one model, or a family of them."""

    modality: ClassVar[str] = "image"

    def models(self) -> Iterable[str]:
        """The model names that a suite may give; by default the plugin's own name."""
        return (self.name,)

    def files(self, args: Mapping[str, Any]) -> Mapping[str, Sequence[Path]]:
        """Arguments that name files, each with all the files it stands for.

        A cell's key then hashes what is in them, and not where they are. So it does for files
        of an installed package, which no argument names: call them as you like.
        """
        return {}

    def learn(self, source: RawInputs, args: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the model takes from the raw inputs of its source before it is built, such as a
        vocabulary: further ``args`` for :meth:`build`, of what JSON can hold."""
        return {}

    def fetch(self, model: str, args: Mapping[str, Any]) -> None:
        """Bring published weights to this machine, where that is not done yet.

        Called once, before the cells that build the model with them: no cell's time is spent on
        a download, and what keeps it from succeeding is found out once.

        Raises:
            HarnessError: they can't be had; :meth:`build` then says so again.
        """

    @abstractmethod
    def build(
        self, model: str, *, input_size: int | None, pretrained: bool, args: Mapping[str, Any]
    ) -> Backbone:
        """Build ``model`` with fresh random weights, or with its published ones.

        ``input_size`` counts pixels, or tokens; ``torch``'s global generator is seeded before
        the call.

        A linear classifier that the published weights have may be told among the extras, as
        :data:`SOURCE_HEAD`, of a model with random weights too: the harness then knows before
        anything runs that there will be one, and drops the random one.

        Raises:
            Unsupported: there are no published weights, or the arguments don't fit the model.
        """


class Pretraining(Configured):
    """A way to make weights from a source: ``weights = { source = …, method = "NAME" }``.

    Subclass it as a frozen dataclass; the fields are its arguments.
    """

    modalities: ClassVar[frozenset[str]] = frozenset({"image", "text"})

    @abstractmethod
    def pretrain(
        self, backbone: Backbone, source: Source, run: Run, *, lr: float, weight_decay: float
    ) -> tuple[Backbone, Mapping[str, float]]:
        """Train ``backbone``, which is the caller's to change, for ``run.steps`` steps of
        ``run.batch_size`` at a peak rate of ``lr``.

        Returns:
            The trained backbone, and what it scored, by name: kept beside the weights.

        Raises:
            Diverged: the loss is not a number any more.
        """


class Strategy(Configured):
    """A way to move a backbone onto a task. Subclass it as a frozen dataclass.

    A class has no state of its own: everything learned is in what the two verbs return.
    """

    modalities: ClassVar[frozenset[str]] = frozenset({"image", "text"})
    protocols: ClassVar[frozenset[str]] = frozenset({"transfer", "episodes"})
    sees_target_labels: ClassVar[bool] = False
    """Whether, under ``adaptation``, its task is the labelled target: an upper bound, marked so."""
    needs_source: ClassVar[bool] = False
    """Whether ``prepare`` learns from the source: without one the cell is unsupported."""
    takes_source_head: ClassVar[bool] = False
    """Whether, where there is no source, the classifier of published weights will do, which is
    among the backbone's extras as :data:`SOURCE_HEAD`."""
    needs_unlabelled: ClassVar[bool] = False
    """Whether, under ``transfer``, it learns from unlabelled inputs too: a suite whose data have
    none is refused."""
    baseline: ClassVar[bool] = False
    """Whether it is what others have to beat, such as training without transfer: gains are over the
    first baseline that a suite has."""
    uses_weights: ClassVar[bool] = True
    """Whether it starts from the backbone's weights. Where it does not, it is given random ones,
    and what the weights cost is no cost of its own."""
    starts_from: ClassVar[str | None] = None
    """The simpler strategy that it goes on from, or adds to, by name, such as the probe whose head
    it trains further: a report tells where it validates below that one."""
    batch_norm: ClassVar[BatchNorm | None] = None
    """What batch norms do in blocks that train, where a method is about that and a suite has no say
    in it."""

    prepare_space: ClassVar[Space] = {}
    space: ClassVar[Space] = {}
    defaults: ClassVar[Settings] = {}
    """Trial 0: a value for every name in the two spaces."""

    frozen_space: ClassVar[Space] = {}
    frozen_defaults: ClassVar[Settings] = {}
    """What differs in ``space`` and ``defaults`` where batch norm is frozen, as by default with
    published weights: rates for norms that follow each batch are too high there."""

    def with_frozen_norms(self) -> Self:
        """The same strategy with what is tuned where batch norm is frozen."""
        other = copy.copy(self)
        space = {**self.space, **self.frozen_space}
        defaults = {**self.defaults, **self.frozen_defaults}
        vars(other).update(space=space, defaults=defaults)  # fields are frozen; these are none
        return other

    def backbones(self) -> Mapping[str, str]:
        """Arguments that name another model of the suite, such as a teacher, each with its label:
        :meth:`Run.backbone` gives it to ``adapt``, and a cell's key counts its weights."""
        return {}

    def check_source(self, sizes: Sequence[int]) -> None:
        """Refuse a source that ``prepare`` cannot learn from, before anything runs.

        Args:
            sizes: how many examples each class of the source has.

        Raises:
            HarnessError: says what is lacking, and what to do.
        """

    def prepare(
        self, backbone: Backbone, source: Source | None, hp: Settings, run: Run
    ) -> Backbone:
        """Learn from the source before any task is seen. Most strategies don't.

        The result is kept and shared by all cells with the same backbone, source, seed and
        settings, so it may depend on nothing else. ``backbone`` is the caller's to change.
        """
        return backbone

    @abstractmethod
    def adapt(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Predictor:
        """Adapt to one task: a whole dataset or a 5-way 1-shot episode alike.

        ``backbone`` is shared: copy what you change.

        Raises:
            Diverged: the loss is not a number any more.
        """

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if "adapt" in vars(cls) and "adapt_batch" not in vars(cls):
            cls.adapt_batch = Strategy.adapt_batch  # type: ignore[method-assign]  # not a parent's

    def adapt_batch(
        self, backbone: Backbone, batch: Sequence[tuple[Task, Settings]], run: Run
    ) -> Iterable[Predictor]:
        """Adapt to many tasks, or one task with many settings; override it to do so at once.

        Where it is overridden, the tuner hands over all settings that it knows before any of them
        has been tried, together with their one task. Each is billed an equal share.
        """
        for task, hp in batch:
            yield self.adapt(backbone, task, hp, run)

    def conclude(self, trials: Sequence[Finished], task: Task, run: Run) -> Predictor:
        """Make one predictor of those of all trials, such as an ensemble, where there is one task:
        not in ``episodes``. By default it is that of the best trial; where this is overridden, the
        predictors are kept in memory until then, and the cell is billed for it as for a trial.

        Args:
            trials: the best first; those that were pruned or failed are not among them.
        """
        return trials[0].predictor

    def restore(
        self, file: Path, backbone: Backbone, target: Target, hp: Settings, run: Run
    ) -> Predictor:
        """Give back a predictor of :meth:`adapt` that was saved to ``file``: on a device of the
        same kind and in the same precision, its logits are the same, bit for bit.

        By default it is a :class:`Classifier` with a linear head: override it where ``adapt``
        gives something else.

        Args:
            backbone: what ``adapt`` was given, which is what ``prepare`` made of it.
            target: that of the task.
            hp: the settings that it was adapted with.

        Raises:
            HarnessError: the file cannot be read, or does not fit.
        """
        return restore(file, Recipe(backbone, (), lr=0.0), stand_in(backbone, target), run)


class Trick(Configured):
    """Amends the training of any :class:`GradientStrategy`: a suite names it under ``tricks``.

    Subclass it as a frozen dataclass; the fields are its arguments. What is tuned of it joins the
    strategy's own settings under its name, ``mixup.alpha``.
    """

    modalities: ClassVar[frozenset[str]] = frozenset({"image", "text"})
    space: ClassVar[Space] = {}
    defaults: ClassVar[Settings] = {}
    """A value for every name in the space."""

    def backbones(self) -> Mapping[str, str]:
        """As :meth:`Strategy.backbones`: those of the strategy that it amends."""
        return {}

    def check_backbone(self, backbone: Backbone) -> None:
        """Refuse a backbone, on the ``meta`` device, whose training this cannot amend, before
        anything runs.

        Raises:
            HarnessError: says what is lacking, and what to do.
        """

    @abstractmethod
    def amend(self, recipe: Recipe, task: Task, hp: Settings, run: Run) -> Recipe:
        """The recipe with this trick in it, such as with one more of ``recipe.regularisers``.

        Args:
            hp: the settings of this trick, by the names in its own space.
        """


class GradientStrategy(Strategy):
    """A strategy that only declares what trains, from where and how."""

    tricks: Sequence[Trick] = ()
    """What amends its recipe, in this order; see :meth:`with_tricks`."""

    space: ClassVar[Space] = {
        "lr": FloatDistribution(1e-4, 1e-2, log=True),
        "weight_decay": FloatDistribution(1e-5, 1e-1, log=True),
    }
    defaults: ClassVar[Settings] = {"lr": 1e-3, "weight_decay": 1e-4}

    @abstractmethod
    def recipe(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Recipe:
        """What trains, from where and how."""

    def with_tricks(self, tricks: Sequence[Trick]) -> Self:
        """The same strategy with tricks, whose spaces and defaults have joined its own."""
        joined = copy.copy(self)
        own: dict[str, Any] = {"tricks": tuple(tricks)}
        for part in ("space", "defaults"):
            theirs = [(f"{t.name}.{n}", v) for t in tricks for n, v in getattr(t, part).items()]
            own[part] = {**getattr(self, part), **dict(theirs)}
        others = {f"{t.name}.{n}": label for t in tricks for n, label in t.backbones().items()}
        if others:
            named = {**self.backbones(), **others}
            own["backbones"] = lambda: named
        vars(joined).update(own)  # its fields are frozen, and these are none
        return joined

    def amended(self, recipe: Recipe, task: Task, hp: Settings, run: Run) -> Recipe:
        """A recipe as the tricks amend it. What trains without :meth:`adapt` asks for it."""
        for trick in self.tricks:
            own = {name: hp[f"{trick.name}.{name}"] for name in trick.space}
            recipe = trick.amend(recipe, task, own, run)
        return recipe

    def adapt(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Predictor:
        return fit(self._derived(backbone, task, hp, run), task, run)

    def restore(
        self, file: Path, backbone: Backbone, target: Target, hp: Settings, run: Run
    ) -> Predictor:
        """As :meth:`Strategy.restore`, in the form that the recipe for a stand-in of the task has;
        earlier stages that it trains are trained on that: a run of one step is enough."""
        task = stand_in(backbone, target)
        with run.seeded("restoring"):
            return restore(file, self._derived(backbone, task, hp, run), task, run)

    def _derived(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Recipe:
        """The amended recipe, whose backbone was made from the given one, by whatever means."""
        given = self.recipe(backbone, task, hp, run)
        if not isinstance(given, Recipe):
            raise TypeError(f"recipe() of {self.name} gave a {type(given).__name__}, not a Recipe")
        recipe = self.amended(given, task, hp, run)
        recipe.backbone.derive_from(backbone)
        return recipe


class Tracker(Plugin):
    """Follows a run when ``harness suite --tracker NAME`` asks for it.

    Its methods are event hooks, each marked ``@hookimpl``. A plugin module that has event hooks
    itself always hears them; a tracker is made anew for each run, without arguments.
    """


@dataclass(frozen=True)
class Section:
    """A section of the report: a heading and HTML that loads nothing from outside."""

    title: str
    html: str


def overrides(plugin: Plugin | type[Plugin], method: str) -> bool:
    """Whether a plugin has another ``method`` than the class that first had one."""
    cls = plugin if isinstance(plugin, type) else type(plugin)
    first = next(base for base in reversed(cls.__mro__) if method in vars(base))
    return getattr(cls, method) is not vars(first)[method]
