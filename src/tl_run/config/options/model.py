"""Where knowledge comes from, and what is put on top."""

from dataclasses import dataclass
from typing import Annotated, Literal

from tl_run.config.options.ranges import Positive, Whole
from tl_run.config.schema import Range


@dataclass(frozen=True)
class Model:
    """The pretrained model that knowledge comes from."""

    name: str
    path: str
    """Hub id, a folder in the hub's layout, or embedded:NAME."""
    revision: str | None
    """Branch, tag or commit on the hub; the commit is recorded."""
    pretrained: bool
    """False: the same architecture with random weights."""
    lr: Positive
    """The learning rate this model likes when all of it learns with AdamW."""
    head: Literal["stock", "linear", "mlp", "dense", "layer", "weighted", "svm", "logistic"]
    """What is put on top: the head of transformers' own class; a linear layer, or two (mlp), on the last layer; on all
    layers side by side (dense), on one (layer), on a learned mix (weighted); svm, logistic: solved by scikit-learn."""
    head_layer: Whole | None
    """The layer that head=layer reads; 0 is the output of the embeddings."""
    pooling: Literal["cls", "last", "mean", "max", "attention"] | None
    """How tokens become one vector; null: the mean for heads that read lower layers, else the cls token where there is
    one, the last token of a decoder, or the mean."""
    dropout: Annotated[float, Range(at_least=0, below=1)] | None
    """Share of the head's input that is dropped in training; null: as the checkpoint says."""

    statistics: Literal["moving", "fixed"]
    """Batch normalization in blocks that learn: by the statistics of each batch, which move those that are kept for
    evaluation, or by those of the checkpoint all the time."""


SOLVED = ("svm", "logistic")
"""Heads that are solved on features of the frozen trunk, not trained step by step."""
