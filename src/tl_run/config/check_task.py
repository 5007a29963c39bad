"""What the options of each kind of task need from each other, and from the model."""

from tl_run.config.options import (
    SOLVED,
    Classification,
    Generation,
    Images,
    ImageText,
    LanguageModel,
    Model,
    QuestionAnswering,
    Relation,
    Run,
    Similarity,
    Task,
    TransE,
    Triples,
)
from tl_run.errors import BadOption


def check_task(run: Run) -> None:
    """Raises: BadOption, with what to type."""
    task = run.task
    if isinstance(task, QuestionAnswering) and task.stride >= task.max_length:
        raise BadOption(
            f"task.stride={task.stride} tokens are shared by two windows of task.max_length={task.max_length}: type "
            "fewer"
        )
    if isinstance(task, Generation):
        _check_generation(task)
    if isinstance(task, LanguageModel):
        _check_language_model(task)
    if isinstance(task, Similarity):
        _check_similarity(task, run.model)
    _check_vision(run)
    if isinstance(task, Classification):
        _check_labels(task)
    if isinstance(task, Classification | Images | Relation):
        _check_weights(task, run.model.head)
    if isinstance(task, Relation) and (task.head is None) != (task.tail is None):
        raise BadOption("task.head and task.tail name the columns of both entities: type both, or none for <e1>, <e2>")
    _check_graph(task, run.model)


def _check_vision(run: Run) -> None:
    """Two encoders for pictures with texts, and one for all else."""
    task, model = run.task, run.model
    if not isinstance(task, ImageText):
        if model.vision and model.path != "embedded:tiny":
            raise BadOption(f"model.vision={model.vision} does nothing with task={task.name}: leave it out")
        return
    if not model.vision:
        raise BadOption(f"task={task.name} reads pictures too: type model.vision=<hub id or folder>, or model=tiny")
    if task.prompt.count("{label}") != 1:
        raise BadOption(f"task.prompt='{task.prompt}': the class stands nowhere in it, or twice: type {{label}} once")
    if task.metric == "zero_shot_accuracy" and task.label is None:
        raise BadOption("task.metric=zero_shot_accuracy compares with classes: type task.label=<column>")
    if run.freeze.name in ("bottom", "embeddings", "gradual", "schedule"):
        raise BadOption(
            f"freeze={run.freeze.name}: two towers are not one stack of layers: type freeze=trunk, or freeze=pattern "
            "freeze.pattern=vision for the tower of pictures"
        )
    if run.adapter.name != "none" or model.copy is not None:
        raise BadOption(f"task={task.name} goes with adapter=none and without model.copy")


def _check_graph(task: Task, model: Model) -> None:
    """Triples need vectors of a graph, and those need triples."""
    if not isinstance(model, TransE):
        if isinstance(task, Triples):
            raise BadOption(f"task={task.name}: model={model.name} has no vectors of a graph: type model=transe")
        return
    if not isinstance(task, Triples):
        raise BadOption(f"model={model.name} has vectors of a graph, no text or picture goes in: type task=triples")
    if model.pretrained and model.path is None:
        raise BadOption("model.pretrained=true: nothing is there to begin with: type model.path=<source run>/model")
    if model.dropout is not None:
        raise BadOption(f"model.dropout={model.dropout:g} does nothing with model={model.name}: leave it out")


def _check_language_model(task: LanguageModel) -> None:
    causal, pairs = task.objective == "causal", task.next_sentence
    if causal and pairs:
        raise BadOption("task.next_sentence=true goes with hidden tokens: type task.objective=masked")
    if pairs and task.max_length < 5:
        raise BadOption(f"task.max_length={task.max_length}: two segments and what marks them take 5 tokens or more")
    if task.metric == "bits_per_character" and not causal:
        raise BadOption("task.metric=bits_per_character is counted with task.objective=causal: type perplexity")
    if task.metric == "sentence_accuracy" and not pairs:
        raise BadOption("task.metric=sentence_accuracy is counted of pairs: type task.next_sentence=true")


