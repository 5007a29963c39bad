"""What run.py hands to the loop, made from a real config, so that a test can look inside or put something else in."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from composing import compose
from tl_run import adapter, evaluation, freeze, hardware, optimizer, training, transfer
from tl_run.build import build
from tl_run.model import anatomy, pretrained
from tl_run.prepare import Job, prepare


@dataclass
class Parts:
    """The finished objects of a run; `train()` goes on from `state`."""

    job: Job
    found: pretrained.Pretrained
    anatomy: anatomy.Anatomy
    freeze: freeze.Freeze
    adapted: adapter.Adapted | None
    method: transfer.method.Method
    optimizer: torch.optim.Optimizer
    hardware: hardware.Hardware
    scaler: torch.amp.GradScaler
    budget: training.Budget
    encoded: dict[str, Any]
    state: training.State = field(default_factory=training.State)

    @property
    def model(self) -> Any:
        return self.found.model

    def score(self, split: str = "validation", batch_size: int = 64, **others: Any) -> evaluation.Evaluation:
        return evaluation.evaluate(
            self.model,
            self.job.task,
            self.encoded[split],
            batch_size=batch_size,
            pad=self.found.pad,
            hardware=self.hardware,
            **others,
        )

    def train(self, **others: Any) -> Iterator[training.Record]:
        options = self.job.options
        size = options.training.micro_batch_size
        self.state.micro_batch_size = self.state.micro_batch_size or (
            options.training.batch_size if size == "auto" else size
        )
        arguments: dict[str, Any] = {
            "model": self.model,
            "method": self.method,
            "freeze": self.freeze,
            "optimizer": self.optimizer,
            "schedule": optimizer.schedule(options.optimizer, self.budget.steps),
            "hardware": self.hardware,
            "scaler": self.scaler,
            "evaluate": self.score,
            "metric": self.job.task.metric,
            "higher_is_better": True,
            "budget": self.budget,
            "seed": options.seed,
            "state": self.state,
        }
        return training.train(**(arguments | others))

    def gradients(self, **options: Any) -> dict[str, torch.Tensor]:
        return {name: p.grad.clone() for name, p in self.model.named_parameters() if p.grad is not None}


def assemble(*overrides: str) -> Parts:
    """The finished objects for these overrides; the store is not entered, so all of the model is run."""
    built = build(prepare(compose(*overrides), [*overrides]))
    return Parts(
        job=built.job,
        found=built.found,
        anatomy=built.anatomy,
        freeze=built.learning,
        adapted=built.adapted,
        method=built.method,
        optimizer=optimizer.make(
            built.model, built.anatomy, built.learning.ever, built.job.options.optimizer, built.method.rates
        ),
        hardware=built.hardware,
        scaler=built.hardware.scaler(),
        budget=built.budget,
        encoded=built.encoded,
    )


def toy(folder: Path) -> list[str]:
    """Overrides for three files with texts that a model can learn: the word good or bad decides. 48, 16 and 20 rows."""
    words = ["the", "a", "film", "plot", "story", "ending", "very", "dull", "great", "it", "i"]
    overrides = ["task=classification", "task.max_length=32", "hardware=cpu"]
    number = 0
    for split, rows in (("train", 48), ("validation", 16), ("test", 20)):
        lines = ["text,label"]
        for _ in range(rows):
            number += 1
            word, label = ("good", "yes") if number % 2 else ("bad", "no")
            filling = " ".join(words[(number * k) % 11] for k in range(1, 2 + number % 5))
            lines.append(f"{filling} was {word} and {words[(number * 7) % 11]},{label}")
        path = folder / f"{split}.csv"
        path.write_text("\n".join(lines) + "\n")
        overrides.append(f"task.{split}={path}")
    return overrides
