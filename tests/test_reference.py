"""The reference of suites and records: each key has a docstring, and all of them are told."""

import re
import sys
from pathlib import Path

import click
import pytest
from pydantic import BaseModel

from harness.cli import COMMANDS, cli
from harness.record import schema as records
from harness.record.store import COLUMNS
from harness.suite.schema import Suite

pytest.importorskip("sphinx")

sys.path.append(str(Path(__file__).parent.parent / "docs/_ext"))
import commands
import keys

RECORDS = [records.Trial, records.Coordinates, records.Further, records.Record, records.Plan]


@pytest.mark.parametrize(
    "model", [*(section.model for section in keys.sections()), *RECORDS], ids=lambda m: m.__name__
)
def test_every_key_has_a_docstring_of_its_own(model):
    told = keys.docs_of(model)
    assert [name for name in model.model_fields if not told.get(name)] == []


class Undocumented(BaseModel):
    """A table of which half is told."""

    told: int = 1
    """What is told."""

    untold: int = 2


def test_a_key_without_one_is_seen():
    assert keys.docs_of(Undocumented) == {"told": "What is told."}


def test_every_table_of_a_suite_is_told_once():
    """As JSON Schema finds them, by another way."""
    found = [section.model.__name__ for section in keys.sections()]
    expected = {"Suite", *Suite.model_json_schema()["$defs"]}
    assert sorted(found) == sorted({*expected, "_Problem"})


def test_every_key_of_every_table_is_told_once():
    written = [section.prefix + name for section in keys.sections() for name in section.fields]
    assert len(written) == len(set(written))
    fields = {s.model: set() for s in keys.sections()}
    for section in keys.sections():
        for kind in fields:
            if issubclass(kind, section.model):
                fields[kind] |= section.fields.keys()
    assert {kind: set(kind.model_fields) for kind in fields} == fields


@pytest.mark.parametrize(
    ("table", "name", "allowed", "default"),
    [
        ("Budget", "steps", "whole number ≥ 1", "200"),
        ("Budget", "augment", "table", ""),
        ("Limits", "retries", "whole number ≥ 0", "0"),
        ("Limits", "device_headroom", "number > 0, < 1", "0.05"),
        ("AddedSeeds", "to", "whole number ≥ 3, ≤ 1000", ""),
        ("SourceWeights", "seed", "whole number ≥ 0, ≤ 4294967295", "0"),
        ("BackboneSpec", "weights", '"hub", "random" or table', '"hub"'),
        ("TransferProblem", "shots", 'list: whole number ≥ 1 or "vtab1k", "all"', '["all"]'),
        ("TransferProblem", "splits", "path", ""),
        ("GroupsSpec", "column", "text", ""),
    ],
)
def test_what_a_key_takes_is_told_in_words(table, name, allowed, default):
    (model,) = (s.model for s in keys.sections() if s.model.__name__ == table)
    schema = model.model_json_schema()["properties"]
    assert keys.kind(schema[name]) == allowed
    assert keys.default(model.model_fields[name]) == default


def test_every_option_of_every_command_is_told():
    text = "\n".join(commands.told())
    assert re.findall(r"^### harness ([\w-]+)$", text, flags=re.MULTILINE) == list(COMMANDS)
    parent = click.Context(cli, info_name="harness")
    for name in COMMANDS:
        section = text.partition(f"### harness {name}\n")[2].partition("\n### ")[0]
        command = cli.get_command(parent, name)
        for option in command.params:
            if isinstance(option, click.Option):
                assert max(option.opts, key=len) in section


def test_every_column_of_the_export_is_told_and_no_other():
    page = (Path(__file__).parent.parent / "docs/reference/records.md").read_text()
    rows = re.findall(r"^\| ([^|]+) \|", page, flags=re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert told | set(records.Coordinates.model_fields) - {"tests"} == set(COLUMNS)
