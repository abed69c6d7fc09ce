"""What the cells of one process share: data, prepared inputs, weights and features."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from filelock import FileLock

from harness.contract import BackboneFactory, Strategy, overrides
from harness.data.examples import Fit, Pool, RawRows
from harness.data.loaded import Loaded
from harness.data.protocols import make_source, source_inputs
from harness.data.resident import on_host, placed
from harness.data.task import Source
from harness.hashing import canonical, seed_of
from harness.model.backbone import Backbone
from harness.model.feature_store import FeatureStore
from harness.model.weights import load_weights
from harness.plan import configure, keys
from harness.plan.cell import Cell
from harness.plan.datasets import Datasets
from harness.plan.fingerprint import backbone_fingerprint, source_fingerprint
from harness.record.files import write_atomically
from harness.registry import Registry
from harness.run.artefacts import Weights, find_or_make, is_made
from harness.run.checkpoint import Checkpoint
from harness.run.context import CellRun, OnProgress
from harness.run.feature_cache import FeatureCache
from harness.run.inputs import inputs_of, model_id, preparation, reading
from harness.run.meters import Clock
from harness.suite.backbones import BackboneSpec, FileWeights, SourceWeights
from harness.suite.budget import Limits
from harness.suite.problems import SourceSpec

V = TypeVar("V")


class LRU(Generic[V]):
    """The values that were used last, by key."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[str, V] = OrderedDict()

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def get(self, key: str, make: Callable[[], V]) -> V:
        value = self._values[key] if key in self._values else make()
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._size:
            self._values.popitem(last=False)
        return value


