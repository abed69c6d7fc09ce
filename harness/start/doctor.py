"""Look at a machine: what is there, what is lacking, and the command or the step that helps."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil
import torch

from harness.errors import one_line
from harness.record.caches import caches, entries
from harness.record.files import reason, remedy
from harness.record.locks import locked, why_none
from harness.record.provenance import PACKAGES, cores, environment
from harness.registry import Registry
from harness.report.format import plural, size

State = Literal["ok", "missing", "warning", "wrong"]

LITTLE_DISK, LITTLE_MEMORY = 10e9, 2e9
"""Bytes below which there is a warning: what features may take by default, and what a cell is
taken to need where nothing is known of its like."""

NO_DISK = 1e9
"""Bytes below which runs will fail."""

HOLDER = """
import sys
from pathlib import Path
from harness.record.locks import locked, why_none
with locked(Path(sys.argv[1]), "doctor") as ours:
    print("locked" if ours else "refused", flush=True)
    sys.stdin.read()
"""
"""What the other process does: lock, tell, and hold until it is killed."""


READER = """
import sys
from pathlib import Path
file = Path(sys.argv[1])
print("reading", flush=True)
while True:
    try:
        text = file.read_text()
    except FileNotFoundError:
        sys.exit("a file that was replaced was not there for a moment")
    except OSError as error:
        sys.exit(f"a file that was replaced could not be read: {error}")
    if len(text) != int(sys.argv[2]) or text != text[0] * len(text):
        sys.exit("a file that was replaced was seen half written")
    if text[0] == "z":
        break
"""
"""What a process does that looks at a file while it is replaced, until its last version."""

VERSIONS, LENGTH, PATIENCE = "ab" * 50 + "z", 2**16, 10.0
"""What is written of a file, each letter as often as its length, and seconds in which the last has
to be seen."""

SHARDS = "Divide the cells by --shard 1/n to n/n, or choose a file system that {}"


@dataclass(frozen=True)
class Finding:
    """What was seen of one thing. ``missing`` is what an option needs, and ``wrong`` what keeps
    runs from succeeding; ``remedy`` helps."""

    topic: str
    name: str
    state: State
    seen: str
    remedy: str = ""


def look(registry: Registry, results: Path) -> Iterator[Finding]:
    """All that is to be known of this machine, for results in a folder."""
    yield from versions()
    yield from extras(registry)
    yield from devices()
    yield from machine()
    for name, folder in zip(("results", "cache"), (results, caches(results)[1]), strict=True):
        yield from folder_findings(name, folder)
    for cache in caches(results):
        found = [*entries(cache)]
        taken = size(sum(entry.bytes for entry in found))
        kept = f"{plural(len(found), 'entry', 'entries')}, {taken}" if found else "empty"
        yield Finding("caches", str(cache), "ok", kept)


def versions() -> Iterator[Finding]:
    """The harness, Python, and the packages that results depend on."""
    known = environment()
    for name in ("harness", "python", *PACKAGES):
        yield Finding("versions", name, "ok", str(known[name]))


def extras(registry: Registry) -> Iterator[Finding]:
    """The packages that some plugins need, and plugins that can't be loaded."""
    needed: dict[str, list[str]] = {}
    missing = set()
    for plugin in registry.plugins.values():
        for package in dict.fromkeys(plugin.cls.requires.values()):
            needed.setdefault(package, []).append(plugin.name)
        missing |= {*plugin.missing.values()}
    for package, names in sorted(needed.items()):
        there = package not in missing
        yield Finding(
            "extras",
            package,
            "ok" if there else "missing",
            f"for {', '.join(sorted(names))}",
            "" if there else f"pip install '{package}'",
        )
    for problem in registry.problems:
        yield Finding("extras", "plugins", "wrong", problem, "Mend or uninstall it")


def devices() -> Iterator[Finding]:
    """The processor, and each GPU, which has to multiply."""
    known = environment()
    yield Finding("devices", "cpu", "ok", f"{known['cpu']}, {plural(cores() or 1, 'core')}")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for index in range(count):
        name = f"cuda:{index}"
        try:
            free, total = torch.cuda.mem_get_info(index)
            ones = torch.ones(64, 64, device=name)
            right = (ones @ ones).sum().item() == 64.0**3
            told = f"{torch.cuda.get_device_name(index)}, {size(free)} of {size(total)} free"
        except RuntimeError as error:
            yield Finding(
                "devices", name, "wrong", one_line(error), "Free it, or name others by --device"
            )
            continue
        if right:
            yield Finding("devices", name, "ok", told)
        else:
            yield Finding("devices", name, "wrong", f"{told}: it multiplies wrong", "Replace it")
    if not count and (there := _gpus()):
        yield Finding(
            "devices",
            "cuda",
            "wrong",
            f"{plural(there, 'GPU')} that PyTorch {torch.__version__} can't use",
            "Install a build for CUDA: https://pytorch.org/get-started/locally",
        )


