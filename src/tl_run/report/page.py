"""The page: one HTML file that needs nothing else. The answer first, then the table, pictures, and the detail."""

import re
from collections.abc import Sequence
from html import escape

from tl_run import __version__
from tl_run.report import pictures, series, tables
from tl_run.report.content import Part
from tl_run.report.runs import Found
from tl_run.report.settings import NOTHING, count
from tl_run.report.tables import Table, cell

SHOWN = 30  # rows of a table before the others are folded away
LARGEST = 12  # classes that a picture of confusion can hold

CSS = """
:root{color-scheme:light dark;--ink:#1a1d21;--soft:#5b6470;--paper:#fff;--card:#f6f7f9;--line:#dfe3e8;--accent:#0072b2;
--warn:#fff4e5;--warnline:#e69f00}
@media(prefers-color-scheme:dark){:root{--ink:#e8eaed;--soft:#a0a8b3;--paper:#14171a;--card:#1c2024;--line:#343a41;
--accent:#56b4e9;--warn:#2a2214;--warnline:#e69f00}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:72rem;margin:0 auto;padding:1.5rem 1rem 4rem}
h1{font-size:1.05rem;font-weight:600;color:var(--soft);margin:0 0 1.5rem}
h2{font-size:1.5rem;margin:2.5rem 0 .5rem;line-height:1.25}
h3{font-size:1.1rem;margin:2rem 0 .5rem}
.answer{font-size:1.3rem;line-height:1.4;margin:.5rem 0;max-width:52rem;text-wrap:balance}
p,li{max-width:52rem}
.soft,caption,.note{color:var(--soft)}
.note{font-size:.85rem}
.cautions{background:var(--warn);border-left:3px solid var(--warnline);padding:.6rem 1rem .6rem 2rem;margin:1rem 0;
border-radius:0 .4rem .4rem 0}
.wide{overflow-x:auto;border:1px solid var(--line);border-radius:.5rem;margin:.75rem 0}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:.92rem}
th,td{padding:.4rem .75rem;text-align:left;white-space:nowrap;border-bottom:1px solid var(--line)}
th{color:var(--soft);font-weight:500;background:var(--card)}
tr:last-child td{border-bottom:0}
tbody tr:hover{background:var(--card)}
.n{text-align:right}
.best td{font-weight:600}
.s{display:none}
@media(max-width:40rem){
.o{display:none}
.s{display:table-cell;white-space:normal;min-width:8.5rem;font-size:.85em}
th,td{padding:.35rem .4rem;font-size:.85rem}
}
.pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,26rem),1fr));gap:1rem;margin:1rem 0}
figure{margin:0;padding:1rem;background:var(--card);border:1px solid var(--line);border-radius:.5rem}
figcaption{font-weight:600;margin-bottom:.5rem}
svg{display:block;width:100%;height:auto;max-width:30rem}
svg text{font-family:inherit!important}
details{margin:1rem 0}
summary{cursor:pointer;color:var(--accent)}
code{font-size:.9em;overflow-wrap:anywhere}
nav a{margin-right:1rem}
a{color:var(--accent)}
"""


def page(parts: Sequence[Part], found: Found, folders: Sequence[str]) -> str:
    """The whole page."""
    runs, settings = len(found.runs), sum(len(part.task.settings) for part in parts)
    title = ", ".join(dict.fromkeys(part.task.name for part in parts))
    counts = f"{count(runs, 'run')} in {count(settings, 'setting')}"
    about = escape(" · ".join([f"tl-report {__version__}", counts, ", ".join(folders)]))
    links = "".join(f'<a href="#t{i}">{_heading(part)}</a>' for i, part in enumerate(parts))
    body = "".join(_part(part, i) for i, part in enumerate(parts))
    nav = f"<nav>{links}</nav>" if len(parts) > 1 else ""
    return frame(f"{title}: {runs} runs", about, nav + body + _read(found))


CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def frame(title: str, about: str, body: str, css: str = "") -> str:
    """A page around its body; `about`, its first line, and `body` are HTML."""
    text = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>{escape(title)}</title><style>{CSS}{css}</style></head><body><main>
