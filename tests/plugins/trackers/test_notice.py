"""Notices go to a program of one's own, over HTTP, as they would to any other address."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

pytest.importorskip("apprise")

pytestmark = pytest.mark.filterwarnings("ignore:.*imghdr.*:DeprecationWarning")

FAILS = """
    from dataclasses import dataclass
    from typing import ClassVar

    from harness.api import Strategy, hookimpl

    @dataclass(frozen=True)
    class Fails(Strategy):
        name: ClassVar[str] = "fails"

        def adapt(self, backbone, task, hp, run):
            raise ValueError("it broke")

    @hookimpl
    def harness_strategies():
        return [Fails]
"""


@pytest.fixture
def inbox(monkeypatch):
    """Notices that came, and an address that takes them."""
    came = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            came.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *words):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("HARNESS_NOTICE", f"json://127.0.0.1:{server.server_port}")
        yield came
        server.shutdown()


@pytest.fixture
def run(harness, tiny_suite):
    def started(*more):
        return harness("suite", tiny_suite, "--tracker", "notice", "--inline", *more)

    return started


def test_a_run_that_has_ended_says_so(run, inbox):
    assert run().status == 0
    (notice,) = inbox
    assert notice["title"] == "tiny has ended"
    assert notice["message"].startswith("4 ok, after 0 min: ")
    assert run().status == 0
    assert len(inbox) == 1  # nothing was left to do


def test_most_cells_failing_is_told_once_and_before_the_end(run, inbox, plugin_file):
    file = plugin_file("fails", FAILS)
    ended = run("--plugin", file, "--set", 'strategies=["fails"]', "--set", "seeds=[0,1,2,3,4,5]")
    assert ended.status == 1
    titles = [notice["title"] for notice in inbox]
    assert titles == ["tiny: most cells fail", "tiny has ended"]
    assert inbox[0]["message"].startswith("5 failed. The last is fails on digits")
    assert inbox[1]["message"].startswith("6 failed, after 0 min")


def test_an_address_is_needed(run, monkeypatch):
    monkeypatch.delenv("HARNESS_NOTICE", raising=False)
    ended = run()
    assert ended.status == 2
    assert "HARNESS_NOTICE holds no address that Apprise knows" in ended.err
