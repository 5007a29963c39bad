"""Texts translated by an encoder-decoder, once: the cache has what the same model made of the same texts before."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tl_run import cache
from tl_run.data.batches import by_length
from tl_run.errors import BadOption
from tl_run.model import reading, saved
from tl_run.task import writing

FORMAT = "translations 1"  # raise when the stored arrays change meaning
BATCH = 32  # texts that are read at once


def check(folder: Path, option: str, max_length: int) -> None:
    """Raises: BadOption when the model in a folder does not write texts, or not such long ones."""
    config = reading.read_config(folder)
    if not config.is_encoder_decoder:
        raise BadOption(
            f"{option}: a {config.model_type} is no encoder-decoder: type one that translates, or augment=none"
        )
    room = getattr(config, "max_position_embeddings", None) or 10**9
    if max_length > room:
        raise BadOption(
            f"augment.max_length={max_length}, but the model of {option} reads at most {room} tokens: type "
            f"augment.max_length={room}"
        )


def translated(
    texts: Sequence[str], folder: Path, key: Mapping[str, str], *, beams: int, max_length: int, hardware: Any
) -> list[str]:
    """What the model in a folder, whose weights `key` tells from others, says for each text."""
    digest = hashlib.sha256(
        json.dumps(
            [FORMAT, {**key}, beams, max_length, hardware.device.type, hardware.precision, [*texts]], sort_keys=True
        ).encode()
    )

    def make() -> dict[str, np.ndarray]:
        with torch.random.fork_rng(devices=[]):  # what is drawn after it shall not depend on whether the cache had it
            found = [text.encode() for text in _written(texts, folder, beams, max_length, hardware)]
        ends = np.cumsum([0, *map(len, found)], dtype=np.int64)
        return {"offsets": ends, "bytes": np.frombuffer(b"".join(found) or b"\0", np.uint8)}

    arrays = cache.arrays("translations", digest.hexdigest(), make)
    whole, ends = arrays["bytes"].tobytes(), arrays["offsets"].tolist()
    return [whole[start:end].decode() for start, end in pairwise(ends)]


def _written(texts: Sequence[str], folder: Path, beams: int, max_length: int, hardware: Any) -> list[str]:
    model, tokenizer = saved.load_model(folder)
    generation = model.generation_config
    writing.configure(
        model,
        tokenizer,
        first=model.config.decoder_start_token_id,
        end=generation.eos_token_id,
        longest=max_length,
        beams=beams,
        length_penalty=1.0,
        no_repeat=0,
    )
    model.to(hardware.device)
    found: list[str] = [""] * len(texts)
    for rows in by_length(np.array([len(text) for text in texts]), BATCH):
        inputs = tokenizer(
            [texts[i] for i in rows], padding=True, truncation=True, max_length=max_length, return_tensors="pt"
        ).to(hardware.device)
        with torch.inference_mode(), hardware.autocast():
            written = writing.write(model, tokenizer, inputs["input_ids"], inputs["attention_mask"])
        for i, text in zip(rows.tolist(), written, strict=True):
            found[i] = text
    return found
