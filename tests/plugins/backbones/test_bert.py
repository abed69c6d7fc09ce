"""BERT: blocks, checkpoints that ``save_pretrained`` wrote, and a vocabulary of one's own."""

import copy
import itertools
import json
import shutil

import numpy as np
import pytest
import torch

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

from harness_plugins.backbones.bert import KINDS, SPECIAL, Bert, word_pieces  # noqa: E402

from harness.api import HarnessError, TextInputs, Unsupported  # noqa: E402
from harness.testing import BackboneChecks  # noqa: E402

TEXTS = [
    "The cat sat on the mat, and the dog on the log.",
    "Cats and dogs seldom sit together; this cat sits where that dog sat.",
    "What a cat!",
]
SMALL = {"width": 16, "depth": 2, "heads": 2, "pieces": word_pieces(TEXTS, 80)}


def small(**changes):
    given = {"input_size": 24, "pretrained": False, "args": {**SMALL, **changes}}
    torch.manual_seed(0)
    return Bert().build("bert", **given).eval()


def published(folder, *, input_size=None, pretrained=True):
    args = {"checkpoint": str(folder)}
    return Bert().build("bert", input_size=input_size, pretrained=pretrained, args=args).eval()


@pytest.fixture
def checkpoint(tmp_path):
    """A folder as ``save_pretrained`` writes it: a masked language model and its tokenizer."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(SMALL["pieces"]))
    config = transformers.BertConfig(
        vocab_size=len(SMALL["pieces"]),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=32,
        max_position_embeddings=20,
        initializer_range=0.5,  # so that layers and padding make a difference that can be seen
    )
    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(1)
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    transformers.BertTokenizerFast.from_pretrained(folder).save_pretrained(folder)
    return folder


class TestSmall(BackboneChecks):
    factory = Bert
    model = "bert"
    input_size = 24
    args = SMALL

    def test_blocks_are_the_embeddings_and_the_layers(self):
        backbone = self.build()
        assert len(backbone.blocks) == 3
        assert backbone.num_features == 16
        width, pieces = 16, len(SMALL["pieces"])
        embeddings = (pieces + 24 + 2) * width + 2 * width
        layer = 4 * (width**2 + width) + 2 * (4 * width**2) + 4 * width + width + 4 * width
        assert sum(p.numel() for _, p in backbone.body_parameters()) == embeddings + 2 * layer

    def test_the_paper_s_sizes_can_be_asked_for(self):
        with torch.device("meta"):
            config = transformers.BertConfig(vocab_size=30522)
            theirs = transformers.BertModel(config, add_pooling_layer=False)
        sizes = {"width": 768, "depth": 12, "heads": 12}
        ours = small(**sizes, pieces=[*SPECIAL, *map(str, range(30522 - 5))])
        shapes = sorted(tuple(p.shape) for p in theirs.parameters() if 512 not in p.shape)
        found = sorted(tuple(p.shape) for p in ours.body.parameters() if 24 not in p.shape)
        assert found == shapes

    def test_the_seed_decides_the_weights(self):
        assert small().digest() == small().digest()

    def test_dropout_fires_in_training_alone(self):
        backbone = small(dropout=0.5)
        ids = backbone.preprocess(TEXTS)
        assert torch.equal(backbone(ids), backbone(ids))
        backbone.train()
        assert not torch.allclose(backbone(ids), backbone(ids))

    def test_a_copy_shares_the_tokenizer(self):
        backbone = small()
        assert copy.deepcopy(backbone).encode is backbone.encode

    def test_a_text_is_cut_to_the_input_size(self):
        backbone = small()
        (ids,) = backbone.preprocess(["cat " * 100]).tolist()
        assert len(ids) == 24
        assert (ids[0], ids[-1]) == (SMALL["pieces"].index("[CLS]"), SMALL["pieces"].index("[SEP]"))


class TestVocabulary:
    def test_is_taken_from_the_source_and_ends_in_the_model(self):
        pieces = Bert().learn(TextInputs(tuple(TEXTS)), {"vocabulary": 28})["pieces"]
        assert pieces == json.loads(json.dumps(pieces))
        assert 19 < len(pieces) <= 28  # five special ones, seven characters twice, words
        assert pieces[:5] == list(SPECIAL)
        assert "the" in pieces
        assert not any(letter.isupper() for piece in pieces[5:] for letter in piece)
        backbone = small(pieces=pieces)
        assert backbone.vocabulary == len(pieces)
        assert backbone.special == {0, 1, 2, 3, 4}
        assert (backbone.pad, backbone.mask) == (0, 4)

    def test_is_the_same_each_time_where_all_pairs_are_equally_frequent(self):
        words = map("".join, itertools.permutations("abcde", 4))
        texts = [f"{word} {word[::-1]}" for word in words]
        assert len({tuple(word_pieces(texts, 60)) for _ in range(5)}) == 1

    def test_of_a_script_with_many_characters_has_room_for_words(self):
        texts = [" ".join(chr(0x4E00 + place) for place in range(500)), "word word words"]
        pieces = word_pieces(texts, 100)
        assert len([piece for piece in pieces if len(piece.removeprefix("##")) == 1]) == 50
        assert "word" in pieces

    def test_splits_a_word_into_the_longest_pieces_from_the_left(self):
        pieces = [*SPECIAL, "un", "u", "##n", "##aff", "##able", "##a"]  # of Devlin et al.'s code
        (ids,) = small(pieces=pieces).preprocess(["Unaffable xyz"]).tolist()
        named = [pieces[index] for index in ids if index]
        assert named == ["[CLS]", "un", "##aff", "##able", "[UNK]", "[SEP]"]


class TestCheckpoint:
    @torch.no_grad()
    def test_gives_the_mean_of_transformers_own_hidden_states(self, checkpoint):
        backbone = published(checkpoint)
        tokenizer = transformers.BertTokenizerFast.from_pretrained(checkpoint)
        model = transformers.BertModel.from_pretrained(checkpoint, add_pooling_layer=False).eval()
        for text, features in zip(TEXTS, backbone(backbone.preprocess(TEXTS)), strict=True):
            alone = tokenizer(text, truncation=True, max_length=20, return_tensors="pt")
            states = model(**alone).last_hidden_state[0].numpy().astype(np.float64)
            assert np.allclose(features.numpy(), states.mean(0), atol=1e-5)

    @torch.no_grad()
    @pytest.mark.parametrize("kind", sorted(KINDS))
    @pytest.mark.parametrize("pooling", ["mean", "first"])
    def test_of_its_kin_gives_what_transformers_gives(self, checkpoint, kind, pooling):
        """A pad that is not 0 is what RoBERTa has, which counts places from it on."""
        pad = 1 if "roberta" in kind else 0
        config = transformers.AutoConfig.for_model(
            kind,
            vocab_size=len(SMALL["pieces"]),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=32,
            max_position_embeddings=20 + pad + 1 if pad else 20,
            pad_token_id=pad,
            initializer_range=0.5,
        )
        model = transformers.AutoModel.from_config(config).eval()
        model.save_pretrained(checkpoint)
        tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(checkpoint)
        if pad:
            tokenizer.pad_token = SMALL["pieces"][pad]
        tokenizer.save_pretrained(checkpoint)
        given = {"checkpoint": str(checkpoint), "pooling": pooling}
        backbone = Bert().build("bert", input_size=None, pretrained=True, args=given).eval()
        ids = backbone.preprocess(TEXTS)
        assert ids.shape == (3, 20)
        assert backbone.pad == pad
        for row, features in zip(ids.long(), backbone(ids), strict=True):
            states = model(row[None], (row != pad)[None].long()).last_hidden_state[0]
            theirs = states[row != pad].mean(0) if pooling == "mean" else states[0]
            assert torch.allclose(features, theirs, rtol=0, atol=1e-5)
        assert all(backbone.can_enter(block) for block in range(4))

    def test_is_entered_at_every_block(self, checkpoint):
        backbone = published(checkpoint)
        assert all(backbone.can_enter(block) for block in range(4))

    @pytest.mark.parametrize(("asked", "given"), [(None, 20), (8, 8), (512, 20)])
    def test_takes_as_many_tokens_as_it_has_places(self, checkpoint, asked, given):
        assert published(checkpoint, input_size=asked).preprocess(TEXTS).shape == (3, given)

    def test_of_half_precision_is_computed_in_float32(self, checkpoint):
        half = transformers.BertModel.from_pretrained(checkpoint).bfloat16()
        half.save_pretrained(checkpoint)
        for pretrained in (True, False):
            backbone = published(checkpoint, pretrained=pretrained)
            assert {p.dtype for p in backbone.parameters()} == {torch.float32}

    def test_with_random_weights_keeps_its_sizes_and_its_tokenizer(self, checkpoint):
        trained, fresh = published(checkpoint), published(checkpoint, pretrained=False)
        assert fresh.digest() != trained.digest()
        state, other = trained.state_dict(), fresh.state_dict()
        assert {n: t.shape for n, t in state.items()} == {n: t.shape for n, t in other.items()}
        assert torch.equal(fresh.preprocess(TEXTS), trained.preprocess(TEXTS))
        assert Bert().learn(TextInputs(tuple(TEXTS)), {"checkpoint": str(checkpoint)}) == {}

    def test_says_nothing_of_weights_it_does_not_need(self, checkpoint, capfd):
        published(checkpoint)
        assert capfd.readouterr() == ("", "")

    def test_is_known_by_its_files(self, checkpoint):
        files = Bert().files({"checkpoint": str(checkpoint)})["checkpoint"]
        assert {"config.json", "model.safetensors"} <= {file.name for file in files}
        assert Bert().files({"checkpoint": "owner/tag"}) == Bert().files({}) == {}

    def test_of_another_kind_is_named(self, checkpoint):
        config = json.loads((checkpoint / "config.json").read_text())
        (checkpoint / "config.json").write_text(json.dumps({**config, "model_type": "gpt2"}))
        with pytest.raises(
            Unsupported, match="is a model of type 'gpt2', not one of bert, distilbert"
        ):
            published(checkpoint)

    @pytest.mark.parametrize(
        ("lost", "message"),
        [
            (["config.json"], "has no readable config.json"),
            (["model.safetensors"], "has no weights: none of model.safetensors"),
            (["vocab.txt", "tokenizer.json"], "has no tokenizer"),
        ],
    )
    def test_without_one_of_its_files_is_refused(self, checkpoint, lost, message):
        for name in lost:
            (checkpoint / name).unlink(missing_ok=True)
        with pytest.raises(Unsupported, match=message):
            published(checkpoint)

    def test_without_some_of_its_weights_is_refused(self, checkpoint):
        from safetensors.torch import load_file, save_file

        state = load_file(checkpoint / "model.safetensors")
        del state["bert.encoder.layer.1.output.dense.weight"]
        save_file(state, checkpoint / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(Unsupported, match=r"lacks 1 weights, .*layer\.1\.output\.dense"):
            published(checkpoint)

    def test_that_no_hub_gives_is_told_at_once(self, no_hub):
        with pytest.raises(HarnessError, match="some/tag, which is no folder here, cannot be fetc"):
            published("some/tag")

    @torch.no_grad()
    def test_that_was_fetched_before_needs_no_hub(self, checkpoint, no_hub):
        kept = no_hub / "models--some--kept"
        (kept / "refs").mkdir(parents=True)
        (kept / "refs" / "main").write_text("a1b2c3")
        shutil.copytree(checkpoint, kept / "snapshots" / "a1b2c3")
        given, wanted = published("some/kept"), published(checkpoint)
        inputs = wanted.preprocess(TEXTS)
        assert torch.equal(given(inputs), wanted(inputs))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"pretrained": True}, "published weights only with args = { checkpoint"),
        ({"args": {}}, "takes its vocabulary from the texts of a source"),
        ({"args": {**SMALL, "layers": 3}}, r"not \['layers'\]"),
        ({"args": {**SMALL, "depth": 0}}, r"whole numbers above 0 .* not {'depth': 0}"),
        ({"args": {**SMALL, "width": 100, "heads": 3}}, "not a multiple of heads: 100 and 3"),
        ({"args": {"checkpoint": "x", "width": 64}}, r"takes no \['width'\] then"),
        ({"input_size": 2}, "2 leave no room"),
        ({"args": {**SMALL, "pooling": "max"}}, "pooling is 'mean' or 'first', not 'max'"),
    ],
)
def test_says_what_it_cannot_do(given, message):
    with pytest.raises(Unsupported, match=message):
        Bert().build("bert", **{"input_size": 24, "pretrained": False, "args": SMALL, **given})


SUITE = """
name = "texts"
seeds = [0]
strategies = ["from_scratch", "linear_probe", "partial_freeze", "full_finetune"]

