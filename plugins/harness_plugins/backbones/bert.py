"""BERT and its kin: a published checkpoint, or a small model with its source's vocabulary."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from harness.api import (
    BackboneFactory,
    HarnessError,
    RawInputs,
    TextBackbone,
    Unsupported,
    hookimpl,
)
from harness_plugins.backbones import _hub

TOKENS = 64
"""What a text is cut to by default, the two tokens that open and close it among them."""

SMALL = {"width": 128, "depth": 4, "heads": 4, "vocabulary": 8000}

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json")
FILES = ("config.json", "tokenizer*", "special_tokens_map.json", "vocab.*", "merges.txt")
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
SHARDS = "model-*.safetensors"

KINDS: dict[str, dict[str, Any]] = {
    "bert": {"add_pooling_layer": False},
    "distilbert": {},
    "roberta": {"add_pooling_layer": False},
    "xlm-roberta": {"add_pooling_layer": False},
}
"""Types of model, as config.json names them, whose layers take a text as ``Layer`` gives it, each
with what its class is given to leave out what no features come from."""


class Bert(BackboneFactory):
    """A BERT encoder; features are the mean of the last hidden states of a text's tokens.

    ``args = { checkpoint = … }`` is a published model with its own tokenizer: a tag of the
    Hugging Face hub, or a folder that ``save_pretrained`` wrote; BERT, MiniLM, DistilBERT,
    RoBERTa or XLM-RoBERTa. Its weights are those of ``weights = "hub"``. With
    ``pooling = "first"`` features are the last hidden state of the first token, ``[CLS]``.

    Without a checkpoint the model is a small one, with a lower-cased WordPiece vocabulary taken
    from the texts of its source. ``args``: ``width`` (128 features), ``depth`` (4 layers),
    ``heads`` (4), ``vocabulary`` (at most 8000 pieces), ``dropout`` (0.0).

    ``input_size`` counts tokens: 64, or less where the checkpoint cannot take so many.
    """

    name: ClassVar[str] = "bert"
    modality: ClassVar[str] = "text"
    citation: ClassVar[str] = "Devlin et al. 2019, BERT"
    requires: ClassVar[Mapping[str, str]] = {
        "transformers": "transfer-harness[text]",
        "tokenizers": "transfer-harness[text]",
    }

    def files(self, args: Mapping[str, Any]) -> Mapping[str, Sequence[Path]]:
        folder = Path(str(args.get("checkpoint", ""))).expanduser()
        if "checkpoint" not in args or not folder.is_dir():
            return {}
        return {"checkpoint": sorted(path for path in folder.iterdir() if path.is_file())}

    def learn(self, source: RawInputs, args: Mapping[str, Any]) -> Mapping[str, Any]:
        """The word pieces of the source's texts, as ``pieces``, in the order of their ids."""
        if "checkpoint" in args:
            return {}
        texts = [text for text in source.read(range(len(source))) if isinstance(text, str)]
        return {"pieces": word_pieces(texts, _sizes(args)["vocabulary"])}

    def fetch(self, model: str, args: Mapping[str, Any]) -> None:
        if "checkpoint" in args:
            _folder(str(args["checkpoint"]), True)

    def build(
        self, model: str, *, input_size: int | None, pretrained: bool, args: Mapping[str, Any]
    ) -> TextBackbone:
        length = input_size or TOKENS
        if length < 3:
            raise Unsupported(f"bert adds two tokens to each text: {length} leave no room for it")
        pooling = args.get("pooling", "mean")
        if pooling not in ("mean", "first"):
            raise Unsupported(f"pooling is 'mean' or 'first', not {pooling!r}")
        make = _published if "checkpoint" in args else _small
        others = {name: value for name, value in args.items() if name != "pooling"}
        encoder, tokenizer = make(others, length, pretrained)
        length = min(length, _places(encoder))

        def encode(texts: list[str]) -> Tensor:
            encoded = tokenizer(
                texts, truncation=True, padding="max_length", max_length=length, return_tensors="pt"
            )
            ids: Tensor = encoded["input_ids"]
            return ids

        stack = encoder.transformer if hasattr(encoder, "transformer") else encoder.encoder
        layers = [Layer(layer) for layer in stack.layer]
        body = nn.Sequential(Embeddings(encoder.embeddings, tokenizer.pad_token_id), *layers)
        return TextBackbone(
            body,
            blocks=[[str(index)] for index in range(len(body))],
            encode=encode,
            vocabulary=len(tokenizer),
            pad=tokenizer.pad_token_id,
            mask=tokenizer.mask_token_id,
            special=frozenset(tokenizer.all_special_ids),
            pooling=pooling,
            tokenizer=_portable(tokenizer, length),
        )


