"""``harness completion``: a shell asks for what may come next, and is told."""

import os
import shutil
import subprocess
import sys

import pytest

from harness.cli import COMMANDS


def completed(*words):
    """What is told to bash where the last of the words is unfinished."""
    asked = {
        "_HARNESS_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["harness", *words]),
        "COMP_CWORD": str(len(words)),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    code = "import sys; sys.argv = ['harness']; from harness.cli import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **asked}, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    return [line.partition(",")[2] for line in ended.stdout.splitlines()]


def test_commands_options_and_choices_are_completed():
    expected = [name for name in COMMANDS if name.startswith("c")]
    assert completed("c") == expected
    assert "--dry-run" in completed("suite", "--d")
    assert completed("new", "da") == ["dataset"]
    assert completed("cache", "p") == ["prune"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_is_told_in_its_own_words(harness, shell):
    ended = harness("completion", shell)
    assert ended.status == 0
    assert f"_HARNESS_COMPLETE={shell}_complete" in ended.out


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_reads_it(harness, tmp_path):
    (tmp_path / "completion.sh").write_text(harness("completion", "bash").out)
    look = "source completion.sh && complete -p harness"
    ended = subprocess.run(["bash", "-c", look], cwd=tmp_path, capture_output=True, text=True)
    assert ended.stdout.startswith("complete ")
