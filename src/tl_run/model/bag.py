"""A text as a bag of the model's own tokens, weighed by how rare they are: what a linear head reads beside states."""

import torch
from torch import nn


class Bag(nn.Module):
    """TF-IDF with 1 + ln(count) and length 1, as scikit-learn's TfidfTransformer(sublinear_tf=True), and its line."""

    def __init__(self, vocabulary: int, labels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(labels, vocabulary))
        self.idf: torch.Tensor
        self.register_buffer("idf", torch.ones(vocabulary))

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Token ids and mask, (batch, tokens) each -> TF-IDF: float32 (batch, vocabulary)."""
        counts = torch.zeros(len(ids), len(self.idf), device=ids.device).scatter_add_(1, ids, mask.float())
        weighed = torch.where(counts > 0, 1 + counts.clamp(min=1).log(), 0) * self.idf
        return nn.functional.normalize(weighed, dim=1)

    def weigh(self, words: torch.Tensor) -> torch.Tensor:
        """TF-IDF (batch, vocabulary) -> what it adds to the logits: (batch, labels)."""
        return nn.functional.linear(words, self.weight)
