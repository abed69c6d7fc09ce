"""News as source, tweets as target: real texts that are not part of the project."""

import json
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[3] / "shared/data"

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not SHARED.is_dir(), reason="the real data is not here"),
]


NEWS = """
name = "news"
seeds = [0]
strategies = ["linear_probe"]
budget = { trials = 1, steps = 100, batch_size = 64 }

[[backbones]]
model = "bert"
input_size = 24
args = { depth = 1, width = 64, vocabulary = 4000 }
[backbones.weights]
source = "csv_text"
args = { train = "data/text/ag_news/train.csv" }
steps = 150
batch_size = 32

[[problems]]
dataset = "csv_text"
args = { train = "data/text/ag_news/test.csv" }
shots = 16
"""


@pytest.fixture
def data(tmp_path):
    """``data/`` as the suite expects it."""
    pytest.importorskip("transformers")
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "text").symlink_to(SHARED / "text")
    return folder


def test_news_are_read_as_they_are():
    from harness_plugins.datasets.csv_text import CsvText

    news = SHARED / "text/ag_news"
    data = CsvText(news / "train.csv", news / "test.csv").load()
    assert data.classes == ("business", "sci_tech", "sports", "world")
    assert (len(data.train.inputs), len(data.test.inputs)) == (6000, 1600)
    assert all("Stocks Up as Oil Slides.  NEW" in text for text in data.test.inputs.read([0]))


def test_weights_learned_from_news_topics_tell_those_of_other_news_apart(harness, data):
    """The same topics as target show that texts, labels and weights belong together."""
    (data.parent / "news.toml").write_text(NEWS)
    ended = harness("suite", "news.toml", "--format", "json")
    assert ended.status == 0, ended.err
    (row,) = json.loads(ended.out)
    assert row["accuracy"] > 0.6  # four ways by chance: 0.25


def test_the_suite_on_masked_words_runs_cut_short(harness, data):
    short = ["--set", "budget.trials=1", "--set", "budget.steps=3"]
    short += [f"--set=backbones.{place}.weights.steps=3" for place in (0, 1)]
    ended = harness(
        *("suite", "mlm", *short, "--only", "label=linear_probe", "--only", "shots=64"),
        *("--format", "json"),
    )
    assert ended.status == 0, ended.err
    done = [row for row in json.loads(ended.out) if row["status"] == "ok"]
    assert {(row["backbone"], row["problem"]) for row in done} == {
        (weights, tweets)
        for weights in ("mlm on news", "supervised on news")
        for tweets in ("tweet_emotion", "tweet_irony")
    }


def test_published_weights_tell_emotions_apart(harness, data):
    pytest.importorskip("peft")
    ended = harness(
        *("suite", "text", "--only", "label=logistic_probe", "--only", "problem=emotion"),
        *("--set", "seeds=[0]", "--format", "json"),
    )
    assert ended.status == 0, ended.err
    (row,) = (row for row in json.loads(ended.out) if row["status"] == "ok")
    assert row["accuracy"] > 0.4  # four ways by chance: 0.25
