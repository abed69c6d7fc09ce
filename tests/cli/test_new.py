"""``harness new``: pages that run, and pass the checks of their kind, as they are written."""

import importlib.util
import json
import os
import subprocess
import sys
import zipfile

import pytest

from harness.cli.new import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_passes_the_checks_of_its_kind(harness, tmp_path, kind):
    ended = harness("new", kind, "my_own")
    assert (ended.status, ended.out) == (0, "my_own.py\n")
    assert ended.err.splitlines()[0] == "next: harness check my_own.py"
    checked = harness("check", "my_own.py", "--format", "json")
    assert checked.status == 0, checked.out
    rows = json.loads(checked.out)
    assert {(row["kind"], row["name"]) for row in rows} == {("file", "my_own"), (kind, "my_own")}
    assert len(rows) > 3


def test_pages_of_all_kinds_run_in_one_suite(harness, edited, no_report, tmp_path):
    for kind in KINDS:
        assert harness("new", kind, f"my_{kind}", "--to", "mine").status == 0
    suite = edited(
        *('strategies = ["linear_probe", "full_finetune"]', 'strategies = ["my_strategy"]'),
        *("[budget]", 'tricks = ["my_trick"]\n[budget]'),
        *('"conv4"', '"my_backbone"', "args = { width = 8 }", ""),
        *('"digits"', '"my_dataset"'),
    )
    words = ("--plugins-dir", "mine", "--executor", "my_executor", "--format", "json")
    ended = harness("suite", suite, *words)
    assert ended.status == 0, ended.err
    cells = json.loads(ended.out)
    assert [cell["status"] for cell in cells] == ["ok", "ok"]


def test_a_page_is_as_our_own_code_is(harness, tmp_path):
    for kind in KINDS:
        harness("new", kind, f"my_{kind}", "--package")
        for words in (["check", "--select", "E,F,W,I,B,UP,SIM,N"], ["format", "--check"]):
            line = [sys.executable, "-m", "ruff", *words, "--isolated", "--line-length", "100", "."]
            folder = tmp_path / f"my-{kind}"
            ended = subprocess.run(line, cwd=folder, capture_output=True, text=True)
            assert ended.returncode == 0, ended.stdout


@pytest.mark.skipif(importlib.util.find_spec("setuptools") is None, reason="builds by setuptools")
def test_a_package_is_found_once_it_is_installed(harness, tmp_path):
    ended = harness("new", "trick", "my_own", "--package")
    folder = tmp_path / "my-own"
    assert ended.out.splitlines() == [
        "my-own/my_own.py",
        "my-own/test_my_own.py",
        "my-own/pyproject.toml",
    ]
    build = "from setuptools import build_meta; print(build_meta.build_wheel('.'))"
    built = subprocess.run(
        [sys.executable, "-c", build], cwd=folder, capture_output=True, text=True, check=True
    )
    installed = tmp_path / "installed"
    with zipfile.ZipFile(folder / built.stdout.splitlines()[-1]) as wheel:
        assert sorted(name for name in wheel.namelist() if "/" not in name) == ["my_own.py"]
        wheel.extractall(installed)
    look = "import sys; sys.argv = ['harness', 'describe', 'my_own']; from harness.cli import main"
    described = subprocess.run(
        [sys.executable, "-c", f"{look}; main()"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(installed), *sys.path])},
        capture_output=True,
        text=True,
    )
    assert described.stdout.startswith(f"my_own (trick, package my-own: {installed}/my_own.py)")


def test_the_test_of_a_package_passes(harness, tmp_path):
    harness("new", "dataset", "my_own", "--package")
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path / "my-own",
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout
    assert "3 passed" in ended.stdout


@pytest.mark.parametrize("name", ["batch", "tensor", "class_var", "backbone"])
def test_a_class_is_called_otherwise_than_what_the_page_imports(harness, name):
    assert harness("new", "trick", name).status == 0
    ended = harness("describe", name, "--plugin", f"{name}.py")
    assert ended.status == 0, ended.err
    assert f"{name} (trick" in ended.out


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("strategy", "My-Own", "'My-Own' can't be the name of a plugin and of its file. Use small"),
        ("strategy", "../own", "'../own' can't be the name of a plugin and of its file"),
        ("strategy", "class", "'class' can't be the name of a plugin and of its file"),
        ("strategy", "maml", "there is a strategy 'maml' already, in "),
        ("backbone", "resnet18", "there is a backbone 'resnet18' already, in "),
        ("dataset", "json", "'json' is the name of another module ("),
    ],
)
def test_a_name_that_would_not_do_is_refused(harness, tmp_path, kind, name, said):
    ended = harness("new", kind, name)
    assert (ended.status, ended.out) == (2, "")
    assert ended.complaint.startswith(f"harness: {said}")
    assert [*tmp_path.iterdir()] == []


def test_nothing_is_written_over(harness, tmp_path):
    (tmp_path / "my_own.py").write_text("mine")
    ended = harness("new", "strategy", "my_own")
    assert ended.status == 2
    assert ended.complaint == (
        "harness: my_own.py is there already, and nothing is written over. Choose another name, or "
        "another folder by --to"
    )
    assert (tmp_path / "my_own.py").read_text() == "mine"
