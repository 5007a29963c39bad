"""The command `tl-predict`: labels and probabilities for new examples, in input order, from a run folder."""

import argparse
import csv
import io
import json
import os
import sys
from pathlib import Path
from typing import Any, TextIO

from tl_run import embedded, finished
from tl_run.arguments import Arguments
from tl_run.data import perturbation, readers
from tl_run.data.table import Table
from tl_run.errors import BadOption
from tl_run.failures import outcome
from tl_run.finished import Finished

RATE = 0.1
"""Of words that are disturbed."""


def main() -> None:
    """Entry point of `tl-predict`."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(outcome(lambda: predict(sys.argv[1:])))


def parser() -> Arguments:
    """The command's arguments."""
    made = Arguments(prog="tl-predict", description=__doc__)
    made.add_argument("run", type=Path, help="folder of a finished run")
    made.add_argument("input", help="file with the run's columns, or a folder of pictures; - reads stdin")
    made.add_argument("-o", "--output", type=Path, help="file to write, .csv or .jsonl; default: stdout")
    made.add_argument(
        "-f", "--format", choices=["csv", "jsonl"], help="format of the output; default: by the name, or csv"
    )
    made.add_argument(
        "--input-format", choices=readers.STREAM_FORMATS, default="csv", help="format of stdin (default: csv)"
    )
    made.add_argument("--batch-size", type=int, default=64, help="examples per forward pass")
    made.add_argument("--device", choices=["auto", "cpu", "cuda", "mps"], default="auto")
    robust = made.add_argument_group(
        "how robust is it?",
        "scores a file with labels as it is and disturbed, and prints both; the predictions with both go to -o",
    )
    robust.add_argument(
        "--perturb",
        choices=perturbation.KINDS,
        help="typing mistakes in words, other letter case, or words left out; of Chinese texts a word is a character",
    )
    robust.add_argument("--rate", type=float, help=f"share of the words that is disturbed (default: {RATE:g})")
    robust.add_argument("--seed", type=int, help="what is drawn is a function of it and the text (default: 0)")
    return made


def predict(arguments: list[str]) -> None:
    """Read, predict, write. Raises: Failure."""
    options = parser().parse_args(arguments)
    how = _disturbance(options)
    run = finished.open_run(options.run)
    table = (
        readers.read_stream(sys.stdin.buffer, options.input_format)
        if options.input == "-"
        else run.kind.open(embedded.locate(options.input))
    )
    form = options.format or ("jsonl" if options.output and options.output.suffix in (".jsonl", ".ndjson") else "csv")
    if options.output and options.output.suffix not in (".csv", ".jsonl", ".ndjson") and not options.format:
        raise BadOption(
            f"--output {options.output}: the name ends in neither .csv nor .jsonl: type --format csv or jsonl"
        )
    if options.batch_size < 1:
        raise BadOption(f"--batch-size {options.batch_size}: must be at least 1")
    lines = _both(options, run, table, how) if how else _predictions(options, run, table)
    if options.output:
        from tl_run import durable

        text = io.StringIO(newline="")
        _write(text, lines, form)
        durable.write_file(options.output, text.getvalue().encode())
        print(f"{len(lines):,} predictions in {options.output}", file=sys.stderr)
    elif not how:
        _write(sys.stdout, lines, form)


def _disturbance(options: argparse.Namespace) -> perturbation.Disturbance | None:
    rate, seed = options.rate, options.seed
    if options.perturb is None:
        if given := [name for name, value in (("--rate", rate), ("--seed", seed)) if value is not None]:
            raise BadOption(f"{given[0]} goes with --perturb: type --perturb {', '.join(perturbation.KINDS)}")
        return None
    rate, seed = RATE if rate is None else rate, seed or 0
    if not 0 < rate <= 1:
        raise BadOption(f"--rate {rate:g}: a share of the words is needed, above 0 and at most 1")
    if seed < 0:
        raise BadOption(f"--seed {seed}: must be at least 0")
    return perturbation.Disturbance(options.perturb, rate, seed)


def _predictions(options: argparse.Namespace, run: Finished, table: Table) -> list[dict[str, Any]]:
    examples = run.kind.read_unlabelled(table)
    model, tokenizer, hardware = finished.load(run, options.device)
    encoded = run.kind.encode(examples, tokenizer)
    found = finished.evaluate(run, model, tokenizer, hardware, encoded, options.batch_size)
    return [
        {"id": example.id, **run.kind.describe(example, prediction)}
        for example, prediction in zip(examples, found.predictions, strict=True)
    ]


def _both(
    options: argparse.Namespace, run: Finished, table: Table, how: perturbation.Disturbance
) -> list[dict[str, Any]]:
    """Prints the report; returns a line for each example."""
    finished.name_labels(run)
    examples = run.kind.read_labelled(table)
    metric = run.result["metric"]["name"]
    disturbed = [run.kind.disturbed(example, how) for example in examples]

    from tl_run.robustness import Comparison

    model, tokenizer, hardware = finished.load(run, options.device)
    before, after = (
        finished.evaluate(run, model, tokenizer, hardware, run.kind.encode(rows, tokenizer), options.batch_size)
        for rows in (examples, disturbed)
    )
    found = Comparison(run.kind, how, metric, examples, disturbed, before, after)
    print("\n".join(found.report()))
    return found.lines() if options.output else []


def _write(stream: TextIO, lines: list[dict[str, Any]], form: str) -> None:
    if form == "jsonl":
        for line in lines:
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")
        return
    writer = csv.writer(stream, lineterminator="\n")
    nested = {key for key, value in lines[0].items() if isinstance(value, dict)}
    plain = [key for key in lines[0] if key not in nested]
    names = {key: list(lines[0][key]) for key in nested}
    writer.writerow([*plain, *(f"probability_{name}" for key in nested for name in names[key])])
    for line in lines:
        cells = (json.dumps(v, ensure_ascii=False) if isinstance(v := line[key], list) else v for key in plain)
        writer.writerow([*cells, *(line[key][name] for key in nested for name in names[key])])
