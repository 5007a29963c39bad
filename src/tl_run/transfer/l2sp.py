"""L2-SP: fine-tuning that is held near the weights it began with (arXiv:1802.01483)."""

from collections.abc import Collection
from typing import Any

import torch
from torch import nn

from tl_run.errors import BadOption
from tl_run.transfer.finetune import FineTune
from tl_run.transfer.method import Batches


class L2sp(FineTune):
    """alpha / 2 |w - w_start|^2 over what the checkpoint brought, and beta / 2 |w|^2 over what is new (section 3).

    What is frozen has moved nowhere and is left out. The weights are those at the start of the run also where it goes
    on from a checkpoint, for the model is always loaded first.
    """

    whole_vocabulary = "transfer=l2sp pulls every row back"

    @classmethod
    def require(
        cls, options: Any, *, new: Collection[str], learns: Collection[str], freeze: str, **others: Any
    ) -> None:
        """Raises: BadOption where nothing that the checkpoint brought learns."""
        if not {*learns} - {*new}:
            raise BadOption(
                f"transfer=l2sp: with freeze={freeze} the pretrained weights stay as they are anyway: type "
                "freeze=none, or transfer=finetune"
            )

    def __init__(self, options: Any, *, model: nn.Module, new: Collection[str], **given: Any) -> None:
        super().__init__(options, model=model, new=new, **given)
        self.words = f"l2sp: alpha {options.alpha:g} towards the start, beta {options.beta:g} on the new head"
        self.start = {name: p.detach().clone() for name, p in model.named_parameters() if name not in new}
        self.moved = torch.zeros(())

    def weights(self, batches: Batches) -> dict[str, float]:
        """The penalty is shared out over the examples of the batch."""
        return super().weights(batches) | {"l2sp": len(batches["train"])}

    def scalars(self, step: int, progress: float) -> dict[str, float]:
        """How far the weights are from their start."""
        return {"l2sp/distance": self.moved.item()}

    def terms(
        self, model: nn.Module, batches: Batches, step: int, progress: float
    ) -> dict[str, tuple[float, torch.Tensor]]:
        """The task's loss, and this part's share of the penalty."""
        near = fresh = torch.zeros((), device=self.hardware.device)
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            if name in self.start:
                self.start[name] = self.start[name].to(parameter.device)
                near = near + (parameter - self.start[name]).square().sum()
            else:
                fresh = fresh + parameter.square().sum()
        self.moved = near.detach().sqrt()
        penalty = (self.options.alpha * near + self.options.beta * fresh) / 2
        return super().terms(model, batches, step, progress) | {"l2sp": (1.0, penalty * len(batches["train"]))}
