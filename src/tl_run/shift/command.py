"""The command `tl-shift`: how far apart source and target are before training, and after it what was observed."""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from tl_run import embedded, hub
from tl_run.arguments import Arguments
from tl_run.errors import BadOption
from tl_run.failures import outcome
from tl_run.shift import gains, sides, terminal
from tl_run.shift.figures import Shift, measure
from tl_run.shift.sides import Columns, Sample, Side

TINY = "tiny"
UNKNOWN = 0.05  # share of tokens from which on it is said that the model cannot read them


def main() -> None:
    """Entry point of `tl-shift`."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(outcome(lambda: shift(sys.argv[1:])))


def parser() -> Arguments:
    """The command's arguments."""
    made = Arguments(prog="tl-shift", description=__doc__)
    what = "file (.csv .tsv .jsonl .json .parquet .txt), or the folder of a finished run: its training data"
    made.add_argument("source", help=f"{what}, and its model")
    made.add_argument("target", help=what)
    made.add_argument("--text", help="column of texts (default: text, or the run's)")
    made.add_argument("--text-pair", help="column of second texts, where an example has two")
    made.add_argument("--label", help="column of labels (default: label where there is one, or the run's)")
    for name in ("text", "text-pair", "label"):
        made.add_argument(f"--target-{name}", help="the target's, where it has another name")
    made.add_argument("--model", help="folder or hub id of a model, or tiny (default: the run's, or tiny)")
    made.add_argument("--max-length", type=int, help="tokens that the model reads of a text (default: 128 at most)")
    made.add_argument("--limit", type=int, default=1000, help="texts of a sample at most (default: 1000)")
    made.add_argument("--seed", type=int, default=0, help="of samples, folds and permutations (default: 0)")
    made.add_argument("--runs", nargs="+", type=Path, default=[], metavar="FOLDER", help="runs tested on the target")
    made.add_argument("--json", type=Path, metavar="FILE", help="where all figures go")
    made.add_argument("--batch-size", type=int, default=64, help="texts per forward pass")
    made.add_argument("--device", choices=["auto", "cpu", "cuda", "mps"], default="auto")
    return made


def shift(arguments: list[str]) -> None:
    """Read, measure, show. Raises: Failure."""
    options = parser().parse_args(arguments)
    for name, least, most in (
        ("limit", sides.FEWEST, 5000),
        ("batch_size", 1, None),
        ("max_length", 4, None),
        ("seed", 0, None),
    ):
        value = getattr(options, name)
        if value is not None and (value < least or (most and value > most)):
            allowed = f"{least} to {most:,}" if most else f"at least {least}"
            raise BadOption(f"--{name.replace('_', '-')} {value}: must be {allowed}")
    source, target = _sides(options)
    drawn = sides.samples(source, target, options.limit, options.seed)
    observed, left_out = gains.gains(options.runs, source, target) if options.runs else ([], [])
    if options.runs and not observed:
        reasons = "".join(f"\n  {name}: {why}" for name, why in left_out[:3])
        raise BadOption(f"--runs: no finished run with a test split lies there{reasons}")
    name = options.model or source.model or target.model or TINY
    found = _measure(options, name, _model(name), drawn)
    console = Console(highlight=False, soft_wrap=True)
    notes = [*_notes(found, source, target), *(f"{folder} is left out: {why}" for folder, why in left_out)]
    terminal.show(found, source, target, name, observed, notes, console)
    if options.json:
        from tl_run import durable

        facts = {"source": source.name, "target": target.name, "model": name, "seed": options.seed}
        facts |= {**asdict(found), "runs": [asdict(each) for each in observed], "sentence": terminal.sentence(found)}
        durable.write_file(options.json, (json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode())


def _sides(options: argparse.Namespace) -> tuple[Side, Side]:
    """The target has the source's columns, unless others are typed or it is a run with its own."""
    source = sides.read(options.source, Columns(options.text, options.text_pair, options.label))
    own = (options.target_text, options.target_text_pair, options.target_label)
    names = ("--target-text", "--target-text-pair", "--target-label")
    if embedded.locate(options.target).is_dir():
        return source, sides.read(options.target, Columns(*own, options=names))
    typed = [mine or theirs for mine, theirs in zip(own, source.columns, strict=True)]
    return source, sides.read(
        options.target, Columns(*typed, options=names, need_label=options.target_label is not None)
    )


def _model(name: str) -> Path:
    if name == TINY or name.startswith(embedded.PREFIX):
        return embedded.locate(embedded.PREFIX + TINY if name == TINY else name)
    return hub.find([hub.Wanted("model", name, "--model", f"--model {TINY}")])[0].folder


def _measure(options: argparse.Namespace, name: str, folder: Path, drawn: tuple[Sample, Sample, Sample]) -> Shift:
    from tl_run.config.options import Hardware
    from tl_run.hardware import prepare
    from tl_run.shift import vectors

    loaded, length = vectors.load(folder, name, options.max_length)
    alone: dict[str, Any] = {"processes": 1, "nodes": 1, "endpoint": None, "shard": False, "elastic": False}
    wanted = Hardware("shift", options.device, precision="fp32", compile=False, threads="auto", **alone)
    hardware = prepare(wanted, sum(p.numel() for p in loaded.model.parameters()))
    loaded.model.to(hardware.device)
    return measure(
        drawn,
        lambda texts: vectors.vectors(loaded, texts, length, hardware, options.batch_size),
        lambda texts: vectors.pieces(loaded, texts, length),
        options.seed,
    )


def _notes(found: Shift, source: Side, target: Side) -> Iterator[str]:
    if found.shared_texts:
        yield f"{found.shared_texts} of the target's {found.texts:,} texts are in the source's sample too"
    for which, sample in (("source", found.source), ("target", found.target)):
        if sample.unknown_tokens > UNKNOWN:
            yield f"{sample.unknown_tokens:.0%} of the {which}'s tokens are unknown to the model: it cannot read them"
    if source.labels and target.labels:
        yield from _lone(source, target, "source")
        yield from _lone(target, source, "target")
    elif source.labels or target.labels:
        yield f"the {'target' if source.labels else 'source'} has no labels: label shift is not told"


def _lone(side: Side, other: Side, which: str) -> Iterator[str]:
    names = sorted(side.label_names - other.label_names)
    if names:
        more = f" and {len(names) - 10} more" if names[10:] else ""
        yield f"labels of the {which} alone: {', '.join(names[:10])}{more}"
