"""The projector: the vector of each example in the split's order, and files that TensorBoard's own code reads."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from finished_objects import toy
from tl_run import projector
from tl_run.data.batches import by_length
from tl_run.data.encoded import Encoded


class Model(torch.nn.Module):
    """A trunk that makes a vector of a length, and a head with a hidden layer of the size of the output."""

    def __init__(self, tokens: bool = False) -> None:
        super().__init__()
        self.tokens = tokens
        self.trunk, self.hidden, self.out = torch.nn.Linear(1, 3), torch.nn.Linear(3, 2), torch.nn.Linear(2, 2)

    def forward(self, lengths: torch.Tensor) -> torch.Tensor:
        state = self.hidden(self.trunk(lengths))
        return self.out(state[:, None] if self.tokens else state)


LENGTHS = [3, 1, 7, 2, 5]
HEAD = {"hidden.weight", "hidden.bias", "out.weight", "out.bias"}


def encoded() -> Encoded:
    offsets = np.cumsum([0, *LENGTHS])
    return Encoded(offsets, {"input_ids": np.zeros(offsets[-1], np.int32)}, list("abcde"), np.zeros(5, int))


def scored(model: Model, batch_size: int) -> np.ndarray | None:
    with projector.HeadInputs(model, HEAD, 2) as seen, torch.inference_mode():
        for indices in by_length(encoded().lengths, batch_size):
            model(torch.tensor([[float(LENGTHS[i])] for i in indices]))
    model(torch.ones(1, 1))  # not seen any more
    return seen.vectors(encoded(), batch_size)


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_vectors_are_what_the_last_layer_sees_in_the_order_of_the_split(batch_size: int) -> None:
    model = Model()
    with torch.inference_mode():
        expected = model.hidden(model.trunk(torch.tensor(LENGTHS, dtype=torch.float32)[:, None])).numpy()
    assert np.allclose(scored(model, batch_size), expected, atol=1e-6)


def test_of_a_vector_for_each_token_nothing_is_shown() -> None:
    assert scored(Model(tokens=True), 2) is None


def test_a_model_without_such_a_head_shows_nothing() -> None:
    with projector.HeadInputs(Model(), {"other.weight"}, 2) as seen:
        pass
    assert seen.vectors(encoded(), 2) is None


def test_many_examples_are_thinned_over_the_whole_split(tmp_path: Path) -> None:
    count = 3 * projector.MOST
    vectors = np.arange(count, dtype=np.float32)[:, None] * [1, 1e-3]
    columns = {"gold": ["a\tb"] * count, "text": [f"{i}\nx" for i in range(count)]}
    projector.write(tmp_path, "test", vectors, columns)
    points = np.loadtxt(tmp_path / "projector" / "vectors.tsv", delimiter="\t")
    with (tmp_path / "projector" / "examples.tsv").open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
    assert head == ["gold", "text"]
    assert len(points) == len(rows) == projector.MOST
    assert {row[0] for row in rows} == {"a b"}
    shown = [int(row[1].split()[0]) for row in rows]
    assert (shown[0], shown[-1]) == (0, count - 1)
    assert np.allclose(points[:, 0], shown, rtol=1e-3)


def test_tensorboard_finds_the_points_of_a_run(tl_run: Callable[..., int], bert: Path, tmp_path: Path) -> None:
    from google.protobuf import text_format
    from tensorboard.plugins.projector import projector_config_pb2

    command = [*toy(tmp_path), "model=custom", f"model.path={bert}", "training.max_steps=2", "hydra.run.dir=run"]
    assert tl_run(*command) == 0
    config = projector_config_pb2.__dict__["ProjectorConfig"]()
    text_format.Parse(Path("run/projector_config.pbtxt").read_text(), config)
    [shown] = config.embeddings
    lines = [json.loads(line) for line in Path("run/predictions-test.jsonl").read_text().splitlines()]
    points = (Path("run") / shown.tensor_path).read_text().splitlines()
    head, *rows = (Path("run") / shown.metadata_path).read_text().splitlines()
    assert head.split("\t")[:2] == ["gold", "prediction"]
    assert [row.split("\t")[:2] for row in rows] == [[line["gold"], line["prediction"]] for line in lines]
    assert len(points) == len(lines)
