"""A model that writes: what its generation config says, and its texts for a batch."""

from typing import Any

import torch
from transformers import GenerationConfig

KEPT = (  # of a checkpoint's generation_config: which tokens begin, end, or must not be written
    *("bos_token_id", "eos_token_id", "decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id"),
    *("bad_words_ids", "suppress_tokens", "begin_suppress_tokens"),
)


def configure(
    model: Any,
    tokenizer: Any,
    *,
    first: int | None,
    end: int,
    longest: int,
    beams: int,
    length_penalty: float,
    no_repeat: int,
) -> None:
    """Put into the model's generation config how it writes, and nothing else of what the checkpoint's said but which
    tokens begin and end: whoever calls `generate` gets what we get."""
    kept = {name: value for name in KEPT if (value := getattr(model.generation_config, name, None)) is not None}
    model.generation_config = GenerationConfig(
        **({"eos_token_id": end, "decoder_start_token_id": first} | kept),
        pad_token_id=tokenizer.pad_token_id,
        max_new_tokens=longest,
        do_sample=False,  # said, because a pipeline samples where nothing is
        num_beams=beams,
        no_repeat_ngram_size=no_repeat,
        use_cache=True,
        **({"length_penalty": length_penalty} if beams > 1 else {}),
    )


def write(model: Any, tokenizer: Any, ids: torch.Tensor, mask: torch.Tensor) -> list[str]:
    """The texts of an encoder-decoder for sources (batch, tokens)."""
    return _texts(tokenizer, model.generate(input_ids=ids, attention_mask=mask))


def go_on(model: Any, tokenizer: Any, ids: torch.Tensor, lengths: torch.Tensor) -> list[str]:
    """The texts with which a decoder goes on behind the first `lengths` (batch,) tokens of rows (batch, tokens).

    All prompts end at one place, padded at the left, so that the next token of each is the next column.
    """
    width = int(lengths.max())
    column = torch.arange(width, device=ids.device) - (width - lengths)[:, None]
    mask = column >= 0
    prompts = torch.where(mask, ids.gather(1, column.clamp(min=0)), tokenizer.pad_token_id)
    found = model.generate(input_ids=prompts, attention_mask=mask.long())
    return _texts(tokenizer, found[:, width:])


def is_causal(model: Any) -> bool:
    """Whether a token that is read later changes nothing before it."""
    ids = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 5]]) % model.config.vocab_size
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    return torch.allclose(logits[0, :3], logits[1, :3], atol=1e-4)


def _texts(tokenizer: Any, ids: torch.Tensor) -> list[str]:
    return [text.strip() for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]
