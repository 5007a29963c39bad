"""What the data is, what is learned from it, and by what it is judged: one dataclass for each kind of task."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from tl_run.config.options.ranges import Count, Positive, Share, Whole
from tl_run.config.schema import Range

COLUMNS = (
    *("text", "text_pair", "negative", "question", "context", "answers", "source", "target", "references"),
    *("tokens", "predicate", "tags", "image", "label", "clusters", "head", "relation", "tail", "id"),
)
"""Options that name a column of the data by the part it plays."""


@dataclass(frozen=True)
class SplitNames:
    """What the data set calls its splits."""

    train: str
    validation: str | None
    test: str | None


@dataclass(frozen=True)
class Domain:
    """Another domain of the same task, where the model is to work."""

    train: str | None
    """File with its examples, whose labels are not read: methods that adapt learn from them."""
    test: str | None
    """File with labelled examples of it, which is scored at the end in place of task.test."""


@dataclass(frozen=True)
class AnyTask:
    """What every kind of task has."""

    own_heads = False
    """Whether `model.head` may be other than transformers' own: one vector of a text is all that the kind reads."""
    own_pooling = False
    """Whether `model.pooling` decides what the kind reads, without any head."""
    sources = "<file> (CSV, TSV, JSONL, JSON, Parquet)"
    """What its data may be, for a message."""

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
    domain: Domain
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
    def divisible(self) -> bool:
        """Whether a batch may be cut into micro-batches; not where its loss is no sum over examples."""
        return True

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
class Episodes(AnyTask):
    """Texts of classes that were not trained on, told apart by a few examples of each: N-way K-shot episodes."""

    own_heads = True
    own_pooling = True

    kind: Literal["episodes"]
    text: str
    """Column of the text."""
    text_pair: str | None
    """Column of the second text, for pairs."""
    label: str
    """Column of the label; no class is in two splits."""
    ways: Annotated[int, Range(at_least=2)]
    """Classes in an episode."""
    shots: Count
    """Labelled examples of each class in an episode."""
    queries: Count
    """Examples of each class that an episode asks for."""
    episodes: Count
    """Episodes of the test split: the same for every seed and method."""
    validation_episodes: Count
    """Episodes that choose the best model."""
    test_share: Share
    """Part of the classes of train that is held out where there is no test; validation_share is of classes too."""
    metric: Literal["auto", "accuracy"]
    """Chooses the best model: the mean accuracy over episodes."""


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
class LanguageModel(AnyTask):
    """The tokens of plain text: those that are hidden, or each next one."""

    sources = f"<text file> (.txt), or another {AnyTask.sources}"

    kind: Literal["lm"]
    text: str
    """Column of the text, where the data is a table; plain text is .txt."""
    objective: Literal["masked", "causal"]
    """masked: tokens that are hidden (BERT); causal: each next token (GPT)."""
    documents: Literal["line", "file"]
    """What a document is in a file of plain text."""
    mask_share: Share
    """Part of the tokens that is hidden, when masked."""
    whole_words: bool
    """Hide whole words, when masked: all pieces of one together."""
    next_sentence: bool
    """When masked, read pairs of segments, and learn too whether the second follows the first in its document, as every
    other one does, or is drawn from another (arXiv:1810.04805, section 3.1)."""
    metric: Literal["auto", "perplexity", "accuracy", "bits_per_character", "sentence_accuracy"]
    """Chooses the best model; auto: perplexity. bits_per_character: causal only; sentence_accuracy: of pairs."""


@dataclass(frozen=True)
class Tagging(AnyTask):
    """A tag for each token: names, chunks, parts of speech."""

    kind: Literal["tagging"]
    tokens: str
    """Column of the tokens: a list of texts, or a text that is cut at spaces."""
    tags: str
    """Column of the tags: one for each token."""
    tag_column: Literal["last"] | Annotated[int, Range(at_least=2)]
    """In CoNLL text (.txt, .conll, .iob, .bio, .tsv) the column of the tag, counted from 1, the token."""
    scheme: Literal["auto", "iob1", "iob2", "bioes", "none"]
    """How tags mark spans; auto: as the tags look; none: they mark none, such as parts of speech."""
    metric: Literal["auto", "f1", "accuracy"]
    """Chooses the best model; auto: F1 over spans, or token accuracy where tags mark none."""


