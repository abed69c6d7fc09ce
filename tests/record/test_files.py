"""Files are written whole or not at all; what keeps them from it is told in one line."""

import errno
import os
import pickle
import resource
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from harness.record import files
from harness.record.files import (
    CannotWrite,
    make_folder,
    move,
    read_file,
    remove_leftovers,
    write_atomically,
)

OLD, NEW = b"old " * 1000, b"new " * 5000


@pytest.fixture
def file(tmp_path):
    """A file that is there already."""
    path = tmp_path / "folder" / "file.json"
    write_atomically(path, OLD)
    return path


def names(folder):
    return sorted(os.listdir(folder))


# ── whole or not at all ───────────────────────────────────────────────────────────────────────


@pytest.fixture
def dies(monkeypatch):
    """Lets the process die, so to speak, when it comes to one step of a write."""

    def at(step, death):
        def die(*arguments, **named):
            raise death

        monkeypatch.setattr(files.os, step, die)

    return at


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize(
    ("death", "told"), [(KeyboardInterrupt, KeyboardInterrupt), (OSError(5, "broken"), CannotWrite)]
)
def test_a_death_in_the_middle_of_a_write_leaves_the_old_file(file, dies, step, death, told):
    dies(step, death)
    with pytest.raises(told):
        write_atomically(file, NEW)
    assert file.read_bytes() == OLD
    assert names(file.parent) == ["file.json"]


