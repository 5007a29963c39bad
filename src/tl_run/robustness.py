"""How much a model bears: what it says of examples as they are and of the same examples disturbed, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from tl_run.data.perturbation import Disturbance
from tl_run.evaluation import Evaluation


@dataclass(frozen=True)
class Comparison:
    """Two evaluations of the same examples: clean, and disturbed."""

    kind: Any
    how: Disturbance
    metric: str
    """The run's main one."""
    examples: Sequence[Any]
    disturbed: Sequence[Any]
    before: Evaluation
    after: Evaluation

    def report(self) -> list[str]:
        """A small table of the scores, and how many predictions are others now."""
        how, texts = self.how, sum(a != b for a, b in zip(self.examples, self.disturbed, strict=True))
        lines = [
            f"{how.kind}: rate {how.rate:g}, seed {how.seed}: {texts:,} of {len(self.examples):,} examples changed",
            f"{'':<16}{'clean':>10}{'disturbed':>11}{'difference':>12}",
        ]
        for name in sorted(self.after.scores.keys() - {"loss"}, key=lambda name: (name != self.metric, name)):
            clean, score = self.before.scores[name], self.after.scores[name]
            main = "  (the run's metric)" if name == self.metric else ""
            lines.append(f"{name:<16}{clean:>10.4f}{score:>11.4f}{score - clean:>+12.4f}{main}")
        return [*lines, self._changed()]

    def _changed(self) -> str:
        triples = [*self._answers()]
        if all(isinstance(answer, float) for answer, _, _ in triples):
            moved = [abs(answer - other) for answer, other, _ in triples]
            return f"predictions move by {mean(moved):.4f} on average, {max(moved):.4f} at most"
        changed = [(answer, other, gold) for answer, other, gold in triples if answer != other]
        worse = sum(answer == gold for answer, _, gold in changed)
        better = sum(other == gold for _, other, gold in changed)
        share = 100 * len(changed) / len(triples)
        return (
            f"{len(changed):,} of {len(triples):,} predictions changed ({share:.1f} %): {worse:,} were right and are "
            f"wrong now, {better:,} the other way"
        )

    def _answers(self) -> Any:
        """For each example what was said of it before and after, and what is right."""
        pairs = zip(self.before.predictions, self.after.predictions, strict=True)
        for example, other, (before, after) in zip(self.examples, self.disturbed, pairs, strict=True):
            answer = self.kind.answer(example, before, self.how)
            yield answer, self.kind.describe(other, after)["prediction"], self.kind.inputs(other)["gold"]

    def lines(self) -> list[dict[str, Any]]:
        """A line for each example: as it is, and beside it what was read and found when it was disturbed."""
        made = []
        pairs = zip(self.before.predictions, self.after.predictions, strict=True)
        for example, other, (before, after) in zip(self.examples, self.disturbed, pairs, strict=True):
            own, others = _line(self.kind, example, before), _line(self.kind, other, after)
            made.append(own | {f"{name}_disturbed": value for name, value in others.items() if name != "id"})
        if all(line["gold"] == line["gold_disturbed"] for line in made):
            for line in made:
                del line["gold_disturbed"]
        return made


def _line(kind: Any, example: Any, prediction: Any) -> dict[str, Any]:
    """As in a predictions file, without the probability of every label."""
    line = kind.inputs(example) | kind.describe(example, prediction)
    return {name: value for name, value in line.items() if not isinstance(value, dict)}
