"""A smaller variant that is another model, which learns from the whole one: distillation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.contract import GradientStrategy, overrides
from harness.errors import HarnessError
from harness.model.backbone import Backbone
from harness.model.run import SecondModel
from harness.model.text import TextBackbone
from harness.plan.resolve import batch_norm_of
from harness.predictor import Exportable
from harness.record.store import Store
from harness.registry import Registry
from harness.run.opening import Opening
from harness.run.reopened import Reopened
from harness.ship.export import export
from harness.ship.pruned import adapted
from harness.suite.backbones import BackboneSpec, FileWeights
from harness.suite.schema import TrickSpec

TEACHER = "teacher"
"""The argument of a trick that names the model to learn from."""

REMEDY = "Give another --student, or leave it out"


@dataclass(frozen=True)
class Student:
    """The model ``spec``, adapted by the selected strategy with the settings that it selected, and
    by the first trick that takes a :data:`TEACHER`, with its defaults: that is the whole model."""

    spec: BackboneSpec

    @property
    def name(self) -> str:
        return "student-" + "".join(c if c.isalnum() else "_" for c in self.spec.title)

    def make(self, model: Reopened, graph: Path, to: Path) -> None:
        """Write the student, which takes the inputs as they are prepared for the whole model and
        sees no validation examples.

        Raises:
            HarnessError: it takes others, the strategy has no training that can be amended, or no
                trick distils.
        """
        cell, opening = model.cell, model.opening
        strategy = opening.strategy
        if not isinstance(strategy, GradientStrategy) or overrides(strategy, "prepare"):
            raise HarnessError(
                f"{model.record.label} has no training of its own that a teacher could amend",
                "Leave out --student, or choose another model: --label NAME",
            )
        spec = self.spec.model_copy(update={"input_size": cell.backbone_spec.input_size})
        trick = TrickSpec(name=distilling(opening.resources.registry), args={TEACHER: TEACHER})
        own = cell.strategy_spec
        other = Opening(
            cell.model_copy(
                update={
                    "backbone_spec": spec,
                    "strategy_spec": own.model_copy(update={"tricks": (*own.tricks, trick)}),
                    "further_specs": {self.name: spec},
                    "batch_norm": batch_norm_of(spec, cell.problem_spec, strategy),
                }
            ),
            opening.resources,
            opening.journal,
            opening.meters,
            opening.emit,
        )
        student = opening.resources.backbone(other.cell, opening.progress, self.name).backbone
        _require_alike(student, model.backbone, self.spec.title)
        teacher = SecondModel(adapted(model).backbone, {model.pool.digest: model.pool})
        run = other.run_on(student, {TEACHER: teacher})
        settings = {**other.configured.defaults(), **model.trials.own(model.selected.settings)}
        with run.seeded("adapt"):
            predictor = other.strategy.adapt(student, model.without_validation(), settings, run)
        assert isinstance(predictor, Exportable)
        export(predictor.network(), student.example, to)


def student(asked: str, store: Store) -> Student:
    """The student that ``MODEL`` or ``MODEL=WEIGHTS`` asks for: a backbone that results of the
    folder are of, by its label, or any other model, with its published weights, ``random`` ones or
    those of a safetensors file."""
    title, _, weights = asked.partition("=")
    if not weights:
        for planned in store.plan().cells:
            record = store.record(planned.cell)
            config = record.config if record is not None else {}
            known = [config.get("backbone_spec"), *config.get("further_specs", {}).values()]
            for each in filter(None, known):
                spec = BackboneSpec.model_validate(each, strict=False)
                if spec.title == title:
                    return Student(spec)
    if weights in ("", "hub", "random"):
        return Student(BackboneSpec.model_validate({"model": title, "weights": weights or "hub"}))
    return Student(BackboneSpec(model=title, weights=FileWeights(file=Path(weights))))


def distilling(registry: Registry) -> str:
    """The name of the first trick that takes a teacher.

    Raises:
        HarnessError: there is none.
    """
    for (kind, name), plugin in registry.plugins.items():
        if kind == "trick" and TEACHER in plugin.arguments():
            return name
    raise HarnessError(f"there is no trick that takes a {TEACHER}", "Leave out --student")


def _require_alike(student: Backbone, whole: Backbone, title: str) -> None:
    """Both take the same inputs, as the files of a bundle have them prepared in one way."""
    shapes = [[*backbone.example.shape[1:]] for backbone in (student, whole)]
    if shapes[0] != shapes[1] or student.example.dtype != whole.example.dtype:
        raise HarnessError(
            f"{title} takes inputs of {shapes[0]}, and the model those of {shapes[1]}", REMEDY
        )
    tokens = [b.tokenizer if isinstance(b, TextBackbone) else None for b in (student, whole)]
    if tokens[0] != tokens[1]:
        raise HarnessError(f"{title} cuts texts into other tokens than the model does", REMEDY)
