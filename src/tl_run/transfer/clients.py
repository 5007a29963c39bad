"""Simulated clients: each has some of the training examples, and no other reads them."""

from collections.abc import Callable, Mapping

import numpy as np
import torch

from tl_run.data.batches import cut
from tl_run.hardware import seed_by


class Client:
    """Learns from its own examples, and gives away nothing but what its weights have changed by, and its mean loss."""

    def __init__(self, number: int, rows: np.ndarray, *, batch_size: int, seed: int) -> None:
        self.number, self._rows, self._batch_size, self._seed = number, rows, batch_size, seed

    def __len__(self) -> int:
        return len(self._rows)

    def update(
        self,
        weights: Mapping[str, torch.Tensor],
        gradient: Callable[[np.ndarray], torch.Tensor],
        *,
        round: int,
        epochs: int,
        lr: float,
        mu: float,
    ) -> tuple[dict[str, torch.Tensor], float]:
        """What gradient descent from these weights changes them by, which are left as they were; and the mean loss.

        `gradient` fills `.grad` of the weights from some rows, and returns their loss. With `mu` the gradient of
        mu / 2 |w - w_server|^2 is added (FedProx, arXiv:1812.06127, equation 2).
        """
        server = {name: weight.detach().clone() for name, weight in weights.items()}
        losses = []
        try:
            for epoch in range(epochs):
                order = np.random.default_rng([self._seed, round, self.number, epoch]).permutation(self._rows)
                for rows in cut(order, self._batch_size):
                    seed_by(self._seed, round, self.number, len(losses))
                    losses.append(float(gradient(rows)))
                    with torch.no_grad():
                        for name, weight in weights.items():
                            if weight.grad is not None:
                                weight -= lr * (weight.grad + mu * (weight - server[name]))
                                weight.grad = None
            return {name: weight.detach() - server[name] for name, weight in weights.items()}, float(np.mean(losses))
        finally:
            with torch.no_grad():
                for name, weight in weights.items():
                    weight.copy_(server[name])


def split_evenly(count: int, clients: int, seed: int) -> list[np.ndarray]:
    """So many rows at random into parts that differ by one at most."""
    return np.array_split(np.random.default_rng([seed, 2]).permutation(count), clients)


def split_by_class(labels: np.ndarray, clients: int, concentration: float, seed: int) -> list[np.ndarray]:
    """Of each class shares from a Dirichlet distribution (arXiv:1909.06335, section 3): some clients may have nothing.

    Where we differ: shares of each class are drawn, not shares of classes for each client, so that all is given away.
    """
    generator = np.random.default_rng([seed, 2])
    parts: list[list[np.ndarray]] = [[] for _ in range(clients)]
    for label in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == label))
        shares = generator.dirichlet([concentration] * clients)
        ends = (shares.cumsum()[:-1] * len(rows)).round().astype(int)
        for part, own in zip(parts, np.split(rows, ends), strict=True):
            part.append(own)
    return [np.concatenate(part) for part in parts]
