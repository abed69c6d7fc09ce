"""What the harness never does: obey text, unpickle, or fetch what nobody asked for."""

from __future__ import annotations

import ast
import json
import re
import socket
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from harness_plugins.backbones import timm
from harness_plugins.backbones.bert import Bert
from harness_plugins.datasets.torchvision import Torchvision
from PIL import Image

from harness.api import HarnessError, TextInputs

ROOT = Path(__file__).parents[1]

# ── text is text ──────────────────────────────────────────────────────────────────────────────

SCRIPT = "<script>planted(1)</script>"
HOSTILE = (
    SCRIPT,
    '"><img src=x onerror=planted()>',
    "' onmouseover='planted()",
    "</title></style></script><planted>",
    "&lt;planted&gt; &amp; &#60;",
    "{{7*7}} {% raw %} {#",
    r"$\frac{$ \input{planted} \\ ^_~#%&{}",
    "%s %(planted)s {0} {planted}",
    "| `planted` | [planted](javascript:planted()) ![](x) <!-- __planted__",
    "two\nlines\tand\ra tab",
    "🙂 \u202eright to left\u202c שלום",
    "long " * 200,
)
"""Each is the name of a class, and each is in a label; together they are all else that is text."""

LABELS = (" ".join(HOSTILE[:5]), *HOSTILE[5:7], " ".join(HOSTILE[7:10]), *HOSTILE[10:])

EVERYTHING = " ".join(HOSTILE[:9])

PLUGIN = """
from dataclasses import dataclass
from typing import ClassVar

import torch
from harness_plugins.strategies.linear_probe import LinearProbe

from harness.api import ArrayInputs, Data, Dataset, Section, Split, hookimpl

HOSTILE = {hostile!r}
EVERYTHING = {everything!r}


@dataclass(frozen=True)
class Hostile(Dataset):
    name: ClassVar[str] = EVERYTHING[:300]

    text: str = ""

    def load(self):
        pixels = torch.randint(0, 256, (96, 1, 8, 8), dtype=torch.uint8)
        split = Split(ArrayInputs(pixels), torch.arange(96) % len(HOSTILE))
        return Data(train=split, classes=HOSTILE)


@dataclass(frozen=True)
class Failing(LinearProbe):
    name: ClassVar[str] = "failing"

    def adapt(self, backbone, task, hp, run):
        raise ValueError(EVERYTHING)


@hookimpl
def harness_datasets():
    return [Hostile]


@hookimpl
def harness_strategies():
    return [Failing]


@hookimpl
def harness_report_sections(directory):
    return [Section(EVERYTHING, "<p>trusted</p>")]
"""


def toml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


