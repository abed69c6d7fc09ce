"""What the parts of a cell mean: all that its key hashes, and nothing that only names it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.data.examples import Fit
from harness.data.loaded import Loaded
from harness.model.batch_norm import BatchNorm
from harness.plan import configure, keys
from harness.plan.datasets import Datasets
from harness.plan.resolve import ResolvedStrategy
from harness.plan.targets import split_meaning
from harness.registry import Kind, Registry
from harness.shots import Shots
from harness.suite.backbones import BackboneSpec, FileWeights, SourceWeights
from harness.suite.problems import EpisodesProblem, Problem, SourceSpec
from harness.suite.schema import StrategySpec, Suite, TrickSpec

if TYPE_CHECKING:
    from harness.contract import Strategy, Trick


def strategy_fingerprint(
    registry: Registry, datasets: Datasets, resolved: ResolvedStrategy, batch_norm: BatchNorm
) -> dict[str, Any]:
    """What a strategy and its tricks do; the defaults of tricks are among those of the strategy.
    Models that their arguments name count by what they are, ``trick.argument`` of a trick's."""
    spec = resolved.spec
    configured = resolved.frozen if batch_norm == "frozen" else resolved.configured
    meaning = {
        **_code_and_args(registry, "strategy", spec, configured.strategy),
        "defaults": configured.defaults(),
    }
    for argument, label in configured.strategy.backbones().items():
        meaning["args"][argument] = backbone_fingerprint(registry, datasets, resolved.models[label])
    if spec.tricks:
        meaning["tricks"] = {
            each.name: {
                **_code_and_args(registry, "trick", each, configure.trick(registry, each)[0]),
                "place": place,
            }
            for place, each in enumerate(spec.tricks)
        }
    return meaning


def _code_and_args(
    registry: Registry, kind: Kind, spec: StrategySpec | TrickSpec, made: Strategy | Trick
) -> dict[str, Any]:
    # A label does not tell which model it is: that counts with the strategy's own arguments.
    args = {name: value for name, value in spec.args.items() if name not in made.backbones()}
    return {
        "name": spec.name,
        "args": {**args, **keys.contents(made)},
        "source": keys.source_digest(registry.get(kind, spec.name).file),
    }


def backbone_fingerprint(
    registry: Registry, datasets: Datasets, backbone: BackboneSpec
) -> dict[str, Any]:
    """What a backbone's weights and code depend on."""
    weights, factory = backbone.weights, registry.backbone_for(backbone.model)
    files = factory.cls().files(backbone.args)
    meaning: dict[str, Any] = {
        "model": backbone.model,
        "input_size": backbone.input_size,
        "args": {**backbone.args, **{arg: keys.files_digest(files[arg]) for arg in files}},
        "code": keys.source_digest(factory.file),
    }
    match weights:
        case FileWeights():
            meaning["weights"] = {"file": keys.file_digest(weights.file)}
        case SourceWeights():
            source = datasets.load(weights.source, weights.args)
            code = keys.source_digest(registry.get("pretraining", weights.method.name).file)
            settings = weights.meaning()
            method = configure.pretraining(registry, weights.method)
            settings["method"]["args"] |= keys.contents(method)
            meaning["weights"] = {
                "source": source.digest,
                **settings,
                "code": code,
                **corrected(source),
            }
        case _:
            meaning["weights"] = weights
    return meaning


def source_fingerprint(
    datasets: Datasets, source: SourceSpec | None, fit: Fit | None
) -> dict[str, Any] | None:
    """What ``prepare`` sees; its images are made square as those of the problem are."""
    if source is None:
        return None
    loaded = datasets.load(source.dataset, source.args)
    meaning = {"data": loaded.digest, "rotations": source.rotations, **corrected(loaded)}
    return meaning if fit is None else {**meaning, "fit": fit}


def corrected(loaded: Loaded) -> dict[str, list[str]]:
    """What has changed in how data are decoded, or nothing where that concerns none of them."""
    return {"corrections": loaded.corrections} if loaded.corrections else {}


def split_fingerprints(
    suite: Suite, datasets: Datasets, problem: Problem
) -> dict[int, dict[Shots, dict[str, str]]]:
    """What splits from a file add to the meaning of cells, by seed and shots."""
    if isinstance(problem, EpisodesProblem):
        return {seed: {shots: {} for shots in problem.shots} for seed in suite.every_seed}
    return {
        seed: {shots: split_meaning(datasets, problem, shots, seed) for shots in problem.shots}
        for seed in suite.every_seed
    }
