"""The baseline of few shots: each episode is fine-tuned by itself, and nothing is learned before."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from tl_run.errors import BadOption
from tl_run.transfer.adapting import shuffled
from tl_run.transfer.episodic import Episodic, Solver, Weights


class FineTuneShots(Episodic):
    """What `transfer=finetune` is where the task is episodes: the run's optimizer, schedule, epochs and batch size, on
    the shots of each episode, from the pretrained weights and a new head.

    The layer that gives the logits starts at zero, as in logistic regression: it knows nothing of the classes, and
    weights drawn at random are noise which the few steps of an episode do not outgrow. Nothing is dropped out, for
    episodes are scored in eval mode.
    """

    def __init__(self, options: Any, **given: Any) -> None:
        super().__init__(options, **given)
        if self.hardware.precision == "fp16":
            raise BadOption("task.kind=episodes: an episode has no scaler: type hardware.precision=bf16 or fp32")
        assert self.fit
        fit, shots = self.fit, self.ways * self.shots
        self.steps: int = fit.max_steps or fit.epochs * -(-shots // self.batch_size)
        self.words = (
            f"finetune: each episode by itself, {self.steps} steps on its {shots} shots, from the pretrained model"
        )
        self.unit = f"training before the episodes, {self.steps} of at most {self.batch_size} examples in each"

    def learns(self, model: nn.Module) -> bool:
        """Nothing, before an episode."""
        return False

    def solver(self, model: nn.Module, split: str) -> Solver:
        """Fine-tunes on the shots of each episode, and takes the weights back."""
        learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
        start = {name: p.detach().clone() for name, p in learning.items()}
        new = [p for p in self.last.parameters() if p.requires_grad] if self.last is not None else []

        def solve(episode: Any) -> torch.Tensor:
            try:
                for parameter in new:
                    nn.init.zeros_(parameter)
                self._fit(model, split, episode[:, : self.shots], learning)
                with torch.no_grad():
                    return self.says(model, split, episode[:, self.shots :].ravel())
            finally:
                with torch.no_grad():
                    for name, parameter in learning.items():
                        parameter.copy_(start[name])

        return solve

    def _fit(self, model: nn.Module, split: str, shots: Any, learning: Weights) -> None:
        assert self.fit
        optimizer = self.fit.optimizer()
        whole = shots.ravel(), self.labels(*shots.shape)
        with torch.enable_grad():
            for step, (rows, labels) in enumerate(shuffled(whole, self.batch_size, self.steps, (*whole[0],))):
                self.fit.pace(optimizer, step, self.steps)
                F.cross_entropy(self.says(model, split, rows), labels).backward()
                if self.fit.clip:
                    nn.utils.clip_grad_norm_([*learning.values()], self.fit.clip)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
