"""What a frozen model makes of texts: a vector for each, and the pieces that its tokenizer cuts them into."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from tl_run.data.batches import by_length
from tl_run.data.encoded import Encoded
from tl_run.errors import BadOption
from tl_run.hardware import Hardware
from tl_run.model import pretrained, reading
from tl_run.model.design import TOWERS, Design
from tl_run.model.pretrained import Pretrained

MAX_LENGTH = 128  # tokens that are read of a text, unless typed


def load(folder: Path, name: str, max_length: int | None) -> tuple[Pretrained, int]:
    """The trunk, whose output is the mean of the last layer over the tokens of a text, and how many tokens it reads.

    Raises: BadInput, BadOption.
    """
    places = getattr(reading.read_config(folder), "max_position_embeddings", None) or MAX_LENGTH
    if max_length is not None and max_length > places:
        raise BadOption(f"--max-length {max_length}: {name} reads at most {places} tokens: type --max-length {places}")
    length = max_length or min(MAX_LENGTH, places)
    mean = Design(TOWERS, pooling="mean")
    return pretrained.load(
        folder, "AutoModel", {}, pretrained=True, max_length=length, seed=0, name=name, design=mean
    ), length


def vectors(
    loaded: Pretrained, texts: Sequence[str], max_length: int, hardware: Hardware, batch_size: int
) -> np.ndarray:
    """(texts, hidden), float64. The model is in eval mode and on the device."""
    count = len(texts)
    encoded = Encoded.of(texts, None, loaded.tokenizer, max_length, [*map(str, range(count))], np.full(count, -1))
    made = np.empty((count, loaded.model.config.hidden_size))
    with torch.inference_mode(), hardware.autocast():
        for rows in by_length(encoded.lengths, batch_size):
            batch = {n: torch.from_numpy(a).to(hardware.device) for n, a in encoded.padded(rows, loaded.pad).items()}
            made[rows] = loaded.model(**batch).vectors.double().cpu().numpy()
    return made


def pieces(loaded: Pretrained, texts: Sequence[str], max_length: int) -> tuple[int, float, float]:
    """Tokens of all the texts, special ones not counted; the share of them that are unknown; and the share of texts of
    which the end is cut off."""
    tokenizer = loaded.tokenizer
    ids = tokenizer([*texts], add_special_tokens=False)["input_ids"]
    total, room = sum(map(len, ids)), max_length - tokenizer.num_special_tokens_to_add()
    unknown = sum(row.count(tokenizer.unk_token_id) for row in ids)
    return total, unknown / max(total, 1), sum(len(row) > room for row in ids) / len(ids)