def _check_similarity(task: Similarity, model: Model) -> None:
    """The loss fits the columns, and what a vector alone has no use for is not given."""
    loss = f"task.loss={task.loss}"
    if task.text_pair is None:
        _check_texts_alone(task)
    if task.clusters is not None and task.label is not None:
        raise BadOption("task.clusters and task.label exclude each other: clusters are found without, type label=null")
    if task.metric == "nmi" and task.clusters is None:
        raise BadOption("task.metric=nmi compares clusters with labels: type task.clusters=<column>")
    if task.negative is not None and task.label is not None:
        raise BadOption("task.negative and task.label exclude each other: triplets have no label, type task.label=null")
    if task.loss.startswith("triplet") and task.negative is None:
        raise BadOption(f"{loss} needs triplets: type task.negative=<column> and task.label=null")
    if task.loss in ("cosine", "contrastive", "classifier") and task.label is None:
        raise BadOption(f"{loss} needs labels: type task.label=<column>")
    if task.loss == "in_batch" and task.label is not None:
        raise BadOption(
            f"{loss} reads pairs that belong together, all others in the batch do not: type task.label=null, with a "
            "file of such pairs"
        )
    if model.pooling == "attention":
        raise BadOption(
            "model.pooling=attention: task=similarity has no head that would learn it: type mean, cls or max"
        )
    if model.dropout is not None:
        raise BadOption(f"model.dropout={model.dropout:g} does nothing with task={task.name}: its vectors have no head")


def _check_texts_alone(task: Similarity) -> None:
    """A text that belongs to itself has neither a label nor a loss but one."""
    if task.label is not None or task.negative is not None or task.loss not in ("auto", "in_batch"):
        raise BadOption(
            "task.text_pair=null: texts alone have the loss in_batch, and no label: type task.label=null, or "
            "task.text_pair=<column>"
        )
    if task.clusters is None:
        raise BadOption(
            "task.text_pair=null: texts alone are judged by their clusters: type task.clusters=<column of labels>, "
            "which training does not see"
        )


def _check_generation(task: Generation) -> None:
    if task.prompt is not None and task.prompt.count("{source}") != 1:
        raise BadOption(f"task.prompt='{task.prompt}': the source stands nowhere in it, or twice: type {{source}} once")
    if task.beams == 1 and task.length_penalty != 1:
        raise BadOption(f"task.length_penalty={task.length_penalty:g} does nothing without beams: type task.beams=4")


def _check_labels(task: Classification) -> None:
    """Several labels for a text have scores and options of their own."""
    ours = ("f1_micro", "subset_accuracy") if task.multi_label else ("accuracy", "f1_weighted", "mcc")
    if task.metric not in (allowed := ("auto", "f1_macro", "pr_auc", *ours)):
        raise BadOption(
            f"task.metric={task.metric} is not counted with task.multi_label={str(task.multi_label).lower()}: "
            f"type one of {', '.join(allowed)}"
        )
    separator = task.label_separator
    if separator is not None and not task.multi_label:
        raise BadOption(f"task.label_separator='{separator}' does nothing without task.multi_label=true")
    if separator == "":
        raise BadOption("task.label_separator='': nothing would stand between labels: type task.label_separator=','")
    if task.multi_label and task.shots:
        raise BadOption(f"task.shots={task.shots}: a text with several labels is of no one class: type task.limit")
    if task.multi_label and task.class_weights != "none":
        raise BadOption("task.class_weights: a text with several labels is of no one class: type none")


def _check_weights(task: Classification | Images | Relation, head: str) -> None:
    if task.class_weights == "none":
        return
    if not task.class_weights:
        raise BadOption("task.class_weights={}: it names no label: type none, balanced, or {label:weight,...}")
    if task.class_weights == "balanced" and task.shots:
        raise BadOption(
            f"task.class_weights=balanced does nothing with task.shots={task.shots}, which draws as many of each "
            "class: type task.class_weights=none"
        )
    if head in SOLVED:
        raise BadOption(f"model.head={head} takes no task.class_weights: type task.class_weights=none, or another head")
