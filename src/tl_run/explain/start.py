"""The model as it was before its run changed it: the checkpoint it began with, or the same random weights."""

from typing import Any

from tl_run import embedded, hub, identity
from tl_run.errors import BadInput
from tl_run.finished import Finished
from tl_run.model import pretrained
from tl_run.model.design import Design
from tl_run.task.kind import Kind


def start(run: Finished) -> Any:
    """The model that a run of texts with labels or numbers began with, in eval mode on the CPU.

    Raises: Failure when its weights cannot be found any more, or are others now.
    """
    options, kind = run.options.model, run.kind
    folder = run.model  # of random weights only the shape is needed, and the same seed draws the same
    if options.pretrained:
        if options.path.startswith(embedded.PREFIX):
            folder = embedded.locate(kind.tiny if options.path == Kind.tiny else options.path)
        else:
            wanted = hub.Wanted("model", options.path, "model.path", "model=tiny", options.revision)
            folder = hub.find([wanted])[0].folder
        if identity.of_model(folder) != identity.without_others(run.weights):
            raise BadInput(f"{options.path}: what lies there now are not the files that the run began with")
    return pretrained.load(
        folder,
        kind.auto_class,
        kind.head(),
        pretrained=options.pretrained,
        max_length=run.options.task.max_length,
        seed=run.options.seed,
        name=options.name,
        copy=options.copy,
        design=Design(options.head, options.head_layer, options.pooling, options.dropout),
    ).model
