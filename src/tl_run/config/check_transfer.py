"""What a method of transfer needs, and what it cannot be combined with."""

from tl_run.config.options import SOLVED, Adaptation, Cdan, FrozenFeatures, Images, Regression, Run
from tl_run.errors import BadOption


def check_transfer(run: Run) -> None:
    """Raises: BadOption, with what to type."""
    hardware, method = run.hardware, run.transfer
    transfer = f"transfer={method.name}"
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
    if not task.domain.train:
        raise BadOption(
            f"{transfer} needs examples of the new domain, without labels: type task.domain.train=<file>, and "
            "task.domain.test=<file with labels> to score it"
        )
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