def _portable(tokenizer: Any, length: int) -> str | None:
    """The JSON of a fast tokenizer, which cuts texts to ``length`` tokens and fills them up."""
    fast = getattr(tokenizer, "backend_tokenizer", None)
    if fast is None:
        return None
    portable = type(fast).from_str(fast.to_str())
    portable.enable_truncation(length)
    pad = {"pad_id": tokenizer.pad_token_id, "pad_token": tokenizer.pad_token}
    portable.enable_padding(length=length, **pad)
    return str(portable.to_str())


def _places(encoder: Any) -> int:
    """The most tokens that an encoder takes. RoBERTa counts places from the one after its pad."""
    places = encoder.embeddings.position_embeddings
    first = 0 if places.padding_idx is None else places.padding_idx + 1
    return int(places.num_embeddings - first)


class Embeddings(nn.Module):
    """Token ids ``[B, length]`` to what passes between blocks, ``[B, length, D + 1]``."""

    def __init__(self, embeddings: nn.Module, pad: int) -> None:
        super().__init__()
        self.embeddings, self.pad = embeddings, pad

    def forward(self, ids: Tensor) -> Tensor:
        states: Tensor = self.embeddings(input_ids=ids)
        return torch.cat([states, (ids != self.pad)[..., None].to(states.dtype)], -1)


class Layer(nn.Module):
    """A layer of the encoder that takes and gives ``[B, length, D + 1]``."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, packed: Tensor) -> Tensor:
        states, real = packed[..., :-1], packed[..., -1:].detach()
        padding = (1 - real[:, None, None, :, 0]) * torch.finfo(states.dtype).min
        output = self.layer(states, padding)
        if isinstance(output, tuple):  # in transformers 4
            output = output[0]
        return torch.cat([output, real], -1)


# ── a published checkpoint ────────────────────────────────────────────────────────────────────


def _published(args: Mapping[str, Any], length: int, pretrained: bool) -> tuple[Any, Any]:
    """The encoder and the tokenizer of a checkpoint."""
    if unknown := set(args) - {"checkpoint"}:
        raise Unsupported(f"a checkpoint has its own sizes: bert takes no {sorted(unknown)} then")
    checkpoint = str(args["checkpoint"])
    folder = _folder(checkpoint, pretrained)
    without = KINDS[_kind(checkpoint, folder)]
    if pretrained and not any((folder / name).is_file() for name in WEIGHTS):
        raise Unsupported(f"{checkpoint} has no weights: none of {', '.join(WEIGHTS)}")
    library = _transformers()
    try:
        with _quiet():
            tokenizer = library.AutoTokenizer.from_pretrained(folder, local_files_only=True)
            if not pretrained:
                config = library.AutoConfig.from_pretrained(folder, local_files_only=True)
                return library.AutoModel.from_config(config, **without).float(), tokenizer
            encoder, loaded = library.AutoModel.from_pretrained(
                folder,
                **without,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
            )
    except OSError as error:  # a file is missing or can't be read, which may be mended
        raise _unfetched(checkpoint, _first_line(error)) from error
    except (ValueError, RuntimeError) as error:
        raise Unsupported(f"cannot load {checkpoint}: {_first_line(error)}") from error
    if loaded["missing_keys"]:
        lacking = sorted(loaded["missing_keys"])
        raise Unsupported(f"{checkpoint} lacks {len(lacking)} weights, such as {lacking[0]}")
    return encoder.float(), tokenizer


def _folder(checkpoint: str, pretrained: bool) -> Path:
    """Where a checkpoint's files are, fetched from the hub if need be."""
    from huggingface_hub import snapshot_download

    folder = Path(checkpoint).expanduser()
    if folder.is_dir():
        return folder
    what = f"{checkpoint}, which is no folder here,"
    needed = WEIGHTS if pretrained else ("config.json",)
    if why := _hub.obstacle(checkpoint, needed):
        raise _unfetched(what, why)
    try:
        wanted = [*FILES, *((*WEIGHTS, SHARDS) if pretrained else ())]
        kept = _hub.is_kept(checkpoint, needed)
        return Path(snapshot_download(checkpoint, allow_patterns=wanted, local_files_only=kept))
    except (OSError, ValueError) as error:
        raise _unfetched(what, _first_line(error)) from error


