"""What is told of a run and a file, whoever shows it: examples with what their words add, and the layers one by one."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

import numpy as np
import torch

from tl_run import finished
from tl_run.errors import BadOption, Failure
from tl_run.explain import probes
from tl_run.explain.attribution import MOST, TOLERANCE, Attribution, attribute
from tl_run.explain.similarity import cka
from tl_run.explain.start import start
from tl_run.explain.states import of_layers
from tl_run.explain.words import Word, words
from tl_run.finished import Finished
from tl_run.hardware import Hardware
from tl_run.model.reading import padding
from tl_run.report.tables import Table

STRONGEST = 5  # words of an example that are told in figures
LARGEST = 2000  # examples that probes and CKA are counted of


@dataclass(frozen=True)
class Told:
    """An example, what the model says of it, and what each word adds to the output `target`."""

    id: str
    gold: Any
    prediction: str | float
    probability: float | None
    target: str
    attribution: Attribution
    words: list[Word]

    @property
    def strongest(self) -> list[Word]:
        """The words that add or take most."""
        return sorted(self.words, key=lambda word: -abs(word.score))[:STRONGEST]

    @property
    def says(self) -> str:
        """In a line what the model says of it, and what the file does."""
        shown = self.prediction if self.probability is None else f"{self.prediction} ({self.probability:.2f})"
        wrong = ": wrong" if isinstance(self.prediction, str) and self.prediction != self.gold else ""
        return f"says {shown}" + ("" if self.gold is None else f", the file {self.gold}{wrong}")

    @property
    def completeness(self) -> str:
        """Whether what the words add is all that there is to explain."""
        found, total = self.attribution, float(self.attribution.scores.sum())
        words = (
            f"{self.target}: {found.start:+.3f} at the baseline, {found.end:+.3f} at the text; the words add "
            f"{total:+.3f}, {100 * found.error:.2g} % from the change, with {found.steps} steps"
        )
        return words if found.complete else f"{words}: not complete, more than {100 * TOLERANCE:g} % off"


@dataclass(frozen=True)
class Layers:
    """Probe scores of each layer after fine-tuning and before, over seeds, and how alike its states are; None where
    that could not be had."""

    metric: str
    examples: int
    floor: float | None
    after: list[list[float]] | None
    before: list[list[float]] | None
    alike: list[float] | None

    @property
    def table(self) -> Table:
        """A row for each layer; 0 is the output of the embeddings."""
        count = len(self.after or self.alike or ())
        columns: dict[str, list[Any]] = {"layer": [*range(count)]}
        for name, scores in (("probe before", self.before), ("probe after", self.after)):
            columns |= {name: [round(mean(own), 4) for own in scores]} if scores else {}
        columns |= {"CKA": [round(own, 4) for own in self.alike]} if self.alike else {}
        return Table("Layer by layer", [*columns], [list(row) for row in zip(*columns.values(), strict=True)])

    @property
    def sentences(self) -> list[str]:
        """What the figures say."""
        said = []
        for scores, when in ((self.before, "before"), (self.after, "after")):
            if scores:
                means = [mean(own) for own in scores]
                best = int(np.argmax(means))
                said.append(f"{when} fine-tuning a linear probe reads most from layer {best}: {means[best]:.4f}")
        if self.alike and not np.isnan(self.alike).all():
            least = int(np.nanargmin(self.alike))
            said.append(f"layer {least} has changed most: CKA {self.alike[least]:.4f}")
        return said


@dataclass(frozen=True)
class Explanation:
    """All that is told."""

    title: str
    score: str
    """What the model reaches on the file, in words."""
    baseline: str
    told: list[Told]
    layers: Layers
    notes: list[str]
    """What could not be had, and why."""


@dataclass(frozen=True)
class Choice:
    """Which examples are explained, and which output of them."""

    ids: tuple[str, ...]
    """Empty: the first `count` in `order`."""
    count: int
    order: str
    label: str | None
    """None: the one that is predicted."""
    baseline: str | None


def explain(run: Finished, path: str, examples: Sequence[Any], choice: Choice, device: str, size: int) -> Explanation:
    """Look at examples of a file through the run's model. Raises: Failure."""
    kind = run.kind
    model, tokenizer, hardware = finished.load(run, device)
    if getattr(getattr(model, "design", None), "tfidf", False):
        raise BadOption(f"{run.path}: its head counts tokens beside reading their embeddings: they do not say it all")
    baseline, name = _baseline(tokenizer, choice.baseline)
    encoded = kind.encode(examples, tokenizer)
    found = finished.evaluate(run, model, tokenizer, hardware, encoded, size)
    pad = padding(tokenizer)
    layers, notes = _layers(run, model, encoded, pad, hardware, size)
    chosen = _chosen(examples, found.predictions, choice)
    model.to(torch.float32 if hardware.device.type == "mps" else torch.float64)  # mps has none
    special = torch.tensor(sorted({*tokenizer.all_special_ids} - {tokenizer.unk_token_id}), device=hardware.device)
    told = []
    for i in chosen:
        example, says = examples[i], kind.describe(examples[i], found.predictions[i])
        inputs = {name: t.to(hardware.device) for name, t in kind.collate(encoded, np.array([i]), pad).items()}
        del inputs["labels"]
        target = choice.label or says["prediction"] if kind.labels else "the output"
        number = kind.labels.index(target) if kind.labels else 0
        kept = torch.isin(inputs["input_ids"][0], special)
        own = attribute(model, inputs, number, baseline=baseline, kept=kept)
        texts, ids = (example.text, example.pair), inputs["input_ids"][0].cpu().numpy()
        shown = words(tokenizer, texts, ids, own.scores, run.options.task.max_length)
        gold = kind.inputs(example)["gold"]
        target = f"logit of {target}" if kind.labels else target
        told.append(Told(example.id, gold, says["prediction"], says.get("probability"), target, own, shown))
    if lacking := [each.id for each in told if not each.attribution.complete]:
        notes.append(f"not within {100 * TOLERANCE:g} % with {MOST} steps: {', '.join(lacking)}")
    metric = run.result["metric"]["name"]
    score = f"{metric} {found.scores[metric]:.4f}" if metric in found.scores else "the file has no labels"
    title = f"{run.options.task.name}, {run.options.model.name}: {path}, {len(examples):,} examples"
    return Explanation(title, score, name, told, layers, notes)


