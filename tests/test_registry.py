"""Plugins are found, loaded one by one and checked; what is wrong with one stops no other."""

import inspect
import sys
import textwrap
from pathlib import Path

import pytest

from harness import hookspecs
from harness.api import OneClass, Source
from harness.errors import HarnessError
from harness.registry import KINDS, Sources, built_in, load
from harness.testing import a_run, digits, shots, small_backbone

HEAD = """
from dataclasses import dataclass
from typing import ClassVar
import numpy as np
from harness.api import *
from harness_plugins.strategies.linear_probe import LinearProbe

"""
"""Seven lines."""

STRATEGY = (
    HEAD
    + """
class Mine(LinearProbe):
    \"\"\"My own way.

    At length.
    \"\"\"

    name: ClassVar[str] = "{name}"

@hookimpl
def harness_strategies():
    return [Mine]
"""
)


@pytest.fixture
def loaded(plugin_file, fresh_process):
    """Loads plugin files, given as code by name; ``{name}`` stands for that name."""

    def from_files(**codes):
        files = [
            plugin_file(name, textwrap.dedent(code).replace("{name}", name))
            for name, code in codes.items()
        ]
        return load(Sources(files=tuple(files)))

    return from_files


@pytest.fixture
def said(loaded, tmp_path):
    """The one line about a plugin file, without its beginning, while the others load."""

    def about(code, name="bad"):
        found = loaded(**{name: code, "good": STRATEGY})
        assert "good" in found.names("strategy")
        (line,) = found.problems
        assert len(line.splitlines()) == 1
        beginning = f"plugin {tmp_path / name}.py: "
        assert line.startswith(beginning)
        return line.removeprefix(beginning)

    return about


# ── what there is ─────────────────────────────────────────────────────────────────────────────


def test_every_built_in_plugin_loads(registry):
    assert registry.problems == []
    assert {plugin.origin for plugin in registry.plugins.values()} == {"built-in"}
    assert {
        "from_scratch",
        "linear_probe",
        "partial_freeze",
        "full_finetune",
        "maml",
    } <= set(registry.names("strategy"))
    assert {"digits", "glyphs", "folder", "arrays", "torchvision"} <= set(registry.names("dataset"))
    assert {"conv4", "timm"} <= set(registry.names("backbone"))
    assert "local" in registry.names("executor")


def test_every_built_in_plugin_says_what_it_is(registry):
    assert [p.name for p in registry.plugins.values() if not p.summary.endswith((".", ":"))] == []


def test_the_built_ins_are_all_the_files_there_are():
    folder = Path(sys.modules["harness_plugins"].__file__).parent
    files = {
        ".".join(path.relative_to(folder.parent).with_suffix("").parts)
        for path in folder.glob("*/[!_]*.py")
    }
    assert files == set(built_in())


def test_a_report_loads_the_built_ins_that_make_sections_and_no_others(registry):
    plugins = dict(registry.manager.list_name_plugin())
    makers = [name for name in built_in() if hasattr(plugins[name], "harness_report_sections")]
    found = load(package="harness_plugins.sections").manager.list_name_plugin()
    assert [name for name, _ in found] == makers != []


def test_any_model_finds_its_backbone_plugin(registry):
    assert registry.backbone_for("conv4").name == "conv4"
    assert registry.backbone_for("resnet50").name == "timm"
    assert registry.backbone_for("vit_small_patch16_224.augreg_in21k").name == "timm"


@pytest.mark.parametrize(
    ("find", "said"),
    [
        (lambda r: r.get("strategy", "mamal"), "unknown strategy 'mamal' (did you mean 'maml'?)"),
        (lambda r: r.get("executor", "x"), "unknown executor 'x' (known: inline, local"),
        (
            lambda r: r.backbone_for("resnet5O"),
            "unknown model 'resnet5O' (did you mean 'resnet50'?)",
        ),
    ],
)
def test_what_is_unknown_is_answered_with_the_nearest(registry, find, said):
    with pytest.raises(HarnessError) as caught:
        find(registry)
    assert str(caught.value).startswith(said)


