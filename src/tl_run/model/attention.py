"""Attention with dropout on a CPU: torch's own kernel for it computes bf16 in fp32 and draws every mask bit in 64.

It goes through transformers' AttentionInterface, so it serves every architecture that does; without dropout, and where
attention is more than softmax(QK')V, transformers' own `sdpa` is called.
"""

from typing import Any

import torch
from torch import nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, PreTrainedModel

from tl_run.model.dropout import noise

NAME = "tl_run_cpu"
MORE = ("position_bias", "softcap", "s_aux", "cache")  # arguments that make it more than softmax(QK')V


def use(model: Any) -> None:
    """Let a model that would use `sdpa` use this; of two towers each that would."""
    trunk = model.base_model
    for base in (trunk, *trunk.children()):
        if isinstance(base, PreTrainedModel) and base.config._attn_implementation == "sdpa":
            ALL_ATTENTION_FUNCTIONS.register(NAME, attention)
            ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
            base.set_attn_implementation(NAME)


def attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Query, key and value (batch, heads, tokens, width) to (batch, tokens, heads, width).

    `attention_mask` (batch or 1, 1, tokens, tokens) is True where a token is seen.
    """
    causal = is_causal if is_causal is not None else getattr(module, "is_causal", True)
    plain = query.shape == key.shape == value.shape and all(others.get(name) is None for name in MORE)
    plain &= attention_mask is None or attention_mask.dtype == torch.bool
    if not (plain and 0 < dropout < 1) or (attention_mask is None and causal):
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, is_causal=is_causal, **others
        )
    with torch.autocast(query.device.type, enabled=False):  # it would have the softmax in fp32, four times the time
        weights = query * (query.shape[-1] ** -0.5 if scaling is None else scaling) @ key.transpose(2, 3)
        if attention_mask is not None:
            weights.masked_fill_(~attention_mask, torch.finfo(weights.dtype).min)
        mixed = (weights.softmax(-1) * noise(weights.shape, dropout, weights.dtype)) @ value
    return mixed.transpose(1, 2).contiguous(), None
