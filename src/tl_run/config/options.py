"""Every option of a run: its type, range and meaning. Defaults live in configs/*.yaml and nowhere else."""

from dataclasses import dataclass
from typing import Annotated, Literal

from tl_run.config.schema import Range

Count = Annotated[int, Range(at_least=1)]
Whole = Annotated[int, Range(at_least=0)]
Share = Annotated[float, Range(above=0, below=1)]
Positive = Annotated[float, Range(above=0)]
NotNegative = Annotated[float, Range(at_least=0)]


@dataclass(frozen=True)
class SplitNames:
    """What the data set calls its splits."""

    train: str
    validation: str | None
    test: str | None


@dataclass(frozen=True)
class Classification:
    """One label for a text or a pair of texts."""

    name: str
    """What the task is called: part of the run folder's name."""
    kind: Literal["classification"]
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
    text: str
    """Column of the text."""
    text_pair: str | None
    """Column of the second text, for pairs."""
    label: str
    """Column of the label."""
    id: str | None
    """Column that names the examples; without it they are numbered from 0."""
    max_length: Annotated[int, Range(at_least=4)]
    """Tokens kept of a text (a pair is cut at the longer side)."""
    validation_share: Share
    """Part of train that is held out where there is no validation."""
    split_seed: Whole
    """Seed of the held-out part: the same for every `seed`."""
    shots: Count | None
    """Labelled training examples per class, drawn by `seed`."""
    limit: Count | None
    """Labelled training examples in all, drawn by `seed`."""
    metric: Literal["auto", "accuracy", "f1_macro", "f1_weighted", "mcc"]
    """Chooses the best model; auto: accuracy, or macro F1 when the largest class is over 4 times the smallest."""
    epochs: Count
    """What training.epochs is unless given."""


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


SOLVED = ("svm", "logistic")
"""Heads that are solved on features of the frozen trunk, not trained step by step."""


@dataclass(frozen=True)
class FreezeNone:
    """Everything learns."""

    name: Literal["none"]
    lr_factor: Positive


@dataclass(frozen=True)
class FreezeTrunk:
    """Linear probing: all that the checkpoint brought stays, only the new head learns."""

    name: Literal["trunk"]
    lr_factor: Positive


@dataclass(frozen=True)
class FreezeEmbeddings:
    """Word, position and type embeddings stay."""

    name: Literal["embeddings"]
    lr_factor: Positive


@dataclass(frozen=True)
class FreezeBottom:
    """Embeddings and the lowest layers stay."""

    name: Literal["bottom"]
    lr_factor: Positive
    layers: Annotated[int, Range(at_least=1)] | Share
    """How many layers from the bottom: a whole number, or a share of them such as 0.5."""


@dataclass(frozen=True)
class FreezePattern:
    """Parameters whose name matches a regular expression stay."""

    name: Literal["pattern"]
    lr_factor: Positive
    pattern: str
    """Regular expression, searched for in parameter names."""


@dataclass(frozen=True)
class FreezeAllButBias:
    """BitFit (arXiv:2106.10199): only biases and the head learn."""

    name: Literal["all_but_bias"]
    lr_factor: Positive


@dataclass(frozen=True)
class FreezeAllButNorms:
    """Only weights and biases of normalization layers and the head learn."""

    name: Literal["all_but_norms"]
    lr_factor: Positive


@dataclass(frozen=True)
class FreezeGradual:
    """Gradual unfreezing (ULMFiT, arXiv:1801.06146): from the top down one layer more learns every time."""

    name: Literal["gradual"]
    lr_factor: Positive
    every: Positive
    """Epochs between one layer and the next; below 1: several layers in an epoch."""
    every_steps: Count | None
    """Optimizer steps between one layer and the next, instead of epochs."""
    head_first: NotNegative
    """Epochs in which only the head learns, before the first layer does."""


@dataclass(frozen=True)
class FreezePhase:
    """One entry of freeze.phases; what may be null may be left out."""

    until: Positive | None
    """Epoch at whose end the phase ends, counted from the beginning of the run; the last phase ends with the run."""
    until_steps: Count | None
    """Optimizer step at which it ends, instead of an epoch."""
    learns: int | float | str
    """all, head, so many layers from the top (a number, or a share such as 0.5), or a regular expression for names."""
    lr_factor: Positive | None
    """On the scheduled rates; null: 1."""
    patience: Count | None
    """Evaluations without gain within the phase after which the next begins; after the last training stops."""


@dataclass(frozen=True)
class FreezeSchedule:
    """Phases, one after the other."""

    name: Literal["schedule"]
    lr_factor: Positive
    phases: list[FreezePhase]
    """The phases in their order."""


Freeze = (
    FreezeNone
    | FreezeTrunk
    | FreezeEmbeddings
    | FreezeBottom
    | FreezePattern
    | FreezeAllButBias
    | FreezeAllButNorms
    | FreezeGradual
    | FreezeSchedule
)


