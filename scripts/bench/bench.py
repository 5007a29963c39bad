"""tl-run beside transformers' Trainer and beside itself, in turn, in one run.

    python scripts/bench/bench.py --model DIR --data DIR --pairs full-finetune,frozen-trunk --rounds 3 --limit 6400

`--data` holds train.csv and dev.csv with the columns text and label; `--model` is a folder in the hub's layout. Each
round runs ours and then every other side, as whole processes with empty caches; ratios are taken within a round. The
round's number is the seed of both sides. `--dry-run` prints the commands. Wants the extra `bench`.
"""

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import mean, median
from typing import Any

from rich.console import Console
from rich.table import Table

from flops import forward, lengths
from measure import HERE, Job, Measured, Ours, Peer, Plain, Setting, Side, measure, sample

GROUPED_NEEDS = 6400  # Trainer sorts by length within min(50, n // 4 // batch size) batches: below this too few


@dataclass(frozen=True)
class Other:
    """What ours is compared with. `goal`: its seconds over ours shall be at least this."""

    name: str
    side: Side
    goal: float | None = None


@dataclass(frozen=True)
class Pair:
    """Ours and what it is compared with, on the same job."""

    what: str
    ours: Side
    others: tuple[Other, ...]
    job: Job = field(default=Job())
    clock: str = "process"  # whose seconds are compared: process, train, evaluate, first_step
    rate: bool = False  # also the share of the machine's peak matmul rate that useful tokens reach, everything learning
    config: dict[str, Any] = field(default_factory=dict)  # changes to the model's config.json, with random weights


TRAINERS = (
    ("pad to max, fp32", Peer("max")),
    ("dynamic, fp32", Peer("dynamic")),
    ("grouped, fp32", Peer("grouped")),
    ("grouped, bf16", Peer("grouped", "bf16")),
)
BEST = TRAINERS[-1]
BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
FROZEN, BOTTOM, STORE_OFF = ("freeze=trunk",), ("freeze=bottom", "freeze.layers=4"), ("features.mode=off",)
RATES = "optimizer.lr=1e-4,2e-4,5e-4,1e-3,2e-3,5e-3,1e-2,2e-2"
EMBEDDED = ("-m", "tl_run", "training.epochs=1", "hardware.threads=1")
IMPORT_TORCH = Other("python -c 'import torch'", Plain(("-c", "import torch")), 2.0)


def _trainers(*goals: float | None, **changes: Any) -> tuple[Other, ...]:
    """The last trainers of the list, one for each goal."""
    chosen = TRAINERS[-len(goals) :]
    return tuple(Other(name, replace(side, **changes), goal) for (name, side), goal in zip(chosen, goals, strict=True))


