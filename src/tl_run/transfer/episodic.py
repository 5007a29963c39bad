"""What methods share that learn from episodes, or are scored by them: which are drawn, and how they are scored."""

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from tl_run.data.batches import Stream
from tl_run.data.episodes import Answer, Episodes, Pool
from tl_run.distributed import ALONE, Group
from tl_run.errors import NonFinite
from tl_run.evaluation import Evaluation
from tl_run.transfer.finetune import FineTune
from tl_run.transfer.method import Batches

Weights = Mapping[str, torch.Tensor]
Solver = Callable[[np.ndarray], torch.Tensor]
"""From rows of an episode (ways, shots + queries), the shots first, to the logits of its queries."""


class Episodic(FineTune):
    """Episodes of `task.ways` classes with `task.shots` and `task.queries` examples of each.

    Those of training are drawn by `seed`; those of validation and test by `task.split_seed`, so that all seeds and
    methods are asked the same.
    """

    def __init__(self, options: Any, **given: Any) -> None:
        super().__init__(options, **given)
        o = self.task.options
        self.divisible = False
        self.ways, self.shots, self.each = o.ways, o.shots, o.shots + o.queries
        self.pools = {
            name: Pool(self.data[name].labels, self.ways, self.each, (o.split_seed, i))
            for i, name in ((1, "validation"), (2, "test"))
        }
        self.counts = {"validation": o.validation_episodes, "test": o.episodes}

    # -- training

    def stream_of(self, name: str) -> Stream:
        """Episodes of the training classes."""
        o = self.task.options
        labels, ways = self.data[name].labels, getattr(self.options, "ways", None) or o.ways
        pool = Pool(labels, ways, o.shots + o.queries, (self.seed, 0))
        return Episodes(pool, self.data[name].lengths, getattr(self.options, "episodes", 1), self.seed)

    @property
    def pool(self) -> Pool:
        """What episodes of training are drawn from."""
        assert isinstance(self.stream, Episodes)
        return self.stream.pool

    def episodes(self, batches: Batches) -> list[np.ndarray]:
        """The step's episodes: rows of train (ways, shots + queries) each."""
        return [*batches["train"].reshape(-1, self.pool.ways, self.each)]

    def loss(
        self, model: nn.Module, episode: np.ndarray, step: int, number: int
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """The mean loss over the queries of an episode of train, the step's number-th; and what to show of it."""
        raise NotImplementedError

    def gradient(
        self,
        model: nn.Module,
        batches: Batches,
        *,
        step: int,
        progress: float,
        micro_batch_size: int,
        backward: Callable[[torch.Tensor], None],
        group: Group = ALONE,
    ) -> dict[str, torch.Tensor]:
        """That of the mean over the step's episodes, one after the other; they are not cut."""
        episodes = self.episodes(batches)
        total, shown = torch.zeros(()), []
        for number, episode in enumerate(episodes):
            loss, seen = self.loss(model, episode, step, number)
            backward(loss / len(episodes))
            total += loss.detach().cpu() / len(episodes)
            shown.append(seen)
        self.seen = mean_of(shown)
        return {"loss": total}

    def scalars(self, step: int, progress: float) -> dict[str, float]:
        """The means over the step's episodes."""
        return {f"{self.options.name}/{name}": value for name, value in self.seen.items()}

    # -- what the model says

    def says(
        self,
        model: nn.Module,
        split: str,
        rows: np.ndarray,
        weights: Weights | None = None,
        within: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> torch.Tensor:
        """Logits of examples, in fp32; with other weights in place of the model's own where they are given.

        `within` holds where the model is called, and not where what stays frozen is computed.
        """
        data = self.data[split]
        batch = {name: t.to(self.hardware.device) for name, t in self.task.collate(data, rows, self.pad).items()}

        def call(**inputs: torch.Tensor) -> Any:
            with within():
                return model(**inputs) if weights is None else functional_call(model, {**weights}, (), inputs)

        with self.hardware.autocast():
            return self.forward(call, data, rows, batch).logits.float()

    def labels(self, ways: int, each: int) -> torch.Tensor:
        """The place of each example in the episode, row after row: (ways * each,)."""
        return torch.arange(ways, device=self.hardware.device).repeat_interleave(each)

    # -- scoring

    def solver(self, model: nn.Module, split: str) -> Solver:
        """What answers the episodes of a split."""
        raise NotImplementedError

    def evaluate(
        self,
        model: nn.Module,
        split: str,
        score: Callable[[str], Evaluation],
        between: Callable[[], object] = lambda: None,
    ) -> Evaluation:
        """The scores over the episodes of a split. Raises: NonFinite."""
        model.eval()
        pool, data, loss, answers = self.pools[split], self.data[split], 0.0, []
        labels = self.labels(self.ways, self.each - self.shots)
        solve = self.solver(model, split)
        for number in range(self.counts[split]):
            between()
            episode = pool.episode(number)
            logits = solve(episode)
            mean = F.cross_entropy(logits, labels).item()
            if not math.isfinite(mean):
                ids = [data.ids[i] for i in episode[:, : self.shots].ravel()]
                raise NonFinite.at(f"the loss is not a finite number in episode {number} of {split}", ids)
            loss += mean / self.counts[split]
            classes, queries = data.labels[episode[:, 0]], episode[:, self.shots :].ravel()
            found = zip(queries.tolist(), logits.softmax(-1).cpu().numpy(), strict=True)
            answers += [Answer(number, row, classes, probabilities) for row, probabilities in found]
        scores = {**self.task.metrics(answers, data), "loss": loss}
        return Evaluation(scores, self.task.tables(answers, data), answers)


def mean_of(shown: list[dict[str, float]]) -> dict[str, float]:
    """Of each figure."""
    return {name: float(np.mean([each[name] for each in shown])) for name in shown[0]}
