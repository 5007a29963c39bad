"""Link prediction: triples of head, relation and tail, learned as translations and judged by filtered ranks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tl_run.config import options
from tl_run.data import triples
from tl_run.data.table import Table, nearest, quoted
from tl_run.errors import BadInput
from tl_run.task import ranks
from tl_run.task.kind import Kind, kind_of, refuse

if TYPE_CHECKING:
    import torch

FIXED = 0  # the draw by which models are compared: the same for every seed and epoch
BEST = 10  # tails that a predictions file names
USAGE = """```python
import torch
import tl_run
model, names = tl_run.load_model("<this folder>")
entities, relations = names.numbers("entities"), names.numbers("relations")
triple = [entities["<head>"], relations["<relation>"], entities["<tail>"]]
model(torch.tensor([[triple]])).distances  # (1, 1): the smaller, the likelier
model.entities(), model.relations()  # vectors in the order of names.entities and names.relations
```
"""


@dataclass(frozen=True)
class Triple:
    """Names of head, relation and tail; None where the tail is not known."""

    id: str
    head: str
    relation: str
    tail: str | None
    where: str
    """For messages: the place of the row."""


class Triples(Kind):
    """Learns a vector for each name of the train file, and ranks heads and tails among all entities."""

    auto_class = "AutoModel"
    pipeline = "graph-ml"
    processor = "names"
    usage = USAGE
    lower_is_better = frozenset({"mean_rank"})

    def __init__(self, options: options.Triples) -> None:
        super().__init__(options)
        self.metric = "mrr" if options.metric == "auto" else options.metric
        self.entities: list[str] = []
        """Names that the train file has, sorted: also those of triples that task.limit or a held-out part takes away,
        so that every seed and amount is judged among the same candidates."""
        self.relations: list[str] = []
        self.true: set[tuple[str, str, str]] = set()
        """All triples of all splits, as read."""
        self.names: Any = None
        """What numbers names, since `encode`."""

    # -- reading

    def read(self, sources: Mapping[str, Table]) -> dict[str, list[Triple]]:
        problems: list[str] = []
        found = {split: self._triples(rows, problems, tails=True) for split, rows in sources.items()}
        refuse(problems)
        train = found["train"]
        self.entities = sorted({name for each in train for name in (each.head, each.tail) if name})
        self.relations = sorted({each.relation for each in train})
        if len(self.entities) < 2:
            raise BadInput(f"{sources['train'].path}: one entity alone, {quoted(self.entities[0])}: two are needed")
        self.true = {(each.head, each.relation, str(each.tail)) for rows in found.values() for each in rows}
        return {split: rows if split == "train" else self._known(split, rows, train) for split, rows in found.items()}

    def read_unlabelled(self, rows: Table) -> list[Triple]:
        problems: list[str] = []
        found = self._triples(rows, problems, tails=False)
        refuse(problems)
        return found

    def _triples(self, rows: Table, problems: list[str], *, tails: bool) -> list[Triple]:
        roles = ("head", "relation", "tail") if tails else ("head", "relation")
        columns = [getattr(self.options, role) for role in roles]
        for role, column in zip(roles, columns, strict=True):
            rows.require(column, f"task.{role}")
        if self.options.id and tails:
            rows.require(self.options.id, "task.id")
        found = []
        for number, (name, row) in enumerate(zip(self.ids(rows), rows.rows, strict=True)):
            values = [row[column] for column in columns]
            for role, column, value in zip(roles, columns, values, strict=True):
                if not isinstance(value, str) or not value:
                    problems.append(
                        f"{rows.where(number)}: '{column}' is {kind_of(value)}, a name is needed (task.{role})"
                    )
            found.append(Triple(name, values[0], values[1], values[2] if tails else None, rows.where(number)))
        return found

    def _known(self, split: str, found: list[Triple], train: Sequence[Triple]) -> list[Triple]:
        """Those whose names train has: of others there is no vector that was learned. Raises: BadInput for none."""
        entities, relations = {*self.entities}, {*self.relations}
        kept = [each for each in found if {each.head, each.tail} <= entities and each.relation in relations]
        if lost := len(found) - len(kept):
            unknown = Counter(n for e in found for n in (e.head, e.tail) if n not in entities)
            unknown.update(each.relation for each in found if each.relation not in relations)
            shown = ", ".join(quoted(str(name)) for name, _ in unknown.most_common(3))
            what = f"{lost} of {len(found)} triples have names that train has not ({shown}"
            what += f" and {len(unknown) - 3} more)" if len(unknown) > 3 else ")"
            if not kept:
                raise BadInput(f"{split}: {what}: none is left to score; a name's vector is learned from train")
            self.notes.append(f"{split}: {what}, and are left out: a name's vector is learned from train")
        return kept

    def seen(self, example: Triple) -> tuple[str, str, str]:
        return example.head, example.relation, str(example.tail)

    @staticmethod
    def stratum(example: Triple) -> str:
        return example.relation

    # -- model

    def head(self) -> dict[str, Any]:
        """There are no labels: every entity is a candidate."""
        return {}

    def restore(self, config: Any) -> None:
        """There are no classes to name."""

    def encode(self, examples: Sequence[Triple], names: Any, /) -> triples.Triples:
        """Numbers of names. Raises: BadInput for a name that the model has no vector of, with its line."""
        problems: list[str] = []
        numbers = [names.numbers("entities"), names.numbers("relations")]
        columns = (("head", 0), ("relation", 1), ("tail", 0))
        array = np.zeros((len(examples), 3), np.int64)
        for row, example in enumerate(examples):
            for place, (role, table) in enumerate(columns):
                name = getattr(example, role)
                if name is None:
                    continue
                if name not in numbers[table]:
                    close = nearest(name, numbers[table])
                    near = f"; did you mean {quoted(close)}?" if close else ""
                    problems.append(f"{example.where}: the model knows no {role} {quoted(name)}{near}")
                array[row, place] = numbers[table].get(name, 0)
        refuse(problems)
        if names is not self.names:
            self.names, self._filter = names, self._right_too(*numbers)
        labels = np.array([-1 if example.tail is None else 0 for example in examples])
        return triples.Triples.of_numbers(array, [example.id for example in examples], labels, examples)

    def _right_too(self, entities: Mapping[str, int], relations: Mapping[str, int]) -> dict[tuple[Any, ...], set[int]]:
        """The heads of (None, relation, tail) and the tails of (head, relation, None) that some split calls true."""
        found: dict[tuple[Any, ...], set[int]] = defaultdict(set)
        for names in self.true:
            if names[0] in entities and names[1] in relations and names[2] in entities:
                head, relation, tail = entities[names[0]], relations[names[1]], entities[names[2]]
                found[None, relation, tail].add(head)
                found[head, relation, None].add(tail)
        return dict(found)

    def collate(self, encoded: Any, indices: np.ndarray, pad: Mapping[str, int]) -> dict[str, torch.Tensor]:
        """`triples` (batch, 1 + negatives, 3), each before what is drawn for it, and `labels` (batch,)."""
        return self._collate(encoded, indices, (FIXED,))

    def collate_training(
        self, encoded: Any, indices: np.ndarray, pad: Mapping[str, int], seed: int, epoch: int
    ) -> dict[str, torch.Tensor]:
        """As `collate`; what is drawn is another in every epoch."""
        return self._collate(encoded, indices, (1, seed, epoch))

    def _collate(self, encoded: Any, indices: np.ndarray, draw: tuple[int, ...]) -> dict[str, torch.Tensor]:
        import torch

        count = len(self.names.entities)
        tails, steps = triples.draw(len(encoded), self.options.negatives, count, draw)
        found = triples.corrupted(encoded.columns["triples"][indices], tails[indices], steps[indices], count)
        return {"triples": torch.from_numpy(found), "labels": torch.from_numpy(encoded.labels[indices])}

    def loss(self, outputs: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Sum over triples of the mean of max(0, margin + d(true) - d(drawn)): Bordes et al. (NIPS 2013), equation 1.

        Drawn is a head or a tail, as likely the one as the other, and any entity but its own: it may be true by chance,
        as in the paper.
        """
        distances = outputs.distances.float()
        return (self.options.margin + distances[:, :1] - distances[:, 1:]).relu().mean(1).sum()

    def decode(self, outputs: Any, batch: Mapping[str, torch.Tensor], model: Any) -> list[dict[str, Any]]:
        """For each triple the likeliest tails with their distances, and, where the tail is known, both ranks."""
        tails, heads = (outputs.candidates(side).cpu().numpy() for side in ("tail", "head"))
        found = []
        rows = zip(batch["triples"][:, 0].tolist(), batch["labels"].tolist(), tails, heads, strict=True)
        for (head, relation, tail), label, to_tails, to_heads in rows:
            line = {}
            if label >= 0:
                to_tails = ranks.without(to_tails, self._filter[head, relation, None] - {tail})
                to_heads = ranks.without(to_heads, self._filter[None, relation, tail] - {head})
                line = {"rank_head": ranks.rank(to_heads, head), "rank_tail": ranks.rank(to_tails, tail)}
            best = ranks.nearest(to_tails, BEST)
            found.append(line | {"tails": best, "distances": to_tails[best].tolist()})
        return found

    # -- scores

    def metrics(self, predictions: Sequence[Any], encoded: Any) -> dict[str, float]:
        """Means over the ranks of heads and tails, filtered by the triples of all splits."""
        found = np.array([[each["rank_head"], each["rank_tail"]] for each in predictions])
        return {name: float(score(found).mean()) for name, score in ranks.SCORES.items()}

    def describe(self, example: Triple, prediction: Mapping[str, Any]) -> dict[str, Any]:
        tails = [self.names.entities[number] for number in prediction["tails"]]
        own = {name: prediction[name] for name in ("rank_head", "rank_tail") if name in prediction}
        return {
            "prediction": tails[0],
            **own,
            "tails": tails,
            "distances": [round(distance, 6) for distance in prediction["distances"]],
        }

    def inputs(self, example: Triple) -> dict[str, Any]:
        return {"id": example.id, "head": example.head, "relation": example.relation, "gold": example.tail}
