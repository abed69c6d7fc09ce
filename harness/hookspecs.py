"""Every hook of the harness: the whole contract between the core and a plugin, on one page.

A plugin is a module (or any object) whose functions carry ``@hookimpl``::

    from harness import hookimpl

    @hookimpl
    def harness_strategies():
        return [MyStrategy]

The built-in plugins are found through these hooks too; the core names none of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.markers import hookspec

if TYPE_CHECKING:
    import pandas as pd

    from harness.contract import (
        BackboneFactory,
        Dataset,
        Pretraining,
        Section,
        Strategy,
        Tracker,
        Trick,
    )
    from harness.dataset_wrapper import DatasetWrapper
    from harness.executor import Executor
    from harness.plan.cell import Cell
    from harness.record.schema import Record, Trial

# ── what a plugin brings ──────────────────────────────────────────────────────────────────────


@hookspec
def harness_strategies() -> Sequence[type[Strategy]]:  # type: ignore[empty-body]
    """Strategies: ways to move a backbone onto a task.

    ::

        @dataclass(frozen=True)
        class OnlyBiases(GradientStrategy):
            name: ClassVar[str] = "only_biases"

            def recipe(self, backbone, task, hp, run):
                names = [n for n, _ in backbone.named_parameters() if n.endswith("bias")]
                return Recipe(backbone, trainable=names, lr=hp["lr"])

        @hookimpl
        def harness_strategies():
            return [OnlyBiases]
    """


@hookspec
def harness_tricks() -> Sequence[type[Trick]]:  # type: ignore[empty-body]
    """Tricks: what amends the training of any gradient strategy, as ``tricks`` of a suite.

    ::

        @dataclass(frozen=True)
        class SoftLabels(Trick):
            name: ClassVar[str] = "soft_labels"
            space: ClassVar[Space] = {"share": FloatDistribution(0.01, 0.3, log=True)}
            defaults: ClassVar[Settings] = {"share": 0.1}

            def amend(self, recipe, task, hp, run):
                smooth = partial(F.cross_entropy, label_smoothing=hp["share"])
                return replace(recipe, criterion=smooth)

        @hookimpl
        def harness_tricks():
            return [SoftLabels]
    """


@hookspec
def harness_datasets() -> Sequence[type[Dataset | DatasetWrapper]]:  # type: ignore[empty-body]
    """Datasets, and wrappers that make one of another. Their dataclass fields are the ``args`` of a
    suite.

    ::

        @dataclass(frozen=True)
        class Noise(Dataset):
            name: ClassVar[str] = "noise"
            images: int = 100

            def load(self):
                pixels = torch.randint(0, 256, (self.images, 3, 8, 8), dtype=torch.uint8)
                labels = torch.arange(self.images) % 2
                return Data(train=Split(ArrayInputs(pixels), labels), classes=("a", "b"))

        @hookimpl
        def harness_datasets():
            return [Noise]
    """


@hookspec
def harness_datasets_for(path: Path) -> Sequence[tuple[str, Mapping[str, Any]]]:  # type: ignore[empty-body]
    """Datasets that may read a folder or a file, by name, each with its arguments; the likeliest
    first. ``harness init`` takes the first that can be loaded.

    ::

        @hookimpl
        def harness_datasets_for(path):
            return [("slides", {"file": str(path)})] if path.suffix == ".svs" else []
    """


@hookspec
def harness_backbones() -> Sequence[type[BackboneFactory]]:  # type: ignore[empty-body]
    """Backbones: feature extractors, an ordered list of blocks each.

    ::

        class Tiny(BackboneFactory):
            name: ClassVar[str] = "tiny"

            def build(self, model, *, input_size, pretrained, args):
                pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
                body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), *pool)
                return ImageBackbone(body, blocks=[["0"]], input_size=input_size or 32)

        @hookimpl
        def harness_backbones():
            return [Tiny]
    """


@hookspec
def harness_pretrainings() -> Sequence[type[Pretraining]]:  # type: ignore[empty-body]
    """Ways to make weights from a source. ``weights = { source = …, method = "NAME" }`` picks one.

    ::

        @dataclass(frozen=True)
        class Blurred(Pretraining):
            name: ClassVar[str] = "blurred"

            def pretrain(self, backbone, source, run, *, lr, weight_decay):
                task = Task(source.examples, source.target)
                recipe = Recipe(backbone, backbone.parameters_from(0), lr=lr)
                return fit(recipe, task, run).backbone.eval(), {}

        @hookimpl
        def harness_pretrainings():
            return [Blurred]
    """


@hookspec
def harness_executors() -> Sequence[type[Executor]]:  # type: ignore[empty-body]
    """Executors: where cells run. ``harness suite --executor NAME`` picks one.

    ::

        class Backwards(Executor):
            name: ClassVar[str] = "backwards"

            def run(self, jobs, emit, *, workers):
                for job in reversed([*jobs]):
                    job.run(emit, workers[0])

        @hookimpl
        def harness_executors():
            return [Backwards]
    """


@hookspec
def harness_trackers() -> Sequence[type[Tracker]]:  # type: ignore[empty-body]
    """Trackers: event hooks that are called only if ``harness suite --tracker NAME`` asks.

    ::

        class Bell(Tracker):
            name: ClassVar[str] = "bell"

            @hookimpl
            def harness_suite_finished(self, suite, directory):
                print("\\a", end="", file=sys.stderr)

        @hookimpl
        def harness_trackers():
            return [Bell]
    """


@hookspec
def harness_report_sections(frame: pd.DataFrame, directory: Path) -> Sequence[Section]:  # type: ignore[empty-body]
    """Further sections at the end of the report; ``frame`` has one row a planned cell.

    ::

        @hookimpl
        def harness_report_sections(frame, directory):
            return [Section("Slowest cell", f"<p>{frame.seconds_total.max():.0f} s</p>")]
    """


# ── what a plugin hears ───────────────────────────────────────────────────────────────────────
# Any module or tracker may implement any of these. They are called in the process of the command,
# in order.


@hookspec
def harness_suite_started(suite: str, directory: Path, cells: Sequence[Cell], todo: int) -> None:
    """A suite is about to run: all its cells, and how many of them have no usable record.

    ::

        @hookimpl
        def harness_suite_started(suite, directory, cells, todo):
            print(f"{suite}: {todo} of {len(cells)} cells to do", file=sys.stderr)
    """


@hookspec
def harness_cell_started(cell: Cell) -> None:
    """A cell starts.

    ::

        @hookimpl
        def harness_cell_started(cell):
            print(cell.title, file=sys.stderr)
    """


@hookspec
def harness_cell_progress(cell: Cell, stage: str, done: int, total: int) -> None:
    """A long stage of a cell (``pretrain``, ``prepare``, ``trial``, ``test``) has moved on.

    ::

        @hookimpl
        def harness_cell_progress(cell, stage, done, total):
            print(f"{cell.title}: {stage} {done}/{total}", file=sys.stderr)
    """


@hookspec
def harness_trial_finished(cell: Cell, trial: Trial) -> None:
    """A hyperparameter setting was tried, whatever came of it.

    ::

        @hookimpl
        def harness_trial_finished(cell, trial):
            print(trial.number, trial.state, trial.value, file=sys.stderr)
    """


@hookspec
def harness_cell_finished(cell: Cell, record: Record, elsewhere: bool) -> None:
    """A cell ended and its record is on disk; ``elsewhere``: it was another runner's, and is told
    when this one comes to it.

    ::

        @hookimpl
        def harness_cell_finished(cell, record):
            print(cell.title, record.status, record.metrics.get("accuracy"), file=sys.stderr)
    """


@hookspec
def harness_suite_finished(suite: str, directory: Path) -> None:
    """All cells have ended, or the user interrupted them.

    ::

        @hookimpl
        def harness_suite_finished(suite, directory):
            print(f"records in {directory}", file=sys.stderr)
    """
