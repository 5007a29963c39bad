"""What safety costs an ordinary run: the share of its time in saves, the log, the lock, and seeding each step."""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SAVE_EVERY = 1000


def timed(spent: dict[str, float], place: Any, name: str, what: str) -> None:
    """Replace a function by one that notes how long it took."""
    function: Callable[..., Any] = getattr(place, name)

    def run(*arguments: Any, **options: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            spent[what] = spent.get(what, 0.0) + time.perf_counter() - began

    setattr(place, name, run)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("options", nargs="*", help="of tl-run: another task, another model")
    given = parser.parse_args()
    from tl_run import cli, durable, run, training

    spent: dict[str, float] = {}
    timed(spent, run.Session, "_save", "saves")
    timed(spent, durable, "append_line", "the log")
    timed(spent, durable, "settle", "the folder's lock and names")
    timed(spent, training, "seed_by", "a seed for each step")
    with tempfile.TemporaryDirectory(prefix="overhead-") as place:
        arguments = [
            *(f"training.max_steps={given.steps}", f"training.checkpoint_every={SAVE_EVERY}"),
            *(f"training.eval_every={SAVE_EVERY}", f"hydra.run.dir={place}/run", *given.options),
        ]
        began = time.perf_counter()
        sys.argv = ["tl-run", *arguments]
        code = cli.outcome(lambda: cli._compose_and_run(arguments))
        total = time.perf_counter() - began
        saved = sum(file.stat().st_size for file in max(Path(place).glob("run/checkpoints/step-*")).iterdir())
    for what, seconds in spent.items():
        print(f"{what}: {seconds:.3f} s, {seconds / total:.2%}")
    print(f"a checkpoint: {saved:,} bytes; the run: {given.steps} steps, {total:.1f} s")
    share = sum(spent.values()) / total
    print(f"overhead: {share:.2%} of the run")
    sys.exit(code or share > 0.01)


if __name__ == "__main__":
    main()
