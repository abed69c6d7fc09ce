"""A cell's key hashes its meaning: never a path, a time or an order."""

import json
import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from harness.errors import HarnessError
from harness.hashing import canonical
from harness.plan import keys
from harness.plan.cells import plan
from harness.plan.datasets import Datasets
from harness.registry import Sources, load
from harness.suite.read import parse

leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
words = st.text("abcdef", min_size=1, max_size=3)
meanings = st.dictionaries(
    words,
    st.recursive(
        leaves, lambda inner: st.lists(inner) | st.dictionaries(words, inner), max_leaves=6
    ),
    max_size=5,
)


def reordered(thing):
    if isinstance(thing, dict):
        return {key: reordered(thing[key]) for key in reversed(thing)}
    return [reordered(inner) for inner in thing] if isinstance(thing, list) else thing


# ── meanings ──────────────────────────────────────────────────────────────────────────────────


@given(meanings)
def test_a_key_does_not_depend_on_the_order_of_entries(meaning):
    assert keys.key(reordered(meaning)) == keys.key(meaning)


@given(meanings)
def test_a_key_is_the_same_for_a_meaning_that_was_stored_and_read_back(meaning):
    stored = json.loads(json.dumps(meaning))
    assert keys.key(stored) == keys.key(meaning)
    assert list(keys.differences(stored, meaning)) == []


@given(meanings, meanings)
def test_keys_differ_where_meanings_do_and_why_says_in_what(one, other):
    same = canonical(one) == canonical(other)
    assert (keys.key(one) == keys.key(other)) is same
    assert (list(keys.differences(one, other)) == []) is same


def test_differences_are_named_by_their_place():
    old = {"seed": 0, "budget": {"trials": 8, "steps": 200}, "data": "1a"}
    new = {"seed": 0, "budget": {"trials": 9}, "data": "2b", "source": {"data": "3c"}}
    assert list(keys.differences(old, new)) == [
        "budget.steps: was 200, is absent",
        "budget.trials: was 8, is 9",
        "data (the dataset's data): was 1a, is 2b",
        "source.data (the source's data): was absent, is 3c",
    ]


# ── source code ───────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def package(tmp_path, fresh_process):
    """A package with a plugin in it, which imports all but one of the modules beside it."""
    files = {
        "mine/__init__.py": "",
        "mine/plugin.py": "from . import tools\nfrom mine.parts.inner import f\n",
        "mine/tools.py": "from .deep import g\n",
        "mine/deep.py": "def g(): ...\n",
        "mine/parts/__init__.py": "",
        "mine/parts/inner.py": "def f(): ...\n",
        "mine/unused.py": "",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
    sys.path.append(str(tmp_path))
    return tmp_path / "mine"


@pytest.fixture
def digest(fresh_process):
    """The digest that a new process would find."""

    def take(path):
        fresh_process()
        sys.path.append(str(path.parents[1]))
        sys.path.append(str(path.parent))
        return keys.source_digest(path)

    return take


@pytest.mark.parametrize(
    ("file", "matters"),
    [
        ("plugin.py", True),
        ("tools.py", True),
        ("deep.py", True),
        ("parts/inner.py", True),
        ("parts/__init__.py", False),
        ("unused.py", False),
    ],
)
def test_a_plugin_of_a_package_is_its_file_and_the_helpers_it_imports(
    package, digest, file, matters
):
    before = digest(package / "plugin.py")
    with (package / file).open("a") as helper:
        helper.write("# changed\n")
    assert (digest(package / "plugin.py") != before) is matters


def test_a_plugin_file_has_helpers_beside_it(tmp_path, digest):
    (tmp_path / "mine.py").write_text("import helper, torch\nfrom tools.more import x\n")
    (tmp_path / "helper.py").write_text("import further\n")
    (tmp_path / "further.py").write_text("")
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "more.py").write_text("x = 1\nfrom further import *\n")
    seen = {digest(tmp_path / "mine.py")}
    for changed in ("helper.py", "further.py", "tools/more.py", "mine.py"):
        with (tmp_path / changed).open("a") as file:
            file.write("# changed\n")
        seen.add(digest(tmp_path / "mine.py"))
    assert len(seen) == 5


