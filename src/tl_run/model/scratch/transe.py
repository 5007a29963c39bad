"""TransE (Bordes et al., NIPS 2013): entities and relations as vectors, a relation as the way from head to tail."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PretrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput

from tl_run.model.scratch.graph import MODEL_TYPE


class TransEConfig(PretrainedConfig):
    """What config.json says: of entities and of relations how many vectors were copied, and how many were fresh."""

    model_type = MODEL_TYPE

    def __init__(
        self,
        dimension: int = 50,
        norm: int = 1,
        entities: Sequence[int] = (0, 2),
        relations: Sequence[int] = (0, 1),
        **others: Any,
    ) -> None:
        self.dimension, self.norm = dimension, norm
        self.entities, self.relations = [*entities], [*relations]
        super().__init__(**others)


@dataclass
class TransEOutput(ModelOutput):
    """What a forward pass gives; a distance is the smaller, the likelier the triple."""

    distances: torch.Tensor | None = None
    """(batch, triples)"""
    first: torch.Tensor | None = None
    """Vectors of head, relation and tail of each first triple: (batch, 3, dimension)."""
    entities: torch.Tensor | None = None
    """Of all entities, as they are compared: (entities, dimension)."""
    norm: int | None = None

    def candidates(self, side: str) -> torch.Tensor:
        """Distances (batch, entities) of the first triples with each entity for the `head` or the `tail`."""
        assert self.first is not None
        assert self.entities is not None
        assert self.norm is not None
        head, relation, tail = self.first.float().unbind(1)
        sought = head + relation if side == "tail" else tail - relation
        exact = "donot_use_mm_for_euclid_dist"  # the same bits whatever the batch
        return torch.cdist(sought, self.entities.float(), p=float(self.norm), compute_mode=exact)


class Table(nn.Module):
    """Vectors in two parts, so that what a source graph brought may stay while the rest learns."""

    def __init__(self, sizes: Sequence[int], dimension: int) -> None:
        """`sizes`: how many were copied, and how many are fresh; a part of none is left out."""
        super().__init__()
        for part, size in zip(("copied", "fresh"), sizes, strict=True):
            if size:
                self.add_module(part, nn.Embedding(size, dimension))

    def forward(self) -> torch.Tensor:
        """(names, dimension), the copied first."""
        return torch.cat([part.weight for part in self.children()])  # type: ignore[misc]


class TransEModel(PreTrainedModel):
    """d(h, r, t) = ||h + r - t||, by model.norm L1 or L2.

    Entities have length 1, as the paper has it before each step; here they are projected in the forward pass, so that
    the optimizer's state stays its own. Relations begin at length 1 and may have any.
    """

    config_class = TransEConfig
    config: TransEConfig

    def __init__(self, config: TransEConfig) -> None:
        super().__init__(config)
        self.entities = Table(config.entities, config.dimension)
        self.relations = Table(config.relations, config.dimension)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Uniform, at length 1 (the paper's algorithm 1, lines 1 to 3 and 5)."""
        if isinstance(module, nn.Embedding):
            nn.init.uniform_(module.weight, -1.0, 1.0)
            module.weight.copy_(F.normalize(module.weight, dim=-1))

    def notes(self) -> list[str]:
        """Nothing that the plan does not say: how many vectors are fresh."""
        return []

    def get_input_embeddings(self) -> None:  # type: ignore[override]
        """No tokens go in."""

    def forward(self, triples: torch.Tensor, **_: Any) -> TransEOutput:
        """`triples` (batch, triples, 3): numbers of head, relation and tail."""
        entities, relations = F.normalize(self.entities(), dim=-1), self.relations()
        head, relation, tail = triples.unbind(-1)
        vectors = (entities[head], relations[relation], entities[tail])
        away = vectors[0] + vectors[1] - vectors[2]
        return TransEOutput(
            distances=torch.linalg.vector_norm(away, ord=self.config.norm, dim=-1),
            first=torch.stack([each[:, 0] for each in vectors], 1),
            entities=entities,
            norm=self.config.norm,
        )