PAIRS: dict[str, Pair] = {
    "full-finetune": Pair("everything learns", Ours(), _trainers(16, 4.8, 1.8, 1.3), clock="train", rate=True),
    "long-texts": Pair(
        "everything learns, long texts (give them with --data)",
        Ours(),
        _trainers(2.0),
        Job(max_length=256),
        clock="train",
        rate=True,
    ),
    "base-size": Pair(
        "everything learns, a BERT of base size with random weights",
        Ours(),
        _trainers(1.35),
        Job(random=True),
        clock="train",
        rate=True,
        config=BASE,
    ),
    "frozen-trunk": Pair(
        "only the head learns, 10 epochs, evaluated after each",
        Ours(FROZEN),
        _trainers(18, 9, 6, options=("--freeze-trunk",)),
        Job(epochs=10, lr=1e-3),
    ),
    "sweep": Pair(
        "eight learning rates on a frozen trunk in one multirun; the peer's one run counts eight times",
        Ours((*FROZEN, RATES), sweep=True),
        (
            Other("8 x dynamic, fp32", Peer("dynamic", options=("--freeze-trunk",), times=8), 100),
            Other("8 x grouped, bf16", Peer("grouped", "bf16", ("--freeze-trunk",), times=8), 35),
        ),
        Job(epochs=10, lr=1e-3),
    ),
    "small-jobs": Pair(
        "eight seeds of a small job in one multirun, everything learning (give it --limit 500)",
        Ours(("seed=0,1,2,3,4,5,6,7",), sweep=True),
        (
            Other("8 x dynamic, fp32", Peer("dynamic", times=8)),
            Other("8 x grouped, bf16", Peer("grouped", "bf16", times=8)),
            Other("8 x ours alone", Ours(times=8)),
        ),
    ),
    "small-embedded": Pair(
        "eight seeds of the embedded task in one multirun, one epoch",
        Plain((*EMBEDDED, "-m", "seed=0,1,2,3,4,5,6,7", "hydra.sweep.dir=run")),
        (
            Other("8 x ours alone", Plain((*EMBEDDED, "hydra.run.dir=run"), times=8)),
            Other("8 x import of torch and Trainer", Plain(("-c", "from transformers import Trainer"), times=8)),
        ),
    ),
    "bottom": Pair(
        "the bottom 4 layers frozen, 10 epochs",
        Ours(BOTTOM),
        (
            *_trainers(3.0, options=("--freeze-bottom", "4")),
            Other("ours without the store", Ours(BOTTOM + STORE_OFF), 1.5),
        ),
        Job(epochs=10, lr=1e-4),
    ),
    "gradual": Pair(
        "gradual unfreezing, 6 epochs",
        Ours(("freeze=gradual",)),
        (Other("ours without the store", Ours(("freeze=gradual", *STORE_OFF))),),
        Job(epochs=6, lr=1e-4),
    ),
    "neighbour": Pair(
        "beside one other busy process: all threads against one thread",
        Ours(neighbour=True),
        (
            Other("ours, one thread", Ours(threads=1, neighbour=True), 1 / 1.2),
            Other("grouped, bf16", Peer("grouped", "bf16", neighbour=True)),
            Other("grouped, bf16, one thread", Peer("grouped", "bf16", threads=1, neighbour=True)),
        ),
        clock="train",
    ),
    "evaluation": Pair(
        "dev.csv scored twice, after one step of training",
        Ours(),
        (Other("Trainer's default", Peer("dynamic"), 3.5), Other("pad to max, fp32", Peer("max"))),
        Job(max_steps=1, test=True),
        clock="evaluate",
    ),
    "first-step": Pair(
        "from the start of the process to the end of the first optimizer step",
        Ours(("training.log_every=1",)),
        (Other("dynamic, fp32", Peer("dynamic"), 2.0),),
        Job(max_steps=1),
        clock="first_step",
    ),
    "help": Pair("tl-run --help", Plain(("-m", "tl_run", "--help")), (IMPORT_TORCH,)),
    "config-error": Pair("a misspelt option", Plain(("-m", "tl_run", "optimizer.rl=1"), code=2), (IMPORT_TORCH,)),
}


def sides(pair: Pair) -> Iterator[tuple[str, Side, float | None]]:
    """Name, side and goal; ours first."""
    yield "ours", pair.ours, None
    for other in pair.others:
        yield other.name, other.side, other.goal


