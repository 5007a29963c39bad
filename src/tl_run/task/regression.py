"""A number for a text or a pair of texts, such as how alike two sentences are."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tl_run.config import options
from tl_run.data.encoded import Encoded
from tl_run.data.table import Table
from tl_run.task.kind import kind_of
from tl_run.task.texts import Example, Texts

if TYPE_CHECKING:
    import torch


class Regression(Texts):
    """Squared error of one output; the scale of the labels is left as it is."""

    lower_is_better = frozenset({"rmse"})
    input_note = (
        'The output is the number itself: `pipeline(..., function_to_apply="none")`, for some versions of '
        "transformers make a sigmoid of a single output."
    )

    def __init__(self, options: options.Regression) -> None:
        super().__init__(options)
        self.metric = "spearman" if options.metric == "auto" else options.metric

    # -- reading

    def read_labels(self, sources: Mapping[str, Table], problems: list[str]) -> dict[str, list[float | None]]:
        """A split in which every label is missing has none (a test split of the hub)."""
        labels = {split: self._numbers(rows, problems) for split, rows in sources.items()}
        for split, numbers in labels.items():
            if split != "train" and len(numbers) > 1 and len({*numbers}) == 1 and numbers[0] is not None:
                problems.append(
                    f"{sources[split].path}: every '{self.options.label}' is {numbers[0]:g}: the hub writes so where "
                    f"there is none; type task.{'splits.' * bool(self.options.dataset)}{split}=null"
                )
        return labels

    def _numbers(self, rows: Table, problems: list[str]) -> list[float | None]:
        values = rows.column(self.options.label, "task.label")
        if all(value in (None, "") for value in values):
            return [None] * len(values)
        numbers = [number(value) for value in values]
        for i, (value, found) in enumerate(zip(values, numbers, strict=True)):
            if found is None:
                what = f"'{value}'" if isinstance(value, str) and value else kind_of(value)
                comma = isinstance(value, str) and number(value.replace(",", ".")) is not None
                form = f", with a point: {value.replace(',', '.').strip()}" if comma else ""
                problems.append(
                    f"{rows.where(i)}: '{self.options.label}' is {what}, a number is needed{form} (task.label)"
                )
        return numbers

    def known_labels(self, rows: Table, problems: list[str]) -> list[float | None]:
        return self._numbers(rows, problems)

    def check(self, rows: Table, labels: Sequence[float | None], problems: list[str]) -> None:
        if not problems and len({*labels}) < 2:
            problems.append(
                f"{rows.path}: '{self.options.label}' holds {len({*labels})} value, two or more are needed; task.label "
                f"can be one of: {', '.join(rows.columns)}"
            )

    @staticmethod
    def stratum(example: Example) -> int | None:
        """All labelled examples are one stratum."""
        return None if example.label is None else 0

    # -- model

    def head(self) -> dict[str, Any]:
        return {"num_labels": 1, "id2label": {0: "score"}, "label2id": {"score": 0}, "problem_type": "regression"}

    def restore(self, config: Any) -> None:
        """There are no classes to name."""

    def label_array(self, labels: Sequence[float | None]) -> np.ndarray:
        return np.array([math.nan if label is None else label for label in labels], np.float32)

    def start(self, model: Any, new: Collection[str], train: Encoded) -> None:
        """The output begins at the mean of the training labels: a new bias of 0 would first have to learn it.

        An output layer without a bias (GPT-2's) stays as it is.
        """
        import torch

        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name in new and name.endswith("bias") and parameter.shape == (1,):
                    parameter.fill_(float(train.labels.mean(dtype=np.float64)))

    def loss(self, outputs: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Sum over the batch of (output - label)^2."""
        return (outputs.logits.float().squeeze(-1) - batch["labels"]).square().sum()

    def decode(self, outputs: Any, batch: Mapping[str, torch.Tensor], model: Any) -> list[float]:
        """The number of each text."""
        return outputs.logits.float().squeeze(-1).tolist()

    # -- scores

    def metrics(self, predictions: Sequence[float], encoded: Encoded) -> dict[str, float]:
        """Pearson's and Spearman's correlation, and RMSE."""
        gold, found = encoded.labels.astype(np.float64), np.asarray(predictions, np.float64)
        return correlations(gold, found) | {"rmse": float(np.sqrt(np.mean((gold - found) ** 2)))}

    def describe(self, example: Example, prediction: float) -> dict[str, Any]:
        return {"prediction": round(prediction, 6)}


def correlations(gold: Sequence[float] | np.ndarray, found: Sequence[float] | np.ndarray) -> dict[str, float]:
    """Spearman's and Pearson's, as scipy counts them; 0 where either side is constant."""
    from scipy.stats import pearsonr, spearmanr

    gold, found = np.asarray(gold, np.float64), np.asarray(found, np.float64)
    if len(found) < 2 or np.ptp(gold) == 0 or np.ptp(found) == 0:
        return {"spearman": 0.0, "pearson": 0.0}
    rank: Any = spearmanr(gold, found)[0]
    linear: Any = pearsonr(gold, found)[0]
    return {"spearman": float(rank), "pearson": float(linear)}


def number(value: Any) -> float | None:
    """The number that a cell holds, or None."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
