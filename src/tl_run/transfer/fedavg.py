"""Federated learning: clients train, and the server learns from the mean of what they changed (arXiv:1602.05629)."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from tl_run.data.batches import Stream
from tl_run.data.encoded import Encoded
from tl_run.distributed import ALONE, Group
from tl_run.errors import BadOption
from tl_run.transfer.clients import Client, split_by_class, split_evenly
from tl_run.transfer.finetune import FineTune
from tl_run.transfer.method import Batches
from tl_run.transfer.privacy import epsilon


class FedAvg(FineTune):
    """A step of the loop is a round, and so is an epoch; the gradient is -mean(w_client - w) over its clients.

    The run's optimizer is the server's (arXiv:2003.00295): gradient descent at rate 1 takes the mean of the clients'
    weights, by their numbers of examples. With `noise` it is DP-FedAvg (arXiv:1710.06963, algorithm 1): each client
    takes part by its own coin, counts the same, and updates are cut at `clip`; the sum gets noise and is divided by the
    expected number of clients.
    """

    moves_statistics = False

    def __init__(self, options: Any, **given: Any) -> None:
        super().__init__(options, **given)
        if self.hardware.precision == "fp16":
            raise BadOption(f"transfer={options.name}: clients have no scaler: type hardware.precision=bf16 or fp32")
        train = self.data["train"]
        if options.clients > len(train):
            raise BadOption(
                f"transfer.clients={options.clients}: there are {len(train)} training examples: type at most so many"
            )
        parts = (
            split_evenly(len(train), options.clients, self.seed)
            if options.split == "iid"
            else split_by_class(train.labels, options.clients, options.concentration, self.seed)
        )
        how = {"batch_size": self.batch_size, "seed": self.seed}
        self.clients = [Client(i, rows, **how) for i, rows in enumerate(parts) if len(rows)]
        count, names = len(self.clients), [f"client {client.number}" for client in self.clients]
        self.data = {**self.data, "clients": Encoded(np.arange(count + 1), {}, names, np.zeros(count))}
        self.rounds = Rounds(count, options.fraction, self.seed, by_coin=options.noise > 0)
        if options.noise:
            self.whole_vocabulary = "noise falls on every row"
        sizes = [len(client) for client in self.clients]
        self.words = (
            f"{options.name}: {count} clients with {min(sizes)} to {max(sizes)} examples ({options.split}), "
            f"{self.rounds.expected:g} in a round, client lr {options.local_lr:g}; an epoch is a round, the "
            "optimizer is the server's"
        )

    def streams(self) -> dict[str, Stream]:
        """Clients by their place in `clients`."""
        return {"clients": self.rounds}

    def epoch(self, stream: str, step: int) -> int:
        """The round."""
        return step

    def examples(self, batches: Batches) -> int:
        """Those of the round's clients, as often as each sees them."""
        return sum(len(self.clients[i]) for i in batches["clients"]) * self.options.local_epochs

    def spent(self, rounds: int) -> dict[str, float]:
        """Epsilon so far, where there is noise."""
        o = self.options
        return {"epsilon": epsilon(o.noise, o.fraction, rounds, o.delta)} if o.noise else {}

    def scalars(self, step: int, progress: float) -> dict[str, float]:
        """Clients of the round, how many were cut, the norm of their updates, and epsilon."""
        return {f"{self.options.name}/{name}": value for name, value in (self.seen | self.spent(step + 1)).items()}

    def facts(self, steps: int) -> dict[str, Any]:
        """What the clients have given away, where there is noise."""
        o = self.options
        told = {"delta": o.delta, "noise": o.noise, "clip": o.clip, "rounds": steps, "unit": "client"}
        return {"privacy": self.spent(steps) | told} if o.noise else {}

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
        """Each process asks its own part of the clients; the mean loss is that of their steps."""
        o, learning = self.options, {name: p for name, p in model.named_parameters() if p.requires_grad}
        how: dict[str, Any] = {"step": step, "progress": progress, "micro_batch_size": micro_batch_size}

        def local(rows: np.ndarray) -> torch.Tensor:
            return super(FedAvg, self).gradient(model, {"train": rows}, backward=backward, **how)["loss"]

        chosen = [self.clients[i] for i in batches["clients"]]
        total = {name: torch.zeros_like(p) for name, p in learning.items()}
        loss, norms = torch.zeros(()), []
        for client in chosen[group.rank :: group.size]:
            update, mean = client.update(
                learning, local, round=step, epochs=o.local_epochs, lr=o.local_lr, mu=getattr(o, "mu", 0.0)
            )
            norms.append(torch.stack([each.norm() for each in update.values()]).norm().item())
            kept = min(1.0, o.clip / max(norms[-1], 1e-12)) if o.clip else 1.0
            share = 1 / self.rounds.expected if o.noise else len(client) / sum(map(len, chosen))
            loss += mean / len(chosen)
            for name, each in update.items():
                total[name].add_(each, alpha=kept * share)
        norms = group.gather(norms)
        if o.noise and group.leads:
            self._disturb(total, step)
        for name, parameter in learning.items():
            parameter.grad = -total[name]
        self.seen = {"clients": float(len(chosen)), "update_norm": float(np.mean(norms or [0.0]))}
        self.seen |= {"cut": float(np.mean([norm > o.clip for norm in norms] or [0.0]))} if o.clip else {}
        return {"loss": loss}

    def _disturb(self, total: dict[str, torch.Tensor], step: int) -> None:
        """Add the noise, a function of seed and step: who knows the seed can take it away again."""
        state = np.random.SeedSequence([self.seed, step, 3]).generate_state(1, np.uint64)
        generator = torch.Generator(self.hardware.device).manual_seed(int(state[0] >> np.uint64(1)))
        spread = self.options.noise * self.options.clip / self.rounds.expected
        for each in total.values():
            each.add_(torch.randn(each.shape, generator=generator, device=each.device), alpha=spread)


class FedProx(FedAvg):
    """As FedAvg, with mu / 2 |w - w_server|^2 in each client's loss (arXiv:1812.06127)."""


class Rounds(Stream):
    """The clients of each round: as many as the fraction says, or each by its own coin. An epoch is a round."""

    def __init__(self, clients: int, fraction: float, seed: int, *, by_coin: bool) -> None:
        super().__init__(np.ones(clients, np.int64), clients, seed)
        self.fraction, self.by_coin = fraction, by_coin
        self.expected = fraction * clients if by_coin else max(1, round(fraction * clients))

    def batch(self, step: int) -> np.ndarray:
        """Places of clients, rising."""
        generator, clients = np.random.default_rng([self.seed, step, 4]), len(self.lengths)
        if self.by_coin:
            return np.flatnonzero(generator.random(clients) < self.fraction)
        return np.sort(generator.choice(clients, int(self.expected), replace=False))