def test_neither_a_touch_nor_a_move_changes_a_digest(package, digest):
    before = digest(package / "plugin.py")
    os.utime(package / "tools.py", (0, 0))
    assert digest(package / "plugin.py") == before
    moved = package.parent / "elsewhere" / "mine"
    moved.parent.mkdir()
    package.rename(moved)
    assert digest(moved / "plugin.py") == before


def test_files_of_one_name_have_no_order(tmp_path):
    """Every ``__init__.py`` of a package has the same name: their order is not chance."""
    (tmp_path / "mine.py").write_text("\n".join(f"import part{n}" for n in range(6)))
    for n in range(6):
        (tmp_path / f"part{n}").mkdir()
        (tmp_path / f"part{n}" / "__init__.py").write_text(f"n = {n}\n")
    code = "import sys, pathlib; from harness.plan.keys import source_digest as digest\n"
    code += f"sys.path.append({str(tmp_path)!r}); print(digest(pathlib.Path('mine.py')))"
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in "0123"
    }
    assert len(found) == 1


def test_a_package_of_the_name_of_a_folder_beside_the_plugin_is_no_helper(tmp_path, digest):
    (tmp_path / "mine.py").write_text("import json\n")
    before = digest(tmp_path / "mine.py")
    (tmp_path / "json").mkdir()
    assert digest(tmp_path / "mine.py") == before


def test_what_lies_in_site_packages_is_not_all_one_plugin(tmp_path, digest):
    home = tmp_path / "site-packages"
    home.mkdir()
    (home / "mine.py").write_text("import other\n")
    (home / "other.py").write_text("")
    before = digest(home / "mine.py")
    (home / "other.py").write_text("# changed\n")
    assert digest(home / "mine.py") == before


def test_helpers_that_cannot_be_parsed_or_found_stop_nothing(tmp_path, digest):
    (tmp_path / "mine.py").write_text("def f():\n    import broken, missing\n    from . import x\n")
    (tmp_path / "broken.py").write_text("def (:\n")
    assert digest(tmp_path / "mine.py")


def test_modules_that_import_each_other_are_taken_once(tmp_path, digest):
    (tmp_path / "mine.py").write_text("import other\n")
    (tmp_path / "other.py").write_text("import mine\n")
    assert digest(tmp_path / "mine.py")


# ── cells ─────────────────────────────────────────────────────────────────────────────────────

STRATEGY = """
    from typing import ClassVar
    from harness.api import hookimpl
    from harness_plugins.strategies.linear_probe import LinearProbe

    class Mine(LinearProbe):
        name: ClassVar[str] = "{name}"

    @hookimpl
    def harness_strategies():
        return [Mine]
"""


def test_a_changed_strategy_file_changes_the_keys_of_its_own_cells_only(
    table, plugin_file, fresh_process
):
    files = [plugin_file(name, STRATEGY.format(name=name)) for name in ("one", "two")]
    table["strategies"] = ["one", "two", "linear_probe"]
    table["problems"] = [{"dataset": "digits", "shots": 1}]

    def cells():
        fresh_process()
        registry = load(Sources(files=tuple(files)))
        return {
            (cell.strategy, cell.seed): cell
            for cell in plan(parse(table, "here"), registry, Datasets(registry), "here").cells
        }

    before = cells()
    with files[0].open("a") as file:
        file.write("# changed\n")
    after = cells()
    changed = {place for place in before if before[place].cell != after[place].cell}
    assert changed == {("one", 0), ("one", 1)}
    (line,) = keys.differences(before["one", 0].meaning, after["one", 0].meaning)
    assert line.startswith("strategy.source (the strategy plugin's code, with its helpers): was ")


@given(data=st.data())
def test_keys_do_not_depend_on_the_order_of_a_suite(planned, any_suites, data):
    one, other = (planned(data.draw(any_suites.shuffled)) for _ in range(2))
    assert {cell.cell: cell.title for cell in one} == {cell.cell: cell.title for cell in other}


