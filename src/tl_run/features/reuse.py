"""What a run takes from the store: each phase's highest cut, filled before training, read at every batch."""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tl_run import cache, freeze
from tl_run.data.encoded import Encoded
from tl_run.errors import BadOption, MachineFault
from tl_run.features.cut import Cut, Trunk
from tl_run.features.examples import Examples
from tl_run.features.key import Keys
from tl_run.features.store import Shelf, Store
from tl_run.freeze import Freeze, Phase
from tl_run.hardware import DTYPES, Hardware
from tl_run.model.anatomy import Anatomy

SPARE_BYTES = 256 * 2**20  # of states computed along with others, which will be asked for later


def make(
    options: Any,
    model: Any,
    anatomy: Anatomy,
    learning: Freeze,
    splits: Mapping[str, Encoded],
    prints: Mapping[str, str],
    *,
    pad: Mapping[str, int],
    max_length: int,
    hardware: Hardware,
    required_by: str,
    compiled: bool,
) -> "Reuse":
    """The reuse that `features.*` asks for; `prints` are the fingerprints of the model's parameters.

    Raises: BadOption when an option, `required_by`, needs the store, and nothing can be stored.
    """
    trunk, examples = Trunk(model, anatomy), Examples(splits, pad, max_length, hardware.device.type)
    inputs = {name: torch.from_numpy(array) for name, array in examples.probe().items()}
    cuts: dict[Phase, Cut | None] = {}
    reasons: list[str] = []
    for phase in learning.phases:
        freeze.apply(model, phase)
        cuts[phase], reason = trunk.find(phase.learns, inputs) if not compiled else (None, "torch.compile takes it all")
        reasons += [reason] if reason else []
    if required_by and not any(cuts.values()):
        raise BadOption(
            f"{required_by}, but nothing can be stored: {reasons[0]}.\n"
            "  Type another freeze (trunk, bottom), or features.mode=auto"
        )
    folder = Path(options.path) if options.path else cache.folder() / "states"
    store = None if options.mode == "off" else Store(folder, round(options.max_gb * 2**30))
    return Reuse(
        trunk, learning, examples, cuts, reasons, store, hardware, Keys(trunk, hardware, examples.tokens, prints)
    )


