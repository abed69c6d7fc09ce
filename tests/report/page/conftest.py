"""An installed Chromium, driven by its DevTools protocol: no driver and no package is needed.

https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 30.0
"""Seconds after which whatever is waited for will not come."""

KEYS = {
    "Tab": (9, ""),
    "Enter": (13, "\r"),
    "Escape": (27, ""),
    "End": (35, ""),
    "Home": (36, ""),
    "ArrowRight": (39, ""),
    "ArrowDown": (40, ""),
}


class Browser:
    """One page of a Chromium without a window.

    It reads commands from file descriptor 3 and answers on 4, each a JSON text that a zero ends.
    """

    def __init__(self, program: str, profile: Path) -> None:
        theirs_in, self._commands = _pipe()
        self._answers, theirs_out = _pipe()

        def connect() -> None:
            os.dup2(theirs_in, 3)
            os.dup2(theirs_out, 4)

        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        self._process = subprocess.Popen(
            [program, *options, "--remote-debugging-pipe", f"--user-data-dir={profile}"],
            close_fds=False,  # of Python's own none is inherited
            preexec_fn=connect,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._read, self._number, self._session = b"", 0, ""
        self._events: list[str] = []
        self.errors: list[str] = []
        """What scripts of the page threw, since it was opened."""
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self._ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime"):
            self._ask(f"{domain}.enable")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._commands)
        os.close(self._answers)

    def open(self, page: Path, fragment: str = "", width: int = 1280) -> None:
        """Open a file, and wait until it has loaded."""
        self._ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        for url in ("about:blank", f"{page.as_uri()}{fragment}"):  # else a fragment loads nothing
            self._events.clear()
            self.errors.clear()
            self._ask("Page.navigate", url=url)
            while "Page.loadEventFired" not in self._events:
                self._take()

    def js(self, expression: str) -> Any:
        """The value of an expression in the page."""
        found = self._ask(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, expression: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + PATIENCE
        while not self.js(expression):
            assert time.monotonic() < end, f"{expression} did not come true"

    def texts(self, selector: str) -> list[str]:
        """What is shown in all elements that match."""
        return list(
            self.js(f"[...document.querySelectorAll({selector!r})].map((e) => e.innerText)")
        )

    def hover(self, selector: str) -> None:
        """Point at the middle of an element."""
        self._mouse("mouseMoved", selector)

    def click(self, selector: str) -> None:
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self._mouse(kind, selector)

    def choose(self, selector: str, text: str) -> None:
        """Choose an option of a list by its text."""
        self.js(
            f"{{ const list = document.querySelector({selector!r});"
            f"list.selectedIndex = [...list.options].findIndex((o) => o.text === {text!r});"
            "list.dispatchEvent(new Event('change')); }"
        )

    def key(self, name: str) -> None:
        code, text = KEYS[name]
        told = {"key": name, "code": name, "windowsVirtualKeyCode": code}
        self._ask("Input.dispatchKeyEvent", type="keyDown", text=text, **told)
        self._ask("Input.dispatchKeyEvent", type="keyUp", **told)

    def named(self, *roles: str) -> list[tuple[str, str]]:
        """Role and name of everything of these roles that a screen reader is told of."""
        nodes = self._ask("Accessibility.getFullAXTree")["nodes"]
        told = [
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in nodes
            if not node["ignored"]
        ]
        return [(role, name) for role, name in told if role in roles]

    def picture(self, path: Path, **media: Any) -> None:
        """Take a picture of the whole page; ``media`` as of ``Emulation.setEmulatedMedia``."""
        self._ask("Emulation.setEmulatedMedia", **media)
        taken = self._ask("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(taken))
        self._ask("Emulation.setEmulatedMedia")

    def _mouse(self, kind: str, selector: str) -> None:
        box = self.js(
            f"{{ const part = document.querySelector({selector!r});"
            "part.scrollIntoView({ block: 'center', behavior: 'instant' });"
            "const { x, y, width, height } = part.getBoundingClientRect();"
            "[x + width / 2, y + height / 2]; }"
        )
        button = "none" if kind == "mouseMoved" else "left"
        self._ask(
            "Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button=button, clickCount=1
        )

    def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        number = self._number
        asked: dict[str, Any] = {"id": number, "method": method, "params": params}
        if self._session:
            asked["sessionId"] = self._session
        os.write(self._commands, json.dumps(asked).encode() + b"\0")
        while (answer := self._take()).get("id") != number:
            pass
        assert "error" not in answer, f"{method}: {answer['error']}"
        return dict(answer["result"])

    def _take(self) -> dict[str, Any]:
        """The next answer or event."""
        while b"\0" not in self._read:
            assert select.select([self._answers], [], [], PATIENCE)[0], "the browser is silent"
            content = os.read(self._answers, 1 << 16)
            assert content, "the browser has ended"
            self._read += content
        one, _, self._read = self._read.partition(b"\0")
        told = dict(json.loads(one))
        self._events.append(told.get("method", ""))
        if told.get("method") == "Runtime.exceptionThrown":
            details = told["params"]["exceptionDetails"]
            self.errors.append(details.get("exception", details).get("description", str(details)))
        return told


def _pipe() -> tuple[int, int]:
    """A pipe whose ends are none of those that the browser is given."""
    ends = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return high[0], high[1]


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("no Chromium is installed")
    browser = Browser(program, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()
