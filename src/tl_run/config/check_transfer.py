"""What a method of transfer needs, and what it cannot be combined with."""

from importlib.util import find_spec

from tl_run.config.names import did_you_mean
from tl_run.config.options import (
    SOLVED,
    Adaptation,
    Cdan,
    Classification,
    Distill,
    DistillRelations,
    Episodes,
    Federated,
    FineTune,
    FrozenFeatures,
    Images,
    InstanceWeighting,
    L2sp,
    MetaLearning,
    Mixout,
    Multitask,
    Protonet,
    Rdrop,
    Regression,
    Relation,
    Run,
    SelfTraining,
    Several,
    Taught,
)
from tl_run.errors import BadOption


def check_transfer(run: Run) -> None:
    """Raises: BadOption, with what to type."""
    hardware, method = run.hardware, run.transfer
    transfer = f"transfer={method.name}"
    if isinstance(run.task, Episodes) or isinstance(method, MetaLearning):
        _check_episodes(run)
        return
    if method.name == "finetune":
        return
    if isinstance(method, FrozenFeatures):
        _check_features(run, method)
        return
    if run.model.head in SOLVED:
        raise BadOption(f"model.head={run.model.head} is solved, not trained in steps: type transfer=finetune")
    if hardware.shard:
        raise BadOption(
            f"{transfer}: only transfer=finetune trains a model that is split up: type hardware.shard=false"
        )
    micro = run.training.micro_batch_size
    if not method.divisible and micro not in ("auto", run.training.batch_size):
        raise BadOption(
            f"training.micro_batch_size={micro}: {transfer} compares whole batches, which cannot be cut: type "
            "training.micro_batch_size=auto; if memory runs out, a smaller training.batch_size"
        )
    if not method.divisible and hardware.ranks > 1:
        raise BadOption(
            f"{transfer} compares whole batches, which several processes cannot share: type hardware.processes=1 and "
            "hardware.nodes=1"
        )
    if isinstance(method, Adaptation):
        _check_adaptation(run, method)
    if isinstance(method, InstanceWeighting):
        _check_domain(run, transfer)
        if not isinstance(run.task, Classification | Regression | Relation) or getattr(run.task, "multi_label", False):
            raise BadOption(
                f"{transfer} weighs texts with one label or number each: task={run.task.name} has others; it goes with "
                "classification, regression and relation"
            )
    if isinstance(method, SelfTraining):
        _check_domain(run, transfer)
        _check_classes(run, transfer, "learns from labels that the model gives")
    if isinstance(method, Multitask):
        _check_multitask(run, method)
    if isinstance(method, Federated):
        _check_federated(run, method)
    if isinstance(method, L2sp | Mixout):
        _check_start(run, transfer)
    if isinstance(method, Rdrop):
        _check_classes(run, transfer, "makes two predictions for each example agree")
    if isinstance(method, Taught):
        _check_taught(run, method)


SHARING = ("classification", "regression", "tagging", "relation", "srl", "qa")
"""Kinds of task whose heads may stand side by side on one trunk."""


def _check_multitask(run: Run, method: Multitask) -> None:
    """Heads that stand on one trunk, scores with a mean, and weights of the tasks that there are."""
    assert isinstance(run.task, Several)
    for name, task in run.task.tasks.items():
        if task.kind not in SHARING:
            raise BadOption(
                f"transfer.tasks: {name} (task.kind={task.kind}) has no head that could stand beside others on one "
                f"encoder: it goes with {', '.join(SHARING)}"
            )
        if task.metric == "rmse":
            raise BadOption(
                f"transfer.options.{name}.metric=rmse: less is better, and the best model is chosen by the mean of all "
                f"tasks' metrics: type transfer.options.{name}.metric=spearman"
            )
    if run.hardware.compile:
        raise BadOption("transfer=multitask: of several heads none is the model: type hardware.compile=false")
    if run.features.mode == "require":
        raise BadOption("transfer=multitask: nothing is stored for several heads: type features.mode=auto")
    known, weights = [*run.task.tasks], method.weights or {}
    for name in weights:
        if name not in known:
            near = did_you_mean(name, known) or f" The tasks are {', '.join(known)}"
            raise BadOption(f"transfer.weights.{name}: there is no such task.{near}")
    if method.weighting == "uncertainty" and weights:
        raise BadOption("transfer.weights does nothing with transfer.weighting=uncertainty: leave one of the two out")
    if not any(weights.get(name, 1) for name in known):
        raise BadOption("transfer.weights: all are 0, and nothing would learn: type transfer.weights=null")


def _check_episodes(run: Run) -> None:
    """Methods and tasks of episodes need each other, and an episode is of one process and one piece."""
    method, task, hardware = run.transfer, run.task, run.hardware
    transfer = f"transfer={method.name}"
    if not isinstance(task, Episodes):
        raise BadOption(
            f"{transfer} learns from episodes of new classes, and task={task.name} has none: type task=episodes, with "
            "task.train=<file> of many classes"
        )
    if not isinstance(method, MetaLearning | FineTune):
        raise BadOption(
            f"{transfer} learns from single examples, and task={task.name} asks for new classes: type "
            "transfer=protonet, reptile, maml, or finetune, which takes each episode by itself"
        )
    if hardware.ranks > 1:
        raise BadOption(f"task={task.name}: episodes are of one process: type hardware.processes=1 hardware.nodes=1")
    if hardware.compile:
        raise BadOption(f"{transfer}: weights that adapt are not those that were compiled: type hardware.compile=false")
    if run.training.micro_batch_size != "auto":
        raise BadOption(
            f"training.micro_batch_size={run.training.micro_batch_size}: episodes are not cut: type auto; if memory "
            "runs out, fewer task.queries, or a smaller task.max_length"
        )
    if run.freeze.name in ("gradual", "schedule"):
        raise BadOption(f"freeze={run.freeze.name}: what learns in an episode is fixed: type freeze=none or bottom")
    if hardware.precision == "fp16" and not isinstance(method, Protonet):
        raise BadOption(f"{transfer}: inner steps have no scaler: type hardware.precision=bf16 or fp32")


