"""The heads of our own models, by the names that transformers' Auto classes go by."""

from typing import Any

import torch
from torch import nn
from transformers.generation.utils import GenerationMixin
from transformers.modeling_outputs import (
    CausalLMOutput,
    MaskedLMOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)
from transformers.models.bert.modeling_bert import BertForPreTrainingOutput

from tl_run.errors import BadOption
from tl_run.model.scratch.trunk import ScratchBase, ScratchConfig, ScratchModel


class _Classifier(ScratchBase):
    def __init__(self, config: ScratchConfig) -> None:
        super().__init__(config)
        self.trunk = ScratchModel(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels or 0)
        self.post_init()

    def states(self, input_ids: torch.Tensor, mask: torch.Tensor, **others: Any) -> torch.Tensor:
        """(batch, tokens, hidden); the trunk is called as a module."""
        return self.trunk(input_ids=input_ids, attention_mask=mask, **others).last_hidden_state


class ScratchForSequenceClassification(_Classifier):
    """A linear layer on the vector of a text."""

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **others: Any
    ) -> SequenceClassifierOutput:
        """Inputs (batch, tokens) to logits (batch, labels)."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        vector = self.trunk.pooled(self.states(input_ids, mask, **others), mask)
        return SequenceClassifierOutput(logits=self.classifier(self.dropout(vector)))


class ScratchForTokenClassification(_Classifier):
    """A linear layer on the state of each token."""

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **others: Any
    ) -> TokenClassifierOutput:
        """Inputs (batch, tokens) to logits (batch, tokens, labels)."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        states = self.states(input_ids, mask, **others)
        return TokenClassifierOutput(logits=self.classifier(self.dropout(states)))


class ScratchForMaskedLM(ScratchBase):
    """For each token all entries of the vocabulary: by their embeddings, as in BERT."""

    _tied_weights_keys = {"decoder.weight": "trunk.embeddings.weight"}  # noqa: RUF012

    def __init__(self, config: ScratchConfig) -> None:
        super().__init__(config)
        self.trunk = ScratchModel(config)
        # No name of the trunk's: transformers takes a stray `norm` of a file for the trunk's, and puts it there.
        self.transform = nn.Linear(config.hidden_size, config.hidden_size)
        self.transform_norm = nn.LayerNorm(config.hidden_size)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)
        self.post_init()

    def get_output_embeddings(self) -> nn.Linear:
        return self.decoder

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **others: Any
    ) -> MaskedLMOutput:
        """Inputs (batch, tokens) to logits (batch, tokens, vocabulary)."""
        states = self.trunk(input_ids=input_ids, attention_mask=attention_mask, **others).last_hidden_state
        return MaskedLMOutput(logits=self.words(states))

    def words(self, states: torch.Tensor) -> torch.Tensor:
        """States (batch, tokens, hidden) to logits (batch, tokens, vocabulary)."""
        return self.decoder(self.transform_norm(nn.functional.gelu(self.transform(states))))


class ScratchForPreTraining(ScratchForMaskedLM):
    """As for masked tokens, and on the vector of a pair whether its second segment follows the first, as in BERT."""

    def __init__(self, config: ScratchConfig) -> None:
        super().__init__(config)
        self.seq_relationship = nn.Linear(config.hidden_size, 2)
        self.post_init()

    def forward(  # type: ignore[override]
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **others: Any
    ) -> BertForPreTrainingOutput:
        """Inputs (batch, tokens) to logits (batch, tokens, vocabulary), and (batch, 2): follows, or does not."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        states = self.trunk(input_ids=input_ids, attention_mask=mask, **others).last_hidden_state
        return BertForPreTrainingOutput(
            prediction_logits=self.words(states),
            seq_relationship_logits=self.seq_relationship(self.trunk.pooled(states, mask)),
        )


class ScratchForCausalLM(ScratchBase, GenerationMixin):
    """For each token what comes next, by the embeddings of the vocabulary; its trunk reads from left to right.

    It generates without a cache: every step reads the whole text again.
    """

    _tied_weights_keys = {"decoder.weight": "trunk.embeddings.weight"}  # noqa: RUF012

    def __init__(self, config: ScratchConfig) -> None:
        """Makes the config causal. Raises: BadOption when its layers read from right to left too."""
        if config.kind == "rnn" and config.bidirectional:
            raise BadOption("model.bidirectional=true reads what comes next: type false, or task.objective=masked")
        config.causal = True
        super().__init__(config)
        self.trunk = ScratchModel(config)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)
        self.post_init()

    def get_output_embeddings(self) -> nn.Linear:
        return self.decoder

    def prepare_inputs_for_generation(  # type: ignore[override]
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **_: Any
    ) -> dict[str, Any]:
        """The whole text in every step."""
        return {"input_ids": input_ids, "attention_mask": attention_mask}

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **others: Any
    ) -> CausalLMOutput:
        """Inputs (batch, tokens) to logits (batch, tokens, vocabulary); padding may stand before texts, as `generate`
        has it."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        places = None if mask[:, 0].all() else _behind(mask)
        if places is not None:
            input_ids, mask = input_ids.gather(1, places), mask.gather(1, places)
        states = self.trunk(input_ids=input_ids, attention_mask=mask, **others).last_hidden_state
        if places is not None:
            states = states.gather(1, places.argsort(1)[..., None].expand_as(states))
        return CausalLMOutput(logits=self.decoder(states))


def _behind(mask: torch.Tensor) -> torch.Tensor:
    """For each place the one from which it comes when padding that stands before a text is put behind it."""
    tokens = mask.shape[1]
    return (torch.arange(tokens, device=mask.device) + mask.long().argmax(1, keepdim=True)) % tokens
