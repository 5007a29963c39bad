"""Pictures and the texts that belong to them: to the loop what `Encoded` is, an item for each pair."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tl_run.data.encoded import Encoded
from tl_run.data.pictures import Pictures


@dataclass(frozen=True)
class Illustrated:
    """Rows of texts and of pictures, as many of each."""

    texts: Encoded
    pictures: Pictures
    labels: np.ndarray  # (pairs, 2): which picture and which text, numbers that no two different ones share
    classes: Sequence[str | None]
    """Names that only a score sees."""

    changing = "pictures and texts are read by two models"
    """Why no states are kept."""

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def ids(self) -> list[str]:
        """Names of the pairs."""
        return self.texts.ids

    @property
    def offsets(self) -> np.ndarray:
        """Those of the texts."""
        return self.texts.offsets

    @property
    def columns(self) -> dict[str, Any]:
        """Those of the texts."""
        return self.texts.columns

    @property
    def lengths(self) -> np.ndarray:
        """The work that a pair is, as tokens: (pairs,)."""
        return self.texts.lengths + self.pictures.lengths

    @property
    def labelled(self) -> np.ndarray:
        """Which pairs are whole: bool (pairs,)."""
        return self.labels[:, 1] >= 0

    @property
    def rows(self) -> "Illustrated":
        """Every pair is a row."""
        return self

    def reads(self, indices: np.ndarray) -> np.ndarray:
        """The rows of these pairs."""
        return indices

    @staticmethod
    def joined(parts: Any) -> "Illustrated":
        """Several splits in one."""
        texts, pictures = Encoded.joined([p.texts for p in parts]), Pictures.joined([p.pictures for p in parts])
        return Illustrated(texts, pictures, np.concatenate([part.labels for part in parts]), [])

    def padded(self, indices: np.ndarray, pad: Mapping[str, int], width: int | None = None) -> dict[str, np.ndarray]:
        """What the model reads of these pairs."""
        return self.pictures.padded(indices, pad) | self.texts.padded(indices, pad, width)
