"""The kinds of task. A kind reads examples, encodes and collates them, and knows its loss, metrics and head."""

from importlib import import_module
from typing import Any

KINDS = {
    "classification": "tl_run.task.classification:Classification",
    "episodes": "tl_run.task.episodes:Episodes",
    "lm": "tl_run.task.next_sentence:NextSentence",
    "image_text": "tl_run.task.image_text:ImageText",
    "images": "tl_run.task.images:Images",
    "qa": "tl_run.task.qa:QuestionAnswering",
    "generation": "tl_run.task.generation:Generation",
    "regression": "tl_run.task.regression:Regression",
    "tagging": "tl_run.task.tagging:Tagging",
    "srl": "tl_run.task.srl:Srl",
    "similarity": "tl_run.task.similarity:Similarity",
    "relation": "tl_run.task.relation:Relation",
    "triples": "tl_run.task.triples:Triples",
    "several": "tl_run.task.several:Several",
}


def load(options: Any) -> Any:
    """The task for its checked options."""
    module, name = KINDS[options.kind].split(":")
    return getattr(import_module(module), name).of(options)
