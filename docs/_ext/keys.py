"""Directives that write the reference of suites and records from their pydantic models.

``{suite-keys}`` goes through all tables of a suite; ``{record-keys} NAME`` through one model of a
record. What a key means is the docstring under its field.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, get_args

from docutils import nodes
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from harness.record import schema as records
from harness.suite.schema import Suite


@dataclass(frozen=True)
class Section:
    """A table of a suite: how it is written, what its keys are called, and those to tell of it."""

    title: str
    prefix: str
    model: type[BaseModel]
    fields: dict[str, FieldInfo]


def docs_of(model: type[BaseModel]) -> dict[str, str]:
    """The docstring under each field of a model, those of its bases included."""
    found: dict[str, str] = {}
    for kind in reversed([kind for kind in model.__mro__ if issubclass(kind, BaseModel)][:-1]):
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
        body = tree.body if isinstance(tree, ast.ClassDef) else []
        for field, after in pairwise(body):
            match field, after:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    found[name] = inspect.cleandoc(text)
    return found


def sections() -> list[Section]:
    """All tables of a suite, each once, in the order of the file."""
    return [*_sections(Suite, "", "At the top", "", set())]


def _sections(
    model: type[BaseModel], path: str, title: str, owner: str, seen: set[type[BaseModel]]
) -> Iterator[Section]:
    """A table and all within it; ``owner`` tells those apart that stand in one place."""
    seen.add(model)
    if protocol := model.model_fields.get("protocol"):
        owner = f"{get_args(protocol.annotation)[0]}: "
    prefix = f"{path}." if path else ""
    base = next((kind for kind in model.__mro__ if kind.__name__.startswith("_")), None)
    common = base.model_fields if base and issubclass(base, BaseModel) else {}
    if base and base not in seen:
        seen.add(base)
        yield Section(f"`[[{path}]]`", prefix, base, {**common})
    own = {
        name: field
        for name, field in model.model_fields.items()
        if name not in common or name in model.__annotations__
    }
    yield Section(title, owner + prefix, model, own)
    for name, field in {**common, **own}.items():
        below = prefix + name
        for inner in _models(field.annotation):
            if inner not in seen:
                yield from _sections(inner, below, _title(below, inner, field), owner, seen)


def _models(*annotations: Any) -> Iterator[type[BaseModel]]:
    for annotation in annotations:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield annotation
        else:
            yield from _models(*get_args(annotation))


def _title(path: str, model: type[BaseModel], field: FieldInfo) -> str:
    """How the table is written: by itself, as one of several, or in the line of its key."""
    if "protocol" in model.model_fields:
        (protocol,) = get_args(model.model_fields["protocol"].annotation)
        return f'`[[{path}]]` with `protocol = "{protocol}"`'
    if "." not in path and field.annotation is model:
        return f"`[{path}]`"
    if "." not in path and get_args(field.annotation)[1:] == (...,):
        return f"`[[{path}]]`"
    first, field = next(iter(model.model_fields.items()))
    within, _, key = path.rpartition(".")
    told = f" in `{within}`" if within else ""
    return f"`{key} = {{ {field.alias or first} = … }}`{told}"


def kind(schema: dict[str, Any]) -> str:
    """What a JSON schema allows, in words."""
    for several in ("anyOf", "oneOf"):
        if several in schema:
            kinds = [kind(each) for each in schema[several] if each.get("type") != "null"]
            return " or ".join(dict.fromkeys(kinds))
    if "const" in schema or "enum" in schema:
        return ", ".join(json.dumps(value) for value in schema.get("enum", [schema.get("const")]))
    match schema.get("type"):
        case "array" if "prefixItems" in schema:
            return "list of pairs"
        case "array":
            return f"list: {kind(schema.get('items', {}))}"
        case "integer":
            return f"whole number{_bounds(schema, 1)}"
        case "number":
            return f"number{_bounds(schema, 0)}"
        case "boolean":
            return "true or false"
        case "string":
            return "path" if schema.get("format") == "path" else "text"
    return "table"


def _bounds(schema: dict[str, Any], step: int) -> str:
    """The range of a number, where integers (``step`` 1) have no open ends."""
    low, high = schema.get("minimum"), schema.get("maximum")
    told = [f"≥ {low}"] if low is not None else []
    if (above := schema.get("exclusiveMinimum")) is not None:
        told.append(f"≥ {above + 1}" if step else f"> {above}")
    told += [f"≤ {high}"] if high is not None else []
    if (below := schema.get("exclusiveMaximum")) is not None and below <= 2**32:
        told.append(f"≤ {below - 1}" if step else f"< {below}")
    return f" {', '.join(told)}" if told else ""


def default(field: FieldInfo) -> str:
    """A field's default as TOML has it; empty where there is none to be written."""
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel) or value in (None, "", (), {}, []) or field.is_required():
        return ""
    return json.dumps(value)


def keys(model: type[BaseModel], fields: dict[str, FieldInfo], prefix: str) -> Iterator[str]:
    """A ``confval`` in Markdown for each field."""
    told, schema = docs_of(model), model.model_json_schema()["properties"]
    for name, field in fields.items():
        written = field.alias or name
        facts = f"*{kind(schema[written])}*".replace('"', "`")
        if field.is_required():
            facts += ", required"
        elif value := default(field):
            facts += f", default `{value}`"
        yield f"````{{confval}} {prefix}{written}\n{facts}\n\n{markdown(told[name])}\n````\n"


def markdown(text: str) -> str:
    """A docstring without roles, which Markdown has none of."""
    return re.sub(r":\w+(?::\w+)?:`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", text).replace("``", "`")


class SuiteKeys(SphinxDirective):
    """All keys of a suite, a section a table."""

    def run(self) -> list[nodes.Node]:
        lines: list[str] = []
        for section in sections():
            lines += [f"## {section.title}\n", markdown(inspect.getdoc(section.model) or ""), ""]
            lines += keys(section.model, section.fields, section.prefix)
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


class RecordKeys(SphinxDirective):
    """The fields of one model of a record that its base does not have."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        (name,) = self.arguments
        model: type[BaseModel] = getattr(records, name)
        own = {
            key: model.model_fields[key] for key in model.__annotations__ if key in docs_of(model)
        }
        return self.parse_text_to_nodes("\n".join(keys(model, own, f"{name}.")))


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("suite-keys", SuiteKeys)
    app.add_directive("record-keys", RecordKeys)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