def resized(model: Path, changes: dict[str, Any], folder: Path) -> Path:
    """The model's tokenizer beside a config of another size."""
    folder.mkdir(parents=True)
    for file in model.glob("*token*"):
        shutil.copy(file, folder)
    config = json.loads((model / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def line_of(found: Measured, side: Side, clock: str) -> dict[str, Any]:
    """One measurement as --output keeps it; a side that counts several times has its seconds multiplied."""
    train = found.seconds("train") if found.results else 0.0
    return {
        "seconds": found.seconds(clock) * side.times,
        "wall": found.wall * side.times,
        "cpu": found.cpu * side.times,
        "train": train * side.times,
        "examples_per_second": found.examples / train if train else None,
        "peak_mb": found.peak_mb,
        "score": found.score,
    }


def machine_peak(threads: int) -> dict[str, float]:
    """GFLOP/s by precision, measured now in a process of its own."""
    command = [sys.executable, str(HERE / "flops.py"), "--threads", str(threads)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def compare(
    name: str, pair: Pair, setting: Setting, rounds: int, output: Path | None
) -> dict[str, list[dict[str, Any]]]:
    """Measure all sides of a pair in turn; returns for each side its lines, one a round."""
    lines: dict[str, list[dict[str, Any]]] = {}
    for seed in range(rounds):
        peak = machine_peak(setting.threads) if pair.rate else {}
        for side_name, side, _ in sides(pair):
            line = line_of(measure(side, pair.job, replace(setting, seed=seed)), side, pair.clock)
            if pair.rate:
                tokens = lengths(setting.model, setting.data / "train.csv", pair.job.max_length)
                work = 3 * pair.job.epochs * forward(setting.model, tokens)  # backward is twice the forward's
                line["peak_rate_share"] = work * 1e-9 / line["train"] / peak[side.precision]
            lines.setdefault(side_name, []).append(line)
            if output:
                facts = {"pair": name, "side": side_name, "round": seed, "clock": pair.clock, "peak": peak}
                with output.open("a") as file:
                    file.write(json.dumps(facts | line | {"job": asdict(pair.job)}) + "\n")
    return lines


def table(name: str, pair: Pair, lines: dict[str, list[dict[str, Any]]]) -> Table:
    """Medians over rounds, and the ratios to ours as min / median / max."""
    shown = Table(title=f"{name}: {pair.what} ({pair.clock} seconds)", title_justify="left")
    columns = ("seconds", "CPU s", "examples/s", "peak MB", "score", "of peak", "ratio", "CPU ratio", "goal")
    shown.add_column("side")
    for column in columns:
        shown.add_column(column, justify="right")

    def middle(side: str, key: str, form: str, of: Any = median) -> str:
        values = [line[key] for line in lines[side] if line.get(key) is not None]
        return format(of(values), form) if values else ""

    def ratios(side: str, key: str) -> str:
        found = sorted(theirs[key] / ours[key] for theirs, ours in zip(lines[side], lines["ours"], strict=True))
        return "" if side == "ours" else f"{found[0]:.2f} / {median(found):.2f} / {found[-1]:.2f}"

    for side, _, goal in sides(pair):
        shown.add_row(
            side,
            middle(side, "seconds", ".2f"),
            middle(side, "cpu", ".1f"),
            middle(side, "examples_per_second", ".1f"),
            middle(side, "peak_mb", ".0f"),
            middle(side, "score", ".4f", of=mean),
            middle(side, "peak_rate_share", ".1%"),
            ratios(side, "seconds"),
            ratios(side, "cpu"),
            f"{goal:.3g}" if goal else "",
        )
    return shown


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pairs", default="full-finetune", help="all, or some of: " + ", ".join(PAIRS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=int, help="so many training examples, drawn once")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, help="append one JSON line per measurement")
    parser.add_argument("--dry-run", action="store_true", help="print the commands and run nothing")
    options = parser.parse_args()
    chosen = list(PAIRS) if options.pairs == "all" else options.pairs.split(",")
    if unknown := set(chosen) - PAIRS.keys():
        parser.error(f"no pair is called {', '.join(sorted(unknown))}; there are: {', '.join(PAIRS)}")
    setting = Setting(options.model.absolute(), options.data.absolute(), options.threads)
    console = Console(width=None if sys.stdout.isatty() else 160)
    if options.dry_run:
        for name in chosen:
            for side_name, side, _ in sides(PAIRS[name]):
                command = side.command(PAIRS[name].job, setting, Path("FOLDER"))
                print(f"# {name}: {side_name}", shlex.join(command), sep="\n")
        return
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        setting = replace(setting, data=sample(setting.data, Path(scratch) / "data", options.limit))
        if options.limit and options.limit < GROUPED_NEEDS:
            console.print(f"note: under {GROUPED_NEEDS} examples Trainer's grouping is handicapped; not for quoting")
        for name in chosen:
            pair = PAIRS[name]
            model = resized(setting.model, pair.config, Path(scratch) / name) if pair.config else setting.model
            lines = compare(name, pair, replace(setting, model=model), options.rounds, options.output)
            console.print(table(name, pair, lines))


if __name__ == "__main__":
    main()
