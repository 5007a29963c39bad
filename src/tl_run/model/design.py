"""What a head is: its kind, the layers it reads, how it pools them, and what suits a model where that is left open."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import transformers

from tl_run.errors import BadInput, BadOption
from tl_run.model.pooling import POOLINGS
from tl_run.stored_files import read_json

DESIGN = "head.json"
MIXED = ("dense", "weighted")  # they read all layers
TRAINED = ("linear", "mlp", "layer", *MIXED)
KINDS = (*TRAINED, "svm", "logistic")
TOWERS = "towers"
"""No head, or one that compares: what the kind of task decides, and no user."""
DROPOUTS = (
    "classifier_dropout",
    "seq_classif_dropout",
    "cls_dropout",
    "classifier_dropout_prob",
    "hidden_dropout_prob",
)
"""Where a config says how much of a classifier's input is dropped, the first that is set."""


@dataclass(frozen=True)
class Design:
    """What a head is; None stands for what suits the model, until `settle` has said what that is."""

    kind: str
    layer: int | None = None
    pooling: str | None = None
    dropout: float | None = None
    max_length: int | None = None
    """Of towers, with what follows: tokens that are read of a text."""
    normalize: bool = False
    """Whether vectors have length 1."""
    classifier: bool = False
    """Whether a classifier over two vectors is learned with them."""
    tfidf: bool = False
    """Of a solved head: whether it reads TF-IDF of the tokens beside what it reads of the layers."""

    def reads(self, depth: int) -> tuple[int, ...]:
        """The layers that are read, of a model with so many; 0 is the output of the embeddings."""
        if self.kind in MIXED:
            return tuple(range(depth + 1))
        return (depth if self.layer is None else self.layer,)

    def of_kind(self, pooling: str | None) -> "Design":
        """For a kind of task with a pooling of its own, which no stock head has: a linear head, unless another is
        chosen, on that pooling unless another is."""
        if pooling is None:
            return self
        return replace(self, kind="linear" if self.kind == "stock" else self.kind, pooling=self.pooling or pooling)


STOCK = Design("stock")


def settle(design: Design, config: Any, tokenizer: Any, name: str) -> Design:
    """What is left open, decided by the model: the pooling and the dropout.

    A head that reads the last layer gets the cls token where the tokenizer puts one first, the last token of a decoder,
    else the mean; a head that reads other layers the mean, for below the top no single token stands for the text. (What
    a folder of sentence-transformers asks for stands in the design already: `sentences.pooling`.)
    Raises: BadOption for a layer or a pooling that the model has not.
    """
    if config.is_encoder_decoder or not hasattr(config, "hidden_size") or not hasattr(config, "num_hidden_layers"):
        what = "a vector for each text" if design.kind == TOWERS else f"model.head={design.kind}"
        remedy = "another model, such as model=minilm" if design.kind == TOWERS else "model.head=stock"
        raise BadOption(f"{what}: {name} is no single stack of layers: type {remedy}")
    depth = config.num_hidden_layers
    if design.layer is not None and design.layer > depth:
        raise BadOption(
            f"model.head_layer={design.layer}, but {name} has layers 1 to {depth} (0: the output of its embeddings): "
            f"type a number from 0 to {depth}"
        )
    one_way = type(config) in transformers.MODEL_FOR_CAUSAL_LM_MAPPING
    one_way = one_way and type(config) not in transformers.MODEL_FOR_MASKED_LM_MAPPING
    one_way = getattr(config, "causal", one_way)  # our own models may be either
    if design.pooling == "cls" and one_way:
        raise BadOption(
            f"model.pooling=cls: {name} reads from left to right, its first token knows nothing of the others: "
            "type model.pooling=last or mean"
        )
    if design.pooling == "entities" and one_way:
        raise BadOption(
            f"{name} reads from left to right: where an entity begins, it has not seen it. Type model.head=linear "
            "model.pooling=last, which reads the last token of the marked text, or another model"
        )
    pooling = design.pooling
    if pooling is None:
        marked = tokenizer.cls_token_id is not None and tokenizer("a")["input_ids"][0] == tokenizer.cls_token_id
        pooling = (
            "mean" if design.kind in (*MIXED, "layer", TOWERS) else "last" if one_way else "cls" if marked else "mean"
        )
    dropout = design.dropout
    if dropout is None:
        found = (getattr(config, attribute, None) for attribute in DROPOUTS)
        dropout = next((value for value in found if value is not None), 0.0)
    return replace(design, pooling=pooling, dropout=dropout if design.kind in TRAINED else 0.0)


def read_design(folder: Path) -> Design:
    """The design of the head that lies in a model folder. Raises: BadInput when it cannot be read."""
    try:
        design = Design(**read_json(folder / DESIGN))
    except (OSError, ValueError, TypeError) as problem:
        raise BadInput(f"{folder / DESIGN} cannot be read: {problem}") from problem
    if design.kind not in (*KINDS, TOWERS) or design.pooling not in (*POOLINGS, "attention"):
        raise BadInput(f"{folder / DESIGN}: there is no head '{design.kind}' with pooling '{design.pooling}'")
    return design
