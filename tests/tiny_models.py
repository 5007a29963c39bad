"""Folders of small random models, one per family, each with the tokenizer class of its family."""

from collections.abc import Callable
from pathlib import Path

import torch
import transformers
from tokenizers.processors import TemplateProcessing

from conftest import WORDS, bert_folder

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,!'"
SIZES = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}


def bert(folder: Path) -> Path:
    return bert_folder(folder, num_hidden_layers=3)


def distilbert(folder: Path) -> Path:
    names = _wordpiece(folder)
    config = transformers.DistilBertConfig(
        vocab_size=len(names), dim=16, n_layers=3, n_heads=2, hidden_dim=32, max_position_embeddings=64
    )
    return _saved(transformers.DistilBertModel, config, folder)


def electra(folder: Path) -> Path:
    names = _wordpiece(folder)
    config = transformers.ElectraConfig(
        vocab_size=len(names), embedding_size=8, max_position_embeddings=64, **SIZES
    )  # embeddings are narrower than the layers: a projection lies between
    return _saved(transformers.ElectraModel, config, folder)


def roberta(folder: Path) -> Path:
    names = _byte_level(transformers.RobertaTokenizer, ["<s>", "<pad>", "</s>", "<unk>", "<mask>"], folder)
    # RoBERTa counts positions from pad_token_id + 1: 66 positions are 64 tokens.
    config = transformers.RobertaConfig(vocab_size=len(names), max_position_embeddings=66, type_vocab_size=1, **SIZES)
    return _saved(transformers.RobertaModel, config, folder)


def xlm_roberta(folder: Path) -> Path:
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    pieces = [*specials, *(f"▁{word}" for word in WORDS if len(word) > 1), "▁", *LETTERS, "<mask>"]
    vocabulary = [(piece, 0.0 if piece in specials else -float(len(pieces) - i)) for i, piece in enumerate(pieces)]
    transformers.XLMRobertaTokenizer(vocab=vocabulary, model_max_length=64).save_pretrained(folder)
    config = transformers.XLMRobertaConfig(
        vocab_size=len(pieces), max_position_embeddings=66, type_vocab_size=1, **SIZES
    )
    return _saved(transformers.XLMRobertaModel, config, folder)


def gpt2(folder: Path, **changes: float) -> Path:
    names = _byte_level(transformers.GPT2Tokenizer, ["<|endoftext|>"], folder)
    config = transformers.GPT2Config(
        vocab_size=len(names), n_embd=16, n_layer=3, n_head=2, n_positions=64, bos_token_id=0, eos_token_id=0, **changes
    )
    return _saved(transformers.GPT2Model, config, folder)


def llama(folder: Path) -> Path:
    words = [*(f"▁{word}" for word in WORDS), "▁", *LETTERS]
    names = {name: i for i, name in enumerate(dict.fromkeys(["<unk>", "<s>", "</s>", *words]))}
    transformers.LlamaTokenizer(vocab=names, merges=[], model_max_length=64).save_pretrained(folder)
    config = transformers.LlamaConfig(
        vocab_size=len(names),
        max_position_embeddings=64,
        num_key_value_heads=1,
        bos_token_id=1,
        eos_token_id=2,
        **SIZES,
    )
    return _saved(transformers.LlamaModel, config, folder)


