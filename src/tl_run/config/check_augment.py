"""What an augmentation needs, and what it cannot be combined with."""

from tl_run.config.options import SOLVED, Eda, Mixup, PictureChanges, Run, TokenDropout
from tl_run.errors import BadOption

KINDS = {
    "eda": ("classification", "regression"),
    "token_dropout": ("classification", "regression", "relation", "similarity", "tagging", "srl", "qa"),
    "mixup": ("classification", "regression", "relation"),
    "back_translation": ("classification", "regression"),
    "images": ("images",),
}
"""The kinds of task whose labels stay right."""
WHY_NOT = {
    "eda": "there is no text that may change while its labels stay",
    "token_dropout": "no tokens are read of which some may be missing",
    "mixup": "there is no one label, or number, of which two could be mixed",
    "back_translation": "there is no text that may change while its labels stay",
    "images": "there are no pictures of a class",
}
SIMPLE = ("finetune", "l2sp", "mixout", "rdrop")
METHODS = {
    "mixup": SIMPLE,
    "images": None,
    **dict.fromkeys(
        ("eda", "token_dropout", "back_translation"),
        (
            *SIMPLE,
            *("distill", "distill_relations", "mmd", "coral", "dann", "cdan"),
            *("instance_weighting", "self_training", "fedavg", "fedprox"),
        ),
    ),
}
"""The methods of transfer that go with it; None: all that the task goes with."""


def check_augment(run: Run) -> None:
    """Raises: BadOption, with what to type."""
    augment, task = f"augment={run.augment.name}", run.task
    if run.augment.name == "none":
        return
    kinds = KINDS[run.augment.name]
    if task.kind not in kinds:
        others = [name for name in ("token_dropout", "images") if task.kind in KINDS[name]]
        instead = ["task=images"] if isinstance(run.augment, PictureChanges) else [f"augment={name}" for name in others]
        raise BadOption(
            f"{augment}: with task={task.name} {WHY_NOT[run.augment.name]}; it goes with {', '.join(kinds)}: type "
            f"{', or '.join([*instead, 'augment=none'])}"
        )
    if run.model.head in SOLVED:
        raise BadOption(
            f"{augment}: model.head={run.model.head} is solved once, on features of the examples as they are: type "
            "augment=none, or model.head=linear"
        )
    methods = METHODS[run.augment.name]
    if methods and run.transfer.name not in methods:
        raise BadOption(
            f"{augment} does not go with transfer={run.transfer.name}; it goes with {', '.join(methods)}: type "
            "augment=none, or transfer=finetune"
        )
    if run.augment.anew and run.features.mode == "require":
        raise BadOption(
            f"{augment}: training texts change with every epoch, so no states of them are stored: type "
            "features.mode=auto, or augment=none"
        )
    if isinstance(run.augment, Eda):
        _check_synonyms(run.augment)
    if isinstance(run.augment, TokenDropout):
        _check_places(run, run.augment)
    if isinstance(run.augment, Mixup):
        _check_mixup(run, run.augment)
    if isinstance(run.augment, PictureChanges):
        _check_pictures(run, run.augment)


def _check_synonyms(eda: Eda) -> None:
    """A list where synonyms are asked for, and a use for the list."""
    if eda.synonyms is None and (eda.insert or eda.replace):
        name, rate = ("insert", eda.insert) if eda.insert else ("replace", eda.replace)
        raise BadOption(
            f"augment.{name}={rate:g} puts in synonyms, and none are known: type augment.synonyms=<file with a group "
            f"of words on each line>, or augment.{name}=0"
        )
    if eda.synonyms is not None and not (eda.insert or eda.replace):
        raise BadOption(
            f"augment.synonyms={eda.synonyms} does nothing yet: type augment.insert=0.1 augment.replace=0.1"
        )


def _check_places(run: Run, dropout: TokenDropout) -> None:
    """Labels of tokens stay where the tokens stay."""
    if dropout.how == "drop" and run.task.kind in ("tagging", "srl", "qa"):
        raise BadOption(
            f"augment.how=drop: task={run.task.name} learns labels of places, which would move: type augment.how=mask "
            "or augment.how=unk"
        )


def _check_mixup(run: Run, mixup: Mixup) -> None:
    """The embeddings can be reached, and both losses count alike."""
    if getattr(run.task, "class_weights", "none") != "none":
        raise BadOption(
            "augment=mixup: two labels with weights of their own have no one weight: type task.class_weights=none, or "
            "augment=none"
        )
    if run.hardware.shard:
        raise BadOption(
            "augment=mixup reads two texts as one, which a model that is split up does not: type hardware.shard=false"
        )
    if mixup.at == "sentence":
        return
    if run.hardware.compile:
        raise BadOption(
            "augment.at=embeddings: a compiled model takes no embeddings from outside: type "
            "hardware.compile=false, or augment.at=sentence"
        )
    if run.task.kind == "relation":
        raise BadOption(
            f"augment.at=embeddings: task={run.task.name} reads the places of entities, which two texts do "
            "not share: type augment.at=sentence"
        )


def _check_pictures(run: Run, pictures: PictureChanges) -> None:
    """Typed in both places, both say the same."""
    for name in ("flip", "crop"):
        own, other = getattr(run.task, name), getattr(pictures, name)
        if own != other:
            raise BadOption(
                f"augment.{name}={str(other).lower()} and task.{name}={str(own).lower()} contradict each other: type "
                "one of the two"
            )
