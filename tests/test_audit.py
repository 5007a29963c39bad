"""What moved is named, what was to stay and did not is a fault, and hashing is done no more often than it must."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import nn

from finished_objects import toy
from tl_run import audit

BLOCKS = {"head": ("head.weight", "head.bias"), "layer.0": ("trunk.weight", "trunk.bias")}


@pytest.fixture
def model() -> nn.ModuleDict:
    return nn.ModuleDict({"trunk": nn.Linear(2, 2), "head": nn.Linear(2, 2)})


def test_the_report_names_what_moved(model: nn.ModuleDict) -> None:
    before = audit.of_parameters(model, BLOCKS["layer.0"])
    with torch.no_grad():
        model["trunk"].weight[0, 0] += 1e-6
    assert audit.report(before, model, 2, {"head.bias": 7}, BLOCKS) == {
        "frozen": 2,
        "frozen_moved": ["trunk.weight"],
        "learning": 2,
        "learning_moved": 1,
        "moves_from_step": {"head": 7, "layer.0": None},
    }


def test_the_first_phase_in_which_it_moved_counts(model: nn.ModuleDict) -> None:
    names = {*BLOCKS["head"], *BLOCKS["layer.0"]}
    prints, moved = audit.of_parameters(model, names), {}
    for began, part in ((0, "head"), (10, "trunk"), (20, "head")):
        with torch.no_grad():
            model[part].bias += 1
        prints, moved = audit.end_of_phase(model, names, prints, began, moved)
    assert moved == {"head.bias": 0, "trunk.bias": 10}
    assert prints == audit.of_parameters(model, names)


def test_what_was_to_stay_in_a_phase_and_moved_is_a_fault(model: nn.ModuleDict) -> None:
    prints = audit.of_parameters(model, {*BLOCKS["head"], *BLOCKS["layer.0"]})
    with torch.no_grad():
        model["trunk"].bias += 1
        model["head"].bias += 1
    with pytest.raises(AssertionError, match=r"frozen tensors moved: trunk\.bias$"):
        audit.end_of_phase(model, BLOCKS["head"], prints, 0, {})


GRADUAL = ["freeze=gradual", "freeze.head_first=1", "freeze.every=0.25", "training.epochs=3"]


@pytest.mark.parametrize(("options", "times"), [(["freeze=bottom"], 2), (GRADUAL, 4)])
def test_each_tensor_is_hashed_only_where_a_phase_begins_or_ends(
    options: list[str],
    times: int,
    tl_run: Callable[..., int],
    bert: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In three steps an epoch, phases begin at 0, 3, 4 and 4: one has no steps, and no audit."""
    seen: list[str] = []
    real = audit.fingerprints

    def count(tensors: Mapping[str, torch.Tensor]) -> dict[str, str]:
        seen.extend(tensors)
        return real(tensors)

    monkeypatch.setattr(audit, "fingerprints", count)
    assert tl_run(*toy(tmp_path), "model=custom", f"model.path={bert}", *options, "training.eval_every=1") == 0
    table = next(name for name in seen if "word_embeddings" in name)  # that of the words that occur is hashed too
    assert {seen.count(name) for name in seen if name != table} == {times}
