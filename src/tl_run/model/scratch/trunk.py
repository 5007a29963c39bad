"""The trunk of our own models, in the mould of transformers': embeddings, a list of equal layers, a last norm."""

from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from tl_run.model.scratch.folder import MODEL_TYPE
from tl_run.model.scratch.layers import LAYERS


class ScratchConfig(PretrainedConfig):
    """What config.json says of a model; `kind` names its layers, which read what is theirs of the rest."""

    model_type = MODEL_TYPE

    def __init__(
        self,
        kind: str = "transformer",
        vocab_size: int = 30,
        hidden_size: int = 128,
        num_hidden_layers: int = 2,
        num_attention_heads: int = 4,
        intermediate_size: int = 512,
        cell: str = "lstm",
        bidirectional: bool = False,
        kernel_size: int = 5,
        causal: bool = False,
        hidden_dropout_prob: float = 0.1,
        max_position_embeddings: int = 512,
        initializer_range: float = 0.02,
        pad_token_id: int = 0,
        bos_token_id: int = 2,
        eos_token_id: int = 3,
        **others: Any,
    ) -> None:
        self.kind, self.vocab_size = kind, vocab_size
        self.hidden_size, self.num_hidden_layers = hidden_size, num_hidden_layers
        self.num_attention_heads, self.intermediate_size = num_attention_heads, intermediate_size
        self.cell, self.bidirectional, self.kernel_size = cell, bidirectional, kernel_size
        self.causal = causal
        self.hidden_dropout_prob, self.max_position_embeddings = hidden_dropout_prob, max_position_embeddings
        self.initializer_range = initializer_range
        self.pad_token_id, self.bos_token_id, self.eos_token_id = pad_token_id, bos_token_id, eos_token_id
        others.setdefault("tie_word_embeddings", True)
        super().__init__(**others)


class ScratchBase(PreTrainedModel):
    """What trunk and heads share: how weights are drawn."""

    config_class = ScratchConfig
    base_model_prefix = "trunk"
    config: ScratchConfig

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        spread = self.config.initializer_range
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=spread)
            if module.padding_idx is not None:
                nn.init.zeros_(module.weight[module.padding_idx])
        elif isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Conv1d | nn.RNNBase):  # as torch draws them
            module.reset_parameters()


class ScratchModel(ScratchBase):
    """Token ids to a state for each token."""

    _input_embed_layer = "embeddings"

    def __init__(self, config: ScratchConfig) -> None:
        super().__init__(config)
        kind = LAYERS[config.kind]
        self.embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.layers = nn.ModuleList(kind(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(config.hidden_size)
        self.post_init()

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        output_hidden_states: bool | None = None,
        **_: Any,
    ) -> BaseModelOutput:
        """`input_ids` and `attention_mask` (batch, tokens) to states (batch, tokens, hidden), zero where nothing is."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        states = LAYERS[self.config.kind].embedded(self.embeddings(input_ids))
        states = self.dropout(states) * mask[..., None]
        every = [states]
        for layer in self.layers:
            states = layer(states, mask)
            every.append(states)
        last = self.norm(states) * mask[..., None]
        hidden = (*every[:-1], last) if output_hidden_states else None
        return BaseModelOutput(last_hidden_state=last, hidden_states=hidden)  # type: ignore[arg-type]

    def pooled(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The vector (batch, hidden) that stands for a text, as this kind of layer has it."""
        return LAYERS[self.config.kind].pooled(states, mask, self.config)

    def notes(self) -> list[str]:
        """What a user should know of its size."""
        return LAYERS[self.config.kind].notes(self.config)
