"""The page's server of a shipped model answers what its own program does."""

import csv
import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("litserve")
pytest.importorskip("python_multipart")

PAGE = (Path(__file__).parents[2] / "docs/shipping.md").read_text()


def free_port():
    with closing(socket.socket()) as opened:
        opened.bind(("localhost", 0))
        return opened.getsockname()[1]


def posted(port, image):
    """What the server answers to an image, as a browser's form sends it."""
    head = b'--cut\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    request = urllib.request.Request(
        f"http://localhost:{port}/predict",
        data=head + image.read_bytes() + b"\r\n--cut--\r\n",
        headers={"Content-Type": "multipart/form-data; boundary=cut"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def answered(server, port, image):
    """The first answer of a server that has just been started."""
    for _ in range(600):
        assert server.poll() is None, "the server has ended"
        try:
            return posted(port, image)
        except urllib.error.HTTPError:
            raise
        except OSError:
            time.sleep(0.5)
    pytest.fail("the server does not answer")


def test_the_server_on_the_page_answers_as_the_bundle_does(compared, run_outside, tmp_path):
    shutil.copytree(compared, tmp_path, dirs_exist_ok=True)
    run_outside(tmp_path, "ship", "results/shipped", "--to", "out")
    (block,) = re.findall(r"```python\n(import litserve.*?)```", PAGE, flags=re.DOTALL)
    port, bundle, image = free_port(), tmp_path / "out", tmp_path / "photos/red/0.png"
    assert "port=8000" in block
    (bundle / "serve.py").write_text(block.replace("port=8000", f"port={port}"))
    line = [sys.executable, "predict.py", image]
    own = subprocess.run(line, cwd=bundle, capture_output=True, text=True, check=True)
    (expected,) = csv.DictReader(own.stdout.splitlines())
    server = subprocess.Popen([sys.executable, "serve.py"], cwd=bundle)
    try:
        found = answered(server, port, image)
    finally:
        server.terminate()
        server.wait()
    assert (found["class"], found["probability"]) == (expected["class"], expected["probability"])
