"""What a plugin author touches, and nothing else: import from here.

A plugin class is a frozen dataclass: its fields are the ``args`` that a suite may give it.
"""

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from harness.contract import (
    BackboneFactory,
    Configured,
    Dataset,
    GradientStrategy,
    Plugin,
    Pretraining,
    Section,
    Settings,
    Space,
    Strategy,
    Tracker,
    Trick,
)
from harness.data.archives import cache_folder, is_archive, unpacked
from harness.data.classes import natural, one_name
from harness.data.digests import example_digests
from harness.data.examples import (
    ArrayInputs,
    Data,
    Examples,
    FileInputs,
    Inputs,
    RawBatch,
    RawInputs,
    Split,
    TextInputs,
    sent,
)
from harness.data.inspection import listed
from harness.data.meta import SourceEpisode, check_episodes, source_episodes
from harness.data.pixels import is_image
from harness.data.task import Measure, OneClass, Source, Target, Task
from harness.data.unpacking import ARCHIVES
from harness.dataset_wrapper import DatasetWrapper
from harness.errors import (
    Diverged,
    HarnessError,
    Mistakes,
    Unsupported,
    abridged,
    did_you_mean,
    is_systems,
    located,
    one_line,
)
from harness.executor import Emit, Executor, Job, SubmittingExecutor
from harness.hashing import seed_of
from harness.markers import hookimpl
from harness.model.augment import DRAWS, Augment
from harness.model.backbone import SOURCE_HEAD, Backbone, evaluating
from harness.model.batch_norm import BatchNorm
from harness.model.batched_heads import fit_heads
from harness.model.classifier import Classifier, first_head
from harness.model.descend import Optimizer, descend
from harness.model.fit import fit
from harness.model.heads import StandardisedLinear, standardised_head
from harness.model.image import ImageBackbone
from harness.model.normalisation import Recalibration, recalibrated
from harness.model.objective import batch_order
from harness.model.optimisation import constant, cosine
from harness.model.recipe import Recipe
from harness.model.regulariser import Batch, Regulariser
from harness.model.restoring import restore, stand_in
from harness.model.run import Resumable, Run, SecondModel
from harness.model.text import TextBackbone
from harness.model.training_state import Training
from harness.plan.cell import Cell
from harness.predictor import Exportable, Finished, Predictor
from harness.record.files import make_folder
from harness.record.schema import Record, Trial
from harness.run import isolation, server, stopping
from harness.run.checksummed import Damaged, read_checksummed, write_checksummed

__all__ = [
    "ARCHIVES",
    "DRAWS",
    "SOURCE_HEAD",
    "ArrayInputs",
    "Augment",
    "Backbone",
    "BackboneFactory",
    "Batch",
    "BatchNorm",
    "CategoricalDistribution",
    "Cell",
    "Classifier",
    "Configured",
    "Damaged",
    "Data",
    "Dataset",
    "DatasetWrapper",
    "Diverged",
    "Emit",
    "Examples",
    "Executor",
    "Exportable",
    "FileInputs",
    "Finished",
    "FloatDistribution",
    "GradientStrategy",
    "HarnessError",
    "ImageBackbone",
    "Inputs",
    "IntDistribution",
    "Job",
    "Measure",
    "Mistakes",
    "OneClass",
    "Optimizer",
    "Plugin",
    "Predictor",
    "Pretraining",
    "RawBatch",
    "RawInputs",
    "Recalibration",
    "Recipe",
    "Record",
    "Regulariser",
    "Resumable",
    "Run",
    "SecondModel",
    "Section",
    "Settings",
    "Source",
    "SourceEpisode",
    "Space",
    "Split",
    "StandardisedLinear",
    "Strategy",
    "SubmittingExecutor",
    "Target",
    "Task",
    "TextBackbone",
    "TextInputs",
    "Tracker",
    "Training",
    "Trial",
    "Trick",
    "Unsupported",
    "abridged",
    "batch_order",
    "cache_folder",
    "check_episodes",
    "constant",
    "cosine",
    "descend",
    "did_you_mean",
    "evaluating",
    "example_digests",
    "first_head",
    "fit",
    "fit_heads",
    "hookimpl",
    "is_archive",
    "is_image",
    "is_systems",
    "isolation",
    "listed",
    "located",
    "make_folder",
    "natural",
    "one_line",
    "one_name",
    "read_checksummed",
    "recalibrated",
    "restore",
    "seed_of",
    "sent",
    "server",
    "source_episodes",
    "stand_in",
    "standardised_head",
    "stopping",
    "unpacked",
    "write_checksummed",
]
