"""What each layer makes of texts: one vector for each, the mean over its tokens."""

from typing import Any

import numpy as np
import torch

from tl_run.data.batches import by_length
from tl_run.data.encoded import Encoded
from tl_run.errors import BadOption
from tl_run.hardware import Hardware
from tl_run.model.heads import for_trunk
from tl_run.model.pooling import mean


def of_layers(
    model: Any, kind: Any, encoded: Encoded, *, pad: dict[str, int], hardware: Hardware, batch_size: int
) -> np.ndarray:
    """States (layers + 1, examples, hidden) in the split's order, float32; 0 is the output of the embeddings.

    Raises: BadOption for a model that does not give the states of its layers.
    """
    model.eval()
    found: list[Any] = [None] * len(encoded)
    for indices in by_length(encoded.lengths, batch_size):
        batch = {name: t.to(hardware.device) for name, t in kind.collate(encoded, indices, pad).items()}
        del batch["labels"]
        with torch.inference_mode():
            states = getattr(model.base_model(**for_trunk(batch), output_hidden_states=True), "hidden_states", None)
            if states is None:
                raise BadOption(f"a {type(model).__name__} does not give the states of its layers")
            pooled = torch.stack([mean(state, batch["attention_mask"].bool()) for state in states], 1)
        for i, own in zip(indices, pooled.float().cpu().numpy(), strict=True):
            found[i] = own
    return np.stack(found, 1)
