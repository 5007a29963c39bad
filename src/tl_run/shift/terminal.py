"""The shift in a terminal: figures beside their yardstick, what was observed, and a sentence."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from tl_run.console import whole
from tl_run.failures import printable
from tl_run.plain import plain
from tl_run.report.statistics import Difference, told
from tl_run.shift.figures import Apart, Shift
from tl_run.shift.gains import ADAPTED, SOURCE_ONLY, Gains
from tl_run.shift.sides import Side

MOST_LABELS = 10  # that are shown each
NOTHING = "–"


def show(
    shift: Shift,
    source: Side,
    target: Side,
    model: str,
    observed: Sequence[Gains],
    notes: Sequence[str],
    console: Console,
) -> None:
    """What is compared, the figures, the runs, notes, and last the sentence."""
    for name, side in (("source", source), ("target", target)):
        more = f", and {shift.texts:,} others as its other half" if side is source else ""
        console.print(plain(f"{name:<8}{printable(side.name)}: {shift.texts:,} of {len(side.texts):,} texts{more}"))
    console.print(plain(f"{'model':<8}{printable(model)}, frozen; the mean of the last layer over a text's tokens\n"))
    whole(console, _apart(shift.shift, shift.yardstick))
    console.print()
    whole(console, _each(shift))
    for gains in observed:
        console.print()
        whole(console, _observed(gains))
    console.print()
    for note in notes:
        console.print(plain(printable(f"note: {note}"), style="dim"))
    console.print(plain(sentence(shift)))
    for gains in observed:
        if words := observed_in_words(gains):
            console.print(plain(words))


def sentence(shift: Shift) -> str:
    """How far apart they are, in one sentence."""
    own, halves = shift.shift, shift.yardstick
    begins = "Source and target differ to this model:" if own.differ else "This shows no shift to this model:"
    says = [f"a linear classifier tells them apart with {own.domain_error:.1%} errors ({halves.domain_error:.1%})"]
    if own.out_of_vocabulary is not None and halves.out_of_vocabulary is not None:
        known = f"{own.out_of_vocabulary:.1%} of the target's words do not occur in the source"
        says.append(f"{known} ({halves.out_of_vocabulary:.1%})")
    if own.label_total_variation is not None:
        says.append(f"{own.label_total_variation:.1%} of the labels would have to change for equal shares")
        says[-1] += f" ({halves.label_total_variation:.1%})" if halves.label_total_variation is not None else ""
    return (
        f"{begins} {', '.join(says[:-1])}{' and ' if says[1:] else ''}{says[-1]}; in brackets two halves of the source."
    )


def observed_in_words(gains: Gains) -> str:
    """What training on the source alone lost, and what each way of adapting got back; nothing without such runs."""
    base = next((row for row in gains.rows if row.role == SOURCE_ONLY and row.to_source_only is None), None)
    if base is None:
        return ""
    words = [f"source only is {_told(base.to_ceiling)} from the ceiling"] if base.to_ceiling else []
    words += [f"{row.words} {_told(row.to_source_only)} from source only" for row in gains.rows if row.role == ADAPTED]
    return f"Observed {gains.metric}: {'; '.join(words)}." if words else ""


def _apart(own: Apart, halves: Apart) -> Table:
    table = _table("distance", "halves of the source", "source to target")
    pairs = (
        ("proxy A-distance, 0 to 2", "a_distance", ".2f"),
        ("errors of the domain classifier", "domain_error", ".1%"),
        ("MMD², unbiased", "mmd", ".4f"),
        ("its p, by permutation", "mmd_p", ".3f"),
        ("out-of-vocabulary words", "out_of_vocabulary", ".1%"),
        ("vocabulary overlap, Jaccard", "vocabulary_overlap", ".3f"),
        ("label shift, total variation", "label_total_variation", ".3f"),
        ("label shift, Jensen-Shannon", "label_jensen_shannon", ".3f"),
    )
    for words, name, form in pairs:
        table.add_row(words, *(_cell(getattr(apart, name), form) for apart in (halves, own)))
    return table


def _each(shift: Shift) -> Table:
    table = _table("sample", "source", "other half", "target")
    samples = (shift.source, shift.half, shift.target)
    pairs = (
        ("words a text", "words_per_text", ",.1f"),
        ("tokens a word", "tokens_per_word", ".2f"),
        ("unknown tokens", "unknown_tokens", ".1%"),
        ("texts of which the end is cut off", "cut_texts", ".1%"),
    )
    for words, name, form in pairs:
        table.add_row(words, *(_cell(getattr(sample, name), form) for sample in samples))
    names = sorted({name for sample in samples for name in sample.labels or ()})
    for name in names if len(names) <= MOST_LABELS else ():
        shares = (None if sample.labels is None else sample.labels.get(name, 0.0) for sample in samples)
        table.add_row(plain(printable(f"label {name}")), *(_cell(share, ".1%") for share in shares))
    return table


def _observed(gains: Gains) -> Table:
    title = f"{gains.metric} on {gains.judged}"
    table = _table(printable(title), "seeds", "test", "to source only", "to ceiling")
    for row in gains.rows:
        words = printable(f"{row.role}: {row.words}")
        table.add_row(
            plain(words), str(len(row.test)), told(row.test), _told(row.to_source_only), _told(row.to_ceiling)
        )
    return table


def _told(difference: Difference | None) -> str:
    if difference is None:
        return NOTHING
    if difference.high is None:
        return f"{difference.value:+.4f}"
    return f"{difference.value:+.4f} ± {difference.high - difference.value:.4f}"


def _cell(value: float | None, form: str) -> str:
    return NOTHING if value is None else format(value, form)


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(plain(first))
    for name in others:
        table.add_column(name, justify="right")
    return table