@dataclass(frozen=True)
class NoAdapter:
    """Nothing is put in."""

    name: Literal["none"]
    lr_factor: Positive


@dataclass(frozen=True)
class Lora:
    """LoRA (arXiv:2106.09685): beside chosen weights of the trunk a product of two small matrices learns."""

    name: Literal["lora"]
    lr_factor: Positive
    rank: Count
    """Width between the two matrices."""
    alpha: Positive
    """What is learned counts alpha / rank times."""
    dropout: Annotated[float, Range(at_least=0, below=1)]
    """On the input of the two matrices."""
    targets: list[Literal["query", "key", "value", "output", "feed_forward"]]
    """Beside which weights of a layer, by role: the same for every architecture."""


Adapter = NoAdapter | Lora


@dataclass(frozen=True)
class FineTune:
    """Training goes on from the pretrained weights on the task's labels."""

    name: Literal["finetune"]


Schedule = Literal[
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "constant",
    "constant_with_warmup",
    "inverse_sqrt",
    "slanted_triangular",
]


@dataclass(frozen=True)
class Adam:
    """Adam, or AdamW (decoupled weight decay, arXiv:1711.05101)."""

    name: Literal["adamw", "adam"]
    lr: Positive
    """Peak learning rate of what lies at the top of the trunk."""
    head_lr: Positive | None
    """Learning rate of the new head; null: the same as lr."""
    layer_decay: Annotated[float, Range(above=0, at_most=1)]
    """Each layer further down learns at this factor of the one above; 1: all alike."""
    weight_decay: NotNegative
    """Not applied to biases and norms."""
    schedule: Schedule
    warmup: NotNegative
    """Steps (1 or more) or share of all steps (below 1) in which the rate rises from 0."""
    betas: list[Annotated[float, Range(at_least=0, below=1)]]
    eps: Positive


@dataclass(frozen=True)
class Sgd:
    """Stochastic gradient descent."""

    name: Literal["sgd"]
    lr: Positive
    head_lr: Positive | None
    layer_decay: Annotated[float, Range(above=0, at_most=1)]
    weight_decay: NotNegative
    schedule: Schedule
    warmup: NotNegative
    momentum: Annotated[float, Range(at_least=0, below=1)]
    nesterov: bool


Optimizer = Adam | Sgd


@dataclass(frozen=True)
class Hardware:
    """Where and in which precision."""

    name: str
    device: Literal["auto", "cpu", "cuda", "mps"]
    precision: Literal["auto", "fp32", "bf16", "fp16"]
    """auto: bf16 where native, else fp16 with a scaler on a GPU; fp32 on a CPU and on mps."""
    compile: bool
    """torch.compile; pays for long runs on a GPU."""
    threads: Literal["auto"] | Count
    """CPU threads; auto: 1 for models under 5 M parameters, else one per core."""


@dataclass(frozen=True)
class EarlyStopping:
    """Stop when validation does not get better."""

    patience: Count | None
    """Evaluations without gain before stopping; null: never."""
    min_delta: NotNegative
    """What counts as a gain."""


@dataclass(frozen=True)
class Training:
    """How long, in which portions, and how often it is looked at."""

    epochs: Count
    max_steps: Count | None
    """Optimizer steps in all, instead of epochs."""
    batch_size: Count
    """Examples per optimizer step, whatever the hardware."""
    micro_batch_size: Literal["auto"] | Count
    """Examples per forward pass; auto: the batch, halved whenever memory runs out."""
    eval_batch_size: Count
    clip: Positive | None
    """Largest norm of the gradient."""
    eval_every: Literal["epoch"] | Count
    """Evaluate after each epoch, or every so many steps."""
    checkpoint_every: Count | None
    """Steps between checkpoints; null: at each evaluation."""
    keep_checkpoints: Count
    """How many of the newest checkpoints stay."""
    log_every: Count
    """Steps between records of the training loss."""
    early_stopping: EarlyStopping


@dataclass(frozen=True)
class Features:
    """The activation store: what frozen layers compute is computed once, and shared between epochs and runs."""

    mode: Literal["auto", "off", "require"]
    """auto: stored where something is frozen below all that learns; off: computed anew; require: an error otherwise."""
    path: str | None
    """Folder of the store; null: under TL_RUN_CACHE or the user's cache folder."""
    max_gb: Positive
    """Largest size of the store; what was unused for longest goes first."""


@dataclass(frozen=True)
class Sweep:
    """What belongs to a multirun as a whole."""

    name: str
    """The sweep's folder under outputs/sweeps."""


@dataclass(frozen=True)
class Run:
    """One resolved, checked experiment."""

    task: Classification
    model: Model
    freeze: Freeze
    adapter: Adapter
    transfer: FineTune
    optimizer: Optimizer
    hardware: Hardware
    training: Training
    seed: Whole
    features: Features
    sweep: Sweep
    resume: str | None
    """Folder of a run to go on with."""
    plan: bool
    """Print what would run, and run nothing (also: tl-run --plan)."""
