"""The runs that are killed, starved and corrupted: seconds each, and between them all that has state. A line adds one.

Scripts here import this first, for it finds what the tests use: `forked_runs` starts the command, `left_behind` is what
two runs must agree in.
"""

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from conftest import bert_folder
from finished_objects import toy
from forked_runs import Forks
from left_behind import said, undisturbed

JOBS = {
    "classification": [],
    "tagging": ["task=tagging-demo"],
    "qa": ["task=qa-demo"],
    "masked lm": ["task=lm-demo", "task.limit=60"],
    "dann": ["transfer=dann", "task.domain.train={data}/test.csv"],
    "multitask": ["transfer=multitask", "transfer.tasks=[tagging-demo,relation-demo]"],
    "changed texts": ["augment=eda"],
    "gradual unfreezing": ["freeze=gradual", "freeze.head_first=0.5", "freeze.every_steps=3"],
    "lora": ["adapter=lora", "adapter.dropout=0.2", "freeze=bottom", "freeze.layers=1"],
    "accumulation": ["training.micro_batch_size=3", "optimizer.schedule=cosine"],
    "early stopping": ["training.early_stopping.patience=2", "training.early_stopping.min_delta=0.5"],
    "stored activations": ["freeze=bottom", "freeze.layers=1", "features.mode=require"],
    "rare records": ["training.log_every=5"],
    "fp16": ["hardware.precision=fp16"],
}
"""What is killed at every operation of a save, and elsewhere."""
EPISODES = [
    *("task=episodes-demo", "task.train=embedded:requests/train.csv", "task.validation=null", "task.test=null"),
    *("task.episodes=2", "task.validation_episodes=2", "training.max_steps=4"),
    *("transfer.episodes=2", "transfer.inner_steps=2", "transfer.test_steps=2"),
]
BACK = [f"augment.{way}=embedded:tiny-generation" for way in ("there", "back")]
OTHERS = {
    "trunk": ["freeze=trunk", "training.eval_every=5"],
    "layer": ["model.head=layer", "model.head_layer=1", "model.pooling=attention"],
    "solved": ["model.head=svm", "freeze=trunk"],
    "features": [
        *("model.head=logistic", "freeze=trunk", "transfer=features", "transfer.autoencoder=4", "transfer.tfidf=true")
    ],
    "phases": [
        "freeze=schedule",
        "freeze.phases=[{until_steps:4,learns:all},{learns:head,patience:1},{until_steps:9,learns:1},{learns:all}]",
        *("training.eval_every=2", "training.checkpoint_every=1", "training.early_stopping.min_delta=0.5"),
    ],
    "gradual, sgd": ["freeze=gradual", "freeze.every_steps=2", "optimizer=sgd", "training.checkpoint_every=3"],
    "sgd": ["optimizer=sgd", "optimizer.lr=0.5", "training.keep_checkpoints=1"],
    "self-training": [
        *("transfer=self_training", "transfer.threshold=0.5", "transfer.warmup=0.3", "transfer.rounds=3"),
        *("task.domain.train={data}/test.csv", "training.checkpoint_every=1"),
    ],
    "fedprox": ["transfer=fedprox", "transfer.clients=4", "training.max_steps=4", "training.checkpoint_every=1"],
    "maml": [*EPISODES, "transfer=maml"],
    "reptile": [*EPISODES, "transfer=reptile", "training.eval_every=2"],
    "l2sp": ["transfer=l2sp"],
    "mixout": ["transfer=mixout"],
    "rdrop": ["transfer=rdrop"],
    "token dropout": ["augment=token_dropout", "augment.how=drop"],
    "mixup": ["augment=mixup", "augment.at=embeddings", "training.micro_batch_size=3"],
    "back-translation": ["augment=back_translation", *BACK, "augment.max_length=12"],
}
"""What has state of other kinds: killed a few times each."""
COMMON = [
    *("model=custom", "model.path={data}/bert", "optimizer.lr=0.01", "hardware=cpu", "hydra.run.dir=run"),
    *("training.batch_size=8", "training.max_steps=12", "training.log_every=1"),
    *("training.eval_every=3", "training.checkpoint_every=2"),
]


@dataclass
class Job:
    """A run, and what an undisturbed one leaves and does."""

    name: str
    command: list[str]
    cache: bool
    """Whether its operations in the cache count too."""
    expected: dict[str, Any]
    operations: list[str]


@dataclass
class Bench:
    """Where the runs are: a warm process, data, and a folder for each job."""

    forks: Forks
    place: Path
    _jobs: dict[str, Job] = field(default_factory=dict)

    def command(self, name: str, *more: str) -> list[str]:
        """The arguments of a job; the later of two for one option counts."""
        data = self.place / "data"
        if not data.exists():
            data.mkdir()
            toy(data)
            bert_folder(data / "bert")
        chosen = [*COMMON, *(JOBS | OTHERS)[name], *more]
        if not any(option.startswith(("task=", "transfer.tasks=")) for option in chosen):
            chosen = [*toy(data), *chosen]
        last = {option.partition("=")[0]: option.replace("{data}", str(data)) for option in chosen}
        return [*last.values()]

    def job(self, name: str) -> Job:
        """The job, after it has run undisturbed once."""
        if name not in self._jobs:
            command, cache = self.command(name), name == "stored activations"
            expected, operations = undisturbed(self.forks, self.folder(name), command, cache)
            self._jobs[name] = Job(name, command, cache, expected, operations)
        return self._jobs[name]

    def folder(self, name: str) -> Path:
        """The folder of a job's cases."""
        folder = self.place / name.replace(" ", "-")
        folder.mkdir(exist_ok=True)
        return folder


@contextlib.contextmanager
def bench() -> Iterator[Bench]:
    """A bench in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="trust-") as place:
        forks = Forks()
        try:
            yield Bench(forks, Path(place))
        finally:
            forks.close()


@dataclass
class Tally:
    """How many of how many cases ended as they must; the others are told."""

    what: str
    tried: int = 0
    problems: list[str] = field(default_factory=list)

    def note(self, case: str, problem: str | None, place: Path | None = None) -> None:
        """One case: `problem` is what was wrong with it, and what the command printed is in `place`."""
        self.tried += 1
        if problem:
            printed = f"\n{said(place)}" if place and (place / "output").is_file() else ""
            self.problems.append(f"{case}: {problem}{printed}")

    def __str__(self) -> str:
        return f"{self.what}: {self.tried - len(self.problems)} of {self.tried}"

    def end(self) -> None:
        """Print the figure, and leave with 1 if a case failed."""
        for problem in self.problems:
            print(f"-- {problem}")
        print(self)
        sys.exit(bool(self.problems))


def count(default: int, what: str) -> int:
    """The only option of most scripts: how many cases."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=default, help=what)
    return parser.parse_args().cases


def environment() -> dict[str, str]:
    """Of a real command: this source, one thread, no hub."""
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "HF_HUB_OFFLINE": "1",
    }