def _unfetched(what: str, why: str) -> HarnessError:
    return _hub.unfetched(what, why, "name a folder that save_pretrained wrote")


def _kind(checkpoint: str, folder: Path) -> str:
    """The type of a checkpoint's model, one of ``KINDS``."""
    try:
        kind: str = json.loads((folder / "config.json").read_text()).get("model_type")
    except (OSError, ValueError) as error:
        raise Unsupported(f"{checkpoint} has no readable config.json: {error}") from error
    if kind not in KINDS:
        known = ", ".join(KINDS)
        raise Unsupported(f"{checkpoint} is a model of type '{kind}', not one of {known}")
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise Unsupported(f"{checkpoint} has no tokenizer: none of {', '.join(TOKENIZERS)}")
    return kind


def _transformers() -> Any:
    """The library, imported when first needed. Its own type hints differ between versions."""
    import transformers

    return transformers


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from telling of weights it has no use for, as a pooler's."""
    logging = _transformers().utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


# ── a small model ─────────────────────────────────────────────────────────────────────────────


def _small(args: Mapping[str, Any], length: int, pretrained: bool) -> tuple[Any, Any]:
    """A small encoder with random weights, and the tokenizer of the pieces it was given."""
    from tokenizers import processors

    sizes = _sizes(args)
    if pretrained:
        raise Unsupported(
            "bert has published weights only with args = { checkpoint = … }; name one, or a "
            "source in weights"
        )
    if "pieces" not in args:
        raise Unsupported(
            "bert takes its vocabulary from the texts of a source; name one in weights, or a "
            "checkpoint in args"
        )
    pieces = {piece: index for index, piece in enumerate(args["pieces"])}
    tokenizer = _word_piece(pieces)
    tokenizer.post_processor = processors.BertProcessing(
        ("[SEP]", pieces["[SEP]"]), ("[CLS]", pieces["[CLS]"])
    )
    library = _transformers()
    config = library.BertConfig(
        vocab_size=len(pieces),
        hidden_size=sizes["width"],
        num_hidden_layers=sizes["depth"],
        num_attention_heads=sizes["heads"],
        intermediate_size=4 * sizes["width"],
        max_position_embeddings=length,
        hidden_dropout_prob=args.get("dropout", 0.0),
        attention_probs_dropout_prob=args.get("dropout", 0.0),
        pad_token_id=pieces["[PAD]"],
    )
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return library.BertModel(config, add_pooling_layer=False), library.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **dict(zip(names, SPECIAL, strict=True))
    )


def _sizes(args: Mapping[str, Any]) -> dict[str, int]:
    """What a small model is given, or its defaults."""
    sizes = {name: args.get(name, default) for name, default in SMALL.items()}
    if unknown := set(args) - {*SMALL, "dropout", "pieces"}:
        raise Unsupported(f"bert takes {', '.join(SMALL)} and dropout, not {sorted(unknown)}")
    if wrong := {n: v for n, v in sizes.items() if not isinstance(v, int) or v < 1}:
        raise Unsupported(f"whole numbers above 0 are wanted, not {wrong}")
    if sizes["width"] % sizes["heads"]:
        raise Unsupported("width is not a multiple of heads: {width} and {heads}".format(**sizes))
    return sizes


def word_pieces(texts: Sequence[str], size: int) -> list[str]:
    """A WordPiece vocabulary of at most ``size`` pieces, the special ones first."""
    from tokenizers import trainers

    tokenizer = _word_piece({})
    counts = Counter("".join(map(tokenizer.normalizer.normalize_str, texts)))
    characters = sorted((c for c in counts if not c.isspace()), key=lambda c: (-counts[c], c))
    alphabet = characters[: size // 4]
    # The trainer numbers the characters it finds in the order of a hash, which differs from run
    # to run and settles ties. Given them as special pieces, it finds none itself.
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=2,
        limit_alphabet=0,
        special_tokens=[*SPECIAL, *alphabet, *(f"##{c}" for c in alphabet)],
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    ids = tokenizer.get_vocab()
    return sorted(ids, key=lambda piece: int(ids[piece]))


def _word_piece(pieces: dict[str, int]) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.WordPiece(pieces, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


@hookimpl
def harness_backbones() -> list[type[BackboneFactory]]:
    return [Bert]
