"""Texts written for texts (translation, summaries, replies), by an encoder-decoder or by a decoder that goes on."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tl_run.config import options
from tl_run.data import pairs_of_text
from tl_run.data.encoded import Encoded
from tl_run.data.table import Table
from tl_run.errors import BadInput, BadOption
from tl_run.task import source_target, squad
from tl_run.task.kind import Kind, refuse, texts
from tl_run.task.source_target import Example
from tl_run.task.text_scores import scores

if TYPE_CHECKING:
    import torch

PROMPTS = {True: "{source}\n", False: "{source}"}  # of a decoder alone, and of an encoder-decoder
USAGE = """```python
from transformers import {auto}, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("<this folder>")
model = {auto}.from_pretrained("<this folder>")
inputs = tokenizer({prompt}, return_tensors="pt", return_token_type_ids=False)
written = model.generate(**inputs)[0]{rest}
text = tokenizer.decode(written, skip_special_tokens=True).strip()
```
"""


@dataclass(frozen=True)
class Written:
    """What the model wrote (None where it was not asked to), and -log probability and number of the target's tokens."""

    text: str | None
    lost: float
    tokens: int


class Generation(Kind):
    """Cross-entropy of the target's tokens and of the one that ends it, each after those before it.

    Where validation compares by perplexity nothing is written there, which is by far the quicker; the chosen model
    writes for the final split in any case.
    """

    auto_class = "AutoModelForSeq2SeqLM"
    pipeline = "text2text-generation"
    tiny = "embedded:tiny-generation"
    lower_is_better = frozenset({"perplexity"})
    open_vocabulary = True

    def __init__(self, options: options.Generation) -> None:
        super().__init__(options)
        self.metric = "rougeL" if options.metric == "auto" else options.metric
        self.by_character = options.by_character is True
        self.in_one = False
        """Whether one stack reads the source and writes behind it; known after `meet`."""
        self.final = False
        """Whether the model is chosen, and writes whatever chose it."""

    @property
    def reading(self) -> str:
        return (
            f"Sources are cut at {self.options.max_length} tokens, texts of at most {self.options.max_target_length} "
            "are written."
        )

    @property
    def prompt(self) -> str:
        """What the model reads of a source."""
        asked = self.options.prompt
        return PROMPTS[self.in_one] if asked is None else asked.replace("\\n", "\n")

    @property
    def row_length(self) -> int:
        length, target = self.options.max_length, self.options.max_target_length
        return length + target if self.in_one else max(length, target)

    # -- reading

    def read(self, sources: Mapping[str, Table]) -> dict[str, list[Example]]:
        problems: list[str] = []
        if self.options.id:
            for rows in sources.values():
                rows.require(self.options.id, "task.id")
        references = self.options.references
        if references and not any(references in rows.columns for rows in sources.values()):
            sources["train"].require(references, "task.references")
        found = {
            split: source_target.examples(rows, self.ids(rows), self.options, problems)
            for split, rows in sources.items()
        }
        refuse(problems)
        train = [example.target for example in found["train"] if example.target is not None]
        if not train:
            raise BadInput(f"{sources['train'].path}: no example has a text in '{self.options.target}' (task.target)")
        if self.options.by_character == "auto":
            self.by_character = squad.is_chinese(train[:200])
        return found

    def read_unlabelled(self, rows: Table) -> list[Example]:
        problems: list[str] = []
        found = texts(rows, self.options.source, "task.source", problems)
        refuse(problems)
        return [Example(name, text, None) for name, text in zip(self.ids(rows), found, strict=True)]

    @staticmethod
    def stratum(example: Example) -> int | None:
        """All examples with a target are one stratum."""
        return None if example.target is None else 0

    @staticmethod
    def group(example: Example) -> str:
        """All targets of one source."""
        return example.source

    def corpus(self, examples: Sequence[Example]) -> list[str]:
        """Sources as they are read, and targets."""
        read = [self.prompt.replace(pairs_of_text.SOURCE, example.source) for example in examples]
        return read + [example.target for example in examples if example.target is not None]

    # -- model

    def meet(self, config: Any) -> None:
        """Whether it is an encoder-decoder, where its decoder starts, and whether it has room."""
        self.in_one = not config.is_encoder_decoder
        self.auto_class = "AutoModelForCausalLM" if self.in_one else "AutoModelForSeq2SeqLM"
        self.pipeline = "text-generation" if self.in_one else "text2text-generation"
        self.usage = self._usage()
        first = [getattr(config, name, None) for name in ("decoder_start_token_id", "bos_token_id")]
        self.first = next((number for number in first if number is not None), None)
        if self.first is None and not self.in_one:
            raise BadOption(
                "model.path: its config.json does not say with which token its decoder starts (decoder_start_token_id)"
            )
        room = getattr(config, "max_position_embeddings", None) or 10**9
        length, target = self.options.max_length, self.options.max_target_length
        if self.in_one and length + target > room:
            raise BadOption(
                f"task.max_length={length} and task.max_target_length={target} are read one after the other, and this "
                f"model reads at most {room} tokens: type task.max_length={max(4, room - target)}, or less for either"
            )
        if target > room:
            raise BadOption(f"task.max_target_length={target}, but this model writes at most {room} tokens: type less")

    def _usage(self) -> str:
        return USAGE.format(
            auto=self.auto_class,
            prompt=json.dumps(self.prompt.replace(pairs_of_text.SOURCE, "a text"), ensure_ascii=False),
            rest='[inputs["input_ids"].shape[1] :]' if self.in_one else "",
        )

    def head(self) -> dict[str, Any]:
        """The vocabulary is the head's: there are no labels."""
        return {}

    def restore(self, config: Any) -> None:
        self.meet(config)
        self.final = True

    def settle(self, scores: Mapping[str, float]) -> None:
        """From here on it writes, and is compared with writing nothing of its own."""
        self.final = True

    def start(self, model: Any, new: Collection[str], train: Encoded) -> None:
        """Put the options into the model's generation config. Raises: BadOption when the model cannot write."""
        from tl_run.task import writing

        if self.in_one and not writing.is_causal(model):
            raise BadOption(
                f"model.path: this {model.config.model_type} reads a text from both sides, so it cannot write: type a "
                "decoder (model=gpt2), an encoder-decoder (model=custom model.path=t5-small) or model=seq2seq-small"
            )
        writing.configure(
            model,
            self.tokenizer,
            first=self.first,
            end=pairs_of_text.end(self.tokenizer),
            longest=self.options.max_target_length,
            beams=self.options.beams,
            length_penalty=self.options.length_penalty,
            no_repeat=self.options.no_repeat_ngram,
        )

    def encode(self, examples: Sequence[Example], tokenizer: Any, /) -> Encoded:
        self.tokenizer = tokenizer
        made, (sources, targets) = pairs_of_text.encode(
            [example.source for example in examples],
            [example.target for example in examples],
            tokenizer,
            prompt=self.prompt,
            max_length=self.options.max_length,
            max_target_length=self.options.max_target_length,
            in_one=self.in_one,
            ids=[example.id for example in examples],
            examples=examples,
        )
        for count, what, option in ((sources, "sources", "max_length"), (targets, "targets", "max_target_length")):
            if count:
                self.notes.append(
                    f"{count:,} of {len(examples):,} {what} are cut at task.{option}={getattr(self.options, option)}"
                )
        return made

    def collate(self, encoded: Encoded, indices: np.ndarray, pad: Mapping[str, int]) -> dict[str, torch.Tensor]:
        """Inputs (batch, tokens) and `labels`, -100 where nothing is learned: of a decoder alone (batch, tokens), else
        (batch, target's tokens) with `decoder_input_ids` of that shape."""
        import torch

        arrays = encoded.padded(indices, pad)
        assert encoded.targets is not None
        targets = encoded.targets.padded(indices, -100)
        if self.in_one:
            labels = np.full_like(arrays["input_ids"], -100)
            counts = np.diff(encoded.targets.offsets)[indices]
            for row, (length, count) in enumerate(zip(encoded.lengths[indices], counts, strict=True)):
                labels[row, length - count : length] = targets[row, :count]
        else:
            labels, before = targets, np.full_like(targets, self.first)
            before[:, 1:] = np.where(targets[:, :-1] == -100, pad["input_ids"], targets[:, :-1])
            arrays["decoder_input_ids"] = before
        return {name: torch.from_numpy(array) for name, array in (arrays | {"labels": labels}).items()}

    def loss(self, outputs: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Sum of -log softmax(logits)[token] over the targets' tokens."""
        return self._lost(outputs, batch)[0].sum()

    def weight(self, encoded: Encoded, indices: np.ndarray) -> int:
        """Tokens of the targets, with the one that ends each."""
        assert encoded.targets is not None
        return int(np.diff(encoded.targets.offsets)[indices].sum())

    def _lost(self, outputs: Any, batch: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """-log probability of each token sought (tokens,), and where they are in the batch."""
        from torch.nn.functional import cross_entropy

        logits, sought = outputs.logits, batch["labels"]
        if self.in_one:  # a token is found where the one before it is read
            logits, sought = logits[:, :-1], sought[:, 1:]
        place = sought != -100
        return cross_entropy(logits[place].float(), sought[place], reduction="none"), place

    def decode(self, outputs: Any, batch: Mapping[str, torch.Tensor], model: Any) -> list[Written]:
        lost, place = self._lost(outputs, batch)
        counts = place.sum(1).tolist()
        sums = [part.sum().item() for part in lost.cpu().double().split(counts)]
        written = self.write(batch, model) if self.final or self.metric != "perplexity" else [None] * len(counts)
        return [Written(*values) for values in zip(written, sums, counts, strict=True)]

    def write(self, batch: Mapping[str, torch.Tensor], model: Any) -> list[str]:
        """The model's own texts for the sources of a batch."""
        from tl_run.task import writing

        ids, mask = batch["input_ids"], batch["attention_mask"]
        if not self.in_one:
            return writing.write(model, self.tokenizer, ids, mask)
        return writing.go_on(model, self.tokenizer, ids, mask.sum(1) - (batch["labels"] != -100).sum(1))

    # -- scores

    def metrics(self, predictions: Sequence[Written], encoded: Encoded) -> dict[str, float]:
        """exp of the mean -log probability of the targets' tokens; of what is written `text_scores.scores`."""
        count = sum(written.tokens for written in predictions)
        lost = sum(written.lost for written in predictions)
        found = {"perplexity": math.exp(min(lost / count, 700))}
        written = [prediction.text for prediction in predictions]
        return found | (self._scores(written, encoded) if written[0] is not None else {})

    def _scores(self, written: Sequence[Any], encoded: Encoded) -> dict[str, float]:
        return scores(written, [example.references for example in encoded.examples], by_character=self.by_character)

    def tables(self, predictions: Sequence[Written], encoded: Encoded) -> dict[str, Any]:
        """What it takes no model to get: the scores of the sources themselves, and of nothing at all."""
        if not self.final:
            return {}
        sources = [example.source for example in encoded.examples]
        return {
            "floors": {"source": self._scores(sources, encoded), "nothing": self._scores([""] * len(sources), encoded)}
        }

    def describe(self, example: Example, prediction: Written) -> dict[str, Any]:
        return {"prediction": prediction.text}

    def inputs(self, example: Example) -> dict[str, Any]:
        gold = example.target if len(example.references) < 2 else [*example.references]
        return {"id": example.id, "source": example.source, "gold": gold}