@dataclass(frozen=True)
class Srl(AnyTask):
    """Semantic roles: for a predicate of a sentence what part each token plays."""

    kind: Literal["srl"]
    tokens: str
    """Column of the tokens: a list of texts, or a text that is cut at spaces."""
    predicate: str
    """Column of the predicate's place among the tokens, counted from 0."""
    tags: str
    """Column of the roles, one for each token: spans (B-ARG0, I-ARG0), or at head words only (ARG0)."""
    scheme: Literal["auto", "iob1", "iob2", "bioes", "none"]
    """How roles mark spans; auto: as they look; none: each stands at a head word."""
    metric: Literal["auto", "f1", "accuracy"]
    """Chooses the best model; auto: F1 over arguments."""


@dataclass(frozen=True)
class Images(AnyTask):
    """One label for a picture; task.train and the others may be a folder with a folder of pictures for each class."""

    sources = f"<folder with a folder for each class>, <file> {AnyTask.sources.partition(' ')[2]}"

    max_length: Literal[None]  # pyright: ignore[reportIncompatibleVariableOverride]
    """Pictures have no tokens."""
    kind: Literal["images"]
    image: str
    """Column of the picture: a path (relative to the file's folder), its bytes, or {bytes, path} as on the hub."""
    label: str
    """Column of the label."""
    shots: Count | None
    """Labelled training examples per class, drawn by `seed`."""
    class_weights: Literal["none", "balanced"] | dict[str, Positive]
    """As for classification."""
    metric: Literal["auto", "accuracy", "f1_macro", "f1_weighted", "mcc", "pr_auc"]
    """Chooses the best model; auto: accuracy, or macro F1 when the largest class is over 4 times the smallest."""
    flip: bool
    """Whether every second training picture is mirrored, drawn anew each epoch."""
    crop: Annotated[float, Range(above=0, at_most=1)]
    """Training pictures are square parts, drawn anew each epoch, with a side of this share of the picture's or more."""


@dataclass(frozen=True)
class QuestionAnswering(AnyTask):
    """Answers to questions, each cut out of a context."""

    kind: Literal["qa"]
    question: str
    """Column of the question."""
    context: str
    """Column of the text that holds the answer."""
    answers: str
    """Column of the answers: {"text": [...], "answer_start": [...]}, empty lists where there is none."""
    misplaced: Literal["refuse", "nearest"]
    """What becomes of an answer that does not stand where answer_start says; nearest: it is taken where its text stands
    nearest."""
    stride: Whole
    """Tokens that two windows of a context share, when it is longer than task.max_length leaves room for."""
    n_best: Count
    """Answers kept of a question."""
    max_answer_tokens: Count
    """Tokens of the longest answer."""
    null_threshold: float | Literal["auto"] | None
    """No answer is given where it is ahead of the best span by more than this (a difference of log-probabilities);
    null: there always is one; auto: 0 if questions of train have no answer, else null."""
    by_character: bool | Literal["auto"]
    """Score Chinese by characters, as CMRC 2018 does; auto: when most letters of the contexts are Chinese."""
    metric: Literal["auto", "f1", "em"]
    """Chooses the best model; auto: F1."""


@dataclass(frozen=True)
class Generation(AnyTask):
    """A text is written for a text: translations, summaries, replies."""

    kind: Literal["generation"]
    source: str
    """Column of the text that is read."""
    target: str
    """Column of the text to be written."""
    references: str | None
    """Column of lists of texts, any of which would do: scores are counted by them in the splits that have the column,
    by the target in others."""
    prompt: str | None
    """What is read of a source: it stands for {source}, and \\n for a new line, as in 'summarize: {source}'; null: the
    source alone, with a new line behind it where one stack reads it and goes on with the target."""
    max_target_length: Annotated[int, Range(at_least=2)]
    """Tokens kept of a target, and written at most, the one that ends a text among them."""
    beams: Count
    """Texts that are followed while one is written; 1: the likeliest token every time (greedy search)."""
    length_penalty: float
    """With beams, the sum of a text's log-probabilities is divided by its length to this power: above 0 prefers longer
    texts."""
    no_repeat_ngram: Whole
    """So many tokens in a row are not written twice in a text; 0: they may be."""
    by_character: bool | Literal["auto"]
    """Score Chinese by characters (BLEU by sacrebleu's zh tokenizer); auto: when most letters of the targets are
    Chinese."""
    metric: Literal["auto", "bleu", "chrf", "rouge1", "rouge2", "rougeL", "perplexity"]
    """Chooses the best model; auto: ROUGE-L. Writing is what takes long: with perplexity (of the targets, lower is
    better) nothing is written for validation, only for the test split at the end. Else keep validation small, one beam,
    and training.eval_every large."""