def _gpus() -> int:
    """GPUs that the driver knows."""
    import pynvml

    try:
        pynvml.nvmlInit()
        return int(pynvml.nvmlDeviceGetCount())
    except pynvml.NVMLError:
        return 0


def machine() -> Iterator[Finding]:
    """Threads, load and memory."""
    own = cores() or 1
    given = os.environ.get("OMP_NUM_THREADS", "not set")
    yield Finding(
        "machine",
        "threads",
        "ok",
        f"{own} for cells, each with those that its [budget] says, by default 1; "
        f"{torch.get_num_threads()} for all else (OMP_NUM_THREADS {given})",
    )
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    busy = load > own
    yield Finding(
        "machine",
        "load",
        "warning" if busy else "ok",
        f"{load:.1f} on {plural(own, 'core')}",
        "Expect runs to take longer, or wait until other work is done" if busy else "",
    )
    memory = psutil.virtual_memory()
    little = memory.available < LITTLE_MEMORY
    yield Finding(
        "machine",
        "memory",
        "warning" if little else "ok",
        f"{size(memory.available)} of {size(memory.total)} free",
        "Close other programs, or run with --jobs 1" if little else "",
    )


def folder_findings(name: str, folder: Path) -> Iterator[Finding]:
    """Whether a folder, or the nearest above it that is there, has room, can be written, and has
    locks that one process keeps from another."""
    folder = folder.absolute()
    place = next(path for path in (folder, *folder.parents) if path.exists())
    topic = f"{name}: {folder}"
    free = shutil.disk_usage(place).free
    state: State = "wrong" if free < NO_DISK else "warning" if free < LITTLE_DISK else "ok"
    helps = "" if state == "ok" else "Free some, or 'harness cache prune'"
    yield Finding(topic, "disk", state, f"{size(free)} free", helps)
    try:
        with tempfile.TemporaryDirectory(prefix=".harness-doctor-", dir=place) as probe:
            yield Finding(topic, "writable", "ok", f"files can be written in {place}")
            yield locks(topic, Path(probe))
            yield renames(topic, Path(probe))
    except OSError as error:
        yield Finding(topic, "writable", "wrong", f"{place}: {reason(error)}", remedy(error))


def locks(topic: str, folder: Path) -> Finding:
    """Whether what another process has locked is refused to this one, and is free when the other
    has been killed: without that, two runners would do the same cells."""
    wrong = SHARDS.format("has locks")
    if why := why_none(folder):
        return Finding(topic, "locks", "wrong", f"nothing can be locked: {why}", wrong)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as other:
        assert other.stdout is not None
        told = other.stdout.readline().strip()
        if told == "locked":
            with locked(folder, "doctor") as ours:
                both = ours
        other.kill()
        _, error = other.communicate()
    if told != "locked":
        last = (error.strip().splitlines() or ["it said nothing"])[-1]
        return Finding(topic, "locks", "wrong", f"another process can't lock: {last}", wrong)
    if both:
        return Finding(topic, "locks", "wrong", "two processes have the same lock", wrong)
    with locked(folder, "doctor") as ours:
        if not ours:
            return Finding(topic, "locks", "wrong", "the lock of a killed process stays", wrong)
    return Finding(topic, "locks", "ok", "one process at a time, and the next when it is killed")


def renames(topic: str, folder: Path) -> Finding:
    """Whether another process sees a file that is replaced, whole at any moment, and the new one
    soon: so records and plans are written."""
    file = folder / "versions"

    def write(letter: str) -> None:
        new = file.with_suffix(".new")
        new.write_text(letter * LENGTH)
        os.replace(new, file)

    write(VERSIONS[0])
    with subprocess.Popen(
        [sys.executable, "-c", READER, str(file), str(LENGTH)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        for letter in VERSIONS:
            write(letter)
        try:
            _, error = other.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            other.kill()
            other.communicate()
            error = f"a file that was replaced was still seen as it was after {PATIENCE:g} s"
    if last := error.strip().splitlines()[-1:]:
        wrong = "Choose a file system that replaces files at once, and 'harness merge' the results"
        return Finding(topic, "renames", "wrong", last[0], wrong)
    return Finding(topic, "renames", "ok", "a file that is replaced is seen whole, and at once")