<h1>{about}</h1>
{body}
</main></body></html>
"""
    return CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def _heading(part: Part) -> str:
    return escape(part.settings.title)


def _part(part: Part, number: int) -> str:
    best = f"<p>{escape(part.best)}</p>" if part.best != part.headline else ""
    said = "".join(f"<li>{escape(words)}</li>" for words in part.sentences)
    cautions = "".join(f"<li>{escape(words)}</li>" for words in part.cautions)
    return "".join(
        [
            f'<section id="t{number}"><h2>{_heading(part)}</h2><p class="answer">{escape(part.headline)}</p>{best}',
            f'<ul class="cautions">{cautions}</ul>' if cautions else "",
            grid(part.settings, best=part.task.best(part.task.settings).number),
            _gains(part, said) if part.gains else "",
            _pictures(part),
            _detail(part),
            "</section>",
        ]
    )


def _gains(part: Part, said: str) -> str:
    assert part.gains is not None
    note = '<p class="note">Right of 0 the first is better.</p>'
    drawn = pictures.forest(part.comparisons, f"{part.comparisons[0].split} {part.task.metric}")
    drawn = figure("Differences with their 95 % intervals", drawn, note)
    words = f'<h3>{escape(part.gains.title)}</h3><ul>{said}</ul><div class="pictures">{drawn}{_labels(part)}</div>'
    return words + grid(part.gains)


def _labels(part: Part) -> str:
    split, curves = series.over_labels(part.task, part.comparisons)
    if not curves:
        return ""
    drawn = pictures.by(curves, "labelled training examples", f"{split} {part.task.metric}", joined=True)
    return figure("Score against labels", drawn)


def _pictures(part: Part) -> str:
    task, metric = part.task, part.task.metric
    shown = series.telling(task, part.comparisons)
    made = [] if part.gains else [_labels(part)]
    if curves := series.over_steps(shown, "validation", metric):
        made.append(figure("Learning curves", pictures.curves(curves, f"validation {metric}")))
    if curves := series.over_steps(shown, "train", "loss"):
        made.append(figure("Training loss", pictures.curves(curves, "training loss")))
    for what, words in (("trainable", "trainable parameters"), ("seconds", "seconds of a run")):
        if curves := series.over_cost(task, what):
            drawn = pictures.by(curves, words, f"validation {metric}", joined=False)
            made.append(figure(f"Score against {words}", drawn))
    if part.importance:
        note = f'<p class="note">{escape(part.importance_words)}</p>'
        made.append(figure("Options that mattered", pictures.shares(part.importance), note))
    pictures_shown = "".join(made)
    few = f'<p class="note">Curves are of {series.MOST} settings at most: those that are compared, then the best.</p>'
    few = few if len(task.settings) > series.MOST else ""
    told = "" if part.importance else f'<p class="note">{escape(part.importance_words)}</p>'
    return f'<h3>Pictures</h3>{few}<div class="pictures">{pictures_shown}</div>{told}'


def _detail(part: Part) -> str:
    made = ""
    if part.confusion and len(part.confusion[0]) <= LARGEST:
        drawn = pictures.confusion(*part.confusion)
        made += f'<div class="pictures">{figure("Confusion, all seeds together", drawn)}</div>'
    elif part.confusion:
        mistakes = tables.of_mistakes(*part.confusion)
        made += f"<p>{escape(mistakes.title)}</p>{grid(mistakes)}"
    if part.classes:
        made += grid(part.classes)
    title = "Classes of the best setting" if part.classes and part.classes.columns[0] == "class" else "Types"
    return f"<h3>{title}</h3>{made}" if made else ""


def figure(title: str, drawn: str, note: str = "") -> str:
    """A picture of the page, with what is written above it and below."""
    return f"<figure><figcaption>{escape(title)}</figcaption>{drawn}{note}</figure>"


def grid(table: Table, *, best: int = 0) -> str:
    """A table of the page, its later rows folded away; a row whose first value is `best` stands out."""
    side = [f"{'n' if table.numeric(i) else ''}{' o' if i in table.options else ''}" for i in range(len(table.columns))]

    def row(values: Sequence[str], tag: str, mark: str = "") -> str:
        cells = [f'<{tag} class="{s}">{escape(v)}</{tag}>' for s, v in zip(side, values, strict=True)]
        if table.options:  # on a narrow screen one cell stands for all options
            pairs = [(table.columns[i], values[i]) for i in table.options]
            words = "setting" if tag == "th" else " ".join(f"{key}={v}" for key, v in pairs if v != NOTHING)
            cells.insert(table.options.start, f'<{tag} class="s">{escape(words)}</{tag}>')
        return f"<tr{mark}>{''.join(cells)}</tr>"

    def block(rows: Sequence[str]) -> str:
        head = row(table.columns, "th")
        return f'<div class="wide"><table><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table></div>'

    rows = [
        row([cell(value) for value in values], "td", ' class="best"' if best and values[0] == best else "")
        for values in table.rows
    ]
    more = rows[SHOWN:]
    folded = f"<details><summary>{len(more)} more rows</summary>{block(more)}</details>" if more else ""
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in table.notes)
    return block(rows[:SHOWN]) + folded + notes


def _read(found: Found) -> str:
    """What was read, and what does not count."""
    if not found.left_out:
        return f'<h3>What was read</h3><p class="note">{count(len(found.runs), "run")}, all finished.</p>'
    lines = "".join(f"<li><code>{escape(name)}</code>: {escape(why)}</li>" for name, why in found.left_out)
    words = f"{count(len(found.runs), 'finished run')}; {len(found.left_out)} left out"
    opened = " open" if len(found.left_out) <= 10 else ""
    return f"<h3>What was read</h3><details{opened}><summary>{words}</summary><ul>{lines}</ul></details>"
