"""What the head saw of each example of the last split, for TensorBoard's projector: points with gold and text."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import nn

from tl_run import durable
from tl_run.data.batches import by_length
from tl_run.data.encoded import Encoded
from tl_run.distributed import ALONE, Group

MOST = 500
"""Points: a browser turns as many without effort, and they are a megabyte."""
LONGEST = 160  # characters of a text


class HeadInputs:
    """`with HeadInputs(...)`: collects what goes into the last linear layer of the head, a vector for each example."""

    def __init__(self, model: nn.Module, head: Collection[str], outputs: int) -> None:
        """`head`: the names of its parameters; `outputs`: how many the layer has, which tells it from others."""
        self._batches: list[np.ndarray] = []
        self._layers = [
            module
            for name, module in model.named_modules()
            if isinstance(module, nn.Linear) and module.out_features == outputs and f"{name}.weight" in head
        ]

    def __enter__(self) -> "HeadInputs":
        self._hooks = [layer.register_forward_pre_hook(self._keep) for layer in self._layers[-1:]]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _keep(self, _: nn.Module, inputs: tuple[object, ...]) -> None:
        (state, *_others) = inputs
        self._batches.append(state.detach().float().cpu().numpy())  # type: ignore[attr-defined]

    def vectors(self, encoded: Encoded, batch_size: int, group: Group = ALONE) -> np.ndarray | None:
        """(examples, width) in the split's order, scored in batches of this size, which several processes take in turn.

        None where the layer sees more than a vector for each example, or is not called.
        """
        order = by_length(encoded.lengths, batch_size)
        mine = [(group.rank + turn * group.size, batch) for turn, batch in enumerate(self._batches)]
        found = {number: batch for number, batch in group.gather(mine) if number < len(order)}
        if not found or any(batch.ndim != 2 for batch in found.values()):
            return None
        if [len(found.get(number, ())) for number in range(len(order))] != [len(indices) for indices in order]:
            return None
        vectors = np.empty((len(encoded), found[0].shape[1]), np.float32)
        for number, indices in enumerate(order):
            vectors[indices] = found[number]
        return vectors


def write(folder: Path, name: str, vectors: np.ndarray, columns: Mapping[str, Sequence[str]]) -> None:
    """Files that TensorBoard finds in a run's folder: vectors (examples, width), and for each example the columns."""
    rows: list[int] = np.unique(np.linspace(0, len(vectors) - 1, min(MOST, len(vectors))).astype(int)).tolist()
    points = "\n".join("\t".join(f"{value:.4g}" for value in vectors[row]) for row in rows)
    lines = ["\t".join(columns), *("\t".join(_cell(own[row]) for own in columns.values()) for row in rows)]
    files = {"vectors.tsv": (points + "\n").encode(), "examples.tsv": ("\n".join(lines) + "\n").encode()}
    durable.write_folder(folder / "projector", files, {"split": name})
    config = f'tensor_name: "{name}"\n  tensor_path: "projector/vectors.tsv"\n  metadata_path: "projector/examples.tsv"'
    durable.write_file(folder / "projector_config.pbtxt", f"embeddings {{\n  {config}\n}}\n".encode())


def _cell(text: str) -> str:
    """In one cell of one line."""
    words = " ".join(text.split())
    return words if len(words) <= LONGEST else words[: LONGEST - 1] + "…"