def test_a_death_after_a_write_leaves_the_new_file(file, monkeypatch):
    replace = os.replace

    def die_after(*arguments):
        replace(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "replace", die_after)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(file, NEW)
    assert file.read_bytes() == NEW


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="nothing tells a handle's file")
def test_a_file_and_its_name_and_new_folders_are_on_the_disk_in_this_order(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace

    def synced(handle):
        done.append(os.path.basename(os.readlink(f"/proc/self/fd/{handle}")))
        fsync(handle)

    def replaced(source, target):
        done.append("replace")
        replace(source, target)

    monkeypatch.setattr(files.os, "fsync", synced)
    monkeypatch.setattr(files.os, "replace", replaced)
    write_atomically(tmp_path / "one" / "two" / "file.json", NEW)
    made = {done.pop(0), done.pop(0)}
    assert made == {tmp_path.name, "one"}
    assert files.LEFTOVER.fullmatch(done.pop(0))
    assert done == ["replace", "two"]


def test_a_file_system_that_knows_no_syncing_of_folders_is_no_trouble(tmp_path, monkeypatch):
    fsync = os.fsync

    def only_files(handle):
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(handle)

    monkeypatch.setattr(files.os, "fsync", only_files)
    write_atomically(tmp_path / "file.json", NEW)
    assert (tmp_path / "file.json").read_bytes() == NEW


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_who_may_read_what_is_written_is_for_the_umask_to_say(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "file.json", NEW)
    finally:
        os.umask(before)
    assert (tmp_path / "file.json").stat().st_mode & 0o777 == mode


WRITER = """
import itertools, sys
from pathlib import Path
from harness.record.files import write_atomically

for number in itertools.count():
    write_atomically(Path(sys.argv[1]), b"%d " % number * 100_000)
    print(number, flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_killed_writer_leaves_a_whole_file(tmp_path):
    """Killed for real, at ten different moments."""
    path = tmp_path / "file"
    for moment in range(10):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout.readline() == "0\n"
            time.sleep(0.003 * moment)
            writer.send_signal(signal.SIGKILL)
        words = path.read_bytes().split()
        assert len(words) == 100_000
        assert len(set(words)) == 1
    remove_leftovers(tmp_path, age=-1)
    assert names(tmp_path) == ["file"]


# ── leftovers ─────────────────────────────────────────────────────────────────────────────────


def test_what_a_killed_process_left_is_removed_after_an_hour(tmp_path, dies, monkeypatch):
    monkeypatch.setattr(files.Path, "unlink", lambda *a, **k: None)
    dies("replace", KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "records/abc.json", NEW)
    monkeypatch.undo()
    (left,) = (tmp_path / "records").iterdir()
    (tmp_path / ".gitignore").touch()
    (tmp_path / ".vimrc.tmp").touch()
    for name in (".gitignore", ".vimrc.tmp"):
        os.utime(tmp_path / name, (0, 0))

    os.utime(left, (time.time() - 3500,) * 2)
    assert remove_leftovers(tmp_path) == []
    os.utime(left, (time.time() - 3700,) * 2)
    assert remove_leftovers(tmp_path) == [left]
    assert names(tmp_path) == [".gitignore", ".vimrc.tmp", "records"]
    assert names(tmp_path / "records") == []


def test_leftovers_that_another_runner_removes_are_no_trouble(tmp_path, monkeypatch):
    left = tmp_path / ".abc.json.abcd1234.tmp"
    left.touch()
    os.utime(left, (0, 0))
    unlink = os.unlink

    def faster(path):
        unlink(left)
        raise FileNotFoundError(errno.ENOENT, "gone", str(path))

    monkeypatch.setattr(files.Path, "unlink", faster)
    assert remove_leftovers(tmp_path) == []
    assert remove_leftovers(tmp_path / "no such folder") == []


# ── what is told ──────────────────────────────────────────────────────────────────────────────


def test_an_error_is_one_line_and_a_remedy_and_pickles(tmp_path):
    (tmp_path / "results").touch()
    with pytest.raises(CannotWrite) as caught:
        write_atomically(tmp_path / "results/small/plan.json", NEW)
    told = pickle.loads(pickle.dumps(caught.value))
    assert type(told) is CannotWrite
    assert str(told) == (
        f"cannot write {tmp_path}/results/small/plan.json: Not a directory. A file is where a "
        "folder should be: move it away, or choose another folder"
    )


@pytest.mark.parametrize(
    "act",
    [
        lambda folder: write_atomically(folder / "taken", NEW),
        lambda folder: write_atomically(folder / "plain/x", NEW),
        lambda folder: write_atomically(folder / "plain/x/y", NEW),
        lambda folder: write_atomically(folder / ("x" * 300), NEW),
        lambda folder: make_folder(folder / "plain"),
        lambda folder: make_folder(folder / "plain/x"),
        lambda folder: move(folder / "plain", folder / "plain/x"),
        lambda folder: move(folder / "nothing", folder / "x"),
    ],
)
def test_what_is_in_the_way_is_told_and_left_alone(tmp_path, act):
    (tmp_path / "taken/inner").mkdir(parents=True)
    (tmp_path / "plain").write_bytes(OLD)
    with pytest.raises(CannotWrite) as caught:
        act(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert names(tmp_path) == ["plain", "taken"]
    assert (tmp_path / "plain").read_bytes() == OLD


# ── real faults ───────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 kB, where the tests may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting is not allowed here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_keeps_what_it_has(small_disk):
    path = small_disk / "file.json"
    write_atomically(path, OLD)
    with pytest.raises(CannotWrite, match=r"No space left on device. Free some space and"):
        write_atomically(path, bytes(100_000))
    assert path.read_bytes() == OLD
    assert names(small_disk) == ["file.json"]
    write_atomically(path, NEW)
    assert path.read_bytes() == NEW


def test_a_read_only_file_system_is_told(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(CannotWrite, match=r"Read-only file system. Make that file system writable"):
        write_atomically(small_disk / "file.json", OLD)


@pytest.mark.skipif(os.name != "posix" or os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_without_the_right_to_write_is_told(file):
    file.parent.chmod(0o500)
    try:
        with pytest.raises(CannotWrite, match=r"Permission denied. Give yourself the right"):
            write_atomically(file, NEW)
    finally:
        file.parent.chmod(0o700)
    assert file.read_bytes() == OLD


def test_a_limit_on_the_size_of_files_is_told(file):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(OLD), limits[1]))
    try:
        with pytest.raises(CannotWrite, match=r"File too large. Raise the limit .*\(ulimit -f\)"):
            write_atomically(file, NEW)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file.read_bytes() == OLD
    assert names(file.parent) == ["file.json"]


def test_no_more_file_handles_is_told(file):
    """In a process of its own, which has none left."""
    code = """
        import sys
        from pathlib import Path
        import resource
        from harness.record.files import CannotWrite, write_atomically

        resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
        held = []
        try:
            while True:
                held.append(open("/dev/null"))
        except OSError:
            pass
        try:
            write_atomically(Path(sys.argv[1]), b"new")
        except CannotWrite as error:
            print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), file]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert told.endswith(
        "Too many open files. Raise the limit on open files (ulimit -n), or run fewer --jobs\n"
    )
    assert file.read_bytes() == OLD


# ── reading ───────────────────────────────────────────────────────────────────────────────────


def test_only_files_are_read_and_no_more_than_asked_for(tmp_path):
    write_atomically(tmp_path / "file", OLD)
    assert read_file(tmp_path / "file", len(OLD)) == OLD
    with pytest.raises(OSError, match="it has 4,000 bytes"):
        read_file(tmp_path / "file", len(OLD) - 1)
    with pytest.raises(IsADirectoryError):
        read_file(tmp_path, 10)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_what_has_no_end_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(OSError, match="it is no file"):
            read_file(files.Path(path), 10)