def test_names_and_labels_are_not_part_of_a_key(planned, table):
    before = [cell.cell for cell in planned(table)]
    table["name"] = "another"
    table["description"] = "Words."
    table["strategies"] = [{"name": name, "label": f"my {name}"} for name in table["strategies"]]
    table["backbones"][0]["label"] = "small"
    table["problems"][0]["label"] = "noise"
    assert [cell.cell for cell in planned(table)] == before


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda t: t.update(seeds=[1, 2]), 4),
        (lambda t: t["problems"][0].update(shots=[2]), 4),
        (lambda t: t["problems"][0].update(val_shots=1), 0),
        (lambda t: t["problems"][0].update(args={"seed": 1}), 0),
        (lambda t: t["problems"][0].update(source={"dataset": "digits"}), 0),
        (lambda t: t["budget"].update(steps=4), 0),
        (lambda t: t["backbones"][0].update(args={"width": 8}), 0),
        (lambda t: t["backbones"][0].update(weights={"source": "digits"}), 0),
        (lambda t: t.update(strategies=["linear_probe", "from_scratch"]), 4),
        (lambda t: t["budget"].update(sampler="random", pruner="none"), 8),
        (lambda t: t["problems"][0].update(protocol="transfer", val_fraction=0.2), 8),
    ],
)
def test_what_a_cell_means_is_part_of_its_key(planned, table, change, same):
    before = {cell.cell for cell in planned(table)}
    change(table)
    assert len(before & {cell.cell for cell in planned(table)}) == same


def test_weights_are_told_by_their_bytes(planned, table, toys, tmp_path, fresh_process):
    build = toys.backbone_for("conv4").cls().build
    body = build("conv4", input_size=16, pretrained=False, args={}).body

    def key(path, value):
        fresh_process()
        save_file({n: torch.full(t.shape, value) for n, t in body.state_dict().items()}, path)
        table["backbones"][0]["weights"] = {"file": str(path)}
        return planned(table)[0].cell

    one = key(tmp_path / "a.safetensors", 1.0)
    assert key(tmp_path / "b.safetensors", 1.0) == one
    assert key(tmp_path / "a.safetensors", 2.0) != one


TAUGHT = """
    from dataclasses import dataclass
    from pathlib import Path
    from typing import ClassVar
    from harness.api import Pretraining, hookimpl
    from harness_plugins.strategies.linear_probe import LinearProbe

    @dataclass(frozen=True)
    class Taught(LinearProbe):
        name: ClassVar[str] = "taught"
        teacher: Path = Path("teacher.bin")

        def files(self):
            return {"teacher": [self.teacher]}

    @dataclass(frozen=True)
    class Copied(Pretraining):
        name: ClassVar[str] = "copied"
        teacher: Path = Path("teacher.bin")

        def files(self):
            return {"teacher": [self.teacher]}

        def pretrain(self, backbone, source, run, *, lr, weight_decay):
            return backbone, {}

    @hookimpl
    def harness_strategies():
        return [Taught]

    @hookimpl
    def harness_pretrainings():
        return [Copied]
"""


@pytest.mark.parametrize("kind", ["strategy", "pretraining"])
def test_files_that_arguments_name_are_told_by_their_bytes(
    table, plugin_file, fresh_process, tmp_path, kind
):
    plugin = plugin_file("taught", TAUGHT)
    table["problems"] = [{"dataset": "digits", "shots": 1}]

    def first(path):
        fresh_process()
        entry = {"name": "taught" if kind == "strategy" else "copied", "args": {"teacher": path}}
        if kind == "strategy":
            table["strategies"] = [entry]
        else:
            table["backbones"][0]["weights"] = {"source": "glyphs", "method": entry}
        registry = load(Sources(files=(plugin,)))
        return plan(parse(table, "here"), registry, Datasets(registry), "here").cells[0]

    here, there = tmp_path / "teacher.bin", tmp_path / "moved.bin"
    here.write_bytes(b"one")
    there.write_bytes(b"one")
    before = first(str(here))
    assert first(str(there)).cell == before.cell
    here.write_bytes(b"two")
    (line,) = keys.differences(before.meaning, first(str(here)).meaning)
    assert "args.teacher" in line
    there.unlink()
    with pytest.raises(HarnessError, match=r"argument 'teacher': there is no file .*moved\.bin"):
        first(str(there))
