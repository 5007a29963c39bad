"""What the data is, what is learned from it, and by what it is judged: one dataclass for each kind of task."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from tl_run.config.options.ranges import Count, Positive, Share, Whole
from tl_run.config.schema import Range

COLUMNS = ("text", "text_pair", "negative", "label", "id")
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
    own_pooling = False
    """Whether `model.pooling` decides what the kind reads, without any head."""
    divisible = True
    """Whether a batch may be cut into micro-batches; not where its loss is no sum over examples."""

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
    metric: Literal["auto", "accuracy", "f1_macro", "f1_weighted", "mcc"]
    """Chooses the best model; auto: accuracy, or macro F1 when the largest class is over 4 times the smallest."""


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
class Similarity(AnyTask):
    """Two towers with shared weights: texts that belong together get vectors that point the same way."""

    own_pooling = True

    kind: Literal["similarity"]
    text: str
    """Column of the text (of a triplet: the anchor)."""
    text_pair: str
    """Column of the other text (of a triplet: the one that belongs to the anchor)."""
    negative: str | None
    """Column of a text that does not belong to the first one: the examples are triplets then."""
    label: str | None
    """Column of a score, of 0 and 1, or of classes (loss=classifier); null: the texts of every pair belong together."""
    loss: Literal[
        "auto",
        "cosine",
        "contrastive",
        "in_batch",
        "triplet_hinge",
        "triplet_softmax",
        "triplet_ranking",
        "classifier",
    ]
    """auto: cosine for scores, contrastive for 0 and 1, in_batch for pairs alone, triplet_hinge for triplets."""
    margin: Positive
    """How far apart what does not belong together shall be: of contrastive, triplet_hinge and triplet_ranking."""
    scale: Positive
    """What cosines are multiplied by before a softmax: of in_batch and triplet_softmax."""
    normalize: bool
    """Whether vectors have length 1; their cosines are the same either way."""
    metric: Literal[
        "auto",
        "spearman",
        "pearson",
        "accuracy",
        "average_precision",
        "f1",
        "f1_macro",
        "recall_at_1",
        "recall_at_5",
        "recall_at_10",
    ]
    """Chooses the best model; auto: spearman with scores, accuracy with 0 and 1 or classes, else recall_at_1."""

    @property
    def divisible(self) -> bool:  # type: ignore[override]
        """Each pair of a batch is compared with all others where the loss is in_batch."""
        return not (self.loss == "in_batch" or (self.loss == "auto" and self.label is None and self.negative is None))


Task = Classification | Regression | Similarity
