"""``harness plugins``: what there is, and what could not be loaded."""

import json

import pytest

from harness.registry import KINDS


def listed(ended):
    """The names in a list, below each heading."""
    found, heading = {}, ""
    for line in ended.out.splitlines():
        if line.endswith(":") and not line.startswith(" "):
            heading = line.removesuffix(":")
        elif line.startswith("  "):
            found.setdefault(heading, []).append(line.split()[0])
    return found


def test_every_plugin_is_listed_by_kind_and_family(harness, registry):
    ended = harness("plugins")
    assert (ended.status, ended.err) == (0, "")
    found = listed(ended)
    expected = {}
    for plugin in registry.plugins.values():
        family = f", {plugin.cls.family}" if plugin.cls.family else ""
        expected.setdefault(plugin.kind + family, set()).add(plugin.name)
    assert {heading: set(names) for heading, names in found.items()} == {
        **expected,
        "file format": {"formats"},
        "report section": {"gap_closed"},
    }
    assert [heading.partition(",")[0] for heading in found] == sorted(
        (heading.partition(",")[0] for heading in found),
        key=[*KINDS, "file format", "report section"].index,
    )


@pytest.mark.parametrize("kind", ["strategy", "trick"])
def test_every_built_in_method_stands_in_a_family(registry, kind):
    built_in = [each for each in registry.plugins.values() if each.origin == "built-in"]
    alone = [each.name for each in built_in if each.kind == kind and not each.cls.family]
    assert alone == []


def test_the_list_fits_the_terminal(harness, monkeypatch):
    monkeypatch.setenv("COLUMNS", "70")
    lines = [line for line in harness("plugins").out.splitlines() if "not installed" not in line]
    assert max(map(len, lines)) == 70


@pytest.mark.parametrize(
    ("asked", "there", "not_there"),
    [
        (["--kind", "trick"], "mixup", "maml"),
        (["--protocol", "adaptation"], "coral", "lora"),
        (["--modality", "text"], "csv_text", "conv4"),
        (["--search", "finn et al"], "maml", "lora"),
        (["--kind", "strategy", "--search", "BATCH"], "", "mixup"),
    ],
)
def test_the_list_is_filtered(harness, asked, there, not_there):
    found = {name for names in listed(harness("plugins", *asked)).values() for name in names}
    assert there in found or not there
    assert not_there not in found


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--kind", "tricks"], "--kind tricks: there is none of that kind (did you mean 'trick'?)"),
        (["--modality", "sound"], "--modality sound: there is none of that modality"),
        (["--search", "no such word"], "no plugin is all of that"),
    ],
)
def test_a_filter_that_leaves_nothing_says_so(harness, asked, said):
    ended = harness("plugins", *asked)
    assert ended.status == 2
    assert ended.complaint.startswith(f"harness: {said}")


def test_the_list_is_data_too(harness, registry):
    ended = harness("plugins", "--format", "json")
    found = json.loads(ended.out)
    assert {(row["kind"], row["name"]) for row in found} == {
        *registry.plugins,
        ("file format", "formats"),
        ("report section", "gap_closed"),
    }
    assert all(row["file"].endswith(".py") for row in found)


def test_plugins_of_files_and_folders_say_where_they_are_from(harness, toy):
    found = json.loads(harness("plugins", *toy, "--format", "json").out)
    (row,) = (row for row in found if row["name"] == "toy")
    assert (row["origin"], row["summary"]) == (
        "file",
        "Noise: each images of each of classes classes, all drawn from seed.",
    )


def test_whose_code_is_run_is_said_once_and_not_among_the_data(harness, plugin_file, toy):
    mine = plugin_file("more/mine", "x = 1\n")
    ended = harness("plugins", *toy, "--plugins-dir", mine.parent, "--format", "json")
    assert ended.complaint == f"harness: running code of {toy[1]}, {mine}"
    assert "toy" in {each["name"] for each in json.loads(ended.out)}
    assert harness("plugins").err == ""


def test_a_broken_plugin_is_one_line_and_the_rest_is_listed(harness, plugin_file):
    broken = plugin_file("broken", "1 / 0\n")
    ended = harness("plugins", "--plugin", broken, "--format", "json")
    assert ended.status == 1
    assert ended.complaint == (
        f"harness: plugin {broken}: cannot be loaded: ZeroDivisionError: division by zero (line 1)"
    )
    assert len(json.loads(ended.out)) > 10


def test_each_of_several_broken_plugins_has_its_line(harness, plugin_file, tmp_path):
    plugin_file("more/broken", "1 / 0\n")
    plugin_file("more/unmarked", "def harness_strategies(): return []\n")
    plugin_file("more/maml", "from harness_plugins.strategies.maml import *\n")
    ended = harness("plugins", "--plugins-dir", tmp_path / "more", "--plugins-dir", "nowhere")
    assert ended.status == 1
    run, *problems = ended.err.splitlines()
    assert run == f"harness: running code of {tmp_path}/more/maml.py, {tmp_path}/more/unmarked.py"
    assert [line.split(": ")[1].split("/")[-1] for line in problems] == [
        "nowhere",
        "broken.py",
        "maml.py",
        "unmarked.py",
    ]


def test_a_command_goes_on_without_a_broken_plugin(harness, plugin_file, tiny_suite):
    ended = harness("validate", tiny_suite, "--plugin", plugin_file("broken", "1 / 0\n"))
    assert ended.status == 0
    assert "broken.py" in ended.complaint
    assert ended.out == f"{tiny_suite}: 4 cells, no mistakes\n"


def test_what_hears_a_run_is_listed_and_what_lacks_a_package_says_so(harness, plugin_file):
    file = plugin_file(
        "mine",
        """
        \"\"\"Rings a bell.\"\"\"
        from harness.api import *

        class Needy(Dataset):
            \"\"\"Not there.\"\"\"
            name = "needy"
            requires = {"no_such_module": "no-such[extra]"}
            def load(self): ...

        @hookimpl
        def harness_datasets():
            return [Needy]

        @hookimpl
        def harness_suite_finished(suite, directory):
            print("ding")
        """,
    )
    ended = harness("plugins", "--plugin", file)
    _, _, told = ended.out.partition("listener:\n")
    assert told.splitlines()[0] == "  mine  [file] Rings a bell."
    needy = "dataset needy is not installed: pip install 'no-such[extra]'"
    assert needy in ended.out.splitlines()
