"""Attention with dropout on a CPU is what transformers' own is, drawn from other random numbers."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from finished_objects import assemble, toy
from tiny_models import FAMILIES
from tl_run.model import attention

HARDLY = 1e-9  # rounds to no drop at all, but takes the way with dropout


class Encoder(nn.Module):
    is_causal = False


def tensors(heads: int = 2, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, ...]:
    """Query, key, value with gradients, and a mask that hides the last two tokens of the second text."""
    torch.manual_seed(0)
    triple = [torch.randn(2, heads, 5, 4).to(dtype).requires_grad_() for _ in range(3)]
    mask = torch.ones(2, 1, 5, 5, dtype=torch.bool)
    mask[1, :, :, 3:] = False
    return *triple, mask


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("masked", [True, False])
def test_values_and_gradients_are_those_of_sdpa(dtype: torch.dtype, masked: bool) -> None:
    *triple, mask = tensors(dtype=dtype)
    found = {}
    for name, function, dropout in (("own", attention.attention, HARDLY), ("sdpa", sdpa_attention_forward, 0.0)):
        out, _ = function(Encoder(), *triple, mask if masked else None, dropout=dropout)
        found[name] = [out, *torch.autograd.grad(out.float().square().sum(), triple)]
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 5e-2, "atol": 5e-2}
    for own, expected in zip(found["own"], found["sdpa"], strict=True):
        torch.testing.assert_close(own, expected, **tolerance)


def test_its_own_way_is_taken_where_there_is_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "sdpa_attention_forward", None)
    attention.attention(Encoder(), *tensors(), dropout=0.5)
    with pytest.raises(TypeError):
        attention.attention(Encoder(), *tensors(), dropout=0.0)


@pytest.mark.parametrize(
    "changes", [{"is_causal": True, "attention_mask": None}, {"position_bias": torch.ones(1, 2, 5, 5)}, {"mask": 1.0}]
)
def test_what_is_more_than_plain_attention_is_left_to_sdpa(changes: dict[str, Any]) -> None:
    *triple, mask = tensors()
    if "mask" in changes:  # one that is added
        changes = {"attention_mask": torch.zeros(2, 1, 5, 5).masked_fill(~mask, -9.0)}
    arguments = {"attention_mask": mask, "dropout": 0.5, **changes}
    torch.manual_seed(1)
    own, _ = attention.attention(Encoder(), *triple, **arguments)
    torch.manual_seed(1)
    expected, _ = sdpa_attention_forward(Encoder(), *triple, **arguments)
    assert torch.equal(own, expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_computes_and_learns_as_with_sdpa(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = FAMILIES[family](tmp_path / "model")
    overrides = [*toy(tmp_path), "model=custom", f"model.path={folder}", "optimizer.lr=0.003", "training.log_every=1"]
    parts = assemble(*overrides)
    expected = parts.score()
    attention.use(parts.model)
    assert parts.model.config._attn_implementation == attention.NAME
    found = parts.score()
    assert all((a == b).all() for a, b in zip(expected.predictions, found.predictions, strict=True))
    monkeypatch.setattr(attention, "noise", lambda shape, share, dtype: torch.ones(shape, dtype=dtype))
    calm = lambda *six, **others: sdpa_attention_forward(*six[:5], 0.0, *six[6:], **others)  # noqa: E731
    monkeypatch.setattr(attention, "sdpa_attention_forward", calm)
    losses = [record.values["loss"] for record in parts.train()]
    parts.model.save_pretrained(tmp_path / "saved")
    assert attention.NAME not in (tmp_path / "saved" / "config.json").read_text()

    config = json.loads((folder / "config.json").read_text())
    none = dict.fromkeys(("attention_probs_dropout_prob", "attention_dropout", "attn_pdrop"), 0.0)
    (folder / "config.json").write_text(json.dumps(config | none))
    assert losses == pytest.approx([record.values["loss"] for record in assemble(*overrides).train()], rel=1e-3)
