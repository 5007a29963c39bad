"""Several kinds as one: each reads, encodes, learns and scores its own examples, with a head of its own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tl_run import task
from tl_run.config.several import told
from tl_run.data.encoded import Encoded
from tl_run.data.splits import Splits
from tl_run.errors import BadOption
from tl_run.task.kind import Kind

if TYPE_CHECKING:
    from tl_run.evaluation import Evaluation

MEAN = "mean"
"""The metric: the mean of the main metrics of all tasks."""


class Of(NamedTuple):
    """An example of a task."""

    task: str
    example: Any


@dataclass(frozen=True)
class Parts(Encoded):
    """The rows of all tasks one after the other, of which each task's own are `parts[task]`."""

    parts: dict[str, Encoded] = field(default_factory=dict)

    @classmethod
    def of_each(cls, parts: Mapping[str, Encoded]) -> Parts:
        """Of what the model reads only the tokens are joined: more is a matter of each task."""
        rows = [part.rows for part in parts.values()]
        return cls(
            np.cumsum([0, *np.concatenate([part.lengths for part in rows])], dtype=np.int64),
            {"input_ids": np.concatenate([part.columns["input_ids"] for part in rows])},
            [f"{name}/{own}" for name, part in parts.items() for own in part.ids],
            np.zeros(sum(map(len, rows)), np.int64),
            parts=dict(parts),
        )


class Several(Kind):
    """What the run asks of a task, asked of each; what belongs to one carries its name."""

    def __init__(self, options: Any) -> None:
        self.options, self.metric = options, MEAN
        self.labels, self.notes, self.doubts = [], [], []
        self.kinds = {name: task.load(own) for name, own in options.tasks.items()}

    @property
    def auto_classes(self) -> set[str]:
        """Of transformers, those whose heads stand side by side."""
        return {kind.auto_class for kind in self.kinds.values()}

    def joined(self, splits: Mapping[str, Splits]) -> Splits:
        """The splits of all tasks in one; there is a test where each of them has one.

        Raises: BadOption for a metric of which less is better.
        """
        for name, kind in self.kinds.items():
            if not kind.higher_is_better:
                raise BadOption(f"transfer.options.{name}.metric={kind.metric}: less is better, and the mean is taken")
            self._take_notes(name)
        self.notes += [f"{name}: {note}" for name, own in splits.items() for note in own.notes]
        if lacking := [name for name, own in splits.items() if own.test is None]:
            self.notes.append(f"test: none, for {', '.join(lacking)} has none: validation is scored at the end")

        def all_of(split: str) -> list[Of]:
            return [Of(name, example) for name, own in splits.items() for example in getattr(own, split)]

        return Splits(all_of("train"), all_of("validation"), None if lacking else all_of("test"), [])

    def corpus(self, examples: Sequence[Of]) -> list[str]:
        return [text for name, kind in self.kinds.items() for text in kind.corpus(own(examples, name))]

    # -- model

    def meet(self, config: Any) -> None:
        for kind in self.kinds.values():
            kind.meet(config)

    def start(self, model: Any, new: Collection[str], train: Encoded) -> None:
        assert isinstance(train, Parts)
        for name, kind in self.kinds.items():
            prefix = f"heads.{name}."
            fresh = {tensor.removeprefix(prefix) for tensor in new if tensor.startswith(prefix)}
            kind.start(model.heads[name], fresh, train.parts[name])

    def encode(self, examples: Sequence[Of], tokenizer: Any, /) -> Parts:
        parts = {}
        for name, kind in self.kinds.items():
            with told(name):
                parts[name] = kind.encode(own(examples, name), tokenizer)
            self._take_notes(name)
        return Parts.of_each(parts)

    def settle(self, scores: Mapping[str, float]) -> None:
        for name, kind in self.kinds.items():
            kind.settle(self.own_scores(scores, name))

    # -- scores

    def scored(self, model: Any, encoded: Encoded, score: Callable[[Any, Kind, Encoded], Evaluation]) -> Evaluation:
        """Of each task its own scores as `<task>/<metric>`; `mean` is that of the main metrics, `loss` that of losses.

        The predictions are those of all tasks, one after the other.
        """
        assert isinstance(encoded, Parts)
        found = {name: score(model.heads[name], kind, encoded.parts[name]) for name, kind in self.kinds.items()}
        every = {f"{name}/{metric}": value for name, of in found.items() for metric, value in of.scores.items()}
        means = {
            MEAN: float(np.mean([of.scores[self.kinds[name].metric] for name, of in found.items()])),
            "loss": float(np.mean([of.scores["loss"] for of in found.values()])),
        }
        return type(next(iter(found.values())))(
            means | every,
            {"tasks": {name: of.tables for name, of in found.items()}},
            [prediction for of in found.values() for prediction in of.predictions],
        )

    @staticmethod
    def own_scores(scores: Mapping[str, float], name: str) -> dict[str, float]:
        """Of the scores of all tasks those of one, under their own names."""
        return {key.removeprefix(f"{name}/"): value for key, value in scores.items() if key.startswith(f"{name}/")}

    def describe(self, example: Of, prediction: Any) -> dict[str, Any]:
        return self.kinds[example.task].describe(example.example, prediction)

    def inputs(self, example: Of) -> dict[str, Any]:
        return self.kinds[example.task].inputs(example.example)

    def _take_notes(self, name: str) -> None:
        for mine, own in ((self.notes, self.kinds[name].notes), (self.doubts, self.kinds[name].doubts)):
            mine += [f"{name}: {each}" for each in own]
            own.clear()


def own(examples: Sequence[Of], name: str) -> list[Any]:
    """The examples of one task."""
    return [each.example for each in examples if each.task == name]
