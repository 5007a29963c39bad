"""Prototypical networks: an example is of the class whose mean vector is nearest (arXiv:1703.05175)."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from tl_run.data.batches import by_length
from tl_run.errors import BadOption
from tl_run.transfer.domains import Inputs
from tl_run.transfer.episodic import Episodic, Solver

BATCH = 64  # examples of which vectors are made at once


class Protonet(Episodic):
    """p(class | x) = softmax over classes of -scale * distance(vector of x, mean vector of the class's shots).

    A vector is what enters the layer that gives the logits, which itself is not used. Nothing is adapted where episodes
    are scored: each example is read once.
    """

    def __init__(self, options: Any, **given: Any) -> None:
        super().__init__(options, **given)
        pool = self.pool
        if pool.ways > pool.classes:
            raise BadOption(f"transfer.ways={pool.ways}, but train has {pool.classes} classes: type at most so many")

    @property
    def unit(self) -> str:
        """For the plan."""
        return f"{self.options.episodes} x {self.pool.ways} x {self.each} examples"

    @property
    def words(self) -> str:
        """For the plan."""
        o = self.options
        return (
            f"protonet: {o.episodes} episodes a step, {o.distance} distance times {o.scale:g}; nothing adapts in tests"
        )

    def learns(self, model: nn.Module) -> bool:
        """Whether a vector can change."""
        unused = {id(p) for p in self.last.parameters()} if self.last is not None else set()
        return any(p.requires_grad and id(p) not in unused for p in model.parameters())

    def vectors(self, model: nn.Module, split: str, rows: np.ndarray) -> torch.Tensor:
        """(rows, width), in fp32."""
        with Inputs(self.last, model) as inputs:
            self.says(model, split, rows)
        return inputs.vectors.float()

    def loss(
        self, model: nn.Module, episode: np.ndarray, step: int, number: int
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """Mean over queries; and the share of them that is right."""
        ways = len(episode)
        vectors = self.vectors(model, "train", episode.ravel())
        logits = self.compare(vectors.view(ways, self.each, -1))
        labels = self.labels(ways, self.each - self.shots)
        right = (logits.argmax(-1) == labels).float().mean().item()
        return F.cross_entropy(logits, labels), {"accuracy": right}

    def compare(self, vectors: torch.Tensor) -> torch.Tensor:
        """Vectors (ways, shots + queries, width) to logits (ways * queries, ways)."""
        prototypes, queries = vectors[:, : self.shots].mean(1), vectors[:, self.shots :].flatten(0, 1)
        return -self.options.scale * DISTANCES[self.options.distance](queries, prototypes)

    def solver(self, model: nn.Module, split: str) -> Solver:
        """Vectors of all examples of the split, of which episodes are made."""
        data = self.data[split]
        found = torch.empty(0)
        with torch.inference_mode():
            for rows in by_length(data.lengths, BATCH):
                batch = self.vectors(model, split, rows)
                found = found if len(found) else batch.new_empty(len(data), batch.shape[1])
                found[rows] = batch
        return lambda episode: self.compare(found[episode])


def squared(queries: torch.Tensor, prototypes: torch.Tensor) -> torch.Tensor:
    """Squared Euclidean distances: (queries, width) and (ways, width) to (queries, ways)."""
    return (queries[:, None] - prototypes).square().sum(-1)


def cosine(queries: torch.Tensor, prototypes: torch.Tensor) -> torch.Tensor:
    """1 - cosine, likewise."""
    return 1 - F.normalize(queries, dim=-1) @ F.normalize(prototypes, dim=-1).T


DISTANCES = {"euclidean": squared, "cosine": cosine}
