"""As a program: a warmed-up process that forks one child per command, so that hundreds of starts import torch once.

It reads one line of JSON with chains of commands, runs two chains at a time, and answers with their exit codes.
The processes that die are real ones; only the import is shared.
"""

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

DIED = 9


@dataclass
class Command:
    """`tl-run ...` in `folder`, which holds its cache too."""

    folder: str
    arguments: list[str]
    at: int = 0
    """The durable operation, counted from 1, before which something happens; 0: never."""
    signals: list[str] = field(default_factory=list)
    """What happens then: these signals, one after the other; without any, sudden death."""
    cache: bool = False
    """Whether operations in the cache count too: what is kept there is of no one run."""
    meddle: str = ""
    """A function, `module:name`, that is called with `given` before the command. What it returns, unless that is None,
    is called before each operation with its number, its kind and its path."""
    given: dict[str, Any] = field(default_factory=dict)


class Forks:
    """The other side of the pipe."""

    def __init__(self) -> None:
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(sys.path),
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
        }
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def run(self, chains: Sequence[Sequence[Command]]) -> list[list[int]]:
        """Exit codes of each chain's commands, which run one after the other; all chains start at once."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([[asdict(command) for command in chain] for chain in chains]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()


def _child(command: Command) -> int:
    """Runs the command in this process; its operations are noted in the file `operations`, one a line."""
    os.chdir(command.folder)
    os.environ |= {"TL_RUN_CACHE": f"{command.folder}/cache", "HF_HOME": f"{command.folder}/hf"}
    output = os.open("output", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for standard in (1, 2):
        os.dup2(output, standard)
    from tl_run import cli, disk

    done: list[str] = []
    module, _, name = command.meddle.partition(":")
    meddle = getattr(importlib.import_module(module), name)(**command.given) if name else None

    def hook(operation: str, path: Path) -> None:
        if not command.cache and (path.is_relative_to("cache") or path.is_relative_to(f"{command.folder}/cache")):
            return
        done.append(f"{operation} {path}")
        if meddle:
            meddle(len(done), operation, path)
        if len(done) == command.at:
            print(f"-- at {operation} {path}", flush=True)
            if not command.signals:
                os._exit(DIED)
            for name in command.signals:
                os.kill(os.getpid(), signal.Signals[name])

    disk.hook = hook
    sys.argv = ["tl-run", *command.arguments]
    code = cli.outcome(lambda: cli._compose_and_run(command.arguments))
    Path("operations").write_text("\n".join(done))
    return code


def _fork(work) -> int:
    """A child that does `work` and exits with what it returns."""
    sys.stdout.flush()
    process = os.fork()
    if process:
        return process
    code = 99
    try:
        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):  # where the disk is full for us too
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _chain(commands: list[Command], answer: Path) -> int:
    codes = []
    for command in commands:
        _, status = os.waitpid(_fork(lambda command=command: _child(command)), 0)
        codes.append(os.waitstatus_to_exitcode(status))
    answer.write_text(json.dumps(codes))
    return 0


def _serve() -> None:
    for line in sys.stdin:
        chains = [[Command(**command) for command in chain] for chain in json.loads(line)]
        answers = [Path(chain[0].folder) / "codes.json" for chain in chains]
        waiting = list(zip(chains, answers, strict=True))
        running: set[int] = set()
        while waiting or running:
            if waiting and len(running) < 2:
                commands, answer = waiting.pop(0)
                running.add(_fork(lambda commands=commands, answer=answer: _chain(commands, answer)))
            else:
                running.discard(os.wait()[0])
        print(json.dumps([json.loads(answer.read_text()) for answer in answers]), flush=True)


def _warm_up() -> None:
    """Import all that a run imports, without a backward pass: torch's autograd cannot be forked once it has run."""
    import hydra  # noqa: F401
    import peft  # noqa: F401
    import sklearn.metrics  # noqa: F401
    import torch
    import torch.utils.tensorboard
    import transformers

    from tl_run import run  # noqa: F401

    torch.set_num_threads(1)
    transformers.AutoModelForSequenceClassification.from_config(
        transformers.BertConfig(vocab_size=9, hidden_size=4, num_hidden_layers=1, num_attention_heads=1)
    )
    transformers.BertTokenizer(vocab={"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4})


if __name__ == "__main__":
    _warm_up()
    _serve()
