"""A transformers model and its tokenizer, or image processor, from a folder, with the task's head.

Nothing is downloaded or executed.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

from tl_run.errors import BadInput, BadOption
from tl_run.model import heads, reading, sentences
from tl_run.model.design import MIXED, STOCK, Design, settle
from tl_run.model.reading import DATA_ONLY, first_line, no_pooler, padding
from tl_run.model.scratch.folder import MODEL_TYPE
from tl_run.model.scratch.graph import Names
from tl_run.model.scratch.transe import TransEModel
from tl_run.model.scratch.trunk import ScratchModel
from tl_run.model.start import Start, tensors

OBJECTIVES = {  # what else a language model may do
    "AutoModelForCausalLM": ", or task.objective=masked",
    "AutoModelForMaskedLM": ", or task.objective=causal",
    "AutoModelForPreTraining": ", or task.next_sentence=false",
}


PAIRS = "AutoModelForPreTraining"  # of most families another head


@dataclass(frozen=True)
class Pretrained:
    """A model in fp32 on the CPU, what makes its inputs, and where its tensors come from."""

    model: Any
    tokenizer: Any
    """Or an image processor, or the names of a graph."""
    start: Start
    notes: list[str]

    @property
    def new(self) -> frozenset[str]:
        """Names of the tensors that the checkpoint did not bring."""
        return frozenset(self.start.fresh)

    @property
    def pad(self) -> dict[str, int]:
        """The value that pads each input column."""
        return padding(self.tokenizer)


def load(
    folder: Path,
    auto_class: str,
    labels: Mapping[str, Any],
    *,
    pretrained: bool,
    max_length: int | None,
    seed: int,
    name: str,
    copy: str | None = None,
    design: Design = STOCK,
    processor: str = "tokenizer",
) -> Pretrained:
    """Load from a folder in the hub's layout; new weights (the head, or all of them) are drawn from `seed`.

    `labels` is what the task writes into the config. A stock design gives the stock class of `auto_class`, with its own
    head; any other gives `heads.Headed`. The checkpoint's head is kept where design and labels are the same. Where
    `copy` is given, only tensors with a name that this regular expression finds come from the checkpoint. `processor`
    is a key of model.folder.FILES.
    Raises: BadInput when the folder cannot be read, BadOption when it does not fit the task's options.
    """
    notes: list[str] = []
    config = reading.read_config(folder)
    try:
        tokenizer = reading.processor(folder, processor)
    except Exception as problem:  # transformers raises OSError, ValueError, KeyError and its backends' own
        raise BadInput(f"model.path: {folder} cannot be loaded: {first_line(problem)}") from problem
    same_head = getattr(config, "id2label", None) == labels.get("id2label", getattr(config, "id2label", None))
    config.update(dict(labels))
    if max_length is not None:
        notes += _for_texts(tokenizer, config, max_length, name)
    stock = design.kind == "stock"
    if stock and auto_class == "AutoModelForSequenceClassification" and sentences.encoder(folder):
        notes.append(
            "a sentence encoder: model.head=linear reads the vectors it was made for; it matters under freeze=trunk"
        )
    if not stock:
        if design.pooling is None and design.layer is None and design.kind not in MIXED:
            design = replace(design, pooling=sentences.pooling(folder))
        design = settle(design, config, tokenizer, name)
    auto = getattr(transformers, auto_class if stock else "AutoModel")
    if type(config) not in auto._model_mapping or (auto_class == PAIRS and not _decides_on_pairs(config)):
        other, what = OBJECTIVES.get(auto_class, ""), "next-sentence head" if auto_class == PAIRS else auto_class
        raise BadOption(f"{name}: transformers has no {what} for a {config.model_type}: type another model{other}")
    torch.manual_seed(seed)
    if pretrained:
        model, lacking, left = _read(folder, auto, config)
        drawn = set(_not_copied(model, copy)) if copy else set()
        if stock and (own_head := _outside(model)) - lacking and not same_head:
            drawn |= own_head
            notes.append("the checkpoint's head was made for other labels: a new one is used")
        _draw(model, drawn, seed)
        start = Start.of(model, lacking | drawn, left | (drawn - lacking))
    else:
        model = auto.from_config(config, dtype=torch.float32, **no_pooler(auto, config))
        start = Start.of(model, set(tensors(model)), set())
        own = isinstance(model.base_model, ScratchModel | TransEModel)
        notes += model.base_model.notes() if own else ["model.pretrained=false: every weight is random"]
    theirs = heads.names(folder) if pretrained else []
    if stock:
        start = start.leaving(theirs)
        if design.dropout is not None:
            heads.set_dropout(model, design.dropout, name)
    else:
        model = heads.make(model, design, seed)
        kept = bool(theirs) and same_head and copy is None and heads.keep(model, folder)
        start = start.under("base", model, theirs if kept else ()).leaving(() if kept else theirs)
        notes += heads.notes(model)
        if same_head and not kept and _outside(model):
            notes.append("the checkpoint's head is not used, a new one is")
    if isinstance(tokenizer, Names):
        start = replace(start, rows=tokenizer.rows(pretrained))
    if max_length is not None:
        _check_length(max_length, _positions(model), name)
    return Pretrained(model.eval(), tokenizer, start, notes)


def _decides_on_pairs(config: Any) -> bool:
    """Whether the family's class for pretraining asks if one segment follows the other."""
    return config.model_type == MODEL_TYPE or type(config) in transformers.MODEL_FOR_NEXT_SENTENCE_PREDICTION_MAPPING


