"""Few shots of new classes: each split has classes of its own, and is scored by the mean accuracy over episodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tl_run.data.encoded import Encoded
from tl_run.data.episodes import Answer, divide
from tl_run.data.table import Table, quoted
from tl_run.errors import BadOption
from tl_run.task.classes import Classes, in_order, likeliest
from tl_run.task.kind import named, refuse
from tl_run.task.texts import Example, Texts

SPLITS = ("train", "validation", "test")
NORMAL = 1.96  # 95 % of a normal distribution lie within so many standard deviations


class Episodes(Classes, Texts):
    """Classification whose classes are others in each split; `labels` are those of all splits."""

    pooling = "mean"
    input_note = (
        "Its classes are the places of an episode and have no names: what it brings to another task is the trunk, "
        "whose pooled vectors are `model.states(**inputs)[0]`."
    )

    # -- reading

    @property
    def shots(self) -> None:
        """Episodes draw their own."""
        return None

    def read(self, sources: Mapping[str, Table]) -> dict[str, list[Example]]:
        """Classes that have no file of their own are held out from train. Raises: BadInput."""
        found = super().read(sources)
        of = {split: {e.label for e in rows if e.label is not None} for split, rows in found.items()}
        self._refuse_shared(sources, of)
        files = {split: sources[split if split in sources else "train"].path for split in SPLITS}
        if missing := [split for split in ("validation", "test") if split not in found]:
            parts = self._hold_out(sorted(of["train"]), missing)
            every = found["train"]
            found |= {split: [e for e in every if e.label in own] for split, own in parts.items() if split != "train"}
            held = {label for split, own in parts.items() if split != "train" for label in own}
            found["train"] = [e for e in every if e.label not in held]
            of |= parts
        self._refuse_few(found, of, files)
        counts = ", ".join(f"{len(of[split])} {split}" for split in SPLITS)
        how = f", held out by task.split_seed={self.options.split_seed}" if missing else ""
        self.notes.append(f"classes: {counts}; no class is in two splits{how}")
        return found

    def read_labels(self, sources: Mapping[str, Table], problems: list[str]) -> dict[str, list[int | None]]:
        """The labels are those of all files, sorted."""
        names = {split: self._label_names(rows, problems) for split, rows in sources.items()}
        self.labels = in_order({name for own in names.values() for name in own if name is not None})
        index = {name: i for i, name in enumerate(self.labels)}
        return {split: [None if name is None else index[name] for name in own] for split, own in names.items()}

    def check(self, rows: Table, labels: Sequence[int | None], problems: list[str]) -> None:
        """Nothing: what a split needs is told when its classes are known."""

    def _refuse_shared(self, sources: Mapping[str, Table], of: Mapping[str, set[int]]) -> None:
        problems = []
        for i, split in enumerate(SPLITS):
            for other in SPLITS[:i]:
                if shared := sorted(of.get(split, set()) & of.get(other, set())):
                    shown = ", ".join(quoted(self.labels[label]) for label in shared[:3])
                    more = f" and {len(shared) - 3} more" if len(shared) > 3 else ""
                    problems.append(
                        f"{sources[split].path}: {shown}{more} occur in {sources[other].path} too, and {split} shall "
                        f"ask for new classes: leave them out, or type task.{split}=null to hold classes out from train"
                    )
        refuse(problems)

    def _hold_out(self, classes: Sequence[int], missing: Sequence[str]) -> dict[str, set[int]]:
        shares = {"validation": self.options.validation_share, "test": self.options.test_share}
        sizes = {name: round(share * len(classes)) if name in missing else 0 for name, share in shares.items()}
        parts = divide(len(classes), sizes["validation"], sizes["test"], self.options.split_seed)
        found = {split: {classes[i] for i in own} for split, own in zip(SPLITS, parts, strict=True)}
        return {split: own for split, own in found.items() if split == "train" or split in missing}

    def _refuse_few(
        self, found: Mapping[str, Sequence[Example]], of: Mapping[str, set[int]], files: Mapping[str, str]
    ) -> None:
        """Raises: BadInput where an episode cannot be drawn."""
        o, problems = self.options, []
        for split in SPLITS:
            if len(of[split]) < o.ways:
                problems.append(
                    f"{files[split]}: task.ways={o.ways}, but {split} has {len(of[split])} classes: type fewer ways"
                    + ("" if split == "train" else f", or a larger task.{split}_share")
                )
            counts = Counter(e.label for e in found[split] if e.label is not None)
            problems += [
                f"{files[split]}: class {quoted(self.labels[label])} has {count} examples, and an episode takes "
                f"{o.shots + o.queries} of each (task.shots + task.queries): type fewer, or leave the class out"
                for label, count in sorted(counts.items())
                if count < o.shots + o.queries
            ]
        refuse(problems)

    def read_unlabelled(self, rows: Table) -> list[Example]:
        """Raises: BadOption, for the model has no classes of its own."""
        raise BadOption(
            "a run of task.kind=episodes has learned how to learn, and no classes: give it your examples in a run of "
            "their own: tl-run task=classification task.train=<file> model=custom model.from_run=<this run>"
        )

    # -- model

    def head(self) -> dict[str, Any]:
        """A place for each class of an episode."""
        return named([f"way_{i}" for i in range(self.options.ways)])

    # -- scores

    def metrics(self, predictions: Sequence[Any], encoded: Encoded) -> dict[str, float]:
        """The mean over episodes of the share of queries that is right."""
        return {"accuracy": float(self._accuracies(predictions, encoded).mean())}

    def tables(self, predictions: Sequence[Any], encoded: Encoded) -> dict[str, Any]:
        """How sure the mean is: mean +- 1.96 sd / sqrt(n), sd with n - 1 below."""
        found = self._accuracies(predictions, encoded)
        n = len(found)
        half = NORMAL * float(found.std(ddof=1)) / n**0.5 if n > 1 else None
        mean = float(found.mean())
        interval = None if half is None else [mean - half, mean + half]
        return {
            "episodes": {"count": n, "ways": self.options.ways, "shots": self.options.shots, "interval_95": interval}
        }

    def _accuracies(self, predictions: Sequence[Answer], encoded: Encoded) -> np.ndarray:
        """Of each episode: (episodes,)."""
        right = [a.classes[a.probabilities.argmax()] == encoded.labels[a.row] for a in predictions]
        episodes = np.array([a.episode for a in predictions])
        return np.bincount(episodes, right) / np.bincount(episodes)

    def lines(self, examples: Sequence[Example], predictions: Sequence[Answer]) -> list[dict[str, Any]]:
        """A line for each query; an example can be asked for in several episodes."""
        return [self._line(examples[answer.row], answer) for answer in predictions]

    def _line(self, example: Example, answer: Answer) -> dict[str, Any]:
        line = self.inputs(example)
        place = {"id": f"{answer.episode}/{example.id}", "episode": answer.episode, "example": example.id}
        return line | place | likeliest([self.labels[label] for label in answer.classes], answer.probabilities)
