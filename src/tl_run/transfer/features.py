"""What is done with features of the frozen trunk before a head is solved on them; all of it ends in linear layers.

So the saved head takes raw features, as any other does, and one grid of C suits every choice.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from tl_run.evaluation import Evaluation
from tl_run.transfer.finetune import FineTune

STEPS, BATCH, RATE = 500, 256, 1e-2  # of the autoencoder's training with Adam


@dataclass(frozen=True)
class Projection:
    """Features of mean 0 and variance 1, (examples, dims), to those that a head is solved on: z M^T + c."""

    matrix: np.ndarray  # (kept, dims)
    offset: np.ndarray  # (kept,)

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """(examples, kept)."""
        return features @ self.matrix.T + self.offset


class Features(FineTune):
    """Selection, reduction, TF-IDF beside the features, and alignment with another domain."""

    shown: dict[str, float]

    @property
    def words(self) -> str:
        """For the plan."""
        o = self.options
        parts = [f"{o.keep:g} of them by {o.select}"] if o.select != "none" else []
        parts += [f"{o.autoencoder} dimensions by an autoencoder"] if o.autoencoder else []
        parts += ["TF-IDF of the tokens beside them"] if o.tfidf else []
        parts += [f"aligned with {len(self.data['domain']):,} examples of the new domain"] if o.align != "none" else []
        return f"features: {', '.join(parts) or 'as they are'}"

    def scalars(self, step: int, progress: float) -> dict[str, float]:
        """Dimensions that the head is solved on, and the share of variance that the autoencoder restores."""
        return getattr(self, "shown", {})

    def project(self, features: np.ndarray, labels: np.ndarray) -> Projection:
        """From features (examples, dims) of mean 0 and variance 1, and labels (examples,)."""
        o, dims = self.options, features.shape[1]
        kept = np.arange(dims)
        if o.select != "none":
            count = min(dims, o.keep if isinstance(o.keep, int) else max(1, round(o.keep * dims)))
            kept = SELECTIONS[o.select](features, labels, count)
        matrix, offset = np.eye(dims)[kept], np.zeros(len(kept))
        self.shown = {"features/dimensions": len(kept)}
        if o.autoencoder:
            encoder, restored = autoencode(features[:, kept], min(o.autoencoder, len(kept)), self.seed)
            matrix, offset = encoder.matrix @ matrix, encoder.offset
            self.shown = {"features/dimensions": len(offset), "features/restored_variance": restored}
        return Projection(matrix, offset)

    def evaluate(
        self,
        model: Any,
        split: str,
        score: Callable[[str], Evaluation],
        between: Callable[[], object] = lambda: None,
    ) -> Evaluation:
        """The test split is of the new domain: from then on the head takes features as they are there."""
        if self.options.align == "coral" and split == "test":
            old, new = (self.forward.read(self.data[name]).astype(np.float64) for name in ("train", "domain"))  # type: ignore[attr-defined]
            bring(model.head.classifier, *alignment(old, new))
        return score(split)


def anova(features: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """The features with the largest F of an analysis of variance between labels (scikit-learn's f_classif)."""
    from sklearn.feature_selection import f_classif

    varies = features.std(0) > 0
    value = np.zeros(features.shape[1])
    value[varies] = np.nan_to_num(f_classif(features[:, varies], labels)[0])
    return np.sort(np.argsort(-value, kind="stable")[:count])


def l1(features: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Those with the largest coefficients of a linear SVM with an L1 penalty, which makes most of them 0."""
    from sklearn.svm import LinearSVC

    found = LinearSVC(penalty="l1", dual=False, C=0.1, max_iter=10_000, random_state=0)  # type: ignore[arg-type]  # dual may be a bool
    found.fit(features, labels)
    return np.sort(np.argsort(-np.abs(found.coef_).max(0), kind="stable")[:count])


SELECTIONS: dict[str, Callable[[np.ndarray, np.ndarray, int], np.ndarray]] = {"anova": anova, "l1": l1}


def autoencode(features: np.ndarray, size: int, seed: int) -> tuple[Projection, float]:
    """A linear encoder to `size` numbers, learned with its decoder (a line, a hidden layer); and the variance restored.

    The encoder is linear so that it becomes part of the head's linear layer; its output has mean 0 and variance 1 on
    these features (examples, dims).
    """
    generator, dims = torch.Generator().manual_seed(seed), features.shape[1]
    given = torch.from_numpy(features).float()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = nn.Linear(dims, size)
        plain = nn.Linear(size, dims)
        bent = nn.Sequential(nn.Linear(size, 2 * size), nn.ReLU(), nn.Linear(2 * size, dims))

    def decoder(code: torch.Tensor) -> torch.Tensor:
        return plain(code) + bent(code)

    optimizer = torch.optim.Adam([p for part in (encoder, plain, bent) for p in part.parameters()], lr=RATE)
    for _ in range(STEPS):
        batch = given[torch.randint(len(given), (min(BATCH, len(given)),), generator=generator)]
        optimizer.zero_grad()
        (decoder(encoder(batch)) - batch).square().mean().backward()
        optimizer.step()
    with torch.no_grad():
        lost = (decoder(encoder(given)) - given).square().mean() / given.square().mean()
        weight, bias = encoder.weight.double().numpy(), encoder.bias.double().numpy()
    spread = (features @ weight.T).std(0)
    spread[spread == 0] = 1
    middle = (features @ weight.T + bias).mean(0)
    return Projection(weight / spread[:, None], (bias - middle) / spread), 1 - lost.item()


def alignment(old: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """M (dims, dims) and c (dims,), so that M x + c of features of the new domain are spread as those of the old one.

    CORAL (arXiv:1511.05547, algorithm 1): each domain is brought to mean 0 and variance 1, and the covariances, with 1
    added on the diagonal, are matched. Where we differ: the new domain is brought to the old one, so that validation,
    which is of the old one, is scored as it is.
    """
    means, spreads, roots = [], [], []
    for features in (old, new):
        middle, spread = features.mean(0), features.std(0)
        spread = np.where(spread == 0, 1, spread)
        standard = (features - middle) / spread
        values, vectors = np.linalg.eigh(standard.T @ standard / max(1, len(features) - 1) + np.eye(len(middle)))
        means.append(middle)
        spreads.append(spread)
        roots.append(vectors * np.sqrt(values) @ vectors.T)
    matrix = spreads[0][:, None] * (roots[0] @ np.linalg.inv(roots[1])) / spreads[1]
    return matrix, means[0] - matrix @ means[1]


def bring(linear: nn.Linear, matrix: np.ndarray, offset: np.ndarray) -> None:
    """Let a linear layer take M x + c for x, in place."""
    weight, bias = linear.weight.detach().double(), linear.bias.detach().double()
    with torch.no_grad():
        linear.bias.copy_(bias + weight @ torch.from_numpy(offset).to(weight))
        linear.weight.copy_(weight @ torch.from_numpy(matrix).to(weight))
