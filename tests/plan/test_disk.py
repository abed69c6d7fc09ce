"""What cells will leave on disk, before they run."""

import pytest

from harness.plan.disk import BESIDES, disk
from harness.record.schema import Coordinates, Record


@pytest.fixture
def cells(planned, table):
    table["strategies"] = ["linear_probe", "full_finetune"]
    table["seeds"] = [0]
    return {cell.strategy: cell for cell in planned(table)}


@pytest.fixture
def record():
    def made(cell, trainable, status="ok"):
        coordinates = {name: getattr(cell, name) for name in Coordinates.model_fields}
        return Record(**coordinates, status=status, trainable_params=trainable, total_params=1000)

    return made


def models(cells, records, registry):
    """Bytes of the models that cells leave, by strategy."""
    found = disk([*cells.values()], records, registry)
    return {name: found[cell.cell] - BESIDES for name, cell in cells.items()}


def test_without_records_probes_leave_no_model_and_others_all_of_it(cells, toys):
    spec = cells["full_finetune"].backbone_spec
    model = (
        toys.backbone_for(spec.model)
        .cls()
        .build(spec.model, input_size=spec.input_size, pretrained=False, args=spec.args)
    )
    numbers = sum(tensor.numel() for tensor in model.parameters())
    assert models(cells, [], toys) == {"linear_probe": 0, "full_finetune": 4 * numbers}


def test_a_strategy_with_a_record_leaves_what_it_trained(cells, toys, record):
    known = [record(cells["linear_probe"], 30)]
    assert models(cells, known, toys) == {"linear_probe": 120, "full_finetune": 4000}


def test_what_came_to_no_end_is_no_guide(cells, toys, record):
    failed = [record(cells["linear_probe"], 30, status="failed")]
    assert models(cells, failed, toys)["linear_probe"] == 0


def test_a_model_that_cannot_be_built_is_not_counted(cells, toys, monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError

    factory = toys.backbone_for(cells["full_finetune"].backbone_spec.model).cls
    monkeypatch.setattr(factory, "build", refuse)
    assert models(cells, [], toys)["full_finetune"] == 0
