"""Events reach every plugin that listens, in order, and a broken one stops nothing."""

import pluggy

from harness import hookimpl, hookspecs
from harness.run.events import Events


class Listening:
    def __init__(self, heard, gives):
        self.heard, self.gives = heard, gives

    @hookimpl
    def harness_cell_started(self, cell):
        self.heard.append((self.gives, cell))

    @hookimpl
    def harness_report_sections(self, frame):
        return [self.gives / frame]


class Deaf:
    """Has a function of a hook's name that is not marked."""

    def harness_cell_started(self, cell):
        raise AssertionError


class Last:
    """Would be the first, by its place."""

    def __init__(self, heard):
        self.heard = heard

    @hookimpl(trylast=True)
    def harness_cell_started(self, cell):
        self.heard.append(("last", cell))


def events_of(*plugins):
    manager, complaints = pluggy.PluginManager("harness"), []
    manager.add_hookspecs(hookspecs)
    for number, plugin in enumerate(plugins):
        manager.register(plugin, name=f"plugin{number}")
    return Events(manager, complaints.append), complaints


def test_all_who_listen_are_told_in_order_and_with_what_they_ask_for():
    heard = []
    events, complaints = events_of(Last(heard), Listening(heard, 1), Deaf(), Listening(heard, 2))
    events.emit("harness_cell_started", {"cell": "a"})
    assert heard == [(1, "a"), (2, "a"), ("last", "a")]
    assert events.collect("harness_report_sections", {"frame": 2, "directory": None}) == [0.5, 1.0]
    assert complaints == []


def test_one_that_fails_is_named_once_and_called_no_more():
    heard = []
    events, complaints = events_of(Listening(heard, "one"), Listening(heard, 2))
    for _ in range(2):
        assert events.collect("harness_report_sections", {"frame": 4, "directory": None}) == [0.5]
    (line,) = complaints
    assert line.startswith(
        "plugin plugin0: harness_report_sections failed and is not called any more: TypeError"
    )
    events.emit("harness_cell_started", {"cell": "a"})
    assert heard == [(2, "a")]
