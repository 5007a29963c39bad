"""Token dropout: some of the model's tokens are hidden or left out, others in each epoch (arXiv:1703.02573)."""

from dataclasses import replace
from typing import Any

import numpy as np

from tl_run.augment.augmented import Anew
from tl_run.data.encoded import Encoded
from tl_run.errors import BadOption

SALT = 6  # tells these draws from others of the same seed and epoch


class TokenDropout(Anew):
    """Each token is chosen with `rate`, and becomes the mask token or the unknown one, or is left out with its labels.

    Special tokens stay, and what the kind of task says (`Kind.untouched`): marks of entities, answers, the predicate.
    """

    def __init__(self, options: Any, **given: Any) -> None:
        """Raises: BadOption when the tokenizer has no such token."""
        super().__init__(options, **given)
        unknown, taken = self.tokenizer.unk_token_id, (self.tokenizer.eos_token_id, self.tokenizer.pad_token_id)
        unknown = None if unknown in taken else unknown  # GPT-2 has one token for all of them
        self.becomes = {"mask": self.tokenizer.mask_token_id, "unk": unknown}.get(options.how)
        if options.how != "drop" and self.becomes is None:
            other = "drop" if unknown is None else "unk"
            raise BadOption(f"augment.how={options.how}: this tokenizer has no such token: type augment.how={other}")
        how = (
            "left out" if options.how == "drop" else f"replaced by {self.tokenizer.convert_ids_to_tokens(self.becomes)}"
        )
        self.words = f"token_dropout: {options.rate:.0%} of the training tokens are {how} in each epoch"
        self._free: dict[int, np.ndarray] = {}

    def make(self, encoded: Encoded, seed: int, epoch: int) -> Encoded:
        """The rows with other tokens."""
        rows = encoded.rows
        if id(encoded) not in self._free:
            self._free[id(encoded)] = self._may_change(encoded)
        free = self._free[id(encoded)]
        chosen = free & (np.random.default_rng([seed, epoch, SALT]).random(len(free), np.float32) < self.augment.rate)
        made = dropped(rows, chosen) if self.becomes is None else hidden(rows, chosen, self.becomes)
        return made if rows is encoded else replace(encoded, rows=made)  # type: ignore[call-arg]  # Tuples

    def _may_change(self, encoded: Encoded) -> np.ndarray:
        """Which tokens of the rows: bool (tokens of all rows,)."""
        special = np.isin(encoded.rows.columns["input_ids"], self.tokenizer.all_special_ids)
        return ~(special | self.task.untouched(encoded, self.tokenizer))


def hidden(rows: Encoded, chosen: np.ndarray, becomes: int) -> Encoded:
    """Rows in which the chosen tokens are this one."""
    ids = np.where(chosen, becomes, rows.columns["input_ids"])
    return replace(rows, columns=rows.columns | {"input_ids": ids})


def dropped(rows: Encoded, chosen: np.ndarray) -> Encoded:
    """Rows without the chosen tokens; of a row in which all are chosen the first one stays."""
    kept = ~chosen
    starts = rows.offsets[:-1]
    none = np.add.reduceat(kept, starts) == 0
    kept[starts[none]] = True
    offsets = np.concatenate([[0], np.cumsum(kept)])[rows.offsets].astype(np.int64)
    return replace(rows, offsets=offsets, columns={name: values[kept] for name, values in rows.columns.items()})
