"""Where knowledge comes from, and what is put on top."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from tl_run.config.options.ranges import Count, Positive, Whole
from tl_run.config.schema import Range


@dataclass(frozen=True)
class AnyModel:
    """What every model has."""

    name: str
    lr: Positive
    """The learning rate this model likes when all of it learns with AdamW."""
    head: Literal["stock", "linear", "mlp", "dense", "layer", "weighted", "svm", "logistic"]
    """What is put on top: the head of transformers' own class; a linear layer, or two (mlp), on the last layer; on all
    layers side by side (dense), on one (layer), on a learned mix (weighted); svm, logistic: solved by scikit-learn."""
    head_layer: Whole | None
    """The layer that head=layer reads; 0 is the output of the embeddings."""
    pooling: Literal["cls", "last", "mean", "max", "attention"] | None
    """How tokens become one vector; null: the mean for heads that read lower layers, else as a sentence encoder was
    made, the cls token where there is one, the last token of a decoder, or the mean."""
    dropout: Annotated[float, Range(at_least=0, below=1)] | None
    """Share of the head's input that is dropped in training; null: as the checkpoint says."""

    statistics: Literal["moving", "fixed"]
    """Batch normalization in blocks that learn: by the statistics of each batch, which move those that are kept for
    evaluation, or by those of the checkpoint all the time."""


@dataclass(frozen=True)
class Pretrained(AnyModel):
    """The pretrained model that knowledge comes from."""

    kind: Literal["pretrained"]
    path: str
    """Hub id, a folder in the hub's layout, or embedded:NAME."""
    revision: str | None
    """Branch, tag or commit on the hub; the commit is recorded."""
    from_run: str | None
    """Folder of a finished run: its model is where this one starts, in place of `path`."""
    pretrained: bool
    """False: the same architecture with random weights."""
    vision: str | None
    """With task=image-text the encoder of pictures, beside `path`, which reads the texts."""
    copy: str | None
    """Regular expression: of the checkpoint only tensors with a name that it finds are taken, e.g. 'embeddings' or
    'embeddings|layer\\.[0-3]\\.'; the others begin random."""


@dataclass(frozen=True)
class Scratch(AnyModel):
    """A network of our own that begins with nothing; its vocabulary is built from the training texts."""

    path = "from nothing"
    from_run = None
    pretrained = False
    revision = None
    vision = None
    copy = None
    auto_classes = (  # those of model/scratch/heads.py
        "AutoModelForCausalLM",
        "AutoModelForMaskedLM",
        "AutoModelForPreTraining",
        "AutoModelForSequenceClassification",
        "AutoModelForTokenClassification",
    )

    layers: Count
    hidden: Annotated[int, Range(at_least=2)]
    """Width of a state."""
    hidden_dropout: Annotated[float, Range(at_least=0, below=1)]
    """Of the embeddings, and in each layer."""
    tokenizer: Literal["wordpiece", "unigram", "bpe", "characters"]
    """What the entries of the vocabulary are: pieces as BERT has them, as SentencePiece, pieces of bytes as GPT-2."""
    vocabulary: Annotated[int, Range(at_least=300)]
    """Entries at most."""

    @property
    def shape(self) -> dict[str, Any]:
        """What only this kind's config.json has."""
        raise NotImplementedError

    def config(self, size: int, max_length: int) -> dict[str, Any]:
        """config.json, with a vocabulary of this size; of our own models without their type."""
        return {
            "kind": self.kind,  # type: ignore[attr-defined]
            "vocab_size": size,
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "hidden_dropout_prob": self.hidden_dropout,
            "max_position_embeddings": max_length,
            **self.shape,
        }


@dataclass(frozen=True)
class Rnn(Scratch):
    """Recurrent cells."""

    kind: Literal["rnn"]
    cell: Literal["simple", "lstm", "gru"]
    bidirectional: bool
    """Half of the width reads from right to left."""

    @property
    def shape(self) -> dict[str, Any]:
        """What only this kind's config.json has."""
        return {"cell": self.cell, "bidirectional": self.bidirectional}


@dataclass(frozen=True)
class Transformer(Scratch):
    """The encoder of arXiv:1706.03762, its norms before what they feed."""

    kind: Literal["transformer"]
    heads: Count
    """Attention heads of a layer; hidden is a multiple of them."""
    feed_forward: Count
    """Width between the two matrices of a layer's feed-forward part."""

    @property
    def shape(self) -> dict[str, Any]:
        """What only this kind's config.json has."""
        return {"num_attention_heads": self.heads, "intermediate_size": self.feed_forward}


@dataclass(frozen=True)
class SeparableCnn(Scratch):
    """Depthwise separable convolutions over tokens (arXiv:1706.03059)."""

    kind: Literal["separable_cnn"]
    kernel: Count
    """Tokens that a convolution sees: an odd number."""

    @property
    def shape(self) -> dict[str, Any]:
        """What only this kind's config.json has."""
        return {"kernel_size": self.kernel}


@dataclass(frozen=True)
class Seq2Seq(Scratch):
    """A small BART (arXiv:1910.13461), encoder and decoder, with the norms before what they feed, as mBART has them
    (arXiv:2001.08210): transformers' own, so that it loads without tl-run."""

    auto_classes = ("AutoModelForSeq2SeqLM",)

    kind: Literal["seq2seq"]
    heads: Count
    """Attention heads of a layer; hidden is a multiple of them."""
    feed_forward: Count
    """Width between the two matrices of a layer's feed-forward part."""

    def config(self, size: int, max_length: int) -> dict[str, Any]:
        """config.json, with a vocabulary of this size; the tokens are those of `model.scratch.vocabulary`."""
        sizes = {"layers": self.layers, "attention_heads": self.heads, "ffn_dim": self.feed_forward}
        return {
            "model_type": "mbart",
            "architectures": ["MBartForConditionalGeneration"],
            "is_encoder_decoder": True,
            "vocab_size": size,
            "d_model": self.hidden,
            **{f"{part}_{name}": value for part in ("encoder", "decoder") for name, value in sizes.items()},
            "dropout": self.hidden_dropout,
            "max_position_embeddings": max_length,
            "scale_embedding": True,
            "pad_token_id": 0,
            "bos_token_id": 2,
            "decoder_start_token_id": 2,
            "eos_token_id": 3,
            "forced_eos_token_id": 3,
        }


@dataclass(frozen=True)
class TransE(AnyModel):
    """A vector for each entity and relation of a graph, for task=triples (Bordes et al., NIPS 2013)."""

    revision = None
    vision = None
    from_run = None

    kind: Literal["transe"]
    path: str | None
    """The model folder of a run on a source graph: vectors of names that both graphs have are copied; null: from
    nothing."""
    pretrained: bool
    """False: the same tables with random vectors; of its own accord true where there is a path."""
    copy: str | None
    """Regular expression: only tables that it finds are copied from, relations or entities."""
    dimension: Annotated[int, Range(at_least=2)]
    """Width of a vector; that of the source where there is one."""
    norm: Literal[1, 2]
    """What a distance is: the sum of absolute differences, or the Euclidean one."""


Model = Pretrained | Rnn | Transformer | SeparableCnn | Seq2Seq | TransE

SOLVED = ("svm", "logistic")
"""Heads that are solved on features of the frozen trunk, not trained step by step."""