class Page(HTMLParser):
    """The elements, attributes and text that a browser would see."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    handle_startendtag = handle_starttag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def words(self) -> str:
        return spaced("".join(self.texts))


def spaced(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture
def hostile_report(harness, plugin_file, tmp_path, monkeypatch):
    """The report of a suite in which all that may be text is hostile."""
    monkeypatch.setattr("harness.report.analysis.results.MOST_FACETS", 1)
    monkeypatch.setattr("platform.node", lambda: EVERYTHING)
    from harness.record import provenance

    provenance.environment.cache_clear()
    file = plugin_file("hostile", PLUGIN.format(hostile=HOSTILE, everything=EVERYTHING))
    strategies = [("linear_probe", label) for label in LABELS] + [("failing", "failing")]
    suite = tmp_path / "hostile.toml"
    suite.write_text(
        f"name = 'hostile'\ndescription = {toml(EVERYTHING)}\nseeds = [0, 1]\n"
        "budget = { trials = 1, steps = 2 }\n"
        "[[backbones]]\nmodel = 'conv4'\nweights = 'random'\ninput_size = 16\n"
        f"args = {{ width = 8 }}\nlabel = {toml(EVERYTHING)}\n"
        f"[[problems]]\ndataset = {toml(EVERYTHING[:300])}\nshots = 2\n"
        f"args = {{ text = {toml(EVERYTHING)} }}\nlabel = {toml(EVERYTHING[::-1])}\n"
        + "".join(
            f"[[strategies]]\nname = '{name}'\nlabel = {toml(label)}\n"
            f"args = {{ weight_decay = {0.001 * number} }}\n"
            for number, (name, label) in enumerate(strategies)
        )
    )
    ended = harness("suite", suite, "--plugin", file)
    provenance.environment.cache_clear()
    assert ended.status == 1, ended.err
    return tmp_path / "results/hostile/report"


def test_every_string_of_a_report_is_shown_and_none_is_obeyed(hostile_report: Path) -> None:
    html = (hostile_report / "index.html").read_text()
    page = Page(html)
    templates = (ROOT / "harness/report/page/templates").rglob("*.jinja")
    written = sum(template.read_text().count("<script") for template in templates)
    assert page.tags.count("script") == written
    assert not {"img", "planted", "iframe", "object", "link"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    links = {v for n, v in page.attributes if n in ("href", "src") and v[:1] != "#"}
    assert links <= {f"plots/{path.name}" for path in (hostile_report / "plots").iterdir()}
    shown = page.words
    for text in HOSTILE[:9]:
        assert spaced(text) in shown
    assert spaced(EVERYTHING) in shown
    assert "<p>trusted</p>" in html

    for markdown in hostile_report.glob("tables/*.md"):
        check_markdown(markdown.read_text())
    for latex in hostile_report.glob("tables/*.tex"):
        check_latex(latex.read_text())
    drawings = list(hostile_report.glob("plots/*.svg"))
    assert drawings
    for drawing in drawings:
        tags = {element.tag.rpartition("}")[2] for element in ET.parse(drawing).iter()}
        assert not {"script", "foreignObject", "planted", "a", "image"} & tags
        with Image.open(drawing.with_suffix(".png")) as image:
            assert len(image.getcolors(1 << 24)) > 10


def check_markdown(table: str) -> None:
    """Rows of as many columns as the head, and no sign of HTML or of a link left as it is."""
    plain = re.sub(r"\\.", "", table)
    assert len({line.count("|") for line in plain.splitlines()}) == 1
    assert not re.search(r"[<>`\[\]]", plain)


def check_latex(table: str) -> None:
    """No command, comment or group but the table's own."""
    known = (
        "toprule midrule endhead bottomrule endlastfoot begin end textbackslash textasciitilde "
        "textasciicircum textless textgreater textbar pm geq rightarrow dagger cdot ldots times"
    )
    _, body = table.split("\n", 1)  # its first line is a comment
    assert set(re.findall(r"\\([a-zA-Z]+)", body)) <= set(known.split())
    plain = re.sub(r"\\[&%$#_{}\\]", "", body)
    assert plain.count("{") == plain.count("}")
    assert not re.search(r"[%#~]", plain)


# ── no pickle ─────────────────────────────────────────────────────────────────────────────────

MODULES = {"pickle", "_pickle", "cPickle", "shelve", "marshal", "joblib", "dill", "cloudpickle"}
CALLS = {"eval", "exec", "compile", "__import__", "read_pickle", "to_pickle", "yaml.load"}

EXCEPTIONS = {
    # Processes of one run tell each other what happens; nothing of it is ever in a file.
    ("plugins/harness_plugins/executors/ray.py", "pickle"),
}