def _check_taught(run: Run, method: Taught) -> None:
    """A teacher of the same classes, and vectors that can follow its own."""
    transfer = f"transfer={method.name}"
    if not method.teacher:
        raise BadOption(f"{transfer} needs a teacher: type transfer.teacher=<folder of a finished run of this task>")
    _check_classes(run, transfer, "asks a teacher for classes")
    if isinstance(run.task, Images):
        raise BadOption(f"{transfer}: task={run.task.name} has no texts for a teacher to read: type transfer=finetune")
    compares = isinstance(method, DistillRelations) or (isinstance(method, Distill) and method.hidden)
    if compares and run.freeze.name == "trunk" and run.model.head in ("stock", "linear", "layer"):
        raise BadOption(
            f"{transfer} and freeze=trunk: the vectors that shall be like the teacher's would stay as they are: type "
            "freeze=none" + (", or transfer.hidden=0" if isinstance(method, Distill) else "")
        )


def _check_federated(run: Run, method: Federated) -> None:
    """Classes to split by, and what privacy is counted from."""
    transfer = f"transfer={method.name}"
    if run.hardware.precision == "fp16":
        raise BadOption(
            f"{transfer}: clients take steps of their own, without a scaler: type hardware.precision=bf16 or fp32"
        )
    if method.split == "dirichlet":
        _check_classes(run, f"{transfer} transfer.split=dirichlet", "splits classes among clients")
    if not method.noise:
        return
    if method.clip is None:
        raise BadOption(
            f"transfer.noise={method.noise:g} hides a client only where its update has a largest norm: type "
            "transfer.clip=1"
        )
    if find_spec("opacus") is None:
        raise BadOption("transfer.noise: epsilon is counted by opacus, which is missing: pip install 'tl-run[privacy]'")


def _check_start(run: Run, transfer: str) -> None:
    """There are starting weights, and they may move."""
    if not run.model.pretrained:
        raise BadOption(
            f"{transfer} goes back to pretrained weights, and model={run.model.name} has none here: type "
            "transfer=finetune, or a pretrained model"
        )
    if run.adapter.name != "none":
        raise BadOption(
            f"{transfer}: with adapter={run.adapter.name} the pretrained weights stay as they are anyway: "
            "type adapter=none, or transfer=finetune"
        )
    if run.freeze.name == "trunk":
        raise BadOption(
            f"{transfer}: with freeze=trunk the pretrained weights stay as they are anyway: type "
            "freeze=none, or transfer=finetune"
        )


def _check_classes(run: Run, transfer: str, why: str) -> None:
    """One class for each example."""
    task = run.task
    if not isinstance(task, Classification | Relation | Images) or getattr(task, "multi_label", False):
        raise BadOption(
            f"{transfer} {why}, one class of several: task={task.name} has none; it goes with "
            "classification, relation and images"
        )


def _check_domain(run: Run, transfer: str) -> None:
    if not run.task.domain.train:
        raise BadOption(
            f"{transfer} needs examples of the new domain, without labels: type task.domain.train=<file>, and "
            "task.domain.test=<file with labels> to score it"
        )


def _check_features(run: Run, method: FrozenFeatures) -> None:
    """A head that is solved, and no option that does nothing."""
    if run.model.head not in SOLVED:
        raise BadOption(
            "transfer=features prepares what a head is solved on: type model.head=logistic freeze=trunk, or "
            "model.head=svm"
        )
    domain = run.task.domain
    if method.align != "none" and not (domain.train and domain.test):
        raise BadOption(
            f"transfer.align={method.align} needs both task.domain.train=<file of the new domain> and "
            "task.domain.test=<file with labels>, which is scored by the aligned head"
        )
    if (method.select, method.autoencoder, method.tfidf, method.align) == ("none", None, False, "none"):
        raise BadOption(
            "transfer=features does nothing yet: type transfer.select=anova, transfer.autoencoder=32, "
            "transfer.tfidf=true or transfer.align=coral, or transfer=finetune"
        )


def _check_adaptation(run: Run, method: Adaptation) -> None:
    """Two domains, a vector for each example, and something below it that learns."""
    task, transfer = run.task, f"transfer={method.name}"
    _check_domain(run, transfer)
    if not (task.own_heads or isinstance(task, Images)) or getattr(task, "multi_label", False):
        raise BadOption(
            f"{transfer} compares one vector for each example: task={task.name} has none; it goes with classification, "
            "regression, relation and images"
        )
    if isinstance(method, Cdan) and isinstance(task, Regression):
        raise BadOption(f"{transfer} reads probabilities of classes: type transfer=dann with task={task.name}")
    if run.freeze.name == "trunk" and run.model.head in ("stock", "linear", "layer"):
        raise BadOption(
            f"{transfer} and freeze=trunk contradict each other: the vectors that shall become alike would stay "
            "as they are: type freeze=none, or freeze=bottom"
        )
