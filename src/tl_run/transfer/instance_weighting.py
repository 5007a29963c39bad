"""Instance weighting: old examples count by how much they look like the new domain (Bickel et al. 2007)."""

from typing import Any

import numpy as np
import torch
from torch import nn

from tl_run.data.encoded import Encoded
from tl_run.errors import BadInput
from tl_run.transfer.finetune import FineTune
from tl_run.transfer.method import Batches
from tl_run.transfer.one_by_one import each


class InstanceWeighting(FineTune):
    """Each old example's loss times p(new | x) / p(old | x), as a logistic regression tells the domains apart.

    It sees the TF-IDF of tokens: that costs no forward pass and gives the same weights on every device and for every
    model with the same tokenizer. Domains of texts differ in words before all; a model's vectors would often tell them
    apart without error, and weights would be all or nothing. The ratio of both sizes is taken out; weights are clipped
    and then have the mean 1.
    """

    def __init__(self, options: Any, **given: Any) -> None:
        super().__init__(options, **given)
        old, new = self.data["train"], self.data["domain"]
        if (least := min(len(old), len(new))) < options.folds:
            raise BadInput(
                f"{'train' if len(old) == least else 'task.domain.train'}: {least} example{'s' * (least != 1)}, and "
                f"the domain classifier needs one in each of transfer.folds={options.folds}: type more examples"
                + (f", or transfer.folds={least}" if least > 1 else "")
            )
        chance, self.right = chances(old, new, options.folds, self.seed)
        self.importance = torch.from_numpy(importance(chance, len(old), len(new), options.clip))
        self.effective = effective(self.importance.numpy())
        self.words = (
            f"instance_weighting: {self.effective:,.0f} of {len(old):,} examples in effect; the domains are told apart "
            f"{self.right:.0%} of the time"
        )

    def weights(self, batches: Batches) -> dict[str, float]:
        """As without weights, whose mean is 1."""
        return super().weights(batches) | {"importance": len(batches["train"])}

    def scalars(self, step: int, progress: float) -> dict[str, float]:
        """The effective sample size, and how often the domain classifier is right."""
        return {"instance_weighting/effective_size": self.effective, "instance_weighting/domain_accuracy": self.right}

    def terms(
        self, model: nn.Module, batches: Batches, step: int, progress: float
    ) -> dict[str, tuple[float, torch.Tensor]]:
        """The weighted loss, and the weights themselves, which nobody learns from."""
        outputs, batch = self.outputs(model, "train", batches["train"], step)
        importance = self.importance[torch.from_numpy(batches["train"])].to(outputs.logits.device)
        loss = (each(self.task, outputs, batch) * importance).sum()
        return {"task": (1.0, loss), "importance": (0.0, importance.sum())}


def chances(old: Encoded, new: Encoded, folds: int, seed: int) -> tuple[np.ndarray, float]:
    """p(new | x) of each old example by a classifier that has not seen it, and how often such are right, balanced."""
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    counts = TfidfTransformer(sublinear_tf=True).fit_transform(_counts(Encoded.joined([old, new])))
    side = np.repeat([0, 1], [len(old), len(new)])
    cut = StratifiedKFold(folds, shuffle=True, random_state=seed)
    classifier = LogisticRegression(max_iter=1000)
    both: Any = cross_val_predict(classifier, counts, side, cv=cut, method="predict_proba")
    found = both[:, 1]
    # above the share of new ones an example looks more like them than chance
    right = balanced_accuracy_score(side, found > len(new) / len(side))
    return found[: len(old)], float(right)


def _counts(encoded: Encoded) -> Any:
    """How often each text has each token: sparse (texts, vocabulary)."""
    from scipy.sparse import csr_matrix

    tokens = encoded.columns["input_ids"]
    found = csr_matrix((np.ones(len(tokens)), tokens, encoded.offsets))
    found.sum_duplicates()
    return found


def importance(chance: np.ndarray, old: int, new: int, clip: float) -> np.ndarray:
    """p(x | new) / p(x | old) from p(new | x) (old examples,), within 1 / clip and clip, then of mean 1: float32."""
    chance = chance.clip(1e-9, 1 - 1e-9)
    ratio = (chance / (1 - chance) * old / new).clip(1 / clip, clip)
    return (ratio / ratio.mean()).astype(np.float32)


def effective(weights: np.ndarray) -> float:
    """Kish's effective sample size: (sum w)^2 / sum w^2."""
    return float(weights.sum(dtype=np.float64) ** 2 / np.square(weights, dtype=np.float64).sum())