def _baseline(tokenizer: Any, wanted: str | None) -> tuple[int | None, str]:
    """The token whose embedding says nothing, None for zeros, and its name."""
    tokens = {"mask": tokenizer.mask_token_id, "pad": tokenizer.pad_token_id}
    if wanted in tokens and tokens[wanted] is None:
        raise BadOption(f"--baseline {wanted}: the run's tokenizer has no such token: type --baseline zero")
    name = wanted or next((name for name, token in tokens.items() if token is not None), "zero")
    if name == "zero":
        return None, "zeros"
    return tokens[name], str(tokenizer.convert_ids_to_tokens(tokens[name]))


def _chosen(examples: Sequence[Any], predictions: Sequence[Any], choice: Choice) -> list[int]:
    if choice.ids:
        places = {example.id: i for i, example in enumerate(examples)}
        return [places[name] for name in choice.ids]
    if choice.order == "first":
        return [*range(min(choice.count, len(examples)))]

    def key(i: int) -> float:
        """The lower, the earlier: how probable the model holds what is right, or what it says."""
        if isinstance(predictions[i], float):
            return -abs(predictions[i] - examples[i].label)
        return float(predictions[i][examples[i].label] if choice.order == "wrong" else predictions[i].max())

    return sorted(range(len(examples)), key=key)[: choice.count]


def _layers(
    run: Finished, model: Any, encoded: Any, pad: dict[str, int], hardware: Hardware, size: int
) -> tuple[Layers, list[str]]:
    notes: list[str] = []
    drawn = np.sort(np.random.default_rng(0).permutation(len(encoded))[:LARGEST])

    def states(of: Any) -> np.ndarray:
        return of_layers(of, run.kind, encoded, pad=pad, hardware=hardware, batch_size=size)[:, drawn]

    after, before = states(model), None
    try:
        before = states(start(run).to(hardware.device))
    except Failure as problem:
        notes.append(f"no comparison with the model before fine-tuning: {problem}")
    labels = encoded.labels[drawn]
    metric = "f1_macro" if run.kind.labels and run.result["metric"]["name"] == "f1_macro" else "accuracy"
    metric = metric if run.kind.labels else "spearman"
    if why := probes.lacking(labels[encoded.labelled[drawn]], metric):
        notes.append(f"no probes: {why}")

    def probed(of: np.ndarray | None) -> list[list[float]] | None:
        return None if of is None or why else [probes.probe(layer, labels, metric) for layer in of]

    if before is not None and len(drawn) < after.shape[-1]:
        notes.append(f"CKA is too high with fewer examples ({len(drawn):,}) than dimensions ({after.shape[-1]:,})")
    alike = None if before is None else [cka(*pair) for pair in zip(before, after, strict=True)]
    floor = None if why else probes.floor(labels, metric)
    return Layers(metric, len(drawn), floor, probed(after), probed(before), alike), notes