def test_a_plugin_whose_package_is_missing_is_listed_and_refused_when_it_is_used(loaded):
    requires = '    requires = {"json": "json", "no_such_module": "no-such[extra]"}'
    found = loaded(needy=STRATEGY.replace("    name:", f"{requires}\n    name:"))
    assert "needy" in found.names("strategy")
    assert found.problems == []
    with pytest.raises(HarnessError) as caught:
        found.get("strategy", "needy")
    assert str(caught.value) == (
        "strategy 'needy' needs no_such_module, which is not installed. "
        "pip install 'no-such[extra]'"
    )


# ── the hooks ─────────────────────────────────────────────────────────────────────────────────

HOOKS = [name for name in vars(hookspecs) if name.startswith("harness_")]


IMPORTS = """
import sys
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from harness.api import *

class Mean(nn.Module): ...

"""


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_with_an_example_that_can_be_pasted(hook, loaded):
    text = inspect.getdoc(getattr(hookspecs, hook))
    found = loaded(pasted=IMPORTS + textwrap.dedent(text.partition("::\n")[2]))
    assert found.problems == []
    assert [caller.name for caller in found.manager.get_hookcallers(sys.modules["pasted"])] == [
        hook
    ]
    for plugin in found.plugins.values():
        if plugin.origin == "file":
            for name in plugin.cls.__mro__[1].__abstractmethods__:
                example, base = (getattr(cls, name) for cls in plugin.cls.__mro__[:2])
                assert list(inspect.signature(example).parameters) == list(
                    inspect.signature(base).parameters
                )


def test_the_example_of_a_pretraining_pretrains(loaded):
    text = inspect.getdoc(hookspecs.harness_pretrainings)
    pasted = loaded(pasted=IMPORTS + textwrap.dedent(text.partition("::\n")[2]))
    source = Source(shots(digits(small_backbone()), 4, 10), OneClass.of(10))
    method = pasted.get("pretraining", "blurred").cls()
    made, _ = method.pretrain(small_backbone(), source, a_run(steps=2), lr=1e-3, weight_decay=0.0)
    assert made.digest() != small_backbone().digest()


def test_every_kind_of_plugin_has_its_hook():
    assert set(KINDS.values()) <= set(HOOKS)


# ── where plugins come from ───────────────────────────────────────────────────────────────────


def test_a_plugin_file_brings_a_strategy(loaded, tmp_path):
    plugin = loaded(mine=STRATEGY).get("strategy", "mine")
    assert (plugin.origin, plugin.file) == ("file", tmp_path / "mine.py")
    assert (plugin.summary, plugin.about) == ("My own way.", "My own way.\n\nAt length.")


def test_a_class_without_a_docstring_does_not_borrow_one(loaded):
    code = (
        HEAD + "@dataclass(frozen=True)\nclass Mine(LinearProbe):\n    name: ClassVar[str] = 'm'\n"
    )
    code += "@hookimpl\ndef harness_strategies(): return [Mine]\n"
    assert loaded(mine=code).get("strategy", "m").summary == ""


def test_a_folder_of_plugins_is_loaded_but_for_its_helpers(plugin_file, tmp_path):
    plugin_file("more/one", STRATEGY.format(name="one"))
    plugin_file("more/two", "import one, _tools\n" + STRATEGY.format(name="two"))
    plugin_file("more/plain", "'''No plugin, but no trouble either.'''")
    plugin_file("more/_tools", "")
    plugin_file("more/_unused", "1 / 0")
    found = load(Sources(directories=(tmp_path / "more",)))
    assert found.problems == []
    assert {p.name for p in found.plugins.values() if p.origin == "folder"} == {"one", "two"}