def _for_texts(tokenizer: Any, config: Any, max_length: int, name: str) -> list[str]:
    """Settle what pads, in tokenizer and config; returns what the user should know."""
    longest = min(getattr(config, "max_position_embeddings", None) or 10**9, tokenizer.model_max_length)
    _check_length(max_length, longest, name)
    if getattr(config, "use_cache", False):
        config.use_cache = False  # keys and values of a decoder are for generating; here they would only take memory
    notes = []
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
        notes.append(f"{name} has no pad token: {tokenizer.pad_token} pads")
    config.pad_token_id = tokenizer.pad_token_id
    return notes


def _read(folder: Path, auto: Any, config: Any) -> tuple[Any, set[str], set[str]]:
    """The model of a folder, its tensors that the weights there did not hold, and those of them that it has not."""
    try:
        model, report = auto.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,  # an fp16 file would give an fp16 model
            use_safetensors=True,  # no pickle is ever read
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **DATA_ONLY,
            **no_pooler(auto, config),
        )
    except Exception as problem:
        raise BadInput(f"model.path: {folder} cannot be loaded: {first_line(problem)}") from problem
    mismatched = {key[0] for key in report["mismatched_keys"]}
    lacking = set(report["missing_keys"]) | mismatched
    base = {key for key, _ in model.named_parameters()} - _outside(model)
    if base and base <= lacking:
        raise BadInput(f"model.path: {folder}: its weights are not those of a {type(model).__name__}")
    if other := sorted(base & mismatched):
        raise BadInput(f"model.path: {folder}: {other[0]} has another shape in its weights than config.json says")
    if bad := [name for name, p in model.named_parameters() if name not in lacking and not p.isfinite().all()]:
        more = f" and {len(bad) - 1} more tensors" if len(bad) > 1 else ""
        raise BadInput(f"model.path: {folder}: there is NaN or infinity in {bad[0]}{more}: its training has failed")
    return model, lacking, set(report["unexpected_keys"]) | mismatched


def _not_copied(model: Any, pattern: str) -> list[str]:
    """The tensors that are none of those to be copied. Raises: BadOption when none is to be."""
    names = [*tensors(model)]
    left = [name for name in names if not re.search(pattern, name)]
    if len(left) == len(names):
        raise BadOption(
            f"model.copy: '{pattern}' matches no tensor; names look like {', '.join(names[:2])}, {names[-1]}"
        )
    return left


def _outside(model: Any) -> set[str]:
    """Names of the parameters of the head: those that are not the base model's."""
    base = {id(parameter) for parameter in model.base_model.parameters()}
    return {name for name, parameter in model.named_parameters() if id(parameter) not in base}


def _check_length(max_length: int, longest: int, name: str) -> None:
    if max_length > longest:
        raise BadOption(
            f"task.max_length={max_length}, but {name} reads at most {longest} tokens: type task.max_length={longest}"
        )


def _positions(model: nn.Module) -> int:
    """Tokens that the table of positions has room for. RoBERTa's numbers them from its pad token on, so that 514 rows
    are 512 tokens, and a longer text is an index out of range."""
    tables = [m for name, m in model.named_modules() if name.endswith("position_embeddings")]
    rows = [
        t.num_embeddings - (0 if t.padding_idx is None else t.padding_idx + 1)
        for t in tables
        if isinstance(t, nn.Embedding)
    ]
    return min(rows, default=10**9)


def _draw(model: Any, names: Collection[str], seed: int) -> None:
    """Draw these tensors anew as the model's own class would."""
    if not names:
        return
    torch.manual_seed(seed)
    values = tensors(type(model)(model.config))
    with torch.no_grad():
        for name, tensor in tensors(model).items():
            if name in names:
                tensor.copy_(values[name])
