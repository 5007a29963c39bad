"""What every kind of task is to the rest: it reads and encodes examples, and knows its loss, scores and head."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from tl_run.data.encoded import Encoded
from tl_run.data.perturbation import Disturbance
from tl_run.data.readers import Readers, read_table
from tl_run.data.table import Table
from tl_run.errors import BadInput

if TYPE_CHECKING:
    import torch

    from tl_run.evaluation import Evaluation


WRITTEN_LIST = re.compile(r"\s*\[\s*(['\"]).*\1\s*,?\s*\]\s*$", re.DOTALL)
AS_LIST = "a list written as text, as pandas does in CSV; save it as JSONL or Parquet, which have lists"


class Kind:
    """A kind fills in what raises NotImplementedError, and replaces what else is different for it.

    An example is an object with an `id`. Encoded rows are what the model sees; where one example makes several rows
    (windows of a long text), `gather` puts their predictions together. Reading needs no torch, so that bad data is told
    before torch is imported.
    """

    auto_class: str
    """transformers' Auto class of the stock head."""
    pipeline: str
    """transformers' name of what the saved model does, or of the nearest thing."""
    input_note: str = ""
    """What the saved model's card says of its input and output, where that is more than a text and a label."""
    usage: str = ""
    """How transformers loads and calls the saved model, for its card, where no pipeline of that name is."""
    pooling: str | None = None
    """What the kind's head reads of the tokens, where that takes a head of ours; None: transformers' own will do."""
    readers: Readers = MappingProxyType({})
    """Readers of file formats that only this kind has, by suffix."""
    processor = "tokenizer"
    """What makes the model's inputs, a key of model.folder.FILES."""
    tiny = "embedded:tiny"
    """The member of the embedded family `model=tiny` that reads what this kind has."""
    lower_is_better: frozenset[str] = frozenset()
    """Metrics of which less is better."""
    kinds: Mapping[str, Kind] = MappingProxyType({})
    """Those of several tasks by their names, where this one stands for them."""
    cuts = False
    """Whether of a text that is longer than task.max_length the rest is not read, and nothing else tells it."""
    open_vocabulary = False
    """Whether the model may read tokens that stand in no text of the data, such as those it writes."""

    def __init__(self, options: Any) -> None:
        self.options = options
        self.labels: list[str] = []
        """Names of the classes, where there are any; known after `read`."""
        self.metric: str = options.metric
        """What chooses the best model; settled after `read`."""
        self.notes: list[str] = []
        """What the plan shall say of the data."""
        self.doubts: list[str] = []
        """What is hardly meant in the data, for the user to look at."""

    @classmethod
    def of(cls, options: Any) -> Kind:
        """The kind for its options: where they tell two kinds apart, one of them."""
        return cls(options)

    @property
    def auto_classes(self) -> set[str]:
        """transformers' Auto classes of all heads."""
        return {self.auto_class}

    @property
    def shots(self) -> int | None:
        """Labelled training examples per class that are drawn, where the kind has the option and it is set."""
        return getattr(self.options, "shots", None)

    @property
    def higher_is_better(self) -> bool:
        """Whether more of `metric` is better."""
        return self.metric not in self.lower_is_better

    @property
    def reading(self) -> str:
        """How much of a text the model reads, for its card."""
        return f"Texts are cut at {self.options.max_length} tokens." if self.options.max_length else ""

    @property
    def row_length(self) -> int | None:
        """Tokens of the longest row that the model reads."""
        return self.options.max_length

    # -- reading

    def open(self, path: str | Path) -> Table:
        """The rows of what the user names as data. Raises: BadInput, MachineFault."""
        return read_table(path, self.readers)

    def read(self, sources: Mapping[str, Table]) -> dict[str, list[Any]]:
        """Examples of every split. Raises: BadInput with file, line and remedy, over all rows of all splits."""
        raise NotImplementedError

    def read_unlabelled(self, rows: Table) -> list[Any]:
        """Examples of a file without gold labels, as tl-predict gets them. Raises: BadInput."""
        raise NotImplementedError

    def read_labelled(self, rows: Table) -> list[Any]:
        """Examples of a file with gold labels, after `restore`: the labels are those of the run.

        Of the kinds that `finished.RATED` names. Raises: BadInput, also where a label is missing.
        """
        raise NotImplementedError

    def disturbed(self, example: Any, how: Disturbance) -> Any:
        """The example with its texts disturbed; its label stays. Of the kinds that have `read_labelled`."""
        raise NotImplementedError

    def content(self, rows: Table, examples: Sequence[Any]) -> Table:
        """The rows with all in them that decides the result, which the run's identity is made of."""
        return rows

    @staticmethod
    def stratum(example: Any) -> Hashable | None:
        """What a held-out part and shots are balanced over; None for an example without a label."""
        raise NotImplementedError

    def corpus(self, examples: Sequence[Any]) -> list[str]:
        """The texts of examples, for building a vocabulary."""
        raise NotImplementedError

    @staticmethod
    def group(example: Any) -> Hashable:
        """What is held out together, such as questions on one text, which would otherwise be seen in training."""
        return id(example)

    def seen(self, example: Any) -> tuple[Hashable, ...]:
        """What the model reads of an example, by which the same is found elsewhere."""
        return tuple(_frozen(value) for name, value in self.inputs(example).items() if name not in ("id", "gold"))

    def ids(self, rows: Table) -> list[str]:
        """The column task.id where the file has it (new texts may not), else the row's number from 0."""
        column = self.options.id
        if column and column in rows.columns:
            return [str(row[column]) for row in rows.rows]
        return [str(i) for i in range(len(rows.rows))]

    # -- model

    def meet(self, config: Any) -> None:
        """Take from the model's config what of the kind depends on it, before all is loaded. Raises: BadOption."""

    def head(self) -> dict[str, Any]:
        """What the model's config says of the head."""
        raise NotImplementedError

    def design(self) -> dict[str, Any]:
        """Of `model.design.Design` what the kind itself decides; empty where the user chooses the head."""
        return {}

    def settle(self, scores: Mapping[str, float]) -> None:
        """Take from the best scores on validation what it has chosen besides weights; the test split comes after it."""

    def restore(self, config: Any) -> None:
        """Take the label names from the config of a model that a run has saved."""
        self.labels = [config.id2label[i] for i in range(config.num_labels)]

    def start(self, model: Any, new: Collection[str], train: Encoded) -> None:
        """Change new weights of the head, those named in `new`, to what the training examples say of them."""

    def encode(self, examples: Sequence[Any], tokenizer: Any, /) -> Encoded:
        """What the model reads, and labels, of all examples; the tokenizer, or what else `processor` names."""
        raise NotImplementedError

    def collate(self, encoded: Encoded, indices: np.ndarray, pad: Mapping[str, int]) -> dict[str, torch.Tensor]:
        """Padded inputs (batch, tokens) and `labels`, which only the loss reads."""
        import torch

        batch = {name: torch.from_numpy(array) for name, array in encoded.padded(indices, pad).items()}
        batch["labels"] = torch.from_numpy(encoded.labels[indices])
        return batch

    def collate_training(
        self, encoded: Encoded, indices: np.ndarray, pad: Mapping[str, int], seed: int, epoch: int
    ) -> dict[str, torch.Tensor]:
        """As `collate`, for training: what is drawn at random is a function of seed, epoch and example alone."""
        return self.collate(encoded, indices, pad)

    def untouched(self, encoded: Any, tokenizer: Any) -> np.ndarray:
        """Which tokens of the rows no augmentation may change, beside the special ones: bool (tokens of all rows,)."""
        return np.zeros(encoded.rows.offsets[-1], bool)

    def loss(self, outputs: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Sum over the labelled items of a batch; in float32 whatever the precision."""
        raise NotImplementedError

    def weight(self, encoded: Encoded, indices: np.ndarray) -> float:
        """How many items the loss of these rows sums over, or the sum of their weights."""
        return len(indices)

    def decode(self, outputs: Any, batch: Mapping[str, torch.Tensor], model: Any) -> list[Any]:
        """For each row of a batch what the scores are counted from; `model` is for those who must ask it for more."""
        raise NotImplementedError

    def gather(self, predictions: list[Any], encoded: Encoded) -> list[Any]:
        """One prediction for each example from those of the rows."""
        return predictions

    # -- scores

    def scored(self, model: Any, encoded: Encoded, score: Callable[[Any, Kind, Encoded], Evaluation]) -> Evaluation:
        """The scores of a split, as `score` finds them for a model, a kind and its rows."""
        return score(model, self, encoded)

    def metrics(self, predictions: Sequence[Any], encoded: Encoded) -> dict[str, float]:
        """Scores over the examples of a split."""
        raise NotImplementedError

    def tables(self, predictions: Sequence[Any], encoded: Encoded) -> dict[str, Any]:
        """What else a reader wants to see of a split, as data."""
        return {}

    def describe(self, example: Any, prediction: Any) -> dict[str, Any]:
        """The predicted part of a line of a predictions file."""
        raise NotImplementedError

    def lines(self, examples: Sequence[Any], predictions: Sequence[Any]) -> list[dict[str, Any]]:
        """The lines of a predictions file: one for each example of a split."""
        pairs = zip(examples, predictions, strict=True)
        return [self.inputs(example) | self.describe(example, prediction) for example, prediction in pairs]

    def answer(self, example: Any, prediction: Any, how: Disturbance) -> Any:
        """What is predicted for an example, of that which a disturbance leaves of it."""
        return self.describe(example, prediction)["prediction"]

    def inputs(self, example: Any) -> dict[str, Any]:
        """The example's own part of a line of a predictions file: id, what was read, gold."""
        raise NotImplementedError


def texts(rows: Table, column: str, option: str, problems: list[str]) -> list[str]:
    """The texts of a column; what is no text is added to `problems`. Raises: BadInput when there is no such column."""
    rows.require(column, option)
    values = [row[column] for row in rows.rows]
    for i, value in enumerate(values):
        if not isinstance(value, str):
            problems.append(f"{rows.where(i)}: '{column}' is {kind_of(value)}, a text is needed ({option})")
    return values


def named(labels: Sequence[str]) -> dict[str, Any]:
    """What a model's config says of its classes."""
    return {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {name: i for i, name in enumerate(labels)},
    }


def kind_of(value: Any) -> str:
    """What a value is, in words for a message."""
    if value is None or value == "":
        return "missing"
    return {
        str: "a text",
        bytes: "bytes",
        bool: "true or false",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "an object",
    }.get(type(value), f"{type(value).__name__}")


def _frozen(value: Any) -> Hashable:
    return tuple(map(_frozen, value)) if isinstance(value, list) else repr(value) if isinstance(value, dict) else value


def is_written_list(value: Any) -> bool:
    """Whether a text is a list as Python prints it, which is how pandas puts one into CSV."""
    return isinstance(value, str) and bool(WRITTEN_LIST.match(value))


def refuse(problems: list[str]) -> None:
    """Raises: BadInput when there are any, the first in words."""
    if problems:
        raise BadInput.of(problems)
