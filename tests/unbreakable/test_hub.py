"""A hub that can't be asked: every cell that needs it fails, and it is asked once for all."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

SUITE = """
name = "published"
seeds = [0, 1]
strategies = ["linear_probe", "full_finetune"]
budget = { trials = 1, steps = 1, batch_size = 8 }
backbones = [{ model = "resnet10t", weights = "hub", input_size = 32 }]
problems = [{ dataset = "arrays", args = { path = "target.npz" }, shots = 1 }]
"""


PLUGIN = """
from huggingface_hub import constants
constants.HUGGINGFACE_CO_URL_TEMPLATE = "{address}/{{repo_id}}/{{revision}}/{{filename}}"
constants.HF_HUB_CACHE = "hub"
"""


@pytest.fixture
def broken_hub():
    """A hub at work on its own troubles; its address, and the requests that it was sent."""
    asked = []

    class Trouble(BaseHTTPRequestHandler):
        def answer(self):
            asked.append(self.path)
            self.send_error(503)

        do_GET = do_HEAD = answer  # noqa: N815 (http.server calls them so)

        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Trouble)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def test_processes_of_cells_ask_it_once_and_fail(broken_hub, start, digit_files, tmp_path):
    address, asked = broken_hub
    (tmp_path / "hub_plugin.py").write_text(PLUGIN.format(address=address))
    (tmp_path / "published.toml").write_text(SUITE)
    words = "suite published.toml --plugin hub_plugin.py --format json"
    command = start(*words.split())
    assert command.wait() == 1, command.said()
    rows = json.loads(command.out.read_text())
    assert [row["status"] for row in rows] == ["failed"] * 4
    (reason,) = {row["reason"] for row in rows}
    assert "the published weights of resnet10t cannot be fetched" in reason
    assert "503" in reason
    assert reason.endswith("or give weights = { file = … }")
    assert len([path for path in asked if "resnet10t" in path]) == 1