def t5gemma(folder: Path) -> Path:
    """An encoder-decoder whose stock classifier gives logits of every token."""
    _byte_level(transformers.GPT2Tokenizer, ["<|endoftext|>"], folder)
    half = {"num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 64, "query_pre_attn_scalar": 8, **SIZES}
    special = {"pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0}
    config = transformers.T5GemmaConfig(encoder=half, decoder=half, vocab_size=257, **special)
    return _saved(transformers.T5GemmaModel, config, folder)


FAMILIES: dict[str, Callable[[Path], Path]] = {
    "bert": bert,
    "roberta": roberta,
    "distilbert": distilbert,
    "electra": electra,
    "xlm-roberta": xlm_roberta,
    "gpt2": gpt2,
    "llama": llama,
}


def t5(folder: Path, **changes: bool) -> Path:
    """With T5's way of ending a text, and the vocabulary of single bytes."""
    names = _byte_level(transformers.GPT2Tokenizer, ["<pad>", "</s>", "<unk>"], folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ends = TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    tokenizer.backend_tokenizer.post_processor = ends
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "model_max_length": 64}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, **special).save_pretrained(
        folder
    )
    config = transformers.T5Config(
        vocab_size=len(names), d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, decoder_start_token_id=0
    )
    config.update(changes)
    return _saved(transformers.T5ForConditionalGeneration, config, folder)


def t5_with_a_head(folder: Path) -> Path:
    """As version 1.1: its output layer is not its embeddings."""
    return t5(folder, tie_word_embeddings=False)


def bart(folder: Path) -> Path:
    names = _byte_level(transformers.BartTokenizer, ["<s>", "<pad>", "</s>", "<unk>", "<mask>"], folder)
    sizes = {
        f"{part}_{name}": size
        for part in ("encoder", "decoder")
        for name, size in (("layers", 2), ("attention_heads", 2), ("ffn_dim", 32))
    }
    config = transformers.BartConfig(vocab_size=len(names), d_model=16, max_position_embeddings=64, **sizes)
    return _saved(transformers.BartForConditionalGeneration, config, folder)


WRITERS: dict[str, Callable[[Path], Path]] = {
    "t5": t5,
    "t5-with-a-head": t5_with_a_head,
    "bart": bart,
    "gpt2": gpt2,
    "llama": llama,
}


def _saved(kind: type, config: transformers.PretrainedConfig, folder: Path) -> Path:
    torch.manual_seed(0)
    kind(config).save_pretrained(folder)
    return folder


def _wordpiece(folder: Path) -> dict[str, int]:
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *LETTERS, *(f"##{c}" for c in LETTERS)]
    names = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    transformers.BertTokenizer(vocab=names, model_max_length=64).save_pretrained(folder)
    return names


def _byte_level(kind: type, specials: list[str], folder: Path) -> dict[str, int]:
    """A byte-level BPE that knows single bytes only."""
    from tokenizers.pre_tokenizers import ByteLevel

    names = {name: i for i, name in enumerate([*specials, *sorted(ByteLevel.alphabet())])}
    kind(vocab=names, merges=[], model_max_length=64).save_pretrained(folder)
    return names


def resnet(folder: Path) -> Path:
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 16], depths=[1, 1, 1], layer_type="basic", out_features=None
    )
    return _of_pictures(transformers.ResNetModel, config, folder)


def vit(folder: Path) -> Path:
    return _of_pictures(transformers.ViTModel, transformers.ViTConfig(image_size=32, patch_size=8, **SIZES), folder)


def mobilenet_v1(folder: Path) -> Path:
    config = transformers.MobileNetV1Config(depth_multiplier=0.25, image_size=32, classifier_dropout_prob=0.1)
    return _of_pictures(transformers.MobileNetV1Model, config, folder)


def mobilenet_v2(folder: Path) -> Path:
    config = transformers.MobileNetV2Config(depth_multiplier=0.25, image_size=32, classifier_dropout_prob=0.1)
    return _of_pictures(transformers.MobileNetV2Model, config, folder)


IMAGE_FAMILIES: dict[str, Callable[[Path], Path]] = {
    "resnet": resnet,
    "vit": vit,
    "mobilenet-v1": mobilenet_v1,
    "mobilenet-v2": mobilenet_v2,
}


def _of_pictures(kind: type, config: transformers.PretrainedConfig, folder: Path) -> Path:
    """With statistics that pictures have left, or random weights would let nothing through to the top."""
    torch.manual_seed(0)
    model = kind(config).train()
    for _ in range(3):
        model(torch.randn(8, 3, 32, 32))
    model.save_pretrained(folder)
    transformers.ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder
