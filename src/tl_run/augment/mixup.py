"""Mixup: two texts are read as one that lies between them, and both labels are learned (arXiv:1905.08941)."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from tl_run.augment.augmented import Augmented
from tl_run.data.encoded import Encoded
from tl_run.errors import BadOption
from tl_run.transfer.one_by_one import each

SALT = 7  # tells these draws from others of the same seed and epoch


class Mixup(Augmented):
    """Each example with its partner of the epoch, in shares s and 1 - s from Beta(alpha, alpha).

    sentence: what enters the last layer is mixed (senMixup). That layer is linear and the shares are one in all, so
    its logits are mixed instead, which is the same. embeddings: those of both texts' words, one after the other, of
    which the shorter one is filled up with zeros (wordMixup). The loss is s times that of the example's own label and
    1 - s times that of its partner's. Where we differ: partners are drawn from all training examples instead of from
    the batch, so that no cut of a batch changes them.
    """

    def __init__(self, options: Any, *, model: Any, **given: Any) -> None:
        super().__init__(options, **given)
        if options.at == "embeddings" and model.config.is_encoder_decoder:
            raise BadOption(
                f"augment.at=embeddings: a {type(model).__name__} reads a text twice, in its encoder and its decoder: "
                "type augment.at=sentence"
            )
        self.words = f"mixup: each training text with another at the {options.at}, shares from Beta({options.alpha:g})"

    def collate_training(
        self, encoded: Encoded, indices: np.ndarray, pad: Mapping[str, int], seed: int, epoch: int
    ) -> dict[str, torch.Tensor]:
        """n examples and then their n partners, with the `shares` (n,) of the former, and the `rows` (2n,) of all."""
        partners, shares = drawn(len(encoded), self.augment.alpha, seed, epoch)
        rows = np.concatenate([indices, partners[indices]])
        batch = self.task.collate_training(encoded, rows, pad, seed, epoch)
        return batch | {"shares": torch.from_numpy(shares[indices]), "rows": torch.from_numpy(rows)}

    def around(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        """Reads both, and gives what the model says of their mixture."""

        def mixed(model: Any, encoded: Encoded, indices: np.ndarray, batch: Mapping[str, torch.Tensor]) -> Any:
            inputs = {name: tensor for name, tensor in batch.items() if name not in ("labels", "shares", "rows")}
            if self.augment.at == "embeddings":
                with MixedEmbeddings(model, inputs, batch["shares"]) as one:
                    return forward(model, encoded, indices, one)
            one, other = forward(model, encoded, batch["rows"].cpu().numpy(), inputs).logits.chunk(2)
            return SimpleNamespace(logits=between(one, other, batch["shares"]))

        return mixed

    def loss(self, outputs: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Sum over the examples of both losses, in their shares."""
        own, its = (each(self.task, outputs, {"labels": labels}) for labels in batch["labels"].chunk(2))
        return between(own, its, batch["shares"]).sum()


@lru_cache(maxsize=2)
def drawn(count: int, alpha: float, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """For each of `count` examples its partner, each one once, and its own share, float32."""
    draw = np.random.default_rng([seed, epoch, SALT])
    return draw.permutation(count), draw.beta(alpha, alpha, count).astype(np.float32)


def between(one: torch.Tensor, other: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """shares * one + (1 - shares) * other, of (n, ...) each, in float32."""
    shares = shares.view(-1, *[1] * (one.dim() - 1))
    return shares * one.float() + (1 - shares) * other.float()


class MixedEmbeddings:
    """`with MixedEmbeddings(model, inputs, shares) as one: model(**one)` reads n mixtures of the 2n rows of `inputs`.

    A mixture is as long as the longer of both. The model does all that it does with embeddings: positions, norms.
    """

    def __init__(self, model: Any, inputs: Mapping[str, torch.Tensor], shares: torch.Tensor) -> None:
        self._table = model.base_model.get_input_embeddings()
        self._ids, self._shares = inputs["input_ids"].chunk(2)[1], shares[:, None, None]
        own, its = inputs["attention_mask"].chunk(2)
        self._own, self._its = own[..., None], its[..., None]
        both = {name: tensor.chunk(2) for name, tensor in inputs.items()}
        self._one = {name: torch.where(own.bool(), *pair) for name, pair in both.items()}
        self._one["attention_mask"] = own | its

    def __enter__(self) -> dict[str, torch.Tensor]:
        self._other = self._table(self._ids) * self._its * (1 - self._shares)
        self._hook = self._table.register_forward_hook(
            lambda module, inputs, embedded: embedded * self._own * self._shares + self._other
        )
        return self._one

    def __exit__(self, *_: object) -> None:
        self._hook.remove()
