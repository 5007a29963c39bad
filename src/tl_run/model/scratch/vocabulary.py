"""Vocabularies built from texts by the tokenizers library, as files that transformers loads. Torch-free."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

WORD = "▁"  # begins a word where words are marked, as in SentencePiece
SPECIAL = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}


def around(auto_class: str) -> tuple[str, str]:
    """What stands before a text and behind it, as models of this class read it."""
    return {"AutoModelForCausalLM": ("[CLS] ", ""), "AutoModelForSeq2SeqLM": ("", " [SEP]")}.get(
        auto_class, ("[CLS] ", " [SEP]")
    )


def build(kind: str, texts: Sequence[str], size: int, max_length: int, auto_class: str = "") -> dict[str, str]:
    """tokenizer.json and tokenizer_config.json of a vocabulary of at most `size` entries, the special ones first.

    kind: wordpiece (arXiv:1609.08144), unigram (arXiv:1804.10959), bpe (arXiv:1508.07909, on bytes) or characters.
    For models that generate, [SEP] ends a text; a causal one begins with [CLS].
    """
    from tokenizers import pre_tokenizers, processors

    before = os.environ.get("TOKENIZERS_PARALLELISM")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # sums in one order: the same texts give the same vocabulary
    try:
        tokenizer = KINDS[kind](texts, size)
    finally:
        os.environ.pop("TOKENIZERS_PARALLELISM")
        if before is not None:
            os.environ["TOKENIZERS_PARALLELISM"] = before
    begin, end = around(auto_class)
    if auto_class == "AutoModelForSeq2SeqLM" and kind == "bpe":
        # A word is the same entry at the beginning of a text as within it.
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    ids = {name: tokenizer.token_to_id(SPECIAL[name]) for name in ("cls", "sep")}
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin}$A{end}",
        pair=f"{begin}$A [SEP] $B{end}",
        special_tokens=[(SPECIAL[name], number) for name, number in ids.items()],
    )
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": max_length,
        **{f"{name}_token": token for name, token in SPECIAL.items()},
        **({"bos_token": SPECIAL["cls"]} if auto_class == "AutoModelForCausalLM" else {}),
        **({"eos_token": SPECIAL["sep"]} if auto_class in ("AutoModelForCausalLM", "AutoModelForSeq2SeqLM") else {}),
    }
    return {"tokenizer.json": tokenizer.to_str(), "tokenizer_config.json": json.dumps(config, indent=2)}


def _wordpiece(texts: Sequence[str], size: int) -> Any:
    """The pieces are those of byte-pair encoding on words that begin with a mark.

    The library's own trainer breaks ties by the order in which a hash map gives letters: it differs from run to run.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    words = Tokenizer(models.BPE())
    words.normalizer = normalizers.BertNormalizer(lowercase=True)
    split = pre_tokenizers.BertPreTokenizer()
    words.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.Metaspace(prepend_scheme="always")])
    words.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=size, show_progress=False))
    found = sorted(words.get_vocab().items(), key=lambda entry: entry[1])
    letters = [piece for piece, _ in found if len(piece) == 1 and piece != WORD]
    pieces = [piece[1:] if piece.startswith(WORD) else f"##{piece}" for piece, _ in found if piece != WORD]
    entries = [*SPECIAL.values(), *letters, *(f"##{letter}" for letter in letters), *pieces]
    names = [*dict.fromkeys(entries)][:size]
    tokenizer = Tokenizer(models.WordPiece({name: i for i, name in enumerate(names)}, unk_token=SPECIAL["unk"]))
    tokenizer.add_special_tokens([*SPECIAL.values()])
    tokenizer.normalizer, tokenizer.pre_tokenizer = words.normalizer, split
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def _unigram(texts: Sequence[str], size: int) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=size, unk_token=SPECIAL["unk"], **_trained())
    tokenizer.train_from_iterator(texts, trainer)
    data = json.loads(tokenizer.to_str())  # sums over a hash map differ from run to run in their last digits
    pieces = [(piece, round(score, 6)) for piece, score in data["model"]["vocab"]]
    data["model"]["vocab"] = pieces[: len(SPECIAL)] + sorted(pieces[len(SPECIAL) :], key=lambda p: (-p[1], p[0]))
    return Tokenizer.from_str(json.dumps(data))


def _bpe(texts: Sequence[str], size: int) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token=SPECIAL["unk"]))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, **_trained())
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _characters(texts: Sequence[str], size: int) -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordLevel(unk_token=SPECIAL["unk"]))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.train_from_iterator(texts, trainers.WordLevelTrainer(vocab_size=size, **_trained()))
    return tokenizer


def _trained() -> dict[str, Any]:
    return {"special_tokens": [*SPECIAL.values()], "show_progress": False}


KINDS: Mapping[str, Callable[[Sequence[str], int], Any]] = {
    "wordpiece": _wordpiece,
    "unigram": _unigram,
    "bpe": _bpe,
    "characters": _characters,
}
