"""What several folders share: plugins loaded once, plugin files, a tiny suite, a command line."""

import os

# One thread: sums come out in one order whoever runs them, and don't collapse on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")


import contextlib
import copy
import errno
import fcntl
import functools
import io
import multiprocessing
import shutil
import subprocess
import sys
import tempfile
import textwrap
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st

from harness.cli import main
from harness.registry import Registry, Sources, load_once
from harness.run import server

settings.register_profile("harness", deadline=None)
settings.load_profile("harness")


def pytest_addoption(parser):
    parser.addoption(
        "--slow", action="store_true", help="run slow tests too of what was not touched lately"
    )


def pytest_collection_modifyitems(config, items):
    """Leaves out slow tests of what nobody touched in the days before the last commit."""
    if config.getoption("--slow"):
        return
    left = [
        item for item in items if (mark := item.get_closest_marker("slow")) and not touched(mark)
    ]
    items[:] = [item for item in items if item not in left]
    config.hook.pytest_deselected(items=left)


def touched(mark):
    """Whether a file that the marker names, or one in a folder that it names, was changed lately;
    also where git does not tell."""
    changed = latest_changes()
    return changed is None or any(
        f"{path}/".startswith(f"{name}/") for name in mark.args for path in changed
    )


@functools.cache
def latest_changes(days=2):
    """The files of all commits of the last days up to HEAD."""

    def git(*words):
        line = ["git", "-C", os.path.dirname(__file__), *words]
        return subprocess.run(line, capture_output=True, text=True, check=True).stdout

    try:
        since = int(git("log", "-1", "--format=%ct")) - days * 86400
        return {*git("log", f"--since={since}", "--name-only", "--format=").split("\n")} - {""}
    except (OSError, subprocess.CalledProcessError, ValueError):
        return None


TINY = """\
name = "tiny"
seeds = [0, 1]
strategies = ["linear_probe", "full_finetune"]

[budget]
trials = 2
steps = 3
batch_size = 16

[[backbones]]
model = "conv4"
weights = "random"
input_size = 16
args = { width = 8 }

[[problems]]
dataset = "digits"
shots = 2
"""
"""Four cells that take a moment together."""


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """What is unpacked and found out of images stays among the files of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def registry() -> Registry:
    """The built-in plugins."""
    return load_once(Sources())


@pytest.fixture
def tiny_suite(tmp_path):
    """The path of a suite of four cells that run in a moment."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture
def no_hub(tmp_path, monkeypatch):
    """No hub of models answers; the folder of what was fetched from it before."""
    from huggingface_hub import constants

    nobody = "http://127.0.0.1:9"
    monkeypatch.setattr(constants, "ENDPOINT", nobody)
    template = f"{nobody}/{{repo_id}}/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def fresh_process(tmp_path, monkeypatch):
    """Makes this process forget what plugin files it has imported and what it has cached, as if
    it were a new one; also at the end of the test."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def forget():
        from harness.plan import configure, keys
        from harness.run import job

        for name, module in list(sys.modules.items()):
            facts = vars(module)
            places = [facts.get("__file__"), *facts.get("__path__", ())]
            if any(str(place).startswith(str(tmp_path)) for place in places):
                del sys.modules[name]
        sys.path[:] = [folder for folder in sys.path if not folder.startswith(str(tmp_path))]
        for cached in (keys.file_digest, keys.source_digest, configure._adapter, job._resources):
            cached.cache_clear()
        load_once.cache_clear()

    yield forget
    forget()


@pytest.fixture
def no_locks(monkeypatch):
    """Makes a folder one of a file system without locks, as the system call for them says."""
    own = fcntl.flock

    def of(folder):
        def flock(file, operation):
            number = file if isinstance(file, int) else file.fileno()
            if os.readlink(f"/proc/self/fd/{number}").startswith(str(folder)):
                raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
            own(file, operation)

        monkeypatch.setattr(fcntl, "flock", flock)

    return of


@pytest.fixture
def plugin_file(tmp_path, fresh_process):
    """Writes a plugin file: ``plugin_file("mine", "code")``."""

    def write(name, code):
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(code))
        return path

    return write


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    status: int
    out: str
    err: str
    raw: bytes

    @property
    def complaint(self):
        """The one line of standard error."""
        (line,) = self.err.splitlines()
        return line


MEASURED = {
    *("seconds", "fit_seconds", "peak_host_bytes", "peak_device_bytes", "throughput", "joules"),
    "cpu_seconds",
    *("provenance", "cached", "attempts", "log"),
}


@pytest.fixture(scope="session")
def unmeasured():
    """A record as a dictionary, without what is measured anew in each run."""

    def without(value):
        if isinstance(value, dict):
            return {name: without(v) for name, v in value.items() if name not in MEASURED}
        return [without(v) for v in value] if isinstance(value, list) else value

    return lambda record: without(record.model_dump())


@pytest.fixture(scope="session")
def warm_server():
    """Processes of cells come from a server; this one has imported what tests would wait for."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([server.PRELOAD, "sklearn.datasets", "harness.report.write"])
    forkserver.ensure_running()