[budget]
trials = 1
steps = 4
batch_size = 8

[[backbones]]
model = "bert"
input_size = 12
args = { width = 16, depth = 2, heads = 2, vocabulary = 60 }
[backbones.weights]
source = "csv_text"
args = { train = "topics.csv" }
method = { name = "mlm", args = { held_back = 0.2 } }
steps = 5
batch_size = 8

[[problems]]
dataset = "csv_text"
args = { train = "moods.csv" }
shots = 4
"""


def test_strategies_know_nothing_of_texts(harness, tmp_path):
    pets, moods = ("cat", "dog"), ("glad", "sad")
    places = [f"on the {place}" for place in ("mat", "log", "sofa", "roof", "lawn", "bed")]
    for file, topics in (("topics.csv", pets), ("moods.csv", moods)):
        lines = [f"A {topic} one sat {place},{topic}" for topic in topics for place in places * 4]
        (tmp_path / file).write_text("\n".join(["text,label", *lines]))
    (tmp_path / "texts.toml").write_text(SUITE)
    ended = harness("suite", "texts.toml", "--format", "json")
    assert ended.status == 0, ended.err
    rows = {row["label"]: row for row in json.loads(ended.out)}
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert rows["linear_probe"]["trainable_params"] == 16 * 2 + 2
    frozen = {label for label, row in rows.items() if row["seconds_features"] > 0}
    assert frozen == {"linear_probe", "partial_freeze"}
    assert len(list(tmp_path.glob("**/learned/*.json"))) == 1
