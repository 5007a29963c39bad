"""What the data is, what is learned from it, and by what it is judged: one dataclass for each kind of task."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from tl_run.config.options.ranges import Count, Positive, Share, Whole
from tl_run.config.schema import Range

COLUMNS = ("text", "text_pair", "label", "head", "tail", "id")
"""Options that name a column of the data by the part it plays."""


@dataclass(frozen=True)
class SplitNames:
    """What the data set calls its splits."""

    train: str
    validation: str | None
    test: str | None


@dataclass(frozen=True)
class AnyTask:
    """What every kind of task has."""

    own_heads = False
    """Whether `model.head` may be other than transformers' own: one vector of a text is all that the kind reads."""

    name: str
    """What the task is called: part of the run folder's name."""
    train: str | None
    """File with the training examples: CSV, TSV, JSONL, JSON or Parquet."""
    validation: str | None
    """File that chooses the best model; without it a part of train is held out."""
    test: str | None
    """File that is scored once, at the end."""
    dataset: str | None
    """Hub id, or a folder in the hub's layout, instead of files."""
    subset: str | None
    """The hub's configuration name, e.g. mrpc of glue."""
    revision: str | None
    """Branch, tag or commit of the dataset."""
    splits: SplitNames
    id: str | None
    """Column that names the examples; without it they are numbered from 0."""
    max_length: Annotated[int, Range(at_least=4)]
    """Tokens kept of a text (a pair is cut at the longer side)."""
    validation_share: Share
    """Part of train that is held out where there is no validation."""
    split_seed: Whole
    """Seed of the held-out part: the same for every `seed`."""
    limit: Count | None
    """Labelled training examples in all, drawn by `seed`."""
    epochs: Count
    """What training.epochs is unless given."""

    @property
    def columns(self) -> dict[str, Any]:
        """The columns that are named, by the part they play."""
        return {role: column for role in COLUMNS if (column := getattr(self, role, None)) is not None}


@dataclass(frozen=True)
class Classification(AnyTask):
    """One label for a text or a pair of texts."""

    own_heads = True

    kind: Literal["classification"]
    text: str
    """Column of the text."""
    text_pair: str | None
    """Column of the second text, for pairs."""
    label: str
    """Column of the label."""
    shots: Count | None
    """Labelled training examples per class, drawn by `seed`."""
    multi_label: bool
    """Whether a text has any number of labels: a list of them in `label`, or text with `label_separator`."""
    label_separator: str | None
    """What stands between the labels of a text, where a file has no lists (CSV)."""
    class_weights: Literal["none", "balanced"] | dict[str, Positive]
    """What an example counts in the loss, by its label; balanced: inversely to the label's count in the train file;
    labels that a map does not name count 1."""
    metric: Literal["auto", "accuracy", "f1_macro", "f1_weighted", "mcc", "pr_auc", "f1_micro", "subset_accuracy"]
    """Chooses the best model; auto: accuracy, or macro F1 when the largest class is over 4 times the smallest; with
    `multi_label` micro F1. pr_auc: average precision, of two labels that of the rarer, else the mean over labels."""


@dataclass(frozen=True)
class Regression(AnyTask):
    """A number for a text or a pair of texts."""

    own_heads = True

    kind: Literal["regression"]
    text: str
    """Column of the text."""
    text_pair: str | None
    """Column of the second text, for pairs."""
    label: str
    """Column of the number."""
    metric: Literal["auto", "spearman", "pearson", "rmse"]
    """Chooses the best model; auto: Spearman's rank correlation."""


@dataclass(frozen=True)
class Relation(AnyTask):
    """Which relation holds between two entities of a text."""

    own_heads = True

    kind: Literal["relation"]
    text: str
    """Column of the text; without `head` and `tail` it marks the entities: <e1>one</e1> and <e2>other</e2>."""
    head: str | None
    """Column of the first entity in an unmarked text: [start, end], in characters, the end not included."""
    tail: str | None
    """Column of the second entity, likewise."""
    label: str
    """Column of the relation."""
    other: str | None
    """The label of no relation: it is learned, and left out of F1."""
    shots: Count | None
    """Labelled training examples per class, drawn by `seed`."""
    class_weights: Literal["none", "balanced"] | dict[str, Positive]
    """As for classification."""
    metric: Literal["auto", "accuracy", "f1_micro", "f1_macro", "f1_semeval"]
    """Chooses the best model; auto: macro F1. f1_semeval: the score of SemEval-2010 task 8, for labels with a
    direction, Name(e1,e2): the mean over relations, both directions as one, of F1 in which only the right direction
    is a hit."""


Task = Classification | Regression | Relation
