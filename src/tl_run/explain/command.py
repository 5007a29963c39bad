"""The command `tl-explain`: why a run's model says what it says of a file's examples, and what its layers know."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from tl_run import embedded, finished
from tl_run.arguments import Arguments
from tl_run.config.names import did_you_mean
from tl_run.errors import BadInput, BadOption
from tl_run.failures import outcome, printable
from tl_run.finished import Finished

ORDERS = ("first", "wrong", "uncertain")


def main() -> None:
    """Entry point of `tl-explain`."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(outcome(lambda: explain(sys.argv[1:])))


def parser() -> Arguments:
    """The command's arguments."""
    made = Arguments(prog="tl-explain", description=__doc__)
    made.add_argument("run", type=Path, help="folder of a finished run of classification or regression")
    made.add_argument("file", help="file with the run's columns; without labels there are no probes")
    made.add_argument("-o", "--output", type=Path, help="page to write (default: explain.html in the run's folder)")
    made.add_argument("--examples", type=int, metavar="N", help="how many examples are explained (default: 8)")
    made.add_argument(
        "--order", choices=ORDERS, help="which come first: as in the file (default), or the worst of them"
    )
    made.add_argument("--ids", help="the examples by name, with commas between: task.id, or the row's number from 0")
    made.add_argument("--label", help="the label whose logit is explained (default: that which is predicted)")
    made.add_argument(
        "--baseline",
        choices=["mask", "pad", "zero"],
        help="the embedding that stands for no word (default: that of the mask token, else of the pad token)",
    )
    made.add_argument("--batch-size", type=int, default=64, help="examples per forward pass")
    made.add_argument("--device", choices=["auto", "cpu", "cuda", "mps"], default="auto")
    return made


def explain(arguments: list[str]) -> None:
    """Read, look into the model, write the page and a summary. Raises: Failure."""
    options = parser().parse_args(arguments)
    run = _run(options)
    table = run.kind.open(embedded.locate(options.file))
    labelled = run.options.task.label in table.columns
    if options.order == "wrong" and not labelled:
        raise BadOption(f"--order wrong: {options.file} has no column '{run.options.task.label}' with labels")
    examples = run.kind.read_labelled(table) if labelled else run.kind.read_unlabelled(table)
    ids = tuple(name.strip() for name in options.ids.split(",")) if options.ids else ()
    known = {example.id for example in examples}
    if unknown := [name for name in ids if name not in known]:
        raise BadInput(f"--ids: {options.file} has no example '{unknown[0]}'.{did_you_mean(unknown[0], known)}")

    from tl_run import durable
    from tl_run.explain import content, page

    choice = content.Choice(ids, options.examples or 8, options.order or "first", options.label, options.baseline)
    found = content.explain(run, options.file, examples, choice, options.device, options.batch_size)
    path = options.output or run.path / f"explain{'-' * bool(run.name)}{run.name}.html"
    durable.write_file(path, page.page(found).encode())
    _show(found, path)


def _run(options: argparse.Namespace) -> Finished:
    """The run, when all that was typed fits it."""
    if options.ids and (options.examples or options.order):
        raise BadOption("--ids names the examples: leave out --examples and --order")
    for name, value in (("--examples", options.examples), ("--batch-size", options.batch_size)):
        if value is not None and value < 1:
            raise BadOption(f"{name} {value}: must be at least 1")
    run = finished.open_run(options.run)
    task = run.options.task
    if task.kind not in ("classification", "regression") or getattr(task, "multi_label", False):
        several = ", several labels each" if getattr(task, "multi_label", False) else ""
        raise BadOption(
            f"{options.run} is a run of task.kind={task.kind}{several}: tl-explain works with classification (one "
            "label each) and regression"
        )
    finished.name_labels(run)
    labels = run.kind.labels
    if options.order == "uncertain" and not labels:
        raise BadOption("--order uncertain: a number has no probability: type --order wrong")
    if options.label is not None and options.label not in labels:
        what = (
            f"the run's labels are {', '.join(labels[:8])}.{did_you_mean(options.label, labels)}"
            if labels
            else "the run predicts numbers: leave it out"
        )
        raise BadOption(f"--label {options.label}: {what}")
    return run


def _show(found: Any, path: Path) -> None:
    """In a few lines what the page holds."""
    from tl_run.report.tables import cell

    print(printable(f"{found.title}: {found.score}"))
    table = found.layers.table
    rows = [table.columns, *([cell(value) for value in row] for row in table.rows)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.columns))]
    for row in rows if table.rows else ():
        print("  ".join(value.rjust(width) for value, width in zip(row, widths, strict=True)))
    for words in [*found.layers.sentences, *(f"note: {note}" for note in found.notes)]:
        print(printable(words))
    for each in found.told:
        strongest = ", ".join(f"{word.text} {word.score:+.2f}" for word in each.strongest)
        print(printable(f"{each.id}: {each.says}: {strongest}"))
        print(printable(f"   {each.completeness}"))
    print(f"page: {path}")
