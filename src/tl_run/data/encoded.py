"""Token ids of a split: flat arrays without padding, made once per content and kept in the cache."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tl_run import cache

FORMAT = 2  # raise when the stored arrays change meaning


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths in one array: row i is `values[offsets[i]:offsets[i + 1]]`."""

    offsets: np.ndarray  # (rows + 1,)
    values: np.ndarray  # (items of all rows,)

    def padded(self, indices: np.ndarray, fill: int, width: int | None = None) -> np.ndarray:
        """Rows filled up to `width`, or the longest of them (at least 1): int64 (batch, width)."""
        mask, flat = _places(self.offsets, indices, width)
        array = np.full(mask.shape, fill, np.int64)
        array[mask] = self.values[flat]
        return array


@dataclass(frozen=True)
class Encoded:
    """What the model reads, a row for each time it reads: `columns[name][offsets[i]:offsets[i + 1]]` is of row i.

    The labels are what the loss reads; where one for each row does not do, `targets` holds more.
    """

    offsets: np.ndarray  # (rows + 1,)
    columns: dict[str, Any]  # arrays, each (tokens of all rows,), int64 or int32
    ids: list[str]  # of the examples that the rows come from
    labels: np.ndarray  # (rows, ...), -1 or NaN where there is none
    targets: Ragged | None = None
    examples: Sequence[Any] = ()
    """What the rows were made of, for kinds whose scores need more than labels."""

    changing = ""
    """Why the model reads a row in training otherwise in each epoch, where it does."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each row: (rows,)."""
        return np.diff(self.offsets)

    @property
    def labelled(self) -> np.ndarray:
        """Which rows have a label: bool (rows,)."""
        return labelled(self.labels)

    @property
    def rows(self) -> "Encoded":
        """What the store keeps states of: here every row is an item of the loop; see `Tuples` for other cases."""
        return self

    def reads(self, indices: np.ndarray) -> np.ndarray:
        """The rows that the model reads for these items."""
        return indices

    @classmethod
    def of(
        cls,
        texts: Sequence[str],
        pairs: Sequence[str] | None,
        tokenizer: Any,
        max_length: int,
        ids: list[str],
        labels: np.ndarray,
    ) -> "Encoded":
        """Encode texts (or pairs), or take them from the cache when the same was encoded before."""

        def make() -> dict[str, np.ndarray]:
            out = tokenizer(list(texts), pairs and list(pairs), truncation=True, max_length=max_length)
            forget(tokenizer)
            return flat(out, tokenizer)

        settings = f"{max_length} {tokenizer.truncation_side}"
        arrays = cache.arrays("encoded", key(tokenizer, settings, texts, pairs or ()), make)
        return cls(arrays.pop("offsets"), arrays, ids, labels)

    @staticmethod
    def joined(parts: Sequence["Encoded"]) -> "Encoded":
        """What the model reads of several splits in one; more than that is not kept."""
        lengths = np.concatenate([part.lengths for part in parts])
        return Encoded(
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns},
            [name for part in parts for name in part.ids],
            np.concatenate([part.labels for part in parts]),
        )

    def padded(self, indices: np.ndarray, pad: Mapping[str, int], width: int | None = None) -> dict[str, np.ndarray]:
        """Rows padded to `width`, or the longest of them: int64 (batch, tokens) each, with `attention_mask`."""
        mask, flat = _places(self.offsets, indices, width)
        batch = {}
        for name, values in self.columns.items():
            batch[name] = np.full(mask.shape, pad.get(name, 0), np.int64)
            batch[name][mask] = values[flat]
        batch["attention_mask"] = mask.astype(np.int64)
        return batch


def _places(offsets: np.ndarray, indices: np.ndarray, width: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Where there is something in an array of these rows, (batch, width), and where it comes from."""
    starts, lengths = offsets[indices], offsets[indices + 1] - offsets[indices]
    # of an empty text a decoder's tokenizer makes no token at all
    width = max(int(lengths.max()), 1) if width is None else width
    mask = np.arange(width) < lengths[:, None]
    return mask, (starts[:, None] + np.arange(width))[mask]


def labelled(labels: np.ndarray) -> np.ndarray:
    """Which of these (rows, ...) are labels, and neither -1 nor NaN: bool (rows,)."""
    first = labels.reshape(len(labels), -1)[:, 0]
    return ~np.isnan(first) if first.dtype.kind == "f" else first >= 0


def flat(out: Mapping[str, Any], tokenizer: Any) -> dict[str, np.ndarray]:
    """What a tokenizer has made of texts, row after row: offsets (rows + 1,), and columns (tokens of all rows,)."""
    lists = {name: out[name] for name in ("input_ids", "token_type_ids") if name in out}
    # GPT-2 makes no token of an empty text, and a batch without tokens has no shape: its mark between documents
    # stands for the text.
    lone = {"input_ids": tokenizer.pad_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id}
    lists = {name: [row or [lone.get(name, 0)] for row in rows] for name, rows in lists.items()}
    offsets = np.cumsum([0, *map(len, lists["input_ids"])], dtype=np.int64)
    return {
        "offsets": offsets,
        **{name: np.concatenate([np.asarray(v, np.int32) for v in rows]) for name, rows in lists.items()},
    }


def forget(tokenizer: Any) -> None:
    """A fast tokenizer keeps the truncation of its last call: it would be in keys and in the saved model, or not there
    when the cache had the arrays."""
    if backend := getattr(tokenizer, "backend_tokenizer", None):
        backend.no_truncation()
        backend.no_padding()


def key(tokenizer: Any, settings: str, *columns: Sequence[str]) -> str:
    """The hash of all that decides how these texts are encoded, for the cache."""
    digest = hashlib.sha256()
    forget(tokenizer)
    # The backend's JSON is the whole of a fast tokenizer: vocabulary, normaliser, merges, template.
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    vocabulary = backend.to_str() if backend else json.dumps(tokenizer.get_vocab(), sort_keys=True) + repr(tokenizer)
    for part in (f"{FORMAT} {settings} {tokenizer.model_input_names}", vocabulary):
        digest.update(hashlib.sha256(part.encode()).digest())
    for column in columns:
        digest.update(b"column")
        for text in column:
            data = text.encode("utf-8", "surrogatepass")
            digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()
