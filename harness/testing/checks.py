"""What every dataset, backbone and way to make weights must do: checks that authors inherit."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from harness import registry
from harness.api import (
    ArrayInputs,
    Backbone,
    BackboneFactory,
    Dataset,
    DatasetWrapper,
    OneClass,
    Pretraining,
    Source,
)
from harness.data.loaded import Loaded
from harness.plan.datasets import Datasets, load, wrapped
from harness.run.context import CellRun
from harness.testing.small import a_run, cut_short, digits, shots, small_backbone, whole


class PretrainingChecks:
    """What every way to make weights must do. Inherit, and set ``pretraining``."""

    pretraining: ClassVar[Pretraining]

    def given(self) -> tuple[Backbone, Source]:
        """A backbone to train, and the source to train it on."""
        backbone = small_backbone()
        return backbone, Source(shots(digits(backbone), 12, 10), OneClass.of(10))

    def _pretrain(
        self, run: CellRun | None = None
    ) -> tuple[Backbone, Backbone, Mapping[str, float]]:
        start, source = self.given()
        backbone, scores = self.pretraining.pretrain(
            copy.deepcopy(start), source, run or a_run(steps=4), lr=1e-2, weight_decay=1e-4
        )
        return start, backbone, scores

    def test_class_is_well_formed(self) -> None:
        """Mend the class."""
        mistake = registry.check("pretraining", type(self.pretraining))
        assert mistake is None, mistake

    def test_trains_the_backbone_and_keeps_its_form(self) -> None:
        """Train the backbone that it is given, add nothing to it, and give it back."""
        start, backbone, scores = self._pretrain()
        before, after = start.state_dict(), backbone.state_dict()
        forms = [{name: t.shape for name, t in state.items()} for state in (before, after)]
        assert forms[0] == forms[1], "its parameters have other names or shapes than before"
        assert backbone.digest() != start.digest(), "the weights are what they were"
        wrong = {name: value for name, value in scores.items() if not isinstance(value, float)}
        assert not wrong, f"these scores are no floats: {wrong}"

    def test_same_seed_gives_the_same_weights(self) -> None:
        """Draw from ``run.generator(…)`` or within ``run.seeded(…)`` alone."""
        same = self._pretrain()[1].digest() == self._pretrain()[1].digest()
        assert same, "two trainings with one seed gave different weights"

    def test_goes_on_where_it_was_cut_short(self, tmp_path: Path) -> None:
        """Take steps by ``descend`` or ``fit``, and name to it all that steps change."""

        def work(run: CellRun) -> tuple[str, Mapping[str, float]]:
            _, backbone, scores = self._pretrain(run)
            return backbone.digest(), scores

        same = cut_short(work, tmp_path / "checkpoint", after=3, steps=5) == whole(work, steps=5)
        assert same, "what was cut short came to other weights or scores"


class DatasetChecks:
    """What every dataset, and every wrapper of one, must do. Inherit, and set ``dataset`` or
    override :meth:`given`."""

    dataset: ClassVar[Dataset | DatasetWrapper]

    def given(self, tmp_path: Path) -> Dataset | DatasetWrapper:
        """The dataset to check, on files made in ``tmp_path`` if it reads any."""
        return self.dataset

    def _load(self, dataset: Dataset | DatasetWrapper) -> Loaded:
        """Its data, loaded anew and checked."""
        if isinstance(dataset, Dataset):
            return load(dataset)
        inner = Datasets(registry.load_once(registry.Sources()))
        return wrapped(dataset, inner.load(dataset.dataset, dataset.args))

    def test_class_is_well_formed(self, tmp_path: Path) -> None:
        """Mend the class."""
        mistake = registry.check("dataset", type(self.given(tmp_path)))
        assert mistake is None, mistake

    def test_loads_examples_with_labels(self, tmp_path: Path) -> None:
        """Give inputs that can be read by rows, and labels that are places in ``classes``."""
        data = self._load(self.given(tmp_path)).data
        read = len(data.train.inputs.read([0, 1]))
        assert read == 2, f"read([0, 1]) gave {read} inputs"
        labelled = data.train.labels.unique().numel()
        assert labelled == len(data.classes), (
            f"training labels are of {labelled} classes, and it names {len(data.classes)}"
        )
        unknown = sorted(data.held_out.difference(data.classes))
        assert not unknown, f"held_out names what is no class: {unknown}"

    def test_loads_the_same_twice(self, tmp_path: Path) -> None:
        """Draw from a generator with a seed of its own, and sort what the file system lists."""
        dataset = self.given(tmp_path)
        first, second = (self._load(dataset) for _ in range(2))
        assert first.digest == second.digest, "loaded twice, it had other content or another order"


class BackboneChecks:
    """What every backbone must do. Inherit, and set ``factory`` and ``model``."""

    factory: ClassVar[type[BackboneFactory]]
    model: ClassVar[str]
    input_size: ClassVar[int | None] = None
    args: ClassVar[Mapping[str, Any]] = {}

    def build(self) -> Backbone:
        return (
            self.factory()
            .build(self.model, input_size=self.input_size, pretrained=False, args=self.args)
            .eval()
        )

    def inputs(self, backbone: Backbone) -> Tensor:
        """Four prepared inputs."""
        if self.factory.modality == "text":
            return backbone.preprocess(["one", "two words", "a few more words", "yes and no"])
        generator = torch.Generator().manual_seed(0)
        raw = torch.randint(0, 256, (4, 3, 40, 40), dtype=torch.uint8, generator=generator)
        return backbone.preprocess(ArrayInputs(raw).images)

    def test_class_is_well_formed(self) -> None:
        """Mend the class."""
        mistake = registry.check("backbone", self.factory)
        assert mistake is None, mistake

    def test_gives_features(self) -> None:
        """Give a body that maps inputs ``[B, …]`` to finite features ``[B, D]``."""
        backbone = self.build()
        features = backbone.features(self.inputs(backbone))
        expected = (4, backbone.num_features)
        assert features.shape == expected, f"they are {list(features.shape)}, not {list(expected)}"
        assert features.isfinite().all(), "some features are not finite"

    def test_every_block_has_parameters(self) -> None:
        """Name in ``blocks`` the parts of the body that have parameters, and all of them."""
        backbone = self.build()
        named = {backbone.block_of(name) for name, _ in backbone.body_parameters()}
        empty = sorted({*range(len(backbone.blocks))} - named)
        assert not empty, f"blocks {empty} of 0 to {len(backbone.blocks) - 1} have none"

    @torch.no_grad()
    def test_entering_at_a_block_gives_the_same_features(self) -> None:
        """Name ``blocks`` in the order in which inputs pass them; what leaves one has to be one
        tensor, and all that the next is given."""
        backbone = self.build()
        inputs = self.inputs(backbone)
        whole = backbone.features(inputs)
        for block in range(1, len(backbone.blocks) + 1):
            assert backbone.can_enter(block), f"block {block} can't be entered"
            entered = backbone.features_from(backbone.activations(inputs, block), block)
            same = torch.allclose(entered, whole, rtol=1e-4, atol=1e-5)
            assert same, f"features differ where block {block} is entered"
