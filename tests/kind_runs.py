"""What every kind of task must keep, whatever it reads: helpers for the tests of each."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from finished_objects import assemble

CLOCK = {"time", "seconds", "examples_per_second", "peak_memory_mb", "stored_mb"}
STORES = {"off": ("features.mode=off",), "cold": (), "warm": ()}


def jsonl(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def assert_any_cut_gives_the_same_gradient(*command: str) -> None:
    """Batches of 8 in parts of 1, 3 and 5 against the whole, without dropout."""
    found = {}
    for size in (8, 1, 3, 5):
        parts = assemble(*command, "training.batch_size=8")
        parts.model.eval()
        batches = {name: stream.batch(0) for name, stream in parts.method.streams().items()}
        means = parts.method.gradient(
            parts.model, batches, step=0, progress=0.0, micro_batch_size=size, backward=lambda loss: loss.backward()
        )
        found[size] = parts.gradients(), means["loss"].item()
    whole, loss = found.pop(8)
    assert whole
    for gradients, other in found.values():
        assert abs(other - loss) < 1e-5 * max(1, abs(loss))
        for name, gradient in whole.items():
            assert torch.allclose(gradients[name], gradient, rtol=1e-4, atol=1e-5 * float(gradient.abs().max() + 1e-3))


def outcome(run: Path) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor], str]:
    """All that a run found but its clock: records, weights, predictions."""
    records = [{k: v for k, v in line.items() if k not in CLOCK} for line in lines(run / "metrics.jsonl")]
    weights = {
        f"{file.name} {name}": tensor
        for file in sorted((run / "model").glob("*.safetensors"))
        for name, tensor in load_file(file).items()
    }
    return records, weights, (run / "predictions-test.jsonl").read_text()


def assert_the_store_changes_nothing(tl_run: Callable[..., int], *command: str) -> list[dict[str, Any]]:
    """The run with the store off, cold and warm ends with the same bits; returns its records."""
    found = {}
    for name, mode in STORES.items():
        assert tl_run(*command, *mode, f"hydra.run.dir={name}") == 0
        found[name] = outcome(Path(name))
    records, weights, predictions = found["off"]
    for name in ("cold", "warm"):
        assert found[name][0] == records, name
        assert found[name][1].keys() == weights.keys()
        assert all(torch.equal(found[name][1][key], weights[key]) for key in weights), name
        assert found[name][2] == predictions
    return records
