"""Conditional domain-adversarial training: vector and prediction are judged together (arXiv:1705.10667)."""

from typing import Any

import torch
from torch import nn

from tl_run.transfer.dann import Dann


class Cdan(Dann):
    """As DANN, on the outer product of vector and probabilities (equation 6), so that classes are matched with classes.

    With `entropy` an example counts (1 + exp(-H)) / 2, where H is the entropy of its prediction (equation 8). Where we
    differ: the product is never sampled down at random, which the paper does above 4,096 numbers.
    """

    @staticmethod
    def width(last: nn.Linear) -> int:
        """Vector times labels."""
        return last.in_features * last.out_features

    def joined(self, vectors: torch.Tensor, outputs: Any) -> torch.Tensor:
        """(examples, width) and logits (examples, labels) -> (examples, labels * width); no gradient by the logits."""
        chances = outputs.logits.detach().float().softmax(-1)
        return (chances[:, :, None] * vectors[:, None]).flatten(1)

    def importance(self, outputs: Any) -> torch.Tensor | float:
        """(1 + exp(-H)) / 2 of each prediction, a constant to the gradient: (examples,)."""
        if not self.options.entropy:
            return 1.0
        chances = outputs.logits.detach().float().softmax(-1)
        return (1 + (-torch.special.entr(chances).sum(-1)).exp()) / 2