def test_a_file_that_is_asked_for_twice_is_loaded_once(plugin_file, tmp_path):
    file = plugin_file("mine", STRATEGY.format(name="mine"))
    again = tmp_path / "nowhere" / ".." / "mine.py"
    found = load(Sources(files=(file, again), directories=(tmp_path,)))
    assert found.problems == []
    assert found.get("strategy", "mine").origin == "file"


def test_a_missing_folder_is_named(tmp_path):
    found = load(Sources(directories=(tmp_path / "nowhere",)))
    assert found.problems == [f"plugin folder {tmp_path / 'nowhere'}: there is no such folder"]


@pytest.fixture
def package(tmp_path, plugin_file, monkeypatch):
    """Installs a package ``mypackage`` with an entry point for each name and value."""
    monkeypatch.syspath_prepend(tmp_path / "installed")

    def install(**entries):
        info = tmp_path / "installed" / "mypackage-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mypackage\nVersion: 1.0\n")
        lines = [f"{name} = {value}" for name, value in entries.items()]
        (info / "entry_points.txt").write_text("\n".join(["[harness]", *lines, ""]))

    return install


def test_an_installed_package_brings_a_plugin_by_its_entry_point(package, plugin_file, tmp_path):
    file = plugin_file("installed/mypackage/plugin", STRATEGY.format(name="mine"))
    package(mine="mypackage.plugin")
    found = load()
    assert found.problems == []
    plugin = found.get("strategy", "mine")
    assert (plugin.origin, plugin.file) == ("package mypackage", file)


def test_an_entry_point_may_be_an_object(package, plugin_file):
    file = plugin_file(
        "installed/mypackage",
        STRATEGY.format(name="mine")
        + "class Both:\n    harness_strategies = staticmethod(harness_strategies)\nboth = Both()\n",
    )
    package(mine="mypackage:both")
    found = load()
    assert found.problems == []
    assert found.get("strategy", "mine").file == file


def test_broken_entry_points_are_named_with_their_package_and_file(package, plugin_file):
    broken = plugin_file("installed/broken", "\n1 / 0\n")
    plugin_file("installed/fine", STRATEGY.format(name="mine"))
    package(gone="nowhere", bad="broken", lost="fine:missing", good="fine")
    found = load()
    assert found.names("strategy")[-1] == "mine"
    assert found.problems == [
        "plugin gone = nowhere (package mypackage): cannot be loaded: ModuleNotFoundError: "
        "No module named 'nowhere'",
        "plugin bad = broken (package mypackage): cannot be loaded: ZeroDivisionError: "
        f"division by zero ({broken}, line 2)",
        "plugin lost = fine:missing (package mypackage): cannot be loaded: AttributeError: "
        "module 'fine' has no attribute 'missing'",
    ]


# ── what is wrong with a file ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("def (:\n", "cannot be loaded: SyntaxError: invalid syntax (bad.py, line 1)"),
        (
            "\nimport nowhere\n",
            "cannot be loaded: ModuleNotFoundError: No module named 'nowhere' (line 2)",
        ),
        (
            "def f():\n    raise ValueError('two\\nlines')\nf()\n",
            "cannot be loaded: ValueError: two lines (line 2)",
        ),
        ("import sys\nsys.exit(3)\n", "cannot be loaded: SystemExit: 3 (line 2)"),
        ("", "it has no function marked @hookimpl, so it brings nothing"),
        (
            "from harness import hookimpl\n@hookimpl\ndef harness_strategys(): ...\n",
            "there is no hook 'harness_strategys' (did you mean 'harness_strategies'?)",
        ),
        (
            "def harness_datasets(): return []\n",
            "'harness_datasets' lacks @hookimpl, so nothing calls it",
        ),
        (
            "from harness import hookimpl\n@hookimpl(wrapper=True)\n"
            "def harness_cell_started(cell): yield\n",
            "'harness_cell_started' wraps the calls of others, which is not done here: use plain "
            "@hookimpl",
        ),
        (
            "from harness import hookimpl\n@hookimpl\ndef harness_strategies(): return 1 / 0\n",
            "harness_strategies failed: ZeroDivisionError: division by zero (line 3)",
        ),
        (
            "import sys\nfrom harness import hookimpl\n@hookimpl\n"
            "def harness_strategies(): sys.exit()\n",
            "harness_strategies failed: SystemExit (line 4)",
        ),
        (
            "from harness import hookimpl\n@hookimpl\ndef harness_strategies(): ...\n",
            "harness_strategies failed: TypeError: 'NoneType' object is not iterable",
        ),
    ],
)
def test_a_broken_file_is_one_line_that_names_it(said, code, line):
    assert said(code) == line


