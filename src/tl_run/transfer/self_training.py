"""Self-training: the model labels the new domain, and learns from what it is sure of (Lee 2013; arXiv:1911.04252)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from tl_run.data.batches import Stream, by_length
from tl_run.transfer.finetune import FineTune
from tl_run.transfer.method import Batches
from tl_run.transfer.one_by_one import part

BATCH = 64  # examples that are labelled at once


class Labels(nn.Module):
    """What the model has said of each example of the new domain: a checkpoint holds it with the model."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.label: torch.Tensor
        self.confidence: torch.Tensor
        self.round: torch.Tensor
        self.register_buffer("label", torch.full((size,), -1))
        self.register_buffer("confidence", torch.zeros(size))
        self.register_buffer("round", torch.zeros((), dtype=torch.long))
        self.sure: torch.Tensor
        self.register_buffer("sure", torch.zeros(size, dtype=torch.bool))


def surest(label: torch.Tensor, confidence: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Of the examples that have each label so many of highest confidence, as far as there are: bool (examples,).

    `label`, `confidence`: (examples,); `counts`: (labels,), rounded. After class-balanced self-training
    (arXiv:1810.07911), with counts instead of shares of what each class was given.
    """
    chosen = torch.zeros_like(label, dtype=torch.bool)
    for each, count in enumerate(counts.round().int().tolist()):
        given = (label == each).nonzero().squeeze(1)
        chosen[given[confidence[given].argsort(descending=True, stable=True)[:count]]] = True
    return chosen


class SelfTraining(FineTune):
    """After `warmup` of the run, and anew each round, the new domain is labelled in eval mode.

    What is labelled with `threshold` or more joins the loss, or as many with `balanced`, in the classes' shares of the
    old domain: the task's loss on its own labels, with `weight`. Where we differ from Lee: sure labels only, hard ones,
    and at the beginning of rounds instead of at each step.
    """

    @classmethod
    def modules(cls, options: Any, *, sizes: Mapping[str, int], **given: Any) -> dict[str, nn.Module]:
        """The labels."""
        return {"labels": Labels(sizes["domain"])}

    def __init__(self, options: Any, **given: Any) -> None:
        super().__init__(options, **given)
        self.domain = Stream(self.data["domain"].lengths, self.batch_size, self.seed, salt=(1,))
        known = self.data["train"].labels
        self.shares = torch.from_numpy(np.bincount(known[known >= 0], minlength=len(self.task.labels)) / len(known))
        self.words = (
            f"self_training: after {options.warmup:.0%} of the run {len(self.data['domain']):,} examples of the new "
            f"domain are labelled, {options.rounds} times; from {options.threshold:g} on a label counts "
            f"{options.weight:g}"
        )

    @property
    def sure(self) -> torch.Tensor:
        """Which examples of the new domain are learned from: bool (examples,)."""
        return self.own["labels"].sure

    def choose(self) -> None:
        """What this round learns from."""
        labels = self.own["labels"]
        sure = labels.confidence >= self.options.threshold
        counts = sure.sum() * self.shares.to(sure.device)
        labels.sure.copy_(surest(labels.label, labels.confidence, counts) if self.options.balanced else sure)

    def streams(self) -> dict[str, Stream]:
        """Old and new domain."""
        return {"train": self.stream, "domain": self.domain}

    def due(self, progress: float) -> int:
        """The round that a part of the run belongs to: 0 before the first."""
        left = (progress - self.options.warmup) / (1 - self.options.warmup)
        return min(self.options.rounds, int(left * self.options.rounds) + 1) if left >= 0 else 0

    def prepare(self, model: nn.Module, step: int, progress: float) -> None:
        """Label the new domain where a round begins."""
        labels = self.own["labels"]
        if labels.round.item() >= self.due(progress):
            return
        modes = {module: module.training for module in model.modules()}
        model.eval()
        data = self.data["domain"]
        for indices in by_length(data.lengths, BATCH):
            batch = self.task.collate(data, indices, self.pad)
            batch = {name: tensor.to(self.hardware.device) for name, tensor in batch.items()}
            with torch.no_grad(), self.hardware.autocast():
                logits = self.forward(model, data, indices, batch).logits
            confidence, label = logits.float().softmax(-1).max(-1)
            labels.confidence[indices], labels.label[indices] = confidence, label
        self.choose()
        labels.round.fill_(self.due(progress))
        for module, training in modes.items():
            module.training = training

    def weights(self, batches: Batches) -> dict[str, float]:
        """Labelled items of the old domain, sure ones of the new."""
        return super().weights(batches) | {"pseudo": int(self.sure[batches["domain"]].sum())}

    def scalars(self, step: int, progress: float) -> dict[str, float]:
        """The round, how much of the new domain is learned from, and how sure the model was."""
        labels = self.own["labels"]
        return {
            "self_training/round": float(labels.round.item()),
            "self_training/sure": self.sure.float().mean().item(),
            "self_training/confidence": labels.confidence.mean().item(),
        }

    def terms(
        self, model: nn.Module, batches: Batches, step: int, progress: float
    ) -> dict[str, tuple[float, torch.Tensor]]:
        """The task's loss on the old domain, and on the new one by the model's own labels."""
        found = super().terms(model, batches, step, progress) if "train" in batches else {}
        if "domain" not in batches:
            return found
        sure = self.sure[batches["domain"]]
        if not sure.any() and found:
            return found
        outputs, batch = self.outputs(model, "domain", batches["domain"], step)
        labels = self.own["labels"].label[batches["domain"]].clamp(min=0)
        return found | {"pseudo": (self.options.weight, part(self.task, outputs, {**batch, "labels": labels}, sure))}
