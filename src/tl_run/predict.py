"""The command `tl-predict`: labels and probabilities for new examples, in input order, from a run folder."""

import argparse
import csv
import io
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any, TextIO

import yaml

import tl_run
from tl_run.data import readers
from tl_run.data.table import Table
from tl_run.errors import BadOption
from tl_run.failures import outcome


def main() -> None:
    """Entry point of `tl-predict`."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(outcome(lambda: predict(sys.argv[1:])))


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(prog="tl-predict", description=__doc__)
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
    return made


def predict(arguments: list[str]) -> None:
    """Read, predict, write. Raises: Failure."""
    options = parser().parse_args(arguments)
    stored = _config(options.run)
    kind = _kind(stored)
    table = (
        readers.read_stream(sys.stdin.buffer, options.input_format)
        if options.input == "-"
        else kind.open(options.input)
    )
    form = options.format or ("jsonl" if options.output and options.output.suffix in (".jsonl", ".ndjson") else "csv")
    if options.output and options.output.suffix not in (".csv", ".jsonl", ".ndjson") and not options.format:
        raise BadOption(
            f"--output {options.output}: the name ends in neither .csv nor .jsonl: type --format csv or jsonl"
        )
    if options.batch_size < 1:
        raise BadOption(f"--batch-size {options.batch_size}: must be at least 1")
    lines = _predictions(options, kind, table)
    if options.output:
        from tl_run import durable

        text = io.StringIO(newline="")
        _write(text, lines, form)
        durable.write_file(options.output, text.getvalue().encode())
        print(f"{len(lines):,} predictions in {options.output}", file=sys.stderr)
    else:
        _write(sys.stdout, lines, form)


def _config(run: Path) -> dict[str, Any]:
    if not (run / "config.yaml").is_file():
        raise BadOption(f"{run}: no run lies there (a run folder holds config.yaml)")
    if not (run / "model" / "config.json").is_file():
        raise BadOption(f"{run}: the run is not finished, it has no model yet: tl-run {shlex.quote(f'resume={run}')}")
    config: dict[str, Any] = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    return config


def _kind(stored: dict[str, Any]) -> Any:
    from tl_run import task
    from tl_run.config.check import check

    return task.load(check(stored | {"resume": None, "plan": False}).task)


def _predictions(options: argparse.Namespace, kind: Any, table: Table) -> list[dict[str, Any]]:
    examples = kind.read_unlabelled(table)

    from tl_run.config.options import Hardware
    from tl_run.evaluation import evaluate
    from tl_run.hardware import prepare
    from tl_run.model.reading import padding

    model, tokenizer = tl_run.load_model(options.run / "model")
    kind.restore(model.config)
    alone = {"processes": 1, "nodes": 1, "endpoint": None, "shard": False, "elastic": False}
    wanted = Hardware("predict", options.device, precision="fp32", compile=False, threads="auto", **alone)
    hardware = prepare(wanted, sum(p.numel() for p in model.parameters()))
    encoded = kind.encode(examples, tokenizer)
    found = evaluate(
        model.to(hardware.device),
        kind,
        encoded,
        batch_size=options.batch_size,
        pad=padding(tokenizer),
        hardware=hardware,
    )
    return [
        {"id": example.id, **kind.describe(example, prediction)}
        for example, prediction in zip(examples, found.predictions, strict=True)
    ]


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
