"""The command that asked for a plan, as a shell is told it."""

import shlex

from hypothesis import given
from hypothesis import strategies as some

from harness.record.command import Command


def test_what_it_was_given_is_kept():
    command = Command(
        suite="my suite.toml",
        overrides=("budget.steps=9", "seeds=[0]"),
        plugins=("mine.py",),
        plugins_dirs=("more",),
        results="elsewhere",
    )
    assert command.line("seeds={ from = 3, to = 5 }") == (
        "harness suite 'my suite.toml' --set budget.steps=9 --set 'seeds={ from = 3, to = 5 }'"
        " --plugin mine.py --plugins-dir more --results elsewhere"
    )


@given(some.text(), some.lists(some.text(), max_size=3), some.lists(some.text(), max_size=3))
def test_a_shell_reads_the_words_that_were_meant(suite, plugins, overrides):
    command = Command(suite=suite, plugins=tuple(plugins), overrides=tuple(overrides))
    words = shlex.split(command.line("seeds=3"))
    assert words[:3] == ["harness", "suite", suite]
    kept = [each for each in overrides if each.partition("=")[0] != "seeds"]
    expected = [("--set", each) for each in [*kept, "seeds=3"]]
    expected += [("--plugin", each) for each in plugins]
    assert words[3:] == [word for pair in expected for word in pair]