def test_a_hook_with_an_unknown_argument_is_told_and_never_called(said, loaded):
    code = "from harness import hookimpl\n@hookimpl\ndef harness_cell_started(sell): ...\n"
    line = said(code)
    assert line.startswith("cannot be loaded: PluginValidationError: ")
    assert "{'sell'}" in line


def test_a_half_registered_plugin_is_taken_out(loaded, tmp_path):
    code = (
        "from harness import hookimpl\n@hookimpl\ndef harness_cell_finished(): ...\n"
        "@hookimpl\ndef harness_cell_started(sell): ...\n"
    )
    found = loaded(bad=code)
    assert not found.manager.has_plugin(str(tmp_path / "bad.py"))


def test_a_helper_that_breaks_is_named_with_its_line(said, plugin_file):
    helper = plugin_file("helper_of_bad", "\n\n1 / 0\n")
    assert said("import helper_of_bad\n") == (
        f"cannot be loaded: ZeroDivisionError: division by zero ({helper}, line 3)"
    )


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("json", "its name is that of another module, 'json'"),
        ("wave", "its name is that of another module, 'wave'"),
        ("timm", "its name is that of another module, 'timm'"),
        ("my.plugin", "its name is not that of a Python module. Call it NAME.py"),
    ],
)
def test_a_file_that_shadows_a_module_is_refused(said, name, line):
    assert said(STRATEGY, name).startswith(line)


def test_two_files_of_one_name_are_told_apart(plugin_file):
    first = plugin_file("a/mine", STRATEGY.format(name="one"))
    second = plugin_file("b/mine", STRATEGY.format(name="two"))
    found = load(Sources(files=(first, second)))
    assert "one" in found.names("strategy")
    assert found.problems == [
        f"plugin {second}: its name is that of another module, 'mine' ({first}). Rename the file"
    ]


def test_what_is_no_python_file_is_refused(tmp_path, fresh_process):
    notes = tmp_path / "notes.txt"
    notes.touch()
    found = load(Sources(files=(notes, tmp_path / "nowhere.py", tmp_path)))
    assert found.problems == [
        f"plugin {notes}: its name is not that of a Python module. Call it NAME.py",
        f"plugin {tmp_path}/nowhere.py: there is no such file. Check the path",
        f"plugin {tmp_path}: there is no such file. Give a folder to --plugins-dir",
    ]


# ── what is wrong with a class ────────────────────────────────────────────────────────────────


