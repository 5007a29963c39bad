"""What a run takes from the store: the highest cut of each phase, filled before training, read at every batch.

A state is a function of its example alone: it is computed at a padded width that the example decides, in batches of one
shape for each width. So the same bits come from a cold store, a warm one, or none at all; measured with MKL and oneDNN,
where a row's bits depend on the shape of the whole product, but neither on its neighbours nor on its place.
"""

import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from tl_run import cache, freeze
from tl_run.data.encoded import Encoded
from tl_run.errors import BadOption, MachineFault
from tl_run.features.cut import Cut, Trunk
from tl_run.features.store import Shelf, Store
from tl_run.freeze import Freeze, Phase
from tl_run.hardware import DTYPES, Hardware
from tl_run.model.anatomy import Anatomy

FORMAT = 1  # raise when stored states change meaning
STEP = 4  # widths are multiples of it: less padding, more shapes
TOKENS = {"cpu": 512, "cuda": 16384}  # of a batch in which states are computed
PIECE = 32  # such batches in a piece of the store
SPARE_BYTES = 256 * 2**20  # held in memory of what was computed along with a batch and will be asked for later
SPOKEN = {"id2label", "label2id", "problem_type", "_name_or_path", "architectures", "transformers_version", "dtype"}


class Reuse:
    """Calls the model on examples of the run's splits, from the highest cut on where the phase has one."""

    def __init__(
        self,
        trunk: Trunk,
        learning: Freeze,
        splits: Mapping[str, Encoded],
        *,
        pad: Mapping[str, int],
        max_length: int,
        hardware: Hardware,
        store: Store | None,
        why_not: str = "",
    ) -> None:
        self.trunk, self.learning, self.pad, self.hardware, self.store = trunk, learning, pad, hardware, store
        self.splits = splits
        self._all = Encoded.joined([*splits.values()])
        starts = np.cumsum([0, *map(len, splits.values())])
        self._start = {id(split): int(start) for split, start in zip(splits.values(), starts, strict=False)}
        self._widths = np.minimum(-(-self._all.lengths // STEP) * STEP, max_length)
        self._groups = self._widths * 2 + (self._widths == self._all.lengths)  # without padding there is no mask
        self._examples: list[bytes] | None = None
        self._prints: dict[str, str] = {}
        self._shelves: dict[Cut, Shelf] = {}
        self._spare: dict[int, torch.Tensor] = {}
        self._members: dict[int, np.ndarray] = {}
        self._cut: Cut | None = None
        self._ready: tuple[Phase, Cut | None] | None = None
        self.cuts: dict[Phase, tuple[Cut | None, str]] = {}
        for phase in learning.phases:
            freeze.apply(trunk.model, phase)
            self.cuts[phase] = (None, why_not) if why_not else trunk.find(phase.learns, self._probe())

    # -- the plan

    def words(self) -> str:
        """For the plan: what is stored, or why nothing is."""
        found = [cut for cut, _ in self.cuts.values() if cut]
        if not found:
            return "nothing: " + next(iter(self.cuts.values()))[1]
        words = []
        for cut in dict.fromkeys(found):
            where = f"below layer {cut.layers} of {len(self.trunk.layers)}"
            if cut.reading != "tokens":
                where = {"layers": "every layer's states, pooled", "pooled": "the pooler's output"}.get(
                    cut.reading, f"the trunk's state of the {cut.reading} token"
                )
            if self.store is None:
                words.append(f"{where}: computed anew each time (features.mode=off)")
                continue
            shelf, needed = self._shelf(cut), self._bytes(cut, self._rows(*self.splits))
            there = sum(example in shelf for example in self._hashes())
            words.append(f"{where}: {needed / 2**20:,.0f} MB, {there:,} of {len(self._all):,} examples are there")
        return "; ".join(words)

    @property
    def stored_mb(self) -> float:
        """Megabytes on the shelves that the run has used."""
        return sum(shelf.bytes for shelf in self._shelves.values()) / 2**20

    # -- the run

    def enter(
        self,
        phase: Phase,
        *,
        train_rows: np.ndarray | None = None,
        between: Callable[[], None] = lambda: None,
        tell: Callable[[int, int, float], None] = lambda done, total, seconds: None,
    ) -> str:
        """From now on the model is run as in this phase; what it needs is computed and stored if it is not there.

        `train_rows`: the training examples that will be seen, when they are not all. Returns a warning, or "".
        """
        cut = self.cuts[phase][0]
        if cut and any(name in self.learning.ever for name in self._names(cut)):
            if self._ready != (phase, cut):  # weights below may have moved in another phase
                self._prints.clear()
                self._shelves.clear()
        elif self._ready == (phase, cut):
            return ""
        if self._ready == (phase, cut):
            return ""
        self._spare.clear()
        self._cut, self._ready = cut, (phase, cut)
        if cut is None or self.store is None:
            return ""
        later = [*self.learning.phases][[*self.learning.phases].index(phase) :]
        wanted = {cut, *(c for p in later if (c := self.cuts[p][0]) and self._same_weights(cut, c))}
        splits = [name for name in self.splits if name != "test" or cut == self.cuts[later[-1]][0]]
        rows = self._rows(*splits)
        if train_rows is not None:
            rows = np.concatenate([train_rows, rows[len(self.splits["train"]) :]])
        try:
            return self._fill(sorted(wanted), rows, between, tell)
        except MachineFault as problem:
            return f"{problem}; what is not stored is computed anew each time"

    def __call__(self, model: Any, encoded: Encoded, indices: np.ndarray, batch: Mapping[str, torch.Tensor]) -> Any:
        """The model's outputs for a batch of a split; `batch` is what the task has collated."""
        inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
        if self._cut is None or id(encoded) not in self._start:
            return model(**inputs)
        states = self._states(self._cut, self._start[id(encoded)] + indices, inputs["input_ids"].shape[1])
        with self.trunk.above(self._cut, states, inputs) as rest:
            return model(**rest)

    def read(self, encoded: Encoded) -> np.ndarray:
        """What the head reads of each example of a split: (examples, rows, hidden), in the split's order."""
        assert self._cut and self._cut.reading != "tokens"
        rows = self._start[id(encoded)] + np.arange(len(encoded))
        return self._states(self._cut, rows, 1).float().cpu().numpy()

    # -- states of a batch

    def _states(self, cut: Cut, rows: np.ndarray, width: int) -> torch.Tensor:
        """(batch, width or rows, hidden) on the device, padded with zeros."""
        shelf = self._shelf(cut) if self.store else {}
        hashes = self._hashes()
        missing = [row for row in rows if hashes[row] not in shelf and row not in self._spare]
        if missing:
            self._compute_along(cut, np.array(missing), shelf)
        parts = [shelf[hashes[row]] if hashes[row] in shelf else self._spare.pop(row) for row in rows]
        if cut.reading == "tokens":
            states = torch.zeros(len(rows), width, parts[0].shape[-1])
            for state, part in zip(states, parts, strict=True):
                state[: len(part)] = part
        else:
            states = torch.stack(parts).float()
        return states.to(self.hardware.device)

    def _compute_along(self, cut: Cut, missing: np.ndarray, shelf: Any) -> None:
        """Compute the missing states; what room their batches leave goes to examples that will be asked for later."""
        split = next(s for s in reversed(self.splits.values()) if self._start[id(s)] <= missing[0])
        first = self._start[id(split)]
        for group in np.unique(self._groups[missing]):
            rows = [row for row in missing if self._groups[row] == group]
            spare = -len(rows) % self._batch(group)
            if spare and sum(t.nbytes for t in self._spare.values()) < SPARE_BYTES:
                taken, hashes = {*rows, *self._spare}, self._hashes()
                others = np.flatnonzero(self._groups[first : first + len(split)] == group) + first
                free = (row for row in others if row not in taken and hashes[row] not in shelf)
                rows += [row for row, _ in zip(free, range(spare), strict=False)]
            for part in _cut(rows, self._batch(group)):
                self._spare.update(zip(part, self._compute([cut], part)[cut], strict=True))

    def _compute(self, cuts: Sequence[Cut], rows: Sequence[int]) -> dict[Cut, list[torch.Tensor]]:
        """States of examples of one group, in a batch of the group's one shape: each (tokens or rows, hidden)."""
        width, size = int(self._widths[rows[0]]), self._batch(self._groups[rows[0]])
        filled = np.array([*rows, *[rows[0]] * (size - len(rows))])
        arrays = self._all.padded(filled, self.pad, width)
        device = self.hardware.device
        inputs = {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}
        below, start = self._below(cuts, rows)
        modes = [(module, module.training) for module in self.trunk.model.modules()]
        with torch.inference_mode(False), torch.no_grad(), self.hardware.autocast():
            if below is not None:
                padded = torch.zeros(size, width, start[0].shape[-1])
                for i, part in enumerate(start):
                    padded[i, : len(part)] = part
                start = padded.to(device)
            self.trunk.model.eval()
            taken = self.trunk.run(inputs, cuts, below, start)
        for module, training in modes:
            module.training = training
        dtype = DTYPES.get(self.hardware.precision, torch.float32)
        return {
            cut: [
                states[i, : self._all.lengths[row]] if cut.reading == "tokens" else states[i]
                for i, row in enumerate(rows)
            ]
            for cut, states in ((cut, states.to("cpu", dtype)) for cut, states in taken.items())
        }

    def _below(self, cuts: Sequence[Cut], rows: Sequence[int]) -> tuple[Cut | None, Any]:
        """The highest cut below all of `cuts` at which these examples are stored, with their states."""
        hashes = self._hashes()
        if self.hardware.precision != "fp32":
            return None, None  # rounded states are an end, not a beginning: bits must not depend on what was stored
        for cut in sorted(self._shelves, reverse=True):
            if cut.reading == "tokens" and all(cut.layers < other.layers for other in cuts):
                shelf = self._shelves[cut]
                if all(hashes[row] in shelf for row in rows):
                    return cut, [shelf[hashes[row]] for row in rows]
        return None, None

    # -- filling the store

    def _fill(
        self, cuts: Sequence[Cut], rows: np.ndarray, between: Callable[[], None], tell: Callable[[int, int, float], None]
    ) -> str:
        assert self.store
        hashes, began = self._hashes(), time.perf_counter()
        for layers in range(1, cuts[-1].layers):  # what shallower cuts of other runs have left is a start
            self._shelf(Cut(layers))
        shelves = {cut: self._shelf(cut) for cut in cuts}
        unique = {hashes[row]: int(row) for row in reversed(rows)}
        missing = np.array(sorted(r for e, r in unique.items() if any(e not in s for s in shelves.values())), int)
        if not len(missing):
            return ""
        needed = sum(self._bytes(cut, missing) for cut in cuts)
        room = self.store.room(needed)
        warning = ""
        if room < needed:
            sizes = np.cumsum([sum(self._bytes(cut, np.array([row])) for cut in cuts) for row in missing])
            kept = missing[: int(np.searchsorted(sizes, room, side="right"))]
            warning = f"features.max_gb: {needed / 2**30:.2f} GB are needed, {room / 2**30:.2f} GB are free: "
            warning += f"{len(kept):,} of {len(missing):,} examples are stored, the rest is computed anew each time"
            missing = kept
        done = 0
        for piece in self._pieces(missing):
            names = [hashes[row] for part in piece for row in part]
            with shelves[cuts[-1]].making(names, between):
                for shelf in shelves.values():
                    shelf.refresh()
                made: dict[Cut, dict[bytes, torch.Tensor]] = defaultdict(dict)
                for part in piece:
                    between()
                    absent = [cut for cut in cuts if any(hashes[row] not in shelves[cut] for row in part)]
                    for cut, states in (self._compute(absent, part) if absent else {}).items():
                        made[cut].update(zip((hashes[row] for row in part), states, strict=True))
                    done += len(part)
                    tell(done, len(missing), time.perf_counter() - began)
                for cut, states in made.items():
                    shelves[cut].put(states)
        return warning

    def _pieces(self, rows: np.ndarray) -> Iterator[list[list[int]]]:
        """Batches of one group each, some of them together a piece of the store."""
        batches: list[list[int]] = []
        for group in np.unique(self._groups[rows]):
            batches += _cut(rows[self._groups[rows] == group].tolist(), self._batch(group))
        yield from _cut(batches, PIECE)

    # -- keys

    def _shelf(self, cut: Cut) -> Shelf:
        assert self.store
        if cut not in self._shelves:
            self._shelves[cut] = self.store.shelf(self._key(cut))
        return self._shelves[cut]

    def _key(self, cut: Cut) -> str:
        """sha256 of all that decides the states: weights below, shape rules, kernels, machine and precision."""
        base = self.trunk.base
        names = self._names(cut)
        tensors = {n: p for n, p in self.trunk.model.named_parameters() if n in names and n not in self._prints}
        self._prints |= freeze.fingerprints(tensors)
        device = self.hardware.device.type
        prefix = self.trunk.anatomy.base
        facts = {
            "format": [FORMAT, STEP, TOKENS[device]],
            "versions": [torch.__version__, transformers.__version__],
            "machine": _machine(device),
            "precision": self.hardware.precision,
            "model": type(base).__name__,
            "attention": getattr(base.config, "_attn_implementation", None),
            "config": {k: v for k, v in base.config.to_dict().items() if k not in SPOKEN},
            "weights": {name.removeprefix(prefix): self._prints[name] for name in names},
            "cut": [cut.layers, cut.reading, getattr(self.trunk.model, "pooling", None)],
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()

    def _names(self, cut: Cut) -> list[str]:
        """The parameters below the cut."""
        parts = self.trunk.anatomy
        layers = [name for layer in parts.layers[: cut.layers] for name in layer]
        return [*parts.embeddings, *layers, *(parts.top if cut.reading != "tokens" else ())]

    def _same_weights(self, cut: Cut, other: Cut) -> bool:
        """Whether what lies below `other` never learns before its phase begins, so that it can be stored now."""
        return set(self._names(other)) <= set(self._names(cut))

    def _hashes(self) -> list[bytes]:
        """One hash per example: its tokens, and the width it is computed at."""
        if self._examples is None:
            columns = [self._all.columns[name] for name in sorted(self._all.columns)]
            offsets = self._all.offsets.tolist()
            self._examples = []
            for i, width in enumerate(self._widths.tolist()):
                digest = hashlib.blake2b(str(width).encode(), digest_size=16)
                for column in columns:
                    digest.update(column[offsets[i] : offsets[i + 1]].tobytes())
                self._examples.append(digest.digest())
        return self._examples

    # -- sizes

    def _rows(self, *names: str) -> np.ndarray:
        starts = [self._start[id(self.splits[name])] for name in names]
        return np.concatenate([start + np.arange(len(self.splits[n])) for start, n in zip(starts, names, strict=True)])

    def _bytes(self, cut: Cut, rows: np.ndarray) -> int:
        """Bytes that these examples take at the cut."""
        count = int(self._all.lengths[rows].sum()) if cut.reading == "tokens" else len(rows) * self.trunk.rows(cut)
        return count * self.trunk.hidden * (4 if self.hardware.precision == "fp32" else 2)

    def _batch(self, group: int) -> int:
        return max(1, TOKENS[self.hardware.device.type] // max(1, int(group) // 2))

    def _probe(self) -> dict[str, torch.Tensor]:
        """Three of the longer training examples, padded."""
        lengths = next(iter(self.splits.values())).lengths[:64]
        arrays = self._all.padded(np.sort(np.argsort(-lengths, kind="stable")[:3]), self.pad)
        device = next(self.trunk.model.parameters()).device
        return {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}


def _cut(items: list[Any], size: int) -> list[list[Any]]:
    return [items[i : i + size] for i in range(0, len(items), size)]


def _machine(device: str) -> list[Any]:
    if device == "cuda":
        return [torch.cuda.get_device_name(), torch.version.cuda, torch.backends.cuda.matmul.allow_tf32]
    return [device, torch.backends.cpu.get_cpu_capability(), torch.get_num_threads()]


def make(
    options: Any, model: Any, anatomy: Anatomy, learning: Freeze, splits: Mapping[str, Encoded], **parts: Any
) -> Reuse:
    """The reuse that `features.*` asks for. Raises: BadOption when it is required and nothing can be stored."""
    folder = Path(options.path) if options.path else cache.folder() / "states"
    store = None if options.mode == "off" else Store(folder, round(options.max_gb * 2**30))
    reuse = Reuse(Trunk(model, anatomy), learning, splits, store=store, **parts)
    if options.mode == "require" and not any(cut for cut, _ in reuse.cuts.values()):
        why = next(iter(reuse.cuts.values()))[1]
        raise BadOption(
            f"features.mode=require, but nothing can be stored: {why}.\n"
            "  Type another freeze (trunk, bottom), or features.mode=auto"
        )
    return reuse
