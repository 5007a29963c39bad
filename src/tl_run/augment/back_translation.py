"""Back-translation: a text said again, through another language and back (arXiv:1511.06709, arXiv:1904.12848)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tl_run.augment.augmented import Augmented
from tl_run.augment.translation import check, translated
from tl_run.data.encoded import Encoded

SALT = 8  # tells these draws from others of the same seed and epoch


class BackTranslation(Augmented):
    """In each epoch a `share` of the examples is read in its translation; the labels stay.

    Every text is translated once, before the first step, and kept in the cache. Where we differ from arXiv:1904.12848:
    beams instead of sampling, so that a text has one translation, whenever it is asked for.
    """

    def __init__(
        self, options: Any, *, translators: Mapping[str, Path], weights: Mapping[str, str], hardware: Any, **given: Any
    ) -> None:
        """Raises: BadOption when one of both cannot translate."""
        super().__init__(options, **given)
        for name, folder in translators.items():
            check(folder, f"augment.{name}", options.max_length)
        self.translators, self.weights, self.hardware = translators, weights, hardware
        self.words = (
            f"back_translation: {options.share:.0%} of the training texts in each epoch, as two models say them"
        )
        self._both: dict[int, Encoded] = {}

    def collate_training(
        self, encoded: Encoded, indices: np.ndarray, pad: Mapping[str, int], seed: int, epoch: int
    ) -> dict[str, torch.Tensor]:
        """Some texts, and the translations of others."""
        if id(encoded) not in self._both:
            self._both[id(encoded)] = self._translate(encoded)
        other = np.random.default_rng([seed, epoch, SALT]).random(len(encoded)) < self.augment.share
        rows = indices + len(encoded) * other[indices]
        return self.task.collate_training(self._both[id(encoded)], rows, pad, seed, epoch)

    def _translate(self, encoded: Encoded) -> Encoded:
        """All examples, and after them all in translation."""
        examples = self.originals[id(encoded)]
        texts = [*dict.fromkeys(self.task.corpus(examples))]
        others = texts
        for name, folder in self.translators.items():
            key = {file: checksum for file, checksum in self.weights.items() if file.startswith(f"{name}/")}
            how = {"beams": self.augment.beams, "max_length": self.augment.max_length, "hardware": self.hardware}
            others = translated(others, folder, key, **how)
        said = Said(dict(zip(texts, others, strict=True)))
        return self.task.encode([*examples, *(self.task.disturbed(e, said) for e in examples)], self.tokenizer)


class Said:
    """Puts translations in the place of texts; what became nothing stays as it was."""

    def __init__(self, translations: Mapping[str, str]) -> None:
        self._translations = translations

    def text(self, text: str) -> str:
        """The translation of a text."""
        return self._translations.get(text) or text
