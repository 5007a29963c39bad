"""How training examples are changed, and no others: one augmentation per file."""

from importlib import import_module
from typing import Any

AUGMENTATIONS = {
    "none": "tl_run.augment.augmented:Augmented",
    "eda": "tl_run.augment.eda:Eda",
    "token_dropout": "tl_run.augment.token_dropout:TokenDropout",
    "mixup": "tl_run.augment.mixup:Mixup",
    "back_translation": "tl_run.augment.back_translation:BackTranslation",
    "images": "tl_run.augment.augmented:Augmented",  # the kind of task does it, as task.flip and task.crop say
}


def make(options: Any, **given: Any) -> Any:
    """The task with other training batches, as `augment.*` asks; see `augmented.Augmented` for what it is given."""
    module, name = AUGMENTATIONS[options.name].split(":")
    return getattr(import_module(module), name)(options, **given)
