"""What run.py hands to the loop, made from a real config, so that a test can look inside or put something else in."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hydra
import torch
from hydra.core.global_hydra import GlobalHydra

from tl_run import adapter, evaluation, freeze, hardware, optimizer, run, training, transfer
from tl_run.config import check, messages
from tl_run.model import anatomy, pretrained
from tl_run.model.design import Design
from tl_run.prepare import Job, prepare


def compose(*overrides: str) -> dict[str, Any]:
    """The resolved config that `tl-run` would have for these overrides."""
    GlobalHydra.instance().clear()
    check.register_resolvers()
    with hydra.initialize_config_dir(str(messages.folder()), version_base="1.3"):
        return check.resolve(hydra.compose("run", list(overrides)))


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

    def score(self, split: str = "validation", batch_size: int = 64) -> evaluation.Evaluation:
        return evaluation.evaluate(
            self.model,
            self.job.task,
            self.encoded[split],
            batch_size=batch_size,
            pad=self.found.pad,
            hardware=self.hardware,
        )

    def train(self, **others: Any) -> Iterator[training.Record]:
        options = self.job.options
        self.state.micro_batch_size = self.state.micro_batch_size or run._micro_batch(options)
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
    """The finished objects for these overrides."""
    job = prepare(compose(*overrides), [*overrides])
    options, task = job.options, job.task
    found = pretrained.load(
        job.model_folder,
        task.auto_class,
        task.head(),
        pretrained=options.model.pretrained,
        max_length=options.task.max_length,
        seed=options.seed,
        name=options.model.name,
        design=Design(options.model.head, options.model.head_layer, options.model.pooling, options.model.dropout),
    )
    new = found.new if options.model.pretrained else ()
    parts = anatomy.anatomy(found.model, new)
    machine = hardware.prepare(options.hardware, 1)
    splits = {"train": job.splits.train, "validation": job.splits.validation, "test": job.splits.test}
    encoded = {name: task.encode(rows, found.tokenizer) for name, rows in splits.items() if rows is not None}
    learning = freeze.Freeze(parts, options.freeze)
    adapted = adapter.put_in(found.model, parts, learning.ever, options.adapter, options.seed)
    if adapted:
        parts = anatomy.anatomy(found.model, new)
        learning = freeze.Freeze(parts, options.freeze, adapted.base)
    method = transfer.load(
        options.transfer,
        task=task,
        train=encoded["train"],
        batch_size=options.training.batch_size,
        seed=options.seed,
        pad=found.pad,
        hardware=machine,
    )
    freeze.apply(found.model, learning.phases[0])
    return Parts(
        job=job,
        found=found,
        anatomy=parts,
        freeze=learning,
        adapted=adapted,
        method=method,
        optimizer=optimizer.make(found.model, parts, learning.ever, options.optimizer),
        hardware=machine,
        scaler=machine.scaler(),
        budget=run._budget(options, method.streams()["train"].steps_per_epoch),
        encoded=encoded,
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
