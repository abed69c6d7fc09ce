"""What a plugin author touches, and nothing else: import from here.

A plugin class is a frozen dataclass: its fields are the ``args`` that a suite may give it.
"""

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from harness.contract import (
    BackboneFactory,
    Configured,
    Dataset,
    Emit,
    Executor,
    GradientStrategy,
    Job,
    Plugin,
    Predictor,
    Pretraining,
    Section,
    Settings,
    Space,
    Strategy,
    Tracker,
    Trick,
)
from harness.data.examples import (
    ArrayInputs,
    Data,
    Examples,
    FileInputs,
    Inputs,
    RawBatch,
    RawInputs,
    Source,
    Split,
    Task,
    TextInputs,
    sent,
)
from harness.data.meta import SourceEpisode, check_episodes, source_episodes
from harness.errors import Diverged, HarnessError, Mistakes, Unsupported, did_you_mean
from harness.markers import hookimpl
from harness.model.backbone import Backbone
from harness.model.classifier import Classifier
from harness.model.descend import descend
from harness.model.fit import batch_order, fit
from harness.model.heads import StandardisedLinear, standardised_head
from harness.model.image import ImageBackbone
from harness.model.normalisation import Recalibration
from harness.model.objective import Batch, Regulariser
from harness.model.probes import fit_heads
from harness.model.recipe import Recipe
from harness.model.restoring import restore, stand_in
from harness.model.run import Resumable, Run
from harness.model.text import TextBackbone
from harness.model.training import Training, constant, cosine
from harness.model.views import Augment

__all__ = [
    "ArrayInputs",
    "Augment",
    "Backbone",
    "BackboneFactory",
    "Batch",
    "CategoricalDistribution",
    "Classifier",
    "Configured",
    "Data",
    "Dataset",
    "Diverged",
    "Emit",
    "Examples",
    "Executor",
    "FileInputs",
    "FloatDistribution",
    "GradientStrategy",
    "HarnessError",
    "ImageBackbone",
    "Inputs",
    "IntDistribution",
    "Job",
    "Mistakes",
    "Plugin",
    "Predictor",
    "Pretraining",
    "RawBatch",
    "RawInputs",
    "Recalibration",
    "Recipe",
    "Regulariser",
    "Resumable",
    "Run",
    "Section",
    "Settings",
    "Source",
    "SourceEpisode",
    "Space",
    "Split",
    "StandardisedLinear",
    "Strategy",
    "Task",
    "TextBackbone",
    "TextInputs",
    "Tracker",
    "Training",
    "Trick",
    "Unsupported",
    "batch_order",
    "check_episodes",
    "constant",
    "cosine",
    "descend",
    "did_you_mean",
    "fit",
    "fit_heads",
    "hookimpl",
    "restore",
    "sent",
    "source_episodes",
    "stand_in",
    "standardised_head",
]
