"""The command line as a whole: light, helpful, and never a traceback."""

import json
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from harness import __version__
from harness import cli as package
from harness.cli import COMMANDS, GROUPS, cli
from harness.record.store import Store

HEAVY = (
    "jinja2 matplotlib numpy optuna pandas pydantic rich scipy seaborn sklearn timm torch"
).split()

LOOK = """
import json, sys
from click.testing import CliRunner
from harness.cli import COMMANDS, cli

loaded = {}
for words in ([], *([name] for name in COMMANDS)):
    assert CliRunner().invoke(cli, [*words, "--help"]).exit_code == 0
    loaded[" ".join(words)] = [name for name in HEAVY if name in sys.modules]
print(json.dumps(loaded))
""".replace("HEAVY", repr(HEAVY))


def test_no_help_text_waits_for_a_heavy_import():
    found = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True)
    assert json.loads(found.stdout) == {"": [], **{name: [] for name in COMMANDS}}


# ── help ──────────────────────────────────────────────────────────────────────────────────────


def test_every_command_is_a_file_and_the_other_way_round():
    shared = {"__init__", "options", "choosing", "dry_run", "submitting"}
    assert {path.stem for path in Path(package.__file__).parent.glob("*.py")} == shared | set(
        COMMANDS
    )


def test_the_first_help_names_every_command_and_its_purpose(harness):
    ended = harness("--help")
    assert ended.status == 0
    assert re.findall(r"^([A-Z].*):$", ended.out, re.MULTILINE) == ["Options", *GROUPS]
    for name, purpose in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(purpose)}$", ended.out, re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_examples_of_itself(name):
    shown = CliRunner().invoke(cli, [name, "-h"])
    assert shown.exit_code == 0
    examples = shown.output.partition("Examples:\n")[2].splitlines()
    assert examples[0].startswith(f"    harness {name}")


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_use_options_that_exist(name):
    command = cli.get_command(click.Context(cli), name)
    known = {option for parameter in command.params for option in parameter.opts}
    examples = command.help.partition("Examples:\n")[2].partition("\n\n")[0]
    assert set(re.findall(r"--[a-z-]+", examples)) <= known


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained(name):
    command = cli.get_command(click.Context(cli), name)
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    assert [option.name for option in options if not option.help] == []


def test_the_version_is_told(harness):
    assert harness("--version").out == f"harness, version {__version__}\n"


# ── wrong usage ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["swite"], "there is no command 'swite' (did you mean 'suite'?)."),
        (["run", "quickstart"], "there is no command 'run'. 'harness --help' lists all"),
        (["suite"], "Missing argument 'SUITE'."),
        (["suite", "quickstart", "--dryrun"], "No such option '--dryrun'"),
        (["suite", "quickstart", "--jobs", "0"], "0 is not in the range x>=1."),
        (
            ["export", "results", "--format", "xlsx"],
            "'xlsx' is not one of 'csv', 'parquet', 'json'.",
        ),
    ],
)
def test_wrong_usage_is_told_on_standard_error(harness, words, said):
    ended = harness(*words)
    assert (ended.status, ended.out) == (2, "")
    assert said.replace("'", "") in ended.err.splitlines()[-1].replace("'", "")


def test_nothing_at_all_shows_the_help(harness):
    ended = harness()
    assert ended.status == 2
    assert "Usage: harness [OPTIONS] COMMAND [ARGS]..." in ended.err


# ── errors ────────────────────────────────────────────────────────────────────────────────────


def test_an_error_is_one_line(harness):
    ended = harness("export", "nowhere")
    assert (ended.status, ended.out) == (2, "")
    assert ended.complaint == (
        "harness: nowhere holds no results (no plan.json). Name the folder that 'harness suite' "
        "wrote, such as results/quickstart"
    )


def test_harness_raise_lets_the_traceback_through(harness, monkeypatch):
    from harness.errors import HarnessError

    monkeypatch.setenv("HARNESS_RAISE", "1")
    with pytest.raises(HarnessError, match="holds no results"):
        harness("export", "nowhere")


def test_an_error_of_the_machine_is_one_line_too(harness, monkeypatch):
    def full(self):
        raise OSError(28, "No space left on device", "results/small/plan.json")

    monkeypatch.setattr(Store, "plan", full)
    ended = harness("export", "anywhere")
    assert ended.status == 2
    assert ended.complaint == (
        "harness: results/small/plan.json: No space left on device. Free some space and run the "
        "same command again: finished cells are kept (HARNESS_RAISE=1 shows where)"
    )


full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is full")
NO_SPACE = "harness: No space left on device. Free some space and run "


@full
def test_a_full_disk_behind_standard_output_is_one_line():
    """Also at the very end of the process, where Python tries once more."""
    with open("/dev/full", "wb") as disk:
        ended = subprocess.run(
            [sys.executable, "-c", "from harness.cli import main; main()", "--help"],
            stdout=disk,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert ended.returncode == 2
    assert ended.stderr.startswith(NO_SPACE)
    assert len(ended.stderr.splitlines()) == 1


@full
def test_a_disk_that_fills_up_under_a_long_table_is_one_line(monkeypatch, capsys):
    with open("/dev/full", "w", buffering=1) as disk:  # full at the first line
        monkeypatch.setattr(sys, "argv", ["harness", "plugins"])
        monkeypatch.setattr(sys, "stdout", disk)
        with pytest.raises(SystemExit) as ended:
            package.main()
    assert ended.value.code == 2
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith(NO_SPACE)


def test_a_file_in_the_place_of_the_results_is_told_before_anything_runs(harness, tiny_suite):
    (tiny_suite.parent / "taken").write_text("mine")
    ended = harness("suite", tiny_suite, "--results", "taken")
    assert (ended.status, ended.out) == (2, "")
    assert re.fullmatch(
        "harness: cannot .*/taken/tiny.*: Not a directory. A file is where a folder should be: "
        "move it away, or choose another folder",
        ended.err.splitlines()[-1],
    )
    assert (tiny_suite.parent / "taken").read_text() == "mine"


def test_ctrl_c_is_130(harness, monkeypatch):
    def press(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "plan", press)
    ended = harness("export", "anywhere")
    assert ended.status == 130
    assert "Run the same command again to go on" in ended.err
    assert "Traceback" not in ended.err


def test_a_reader_that_has_seen_enough_hears_no_complaint():
    code = "from harness.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
