"""Two towers that are two: one trunk reads texts, one pictures; a linear layer each ends in vectors of one width."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from tl_run.errors import BadInput
from tl_run.model import reading
from tl_run.model.heads import draw
from tl_run.model.pooling import mean
from tl_run.model.pretrained import Pretrained
from tl_run.model.pretrained import load as load_one
from tl_run.model.start import Start, tensors
from tl_run.model.towers import Vectors
from tl_run.stored_files import read_json

MARK = "two-towers.json"
WEIGHTS = "head.safetensors"


@dataclass(frozen=True)
class Processors:
    """What makes the inputs of both: a tokenizer and an image processor."""

    tokenizer: Any
    pictures: Any

    def save_pretrained(self, folder: Path) -> None:
        """Both into one folder."""
        self.tokenizer.save_pretrained(folder)
        self.pictures.save_pretrained(folder)


class Trunks(nn.Module):
    """Both encoders."""

    def __init__(self, text: Any, vision: Any) -> None:
        super().__init__()
        self.text, self.vision = text, vision

    @property
    def config(self) -> Any:
        """That of the encoder of texts, which also holds what the task says."""
        return self.text.config


class TwoTowers(nn.Module):
    """Texts and pictures to vectors of length 1: linear on the mean of the tokens' states, and on the pooled picture.

    As in CLIP (arXiv:2103.00020) and LiT (arXiv:2111.07991); where we differ: the scale of the cosines does not learn.
    """

    def __init__(self, text: Any, vision: Any, width: int, dimensions: int) -> None:
        """`width`: numbers that the encoder of pictures gives for one."""
        super().__init__()
        self.base = Trunks(text, vision)
        self.width, self.dimensions = width, dimensions
        layers = {"text": nn.Linear(text.config.hidden_size, dimensions), "vision": nn.Linear(width, dimensions)}
        self.head = nn.ModuleDict(layers)

    @property
    def base_model(self) -> Any:
        """The trunk: both encoders."""
        return self.base

    @property
    def config(self) -> Any:
        """See `Trunks`."""
        return self.base.config

    def texts(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Token ids and mask (texts, tokens) -> vectors (texts, dimensions)."""
        states = self.base.text(**inputs).last_hidden_state
        return _unit(self.head["text"](mean(states, inputs["attention_mask"].bool())))

    def pictures(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """(pictures, channels, height, width) -> vectors (pictures, dimensions)."""
        return _unit(self.head["vision"](pooled(self.base.vision, pixel_values)))

    def forward(self, pixel_values: torch.Tensor, **texts: torch.Tensor) -> Vectors:
        """As many pictures as texts -> all vectors of pictures, then all of texts: (2 * pairs, dimensions)."""
        return Vectors(vectors=torch.cat([self.pictures(pixel_values), self.texts(**texts)]))

    def save_pretrained(self, folder: Path) -> None:
        """Both encoders as transformers saves them, and beside them what ends in vectors."""
        self.base.text.save_pretrained(folder / "text")
        self.base.vision.save_pretrained(folder / "vision")
        self.base.text.config.save_pretrained(folder)
        save_file({name: t.contiguous() for name, t in self.head.state_dict().items()}, folder / WEIGHTS)
        shape = {"width": self.width, "dimensions": self.dimensions}
        (folder / MARK).write_text(json.dumps(shape) + "\n", encoding="utf-8")


def load(
    text: Path,
    vision: Path,
    said: Mapping[str, Any],
    *,
    pretrained: bool,
    max_length: int | None,
    seed: int,
    name: str,
) -> Pretrained:
    """Both encoders from their folders; what ends in vectors is drawn from `seed`. `said` is what the task says, with
    the `dimensions` of the vectors.

    Raises: BadInput when a folder cannot be read, BadOption for an encoder that does not fit.
    """
    common: dict[str, Any] = {"pretrained": pretrained, "seed": seed, "name": name}
    one = load_one(text, "AutoModel", said, max_length=max_length, **common)
    other = load_one(vision, "AutoModel", {}, max_length=None, processor="image processor", **common)
    blank = np.zeros((32, 32, 3), np.uint8)
    values = torch.from_numpy(np.asarray(other.tokenizer([blank])["pixel_values"]))
    with torch.no_grad():
        width = pooled(other.model.eval(), values).shape[1]
    torch.manual_seed(seed)
    model = TwoTowers(one.model, other.model, width, said["dimensions"])
    draw(model.head, 0.02)
    copied = {f"base.{part}.{n}" for part, found in (("text", one), ("vision", other)) for n in found.start.copied}
    start = Start.of(model, tensors(model).keys() - copied, (*one.start.left, *other.start.left))
    return Pretrained(model.eval(), Processors(one.tokenizer, other.tokenizer), start, [*one.notes, *other.notes])


def restore(folder: Path) -> tuple[TwoTowers, Processors]:
    """What `save_pretrained` has written. Raises: BadInput when it cannot be read."""
    try:
        shape = read_json(folder / MARK)
        trunks = []
        for part in ("text", "vision"):
            config = transformers.AutoConfig.from_pretrained(folder / part, **reading.DATA_ONLY)
            more = reading.no_pooler(transformers.AutoModel, config)
            trunks.append(
                transformers.AutoModel.from_pretrained(
                    folder / part, config=config, use_safetensors=True, **reading.DATA_ONLY, **more
                )
            )
        text, vision = trunks
        model = TwoTowers(text, vision, shape["width"], shape["dimensions"])
        model.head.load_state_dict(load_file(folder / WEIGHTS))
        found = Processors(reading.processor(folder, "tokenizer"), reading.processor(folder, "image processor"))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as problem:
        raise BadInput(f"{folder} cannot be loaded: {reading.first_line(problem)}") from problem
    return model.eval(), found


def pooled(vision: Any, pixel_values: torch.Tensor) -> torch.Tensor:
    """One vector for each picture: the pooled one where the encoder has it, else that of the first token."""
    output = vision(pixel_values=pixel_values)
    if getattr(output, "pooler_output", None) is not None:
        return output.pooler_output.flatten(1)
    return output.last_hidden_state[:, 0]


def _unit(vectors: torch.Tensor) -> torch.Tensor:
    return F.normalize(vectors.float(), dim=-1)