@dataclass(frozen=True)
class Similarity(AnyTask):
    """Two towers with shared weights: texts that belong together get vectors that point the same way."""

    own_pooling = True

    kind: Literal["similarity"]
    text: str
    """Column of the text (of a triplet: the anchor)."""
    text_pair: str | None
    """Column of the other text (of a triplet: the one that belongs to the anchor); null: there are texts alone, each of
    which is read twice and belongs to itself, for dropout makes two vectors of it (SimCSE, arXiv:2104.08821)."""
    negative: str | None
    """Column of a text that does not belong to the first one: the examples are triplets then."""
    label: str | None
    """Column of a score, of 0 and 1, or of classes (loss=classifier); null: the texts of every pair belong together."""
    clusters: str | None
    """Column of labels that training does not see, where `label` is null: k-means finds as many clusters among the
    vectors of `text` as there are labels, and metric nmi says how well the two agree."""
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
        "nmi",
    ]
    """Chooses the best model; auto: spearman with scores, accuracy with 0 and 1 or classes, nmi with texts alone, else
    recall_at_1. nmi: normalized mutual information (arithmetic mean) of `clusters` and what k-means finds."""

    @property
    def divisible(self) -> bool:
        """Each pair of a batch is compared with all others where the loss is in_batch."""
        return not (self.loss == "in_batch" or (self.loss == "auto" and self.label is None and self.negative is None))


@dataclass(frozen=True)
class ImageText(AnyTask):
    """Two towers: pictures and texts that belong together get vectors that point the same way."""

    kind: Literal["image_text"]
    image: str
    """Column of the picture: a path (relative to the file's folder), its bytes, or {bytes, path} as on the hub."""
    text: str
    """Column of the text that belongs to it."""
    label: str | None
    """Column of a class, which training does not see: the picture is also classified by the text nearest to it among
    `prompt` filled with each class."""
    prompt: str
    """A text for a class, which stands for {label}, as in 'a photo of a {label}'."""
    dimensions: Count
    """Numbers in the vectors that both towers end in."""
    scale: Positive
    """What cosines are multiplied by before the softmax."""
    metric: Literal["auto", "recall_at_1", "recall_at_5", "recall_at_10", "zero_shot_accuracy"]
    """Chooses the best model; auto: recall_at_1, the mean of both directions."""

    @property
    def divisible(self) -> bool:
        """Each pair of a batch is compared with all others."""
        return False


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


@dataclass(frozen=True)
class Triples(AnyTask):
    """Which entities a relation leads from and to, in a graph of triples."""

    max_length: Literal[None]  # pyright: ignore[reportIncompatibleVariableOverride]
    """Triples have no tokens."""
    kind: Literal["triples"]
    head: str
    """Column of the entity that a relation leads from."""
    relation: str
    """Column of the relation."""
    tail: str
    """Column of the entity that it leads to."""
    negatives: Count
    """Triples that are drawn for each one of train in every epoch, with another head or another tail."""
    margin: Positive
    """By how much a drawn triple's distance shall be larger than that of its true one."""
    metric: Literal["auto", "mrr", "hits_at_1", "hits_at_3", "hits_at_10", "mean_rank"]
    """Chooses the best model; auto: mrr, the mean of 1 / rank over heads and tails, each ranked among all entities but
    those that other triples of train, validation or test make right too."""


Single = (
    Classification
    | Episodes
    | Generation
    | Images
    | ImageText
    | LanguageModel
    | QuestionAnswering
    | Regression
    | Relation
    | Similarity
    | Srl
    | Tagging
    | Triples
)


@dataclass(frozen=True)
class Several:
    """Several tasks that one model learns (transfer=multitask); nobody types it."""

    own_heads, own_pooling, divisible = False, False, True
    dataset, limit, shots, domain = None, None, None, Domain(None, None)

    name: str
    """The names of all, joined."""
    kind: Literal["several"]
    epochs: Count
    """The most that any of them has."""
    tasks: dict[str, Single]
    """Each as it would be alone."""

    @property
    def max_length(self) -> int:
        """Tokens of the longest text that any of them keeps."""
        return max(task.max_length or 0 for task in self.tasks.values())


Task = Single | Several