class Reuse:
    """Calls the model on examples of the run's splits, from the phase's cut on where it has one."""

    def __init__(
        self,
        trunk: Trunk,
        learning: Freeze,
        examples: Examples,
        cuts: Mapping[Phase, Cut | None],
        reasons: list[str],
        store: Store | None,
        hardware: Hardware,
        keys: Keys,
    ) -> None:
        self.trunk, self.learning, self.examples, self.cuts = trunk, learning, examples, cuts
        self.reasons, self.store, self.hardware, self.keys = reasons, store, hardware, keys
        self._phase: Phase | None = None
        self._cut: Cut | None = None
        self._may_have_moved = False  # what lies below the cut, in an earlier phase
        self._shelves: dict[Cut, Shelf] = {}
        self._spare: dict[int, torch.Tensor] = {}

    # -- what it says

    def words(self) -> str:
        """For the plan: what is stored, or why nothing is."""
        cuts = [cut for cut in dict.fromkeys(self.cuts.values()) if cut]
        if not cuts:
            return f"nothing: {self.reasons[0]}"
        where = " down to ".join(dict.fromkeys(self._where(cut) for cut in (cuts[0], cuts[-1])))
        if self.store is None:
            return f"{where}, computed anew each time (features.mode=off)"
        megabytes = sum(self._bytes(cut, np.arange(len(self.examples))) for cut in cuts) / 2**20
        there = sum(all(example in self._shelf(cut) for cut in cuts) for example in self.examples.hashes)
        return f"{where}: {megabytes:,.1f} MB, {there:,} of {len(self.examples):,} examples stored already"

    def _where(self, cut: Cut) -> str:
        return {
            "tokens": f"states of the lowest {cut.layers} of {len(self.trunk.layers)} layers",
            "pooled": "the pooler's output",
            "layers": "every layer's states, pooled",
        }.get(cut.reading, f"the trunk's state of the {cut.reading} token")

    @property
    def stored_mb(self) -> float:
        """Megabytes on the shelves that the run has used."""
        return sum(shelf.bytes for shelf in self._shelves.values()) / 2**20

    # -- phases

    def enter(
        self,
        phase: Phase,
        *,
        train_rows: np.ndarray | None = None,
        between: Callable[[], None] = lambda: None,
        tell: Callable[[int, int, float], None] = lambda done, total, seconds: None,
    ) -> str:
        """From now on the model is run as in this phase; what it needs is computed and stored if it is not there.

        `train_rows`: the training examples that will be seen, when they are not all. `between` is called before each
        batch and may raise; `tell` hears how many of how many examples are done, and the seconds. Returns a warning.
        """
        if phase is self._phase:
            return ""
        cut, phases = self.cuts[phase], self.learning.phases
        number = next(i for i, other in enumerate(phases) if other is phase)
        learned = frozenset[str]().union(*(before.learns for before in phases[:number]))
        self._may_have_moved = cut is not None and not learned.isdisjoint(self.trunk.below(cut))
        if self._may_have_moved:
            self.keys.forget(learned)
            self._shelves.clear()
        self._spare.clear()
        self._phase, self._cut = phase, cut
        if cut is None or self.store is None:
            return ""
        later = [self.cuts[after] for after in phases[number + 1 :]]
        cuts = {cut, *(c for c in later if c and {*self.trunk.below(c)} <= {*self.trunk.below(cut)})}
        splits = self.examples.splits.keys() - ({"test"} if later and later[-1] != cut else {})
        rows = self.examples.rows(name for name in self.examples.splits if name in splits)
        if train_rows is not None:
            rows = np.concatenate([train_rows, rows[len(self.examples.splits["train"]) :]])
        try:
            return self._fill(sorted(cuts), rows, between, tell)
        except MachineFault as problem:
            return f"{problem}\n  What is not stored is computed anew each time"

    def leave(self) -> None:
        """The weights have changed otherwise than by training in this phase: those of another phase are put in."""
        if self._may_have_moved:
            self._phase = None

    # -- states of a batch

    def __call__(self, model: Any, encoded: Encoded, indices: np.ndarray, batch: Mapping[str, torch.Tensor]) -> Any:
        """The model's outputs for a batch of a split; `batch` is what the task has collated."""
        inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
        if self._cut is None:
            return model(**inputs)
        rows = (self.examples.starts[id(encoded)] + indices).tolist()
        states = self._padded(self._cut, self._take(self._cut, rows), len(rows), inputs["input_ids"].shape[1])
        with self.trunk.above(self._cut, states, inputs) as rest:
            return model(**rest)

    def read(self, encoded: Encoded) -> np.ndarray:
        """What a head of ours reads of each example of a split: float32 (examples, dims), in the split's order."""
        assert self._cut is not None
        rows = self.examples.starts[id(encoded)] + np.arange(len(encoded))
        states = torch.stack(self._take(self._cut, rows.tolist()))  # (examples, layers, hidden)
        return states[:, list(self.trunk.model.layers)].flatten(1).float().numpy()

    def _take(self, cut: Cut, rows: list[int]) -> list[torch.Tensor]:
        """For each row its states (tokens or rows, hidden), from the store or computed now."""
        hashes = self.examples.hashes
        shelf: Any = self._shelf(cut) if self.store else {}
        if missing := [row for row in {*rows} - self._spare.keys() if hashes[row] not in shelf]:
            self._compute_along(cut, sorted(missing), shelf)
        taken = [shelf[hashes[row]] if hashes[row] in shelf else self._spare[row] for row in rows]
        for row in rows:
            self._spare.pop(row, None)
        return taken

    def _compute_along(self, cut: Cut, missing: list[int], shelf: Collection[bytes]) -> None:
        """Compute what is missing; what room its batches leave goes to examples that will be asked for later."""
        for part in self.examples.batches(np.array(missing)):
            spare = self.examples.batch_size(part[0]) - len(part)
            if spare and sum(states.nbytes for states in self._spare.values()) < SPARE_BYTES:
                taken = {*missing, *self._spare}
                free = (row for row in self.examples.like(part[0]).tolist() if row not in taken)
                free = (row for row in free if self.examples.hashes[row] not in shelf)
                part += [row for row, _ in zip(free, range(spare), strict=False)]
            self._spare.update(zip(part, self._compute([cut], part)[cut], strict=True))

    def _compute(self, cuts: list[Cut], rows: list[int]) -> dict[Cut, list[torch.Tensor]]:
        """States of examples of one shape at each cut: (tokens or rows, hidden), on the CPU, as they are stored."""
        trunk, device = self.trunk, self.hardware.device
        inputs = {name: torch.from_numpy(a).to(device) for name, a in self.examples.arrays(rows).items()}
        below = self._below(cuts, rows)
        with torch.inference_mode(False), torch.no_grad(), self.hardware.autocast(), trunk.evaluating():
            size, width = inputs["input_ids"].shape
            states = self._padded(below, self._take(below, rows), size, width) if below else None
            taken = trunk.run(inputs, cuts, below, states)
        dtype, lengths = DTYPES.get(self.hardware.precision, torch.float32), self.examples.lengths
        made = {cut: states.to("cpu", dtype) for cut, states in taken.items()}
        return {
            cut: [states[i, : lengths[row]] if cut.reading == "tokens" else states[i] for i, row in enumerate(rows)]
            for cut, states in made.items()
        }

    def _below(self, cuts: list[Cut], rows: list[int]) -> Cut | None:
        """The highest cut below all of `cuts` at which these examples are stored.

        In fp32 only: rounded states as a beginning would make the bits depend on what happens to be stored.
        """
        if self.store is None or self.hardware.precision != "fp32":
            return None
        hashes = [self.examples.hashes[row] for row in rows]
        return next(
            (
                cut
                for cut in sorted(self._shelves, reverse=True)
                if cut.reading == "tokens" and cut.layers < min(c.layers + (c.reading != "tokens") for c in cuts)
                if all(example in self._shelves[cut] for example in hashes)
            ),
            None,
        )

    def _padded(self, cut: Cut, parts: list[torch.Tensor], size: int, width: int) -> torch.Tensor:
        """(size, width or rows, hidden) on the device in fp32, zeros where there is no token."""
        if cut.reading != "tokens":
            return torch.stack(parts).float().to(self.hardware.device)
        states = torch.zeros(size, width, parts[0].shape[-1])
        for state, part in zip(states, parts, strict=False):
            state[: len(part)] = part
        return states.to(self.hardware.device)

    # -- the store

    def _shelf(self, cut: Cut) -> Shelf:
        assert self.store is not None
        if cut not in self._shelves:
            self._shelves[cut] = self.store.shelf(self.keys.of(cut))
        return self._shelves[cut]

    def _bytes(self, cut: Cut, rows: np.ndarray) -> int:
        """Bytes that these rows take at the cut, with their hashes and offsets."""
        tokens = cut.reading == "tokens"
        count = int(self.examples.lengths[rows].sum()) if tokens else len(rows) * self.trunk.rows(cut)
        return count * self.trunk.hidden * (4 if self.hardware.precision == "fp32" else 2) + 24 * len(rows)

    def _fill(
        self, cuts: list[Cut], rows: np.ndarray, between: Callable[[], None], tell: Callable[[int, int, float], None]
    ) -> str:
        """Compute and store what is missing at these cuts, all of them in one pass; returns a warning."""
        hashes, began = self.examples.hashes, time.perf_counter()
        shelves = {cut: self._shelf(cut) for cut in cuts}
        unique = {hashes[row]: row for row in reversed(rows.tolist())}
        missing = [row for e, row in unique.items() if any(e not in shelf for shelf in shelves.values())]
        for layers in range(1, cuts[-1].layers) if missing else ():
            self._shelf(Cut(layers))  # what other runs have left further down is a beginning
        kept, warning = self._that_fits(cuts, np.array(sorted(missing), int))
        done = 0
        for piece in self.examples.pieces(kept):
            with shelves[cuts[-1]].making([hashes[row] for part in piece for row in part], between):
                for shelf in shelves.values():
                    shelf.refresh()  # another process may have made it
                made: dict[Cut, dict[bytes, torch.Tensor]] = defaultdict(dict)
                for part in piece:
                    between()
                    absent = [cut for cut in cuts if any(hashes[row] not in shelves[cut] for row in part)]
                    for cut, states in (self._compute(absent, part) if absent else {}).items():
                        made[cut].update(zip((hashes[row] for row in part), states, strict=True))
                    done += len(part)
                    tell(done, len(kept), time.perf_counter() - began)
                for cut, states in made.items():
                    shelves[cut].put(states)
        return warning

    def _that_fits(self, cuts: list[Cut], rows: np.ndarray) -> tuple[np.ndarray, str]:
        """The first of these rows, as many as there is room for, and a warning when that is not all."""
        assert self.store is not None
        needed = sum(self._bytes(cut, rows) for cut in cuts)
        if not needed or (room := self.store.room(needed)) >= needed:
            return rows, ""
        sizes = np.cumsum([sum(self._bytes(cut, rows[i : i + 1]) for cut in cuts) for i in range(len(rows))])
        kept = rows[: int(np.searchsorted(sizes, room, side="right"))]
        return kept, (
            f"features.max_gb: {needed / 2**30:.2f} GB are needed and {room / 2**30:.2f} are free, so {len(kept):,} of "
            f"{len(rows):,} examples are stored and the others are computed anew each time"
        )