class Resources:
    """Shared resources of one process, on one device."""

    def __init__(
        self,
        registry: Registry,
        device: torch.device,
        cache: Path,
        limits: Limits | None = None,
        readers: int | None = None,
    ) -> None:
        self.registry, self.device, self.cache = registry, device, cache
        self.limits, self.readers = limits or Limits(), readers
        self.datasets = Datasets(registry)
        kept = round(self.limits.features * 2**30)
        self.features = FeatureStore(FeatureCache(cache / "features", kept) if kept else None)
        self.on_host: LRU[Pool] = LRU(6)
        """Inputs on the host, which the resources of one process share."""
        self._pools: LRU[Pool] = LRU(6)
        self._known: LRU[Weights] = LRU(4)
        self._fetched: set[str] = set()
        self._sources: dict[str, str] = {}
        """By model, the digest that its cell has of the source that it learns from."""

    # ── inputs ────────────────────────────────────────────────────────────────────────────────

    def pool(
        self,
        loaded: Loaded,
        part: str,
        backbone: Backbone,
        model: str,
        fit: Fit | None,
        threads: int | None = None,
    ) -> Pool:
        """The inputs of a dataset's ``train``, ``test`` or ``unlabelled`` part prepared for
        ``backbone``, in their ``order``; ``model`` says what preprocessing depends on."""
        raw = RawRows(*loaded.data.part(part), reading(loaded, fit))
        prepare, meaning = preparation(backbone, fit), inputs_of(model, loaded, part, fit)
        threads = threads or self.readers
        host = self.on_host.get(meaning, lambda: on_host(raw, prepare, threads))
        return self._pools.get(meaning, lambda: placed(host, raw, prepare, self.device, threads))

    def pool_of(
        self,
        cell: Cell,
        loaded: Loaded,
        backbone: Backbone,
        part: str,
        threads: int | None = None,
    ) -> Pool:
        """The inputs of a part of a dataset, prepared for a cell's backbone."""
        model, fit = model_id(cell.backbone_spec), cell.problem_spec.fit
        return self.pool(loaded, part, backbone, model, fit, threads)

    def warm(self, cell: Cell, threads: int) -> None:
        """Prepare a cell's inputs by so many threads, and fetch its weights, for processes that
        are forked from this one: the threads have ended by then. So for its further models."""
        for spec in (cell.backbone_spec, *cell.further_specs.values()):
            self._warm(cell.model_copy(update={"backbone_spec": spec}), threads)

    def _warm(self, cell: Cell, threads: int) -> None:
        problem = cell.problem_spec
        loaded = self.datasets.load(cell.dataset, problem.args)
        needed = [(loaded, part) for part in loaded.data.parts]
        for test in problem.tests:
            other = self.datasets.load(test.dataset, test.args)
            needed.append((other, other.data.tested[0]))
        model, fit = model_id(cell.backbone_spec), problem.fit
        cold = [each for each in needed if inputs_of(model, *each, fit) not in self.on_host]
        if cold:
            backbone = self.build(cell.backbone_spec, pretrained=False, seed=0)
            for data, part in cold:
                self.pool_of(cell, data, backbone, part, threads)
        spec = cell.backbone_spec
        if spec.weights == "hub" and model not in self._fetched:
            self._fetched.add(model)
            self.registry.backbone_for(spec.model).cls().fetch(spec.model, spec.args)

    def source(self, spec: SourceSpec, backbone: Backbone, model: str, fit: Fit | None) -> Source:
        loaded = self.datasets.load(spec.dataset, spec.args)
        pool = self.pool(loaded, "train", backbone, model, fit)
        return make_source(loaded.data, pool, rotations=spec.rotations, device=self.device)

    # ── weights ───────────────────────────────────────────────────────────────────────────────

    def build(self, spec: BackboneSpec, *, pretrained: bool, seed: int) -> Backbone:
        """Build a model from a seed, in evaluation mode on the device."""
        factory: BackboneFactory = self.registry.backbone_for(spec.model).cls()
        args = {**spec.args, **self._learned(spec, factory)}

        def rebuild() -> Backbone:
            backbone = factory.build(
                spec.model, input_size=spec.input_size, pretrained=False, args=args
            )
            backbone.extras.clear()  # a classifier of random weights tells nothing
            backbone.rebuild = rebuild
            return backbone

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if pretrained:
                backbone = factory.build(
                    spec.model, input_size=spec.input_size, pretrained=True, args=args
                )
                backbone.rebuild = rebuild
            else:
                backbone = rebuild()
        backbone.extras = {n: t.to(self.device) for n, t in backbone.extras.items()}
        return backbone.to(self.device).eval()

    def _learned(self, spec: BackboneSpec, factory: BackboneFactory) -> Mapping[str, Any]:
        """What the model takes from its source before it is built; kept on disk, as weights
        that were trained with it fit no other."""
        if not isinstance(spec.weights, SourceWeights) or not overrides(factory, "learn"):
            return {}
        model = model_id(spec)
        if (digest := self._sources.get(model)) is not None:
            found = _read_json(self._learned_file(spec, digest))
            if found is not None:
                return found
        source = self.datasets.load(spec.weights.source, spec.weights.args)
        file = self._learned_file(spec, source.digest)
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_suffix(".lock")):
            found = _read_json(file)
            if found is None:
                content = json.dumps(factory.learn(source_inputs(source.data), spec.args))
                write_atomically(file, content.encode())
                found = dict(json.loads(content))
        return found

    def _learned_file(self, spec: BackboneSpec, source: str) -> Path:
        code = keys.source_digest(self.registry.backbone_for(spec.model).file)
        meaning = {"model": model_id(spec), "source": source, "code": code}
        return self.cache / f"learned/{keys.key(meaning)}.json"

    def backbone(self, cell: Cell, progress: OnProgress, label: str | None = None) -> Weights:
        """The cell's backbone with its weights, random ones where its strategy uses none; or, by
        its label, a second one, which always has its weights. The cell's own are looked for by
        what its meaning says of them: the source is only loaded where they have to be made."""
        spec = cell.backbone_spec if label is None else cell.further_specs[label]
        if label is None:
            own = cell.meaning["backbone"]
            if isinstance(spec.weights, SourceWeights):
                self._sources[model_id(spec)] = own["weights"]["source"]
        else:
            own = backbone_fingerprint(self.registry, self.datasets, spec)
        uses = self.registry.get("strategy", cell.strategy).cls.uses_weights
        bare = label is None and not uses
        meaning = {
            "backbone": own,
            "bare": bare,
            "seed": cell.seed if bare or spec.weights == "random" else 0,
            **self._rounding(),
        }

        def make() -> Weights:
            if bare:
                return self._random(spec, cell.seed)
            return self._weights(spec, cell.seed, own, progress)

        return self._reused(canonical(meaning), make)

    def _reused(self, key: str, make: Callable[[], Weights]) -> Weights:
        """Make once a process; whoever comes later is told that it was made before."""
        known = key in self._known
        weights = self._known.get(key, make)
        return replace(weights, cached=True) if known else weights

    def _weights(
        self, spec: BackboneSpec, seed: int, own: Mapping[str, Any], progress: OnProgress
    ) -> Weights:
        match spec.weights:
            case "hub":
                return Weights(self.build(spec, pretrained=True, seed=0), 0.0, False)
            case FileWeights(file=file):
                backbone = self.build(spec, pretrained=False, seed=0)
                load_weights(backbone, file)
                return Weights(backbone, 0.0, False)
            case SourceWeights() as weights:
                return self._pretrained(spec, weights, own, progress)
            case _:
                return self._random(spec, seed)

    def _random(self, spec: BackboneSpec, seed: int) -> Weights:
        backbone = self.build(spec, pretrained=False, seed=seed_of(seed, "weights"))
        return Weights(backbone, 0.0, False)

    def _pretrained(
        self,
        spec: BackboneSpec,
        weights: SourceWeights,
        own: Mapping[str, Any],
        progress: OnProgress,
    ) -> Weights:
        folder, every = self.cache / "weights", self.limits.checkpoint
        meaning = {**own, **self._rounding()}
        if not is_made(folder, meaning):  # what they are made from may have changed since then
            now = backbone_fingerprint(self.registry, self.datasets, spec)
            meaning = {**now, **self._rounding()}
        method = configure.pretraining(self.registry, weights.method)

        def make(backbone: Backbone, run: CellRun) -> tuple[Backbone, dict[str, Any]]:
            source = self.source(
                SourceSpec(dataset=weights.source, args=weights.args, rotations=weights.rotations),
                backbone,
                model_id(spec),
                weights.fit,
            )
            trained, scores = method.pretrain(
                backbone, source, run, lr=weights.lr, weight_decay=weights.weight_decay
            )
            return trained.eval(), {"scores": dict(scores), "source_classes": source.classes}

        run = partial(
            self._run, weights.seed, weights.steps, weights.batch_size, "pretrain", progress
        )
        start = self.build(spec, pretrained=False, seed=seed_of(weights.seed, "weights"))
        return find_or_make(folder, meaning, start, run, make, every)

    def prepared(
        self,
        cell: Cell,
        strategy: Strategy,
        backbone: Backbone,
        settings: Mapping[str, Any],
        progress: OnProgress,
    ) -> Weights:
        """What the strategy's ``prepare`` makes of ``backbone``, kept for all cells that share
        backbone, source, seed and settings."""
        if not overrides(strategy, "prepare"):
            return Weights(backbone, 0.0, False)
        source, fit = cell.source_spec, cell.problem_spec.fit
        folder, every = self.cache / "prepared", self.limits.checkpoint
        meaning = {
            "strategy": {
                "name": strategy.name,
                "arguments": repr(strategy),
                **keys.contents(strategy),
                "source": cell.meaning["strategy"]["source"],
            },
            "backbone": backbone.digest(),
            "source": cell.meaning["source"],
            "settings": settings,
            "steps": cell.budget.steps,
            "batch_size": cell.budget.batch_size,
            "seed": cell.seed,
            **self._rounding(),
        }
        if not is_made(folder, meaning):
            meaning["source"] = source_fingerprint(self.datasets, source, fit)

        def make(start: Backbone, run: CellRun) -> tuple[Backbone, dict[str, Any]]:
            model = model_id(cell.backbone_spec)
            shown = self.source(source, start, model, fit) if source else None
            return strategy.prepare(start, shown, settings, run).eval(), {}

        def found_or_made() -> Weights:
            start = self.build(cell.backbone_spec, pretrained=False, seed=0)
            start.load_state_dict(backbone.state_dict())
            start.extras.update(backbone.extras)
            budget = cell.budget
            run = partial(
                self._run, cell.seed, budget.steps, budget.batch_size, "prepare", progress
            )
            return find_or_make(folder, meaning, start, run, make, every)

        return self._reused(canonical(meaning), found_or_made)

    def _rounding(self) -> dict[str, int]:
        """What weights depend on that were computed here, beside what a cell means: none is taken
        on the CPU that was computed with another number of threads, or elsewhere."""
        return {"threads": torch.get_num_threads()} if self.device.type == "cpu" else {}

    def _run(
        self,
        seed: int,
        steps: int,
        batch_size: int,
        stage: str,
        progress: OnProgress,
        checkpoint: Checkpoint,
    ) -> CellRun:
        return CellRun(
            device=self.device,
            seed=seed,
            steps=steps,
            batch_size=batch_size,
            store=self.features,
            clock=Clock(self.device),
            progress=progress,
            stage=stage,
            checkpoint=checkpoint,
        )


def _read_json(file: Path) -> dict[str, Any] | None:
    """What a file says; ``None`` where there is none, or it is damaged."""
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
