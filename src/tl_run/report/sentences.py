"""What the figures say in plain words: no more than the tests allow."""

from collections.abc import Sequence
from statistics import mean

from tl_run.report.effort import Reach, Worth
from tl_run.report.gain import PLAIN, PRETRAINED, PROBE, SCRATCH, Comparison
from tl_run.report.settings import Task, count, shown
from tl_run.report.statistics import FEWEST, FEWEST_PAIRS, Difference, told

HELPED, HURT, OPEN, TOO_FEW = "helped", "hurt", "open", "too few"
PHRASES = {PRETRAINED: "the pretrained model", PROBE: "the frozen probe", SCRATCH: "training from scratch"}


def phrase(side: str) -> str:
    """A side in a sentence; a way of transferring is called as it was typed."""
    return PHRASES.get(side, side)


def verdict(difference: Difference) -> str:
    """What may be said of a comparison."""
    if difference.p is None:
        return TOO_FEW
    if not difference.claimed:
        return OPEN
    return HELPED if difference.value > 0 else HURT


def best(task: Task) -> str:
    """The setting that validation chose, and its test score."""
    found = task.best(task.settings)
    split, scores = ("test", found.test) if found.test else ("validation", found.validation)
    seeds = count(len(found.runs), "seed") + ("" if len(found.runs) >= FEWEST else ", too few for an interval")
    chosen = f"Best of {count(len(task.settings), 'setting')} by validation: {found.words}"
    return f"{chosen}; {split} {task.metric} {told(scores)} ({seeds})."


def headline(task: Task, comparisons: Sequence[Comparison]) -> str:
    """The answer, a sentence for each model: of its first pair of sides, over all amounts of labels."""
    models = dict.fromkeys(c.model for c in comparisons)
    own = [[c for c in comparisons if c.model == model] for model in models]
    said = [_of_ways(task, some) if some[0].second == PLAIN else _of_pair(task, some) for some in own]
    if len(said) > 1:
        return " ".join(f"{shown(model)}: {text}" for model, text in zip(models, said, strict=True))
    return f"{said[0][0].upper()}{said[0][1:]}" if said else best(task)


def _of_ways(task: Task, comparisons: Sequence[Comparison]) -> str:
    """Every way against plain fine-tuning, those with one verdict together."""
    parts = []
    for found, words in (
        (HELPED, f"{PLAIN} is beaten by {{}}"),
        (HURT, f"{PLAIN} beats {{}}"),
        (OPEN, f"no difference between {PLAIN} and {{}} can be claimed"),
        (TOO_FEW, f"with fewer than {FEWEST_PAIRS} seeds no difference between {PLAIN} and {{}} can be claimed"),
    ):
        several = len({c.labels_words for c in comparisons}) > 1
        some = [c for c in comparisons if verdict(c.difference) == found]
        names = [f"{c.first}{f' with {c.labels_words}' if several else ''} ({c.difference.value:+.3f})" for c in some]
        parts += [words.format(listed(names))] if names else []
    return f"In {comparisons[0].split} {task.metric} {'; '.join(parts)}."


def _of_pair(task: Task, comparisons: Sequence[Comparison]) -> str:
    """The first pair of sides, over all amounts of labels."""
    first = comparisons[0]
    comparisons = [c for c in comparisons if (c.first, c.second) == (first.first, first.second)]
    a, b = phrase(first.first), phrase(first.second)
    hurt = f"{a} is worse than {b}"
    parts = []
    for found, words in (
        (HELPED, f"{a} beats {b}"),
        (HURT, f"negative transfer: {hurt}" if first.transfers else hurt),
        (OPEN, f"no difference between {a} and {b} can be claimed"),
        (TOO_FEW, f"with fewer than {FEWEST_PAIRS} seeds no difference between {a} and {b} can be claimed"),
    ):
        if some := [c for c in comparisons if verdict(c.difference) == found]:
            gains = listed([f"{c.difference.value:+.3f}" for c in some])
            parts.append(f"{words} with {_amounts(some)} ({first.split} {task.metric} {gains})")
    return f"{'; '.join(parts)}."


def word(comparison: Comparison) -> str:
    """The verdict in a table."""
    words = {OPEN: "no difference claimed", TOO_FEW: "too few seeds"}
    words |= {HELPED: "helps", HURT: "negative transfer"} if comparison.transfers else {HELPED: "better", HURT: "worse"}
    return words[verdict(comparison.difference)]


def of(task: Task, comparison: Comparison) -> str:
    """One comparison, in full."""
    c, d = comparison, comparison.difference
    first, second = phrase(c.first), phrase(c.second)
    means = [f"{mean(own):.3f}" for own in c.scores]
    text = f"With {c.labels_words}, {first} has {c.split} {task.metric} {means[0]} and {second} {means[1]}: "
    size = f"{abs(d.value):.3f} {'better' if d.value >= 0 else 'worse'}{_interval(d)}"
    match verdict(d):
        case "helped":
            text += f"{size}, p = {d.p:.3f} over {d.seeds} pairs of seeds."
        case "hurt":
            text += f"{size}, p = {d.p:.3f} over {d.seeds} pairs of seeds."
            text += " This is negative transfer." if c.transfers else ""
        case "open":
            text += f"{size}, p = {d.p:.3f} over {d.seeds} pairs of seeds, so no difference can be claimed."
        case _:
            text += (
                f"{size}. With {count(d.seeds, 'pair')} of seeds nothing can be significant at 5 %: "
                f"that takes {FEWEST_PAIRS}."
            )
    if d.value > 0 and verdict(d) == HELPED:
        text += _worth(c)
    return text + (_reach(c, c.reach) if c.reach and d.value > 0 else "")


def worth(found: Worth | None) -> str:
    """Labels in words."""
    if found is None:
        return "–"
    return f"{'more than ' if found.beyond else 'at most ' if found.within else ''}{round(found.labels):,}"


def _interval(d: Difference) -> str:
    if d.low is None:
        return f" (with {count(d.seeds, 'seed')} no interval)"
    return f" (95 % interval of the difference {d.low:+.3f} to {d.high:+.3f})"


def _worth(c: Comparison) -> str:
    if c.worth is None or c.labels is None or c.worth.within:
        return ""
    whom = phrase(c.second)
    whom = f"{whom[0].upper()}{whom[1:]}"
    if c.worth.beyond:
        return f" {whom} does not get there with {round(c.worth.labels):,} labels, the most that were tried."
    return f" {whom} gets there with about {round(c.worth.labels):,} labels (learning curve over log labels)."


def _reach(c: Comparison, reach: Reach) -> str:
    if reach.steps is None or reach.seconds is None or reach.examples is None:
        return f" On validation it never has the best score of {phrase(c.second)}."
    often = "" if reach.reached == reach.pairs else f" in {reach.reached} of {reach.pairs} pairs"
    ours, theirs = (
        f"step {steps:,.0f} ({examples:,.0f} examples, {seconds:.1f} s)"
        for steps, examples, seconds in zip(reach.steps, reach.examples, reach.seconds, strict=True)
    )
    return f" The best validation score of {phrase(c.second)} at {theirs} is reached at {ours}{often}."


def _amounts(some: Sequence[Comparison]) -> str:
    """`20 and 100 labels`."""
    words = [c.labels_words for c in some]
    same = {text.partition(" ")[2] for text in words}
    return f"{listed([text.partition(' ')[0] for text in words])} {same.pop()}" if len(same) == 1 else listed(words)


def listed(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([*([", ".join(words[:-1])] if words[1:] else []), words[-1]])
