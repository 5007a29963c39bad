"""One run as a whole."""

from dataclasses import dataclass
from typing import Literal

from tl_run.config.options.adapter import Adapter
from tl_run.config.options.augment import Augment
from tl_run.config.options.freeze import Freeze
from tl_run.config.options.model import Model
from tl_run.config.options.optimizer import Optimizer
from tl_run.config.options.ranges import Count, NotNegative, Positive, Whole
from tl_run.config.options.task import Task
from tl_run.config.options.transfer import Transfer


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
    """CPU threads of a process; auto: 1 for models under 5 M parameters, else one per core."""
    processes: Count
    """Processes on each node that share every batch; on GPUs one each."""
    nodes: Count
    """Machines on each of which the same command is typed."""
    endpoint: str | None
    """host:port where several nodes find each other: the name of one of them, and a port that is free there."""
    shard: bool
    """FSDP2: weights, gradients and the optimizer's moments are split over the processes, for what fits into none."""
    elastic: bool
    """Go on with a run that was begun by another number of processes: the same data order, not the same bits."""

    @property
    def ranks(self) -> int:
        """Processes in all."""
        return self.processes * self.nodes


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

    epochs: Whole
    """0: nothing is trained, and the model is scored as it is."""
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
    keep_checkpoints: Whole
    """How many of the newest checkpoints stay; 0: one while it trains, none once the run is done."""
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
    fail_fast: bool
    """Whether no other job begins once one has failed."""
    retries: Whole
    """How often a job that failed is tried again, unless its options or data are at fault."""
    timeout: Positive | None
    """Seconds for a job; then it stops with a checkpoint, and counts as failed."""
    study: str | None
    """The study that the job is a trial of; hydra/sweeper=study sets it."""
    trial: Whole | None
    """The trial's number there."""


@dataclass(frozen=True)
class Run:
    """One resolved, checked experiment."""

    task: Task
    model: Model
    freeze: Freeze
    adapter: Adapter
    transfer: Transfer
    augment: Augment
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