def unsafe(tree: ast.AST) -> Iterator[str]:
    """What in a module would run code that it reads, by the name of what does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name.partition(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in MODULES:
            yield str(node.module)
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            last = name.rpartition(".")[2]
            given = {each.arg: ast.unparse(each.value) for each in node.keywords}
            if name in CALLS or last in {"read_pickle", "to_pickle"}:
                yield name
            if name == "torch.load" and given.get("weights_only") != "True":
                yield name
            if name in {"np.load", "numpy.load"} and given.get("allow_pickle") != "False":
                yield name
            if "allow_pickle" in given and given["allow_pickle"] != "False":
                yield name
            if name in {"torch.save", "np.save"}:
                yield name


SOURCES = sorted(path for part in ("harness", "plugins") for path in (ROOT / part).rglob("*.py"))


def test_no_module_reads_what_would_run_code() -> None:
    assert len(SOURCES) > 100
    found = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in SOURCES
        for name in unsafe(ast.parse(path.read_text()))
    }
    assert found == EXCEPTIONS


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "import os, joblib.externals",
        "from dill import loads",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path)",
        "with np.load(path, allow_pickle=True) as f: pass",
        "np.savez(path, allow_pickle=flag)",
        "pd.read_pickle(path)",
        "yaml.load(text)",
        "eval(text)",
    ],
)
def test_what_is_looked_for_is_found(code: str) -> None:
    assert list(unsafe(ast.parse(code)))


# ── nothing is fetched ────────────────────────────────────────────────────────────────────────


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Refuses every connection, and keeps what was asked for."""
    asked: list[str] = []

    def refuse(*arguments: object, **_: object) -> None:
        asked.append(repr(arguments))
        raise OSError("the network is forbidden here")

    def refuse_remote(method: Callable[..., object]) -> Callable[..., object]:
        def connect(this: socket.socket, *arguments: object) -> object:
            # Processes of this machine talk to each other by what is no network.
            local = this.family not in (socket.AF_INET, socket.AF_INET6)
            return method(this, *arguments) if local else refuse(*arguments)

        return connect

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse_remote(getattr(socket.socket, name)))
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for name in ("http_proxy", "https_proxy"):  # for processes that begin anew
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    return asked


SUITE = """
name = "offline"
seeds = [0]
strategies = ["linear_probe"]
budget = {{ trials = 1, steps = 2 }}

[[backbones]]
model = "test_resnet"
weights = {weights}
input_size = 32

[[problems]]
dataset = "digits"
shots = 2
"""


def test_a_suite_that_asks_for_nothing_fetches_nothing(
    harness, tmp_path: Path, offline: list[str]
) -> None:
    suite = tmp_path / "offline.toml"
    suite.write_text(SUITE.format(weights='{ source = "glyphs", steps = 2 }'))
    for words in (
        ("plugins",),
        ("describe", "timm"),
        ("describe", "torchvision"),
        ("validate", suite),
        ("suite", suite, "--dry-run"),
        ("suite", suite),
        ("report", "results/offline"),
        ("export", "results/offline"),
    ):
        ended = harness(*words)
        assert ended.status == 0, ended.err
    assert offline == []


def test_a_suite_with_weights_of_the_hub_is_planned_without_them(
    harness, tmp_path: Path, offline: list[str]
) -> None:
    suite = tmp_path / "offline.toml"
    suite.write_text(SUITE.format(weights='"hub"'))
    assert harness("suite", suite, "--dry-run").status == 0
    assert offline == []


@pytest.mark.parametrize("pretrained", [False, True])
def test_timm_is_asked_for_weights_only_where_the_suite_does(
    monkeypatch: pytest.MonkeyPatch, pretrained: bool
) -> None:
    asked: set[bool] = set()
    create = timm.timm.create_model

    def record(model: str, pretrained: bool, **options: object) -> object:
        asked.add(pretrained)
        return create(model, pretrained=False, **options)

    monkeypatch.setattr(timm.timm, "create_model", record)
    monkeypatch.setattr(timm, "_obstacle", lambda model: "")  # no hub is asked whether it is there
    timm.Timm().build("test_resnet", input_size=32, pretrained=pretrained, args={})
    assert asked == {pretrained}


def test_a_dataset_that_is_not_there_is_not_downloaded_unasked(
    tmp_path: Path, offline: list[str]
) -> None:
    for name in ("MNIST", "EuroSAT", "STL10"):
        with pytest.raises(HarnessError, match="Set download = true"):
            Torchvision(name, root=tmp_path).load()
    assert offline == []


def test_a_bert_without_a_checkpoint_needs_no_network(offline: list[str]) -> None:
    pytest.importorskip("transformers")
    factory, small = Bert(), {"width": 8, "depth": 1, "heads": 1}
    learned = factory.learn(TextInputs(("a text", "another one")), small)
    factory.build("bert", input_size=8, pretrained=False, args={**small, **learned})
    assert offline == []