@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution")
@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("Mine = 5", "5 is not a subclass of harness.api.Strategy"),
        ("class Mine: ...", "<class 'bad.Mine'> is not a subclass of harness.api.Strategy"),
        ("Mine = LinearProbe()", "LinearProbe() is not a subclass of harness.api.Strategy"),
        ("class Mine(Dataset): ...", "<class 'bad.Mine'> is not a subclass"),
        ("class Mine(Strategy): name = 'mine'", "strategy class Mine does not define adapt"),
        ("class Mine(Strategy):\n  def adapt(self): ...", "strategy class Mine has no 'name'"),
        (
            "class Mine(LinearProbe):\n  name = 'mine'\n  defaults = {'lr': 1e-2}",
            "strategy 'mine': its defaults and its spaces differ in weight_decay",
        ),
        (
            "class Mine(LinearProbe):\n  name = 'mine'\n  prepare_space = LinearProbe.space",
            "strategy 'mine' has ['lr', 'weight_decay'] in both spaces",
        ),
        (
            "class Mine(LinearProbe):\n  name = 'mine'\n"
            "  defaults = {'lr': 1e-2, 'weight_decay': 5.0}",
            "strategy 'mine': the default of weight_decay, 5.0, lies outside FloatDistribution(",
        ),
        (
            "class Mine(LinearProbe):\n  name = 'mine'\n"
            "  defaults = {'lr': 'big', 'weight_decay': 1e-4}",
            "strategy 'mine': the default of lr, 'big', lies outside FloatDistribution(",
        ),
        (
            "class Mine(LinearProbe):\n  name = 'mine'\n  defaults = {'way': 'c'}\n"
            "  space = {'way': CategoricalDistribution(['a', 'b'])}",
            "strategy 'mine': the default of way, 'c', lies outside CategoricalDistribution(",
        ),
        (
            "class Mine(LinearProbe):\n  name = 'mine'\n  defaults = {'way': np.int64(1)}\n"
            "  space = {'way': CategoricalDistribution(list(np.arange(3)))}",
            "strategy 'mine': way cannot be np.int64(1), which JSON does not hold as it is",
        ),
        (
            "class Mine(LinearProbe):\n  name = 'mine'\n  defaults = {'way': 1}\n"
            "  space = {'way': CategoricalDistribution([1, True])}",
            "strategy 'mine': way has alike choices, 1 and True",
        ),
        (
            "class Mine(LinearProbe):\n  name = 'mine'\n  space = {'lr': 3, 'weight_decay': 4}",
            "strategy class Mine: AttributeError: 'int' object has no attribute",
        ),
    ],
)
def test_a_class_that_breaks_its_contract_is_refused(said, body, line):
    code = f"{HEAD}\n{body}\n@hookimpl\ndef harness_strategies(): return [Mine]\n"
    assert said(code).startswith(line)


def test_a_good_class_beside_a_bad_one_is_kept(loaded):
    found = loaded(mine=STRATEGY.replace("[Mine]", "[Strategy, Mine]"))
    assert len(found.problems) == 1
    assert found.get("strategy", "mine")


# ── names that are taken ──────────────────────────────────────────────────────────────────────


def test_two_plugins_of_one_name_are_an_error_that_names_both(loaded, tmp_path):
    found = loaded(one=STRATEGY.replace("{name}", "mine"), two=STRATEGY.replace("{name}", "mine"))
    assert found.get("strategy", "mine").file == tmp_path / "one.py"
    assert found.problems == [
        f"plugin {tmp_path}/two.py: strategy 'mine' is already brought by {tmp_path}/one.py, "
        "which stays in force; rename one of them"
    ]


def test_a_built_in_name_cannot_be_taken(said):
    assert said(STRATEGY.replace("{name}", "maml")).startswith(
        "strategy 'maml' is already brought by "
    )


def test_one_name_for_two_kinds_is_fine(loaded):
    assert loaded(mine=STRATEGY.replace("{name}", "digits")).problems == []


BACKBONE = (
    HEAD
    + """
class Mine(BackboneFactory):
    name: ClassVar[str] = "mine"

    def models(self):
        MODELS

    def build(self, model, *, input_size, pretrained, args): ...

@hookimpl
def harness_backbones():
    return [Mine]
"""
)


def test_two_backbone_plugins_cannot_bring_one_model(said):
    """Which of them would build it is not left to chance."""
    line = said(BACKBONE.replace("MODELS", "return ['my_net', 'resnet50']"))
    assert line.startswith("model 'resnet50' is already brought by ")
    assert "timm.py, which stays in force" in line


def test_a_backbone_plugin_that_cannot_list_its_models_is_refused(said):
    assert said(BACKBONE.replace("MODELS", "return 1 / 0")) == (
        "backbone class Mine: ZeroDivisionError: division by zero"
    )