@pytest.fixture
def harness(tmp_path, monkeypatch, fresh_process, warm_server):
    """Runs a command line as a new process would, in ``tmp_path``."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        fresh_process()
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
        monkeypatch.setattr(sys, "argv", ["harness", *map(os.fspath, words)])
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            with pytest.raises(SystemExit) as ended:
                main()
            out.flush(), err.flush()
        raw, told = out.buffer.getvalue(), err.buffer.getvalue().decode()
        return Ended(int(ended.value.code or 0), raw.decode(errors="replace"), told, raw)

    return run


# ── a small suite, and any suite at all ──────────────────────────────────────────────────────────

TABLE = {
    "name": "small",
    "seeds": [0, 1],
    "strategies": ["linear_probe", "full_finetune"],
    "budget": {"trials": 2, "steps": 3},
    "backbones": [{"model": "conv4", "weights": "random", "input_size": 16}],
    "problems": [{"dataset": "toy", "shots": [1, 2]}],
}


@pytest.fixture
def table():
    """A small valid suite, to change as one likes."""
    return copy.deepcopy(TABLE)


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
numbers = st.integers(1, 1000)
plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
anything = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
scalars = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
)
args = st.dictionaries(names, scalars | st.lists(scalars, max_size=2), max_size=2)


def tables(required, **optional):
    return st.fixed_dictionaries(required, optional=optional)


def unique(things, **sizes):
    return st.lists(things, min_size=1, max_size=3, unique=True, **sizes)


source = tables({"dataset": names}, args=args, rotations=st.booleans())
problem = {"dataset": names, "label": names}
shots = numbers | st.sampled_from(["vtab1k", "all"])
transferred = {
    "protocol": st.just("transfer"),
    "args": args,
    "shots": shots | unique(shots),
    "source": source,
}
transfer = tables(problem, **transferred, splits=names) | tables(
    problem,
    **transferred,
    val_fraction=st.floats(0.01, 0.99),
    val_shots=numbers,
    test_fraction=st.floats(0.01, 0.99),
)
episodes = tables(
    problem | {"protocol": st.just("episodes")},
    args=args,
    shots=numbers | unique(numbers),
    source=source,
    ways=st.integers(2, 20),
    queries=numbers,
    episodes=st.integers(2, 1000),
    val_episodes=numbers,
)
adaptation = tables(
    problem | {"protocol": st.just("adaptation"), "source": source},
    args=args,
    shots=numbers | st.just("all") | unique(numbers | st.just("all")),
    selection=st.sampled_from(["source", "information", "entropy", "density", "dev", "target"]),
    val_fraction=st.floats(0.01, 0.99),
    test_fraction=st.floats(0.01, 0.99),
)
weights = (
    st.sampled_from(["hub", "random"])
    | tables({"file": names})
    | tables(
        {"source": names},
        args=args,
        method=names | tables({"name": names}, args=args),
        rotations=st.booleans(),
        steps=numbers,
        batch_size=numbers,
        lr=st.floats(1e-6, 1.0),
        weight_decay=st.floats(0, 1),
        seed=st.integers(0, 9),
    )
)
backbone = tables({"model": names, "label": names}, weights=weights, input_size=numbers, args=args)
strategy = tables({"name": names, "label": names}, args=args)
spent = st.one_of(
    st.just({}),
    st.builds(lambda n: {"trials": n}, numbers),
    st.builds(lambda s: {"seconds": s}, st.floats(0.1, 1e6)),
)
budget = st.builds(
    lambda first, rest: first | rest,
    spent,
    tables(
        {},
        steps=numbers,
        batch_size=numbers,
        prepare_trials=numbers,
        sampler=st.sampled_from(["random", "tpe"]),
        pruner=st.sampled_from(["none", "median"]),
    ),
)


def labelled(things):
    return st.lists(things, min_size=1, max_size=3, unique_by=lambda thing: thing["label"])


valid = tables(
    {
        "name": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,8}", fullmatch=True),
        "strategies": unique(names) | labelled(strategy),
        "backbones": labelled(backbone),
        "problems": labelled(transfer | episodes | adaptation),
    },
    description=st.text(max_size=8),
    seeds=unique(st.integers(0, 2**32 - 1)),
    budget=budget,
    predictors=st.sampled_from(["none", "recommended", "all"]),
    save_predictors=st.booleans(),
    report=st.fixed_dictionaries({}, optional={"examples": st.booleans()}),
)


@st.composite
def mutations(draw, tables):
    """A table with one thing in it changed, added, removed or renamed, however deep."""
    table = copy.deepcopy(draw(tables))
    here = table
    while True:
        keys = sorted(here) if isinstance(here, dict) else range(len(here))
        key = draw(st.sampled_from(keys))
        inner = here[key]
        if isinstance(inner, dict | list) and inner and draw(st.booleans()):
            here = inner
            continue
        match draw(st.sampled_from(["change", "remove", "add", "rename"])):
            case "change":
                here[key] = draw(anything)
            case "remove":
                del here[key]
            case "add" if isinstance(here, dict):
                here[draw(names)] = draw(anything)
            case "rename" if isinstance(here, dict):
                here[draw(st.just(f"{key}s") | names)] = here.pop(key)
            case _:
                here.append(draw(anything))
        return table


def shuffles(table):
    """The same suite with its tables and lists in another order."""
    entries = {
        key: st.permutations(value) if isinstance(value, list) else st.just(value)
        for key, value in table.items()
    }
    return st.permutations(list(table)).flatmap(
        lambda keys: st.fixed_dictionaries({key: entries[key] for key in keys})
    )


class AnySuites:
    """Strategies for hypothesis."""

    valid = valid
    mutated = mutations(valid)
    nearly_small = mutations(st.just(TABLE))  # and so, often, one that can be planned
    anything = anything
    shuffled = st.just(TABLE | {"problems": [*TABLE["problems"], {"dataset": "digits"}]}).flatmap(
        shuffles
    )


@pytest.fixture(scope="session")
def any_suites():
    return AnySuites


@pytest.fixture(scope="session")
def postgres():
    """The URL of a PostgreSQL server of its own, on a socket; it refuses to run as root."""
    pytest.importorskip("psycopg")
    on_path = shutil.which("initdb")
    tools = [
        *([Path(on_path).parent] if on_path else []),
        *Path("/usr/lib/postgresql").glob("*/bin"),
    ]
    if not tools:
        pytest.skip("PostgreSQL's server is not installed")
    # Not in pytest's own folder, which no other user may enter.
    with tempfile.TemporaryDirectory(prefix="harness-postgres-") as folder:
        user = {}
        if os.getuid() == 0:
            user = {"user": "nobody"}
            shutil.chown(folder, "nobody")

        def run(tool, *words):
            command = [tools[-1] / tool, "-D", f"{folder}/data", *words]
            subprocess.run(command, check=True, cwd=folder, **user)

        run("initdb", "-U", "tester", "-A", "trust", "--no-sync")
        options = f"-k {folder} -c listen_addresses= -c fsync=off"
        run("pg_ctl", "-o", options, "-l", f"{folder}/log", "-w", "start")
        yield f"postgresql+psycopg://tester@/postgres?host={folder}"
        run("pg_ctl", "-m", "immediate", "stop")
