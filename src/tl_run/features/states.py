"""States of a run's examples at a cut: from the store, or computed and, if asked for before training, stored."""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Container
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from tl_run.features.cut import Cut, Trunk
from tl_run.features.examples import Examples
from tl_run.features.key import Keys
from tl_run.features.store import Shelf, Store
from tl_run.hardware import DTYPES, Hardware

SPARE_BYTES = 256 * 2**20  # of states computed along with others, which will be asked for later


@dataclass
class States:
    """`take` gives them, `fill` stores them; `forget` when weights have changed."""

    trunk: Trunk
    examples: Examples
    keys: Keys
    hardware: Hardware
    store: Store | None
    """None: all is computed each time it is taken."""
    shelves: dict[Cut, Shelf] = field(default_factory=dict)
    """Those that were opened."""
    _spare: dict[tuple[Cut, int], torch.Tensor] = field(default_factory=dict)

    def forget(self, names: Collection[str]) -> None:
        """These parameters may have other values now."""
        self.keys.forget(names)
        self.shelves.clear()

    def shelf(self, cut: Cut) -> Shelf:
        """Where the store keeps the states at a cut."""
        assert self.store is not None
        if cut not in self.shelves:
            self.shelves[cut] = self.store.shelf(self.keys.of(cut))
        return self.shelves[cut]

    def size(self, cut: Cut, rows: np.ndarray) -> int:
        """Bytes that these rows take at the cut, with their hashes and offsets."""
        tokens = cut.reading == "tokens"
        count = int(self.examples.lengths[rows].sum()) if tokens else len(rows) * self.trunk.rows(cut)
        return count * self.trunk.hidden * (4 if self.hardware.precision == "fp32" else 2) + 24 * len(rows)

    def take(self, cut: Cut, rows: list[int]) -> list[torch.Tensor]:
        """For each row its states (tokens or rows, hidden), from the store or computed now."""
        hashes = self.examples.hashes
        shelf: Any = self.shelf(cut) if self.store else {}
        if missing := [row for row in {*rows} if (cut, row) not in self._spare and hashes[row] not in shelf]:
            self._compute_along(cut, sorted(missing), shelf)
        taken = [shelf[hashes[row]] if hashes[row] in shelf else self._spare[cut, row] for row in rows]
        for row in rows:
            self._spare.pop((cut, row), None)
        return taken

    def drop_spare(self) -> None:
        """What was computed along is not needed any more."""
        self._spare.clear()

    def padded(self, cut: Cut, parts: list[torch.Tensor], size: int, width: int) -> torch.Tensor:
        """(size, width or rows, hidden) on the device in fp32, zeros where there is no token."""
        if cut.reading != "tokens":
            return torch.stack(parts).float().to(self.hardware.device)
        states = torch.zeros(size, width, parts[0].shape[-1])
        for state, part in zip(states, parts, strict=False):
            state[: len(part)] = part
        return states.to(self.hardware.device)

    def compute(self, cuts: list[Cut], rows: list[int]) -> dict[Cut, list[torch.Tensor]]:
        """States of examples of one shape at each cut: (tokens or rows, hidden), on the CPU, as they are stored."""
        trunk, device = self.trunk, self.hardware.device
        inputs = {name: torch.from_numpy(a).to(device) for name, a in self.examples.arrays(rows).items()}
        below = self._below(cuts, rows)
        with torch.inference_mode(False), torch.no_grad(), self.hardware.autocast(), trunk.evaluating():
            size, width = next(iter(inputs.values())).shape[:2]
            states = self.padded(below, self.take(below, rows), size, width) if below else None
            taken = trunk.run(inputs, cuts, below, states)
        dtype, lengths = DTYPES.get(self.hardware.precision, torch.float32), self.examples.lengths
        made = {cut: states.to("cpu", dtype) for cut, states in taken.items()}
        return {
            cut: [states[i, : lengths[row]] if cut.reading == "tokens" else states[i] for i, row in enumerate(rows)]
            for cut, states in made.items()
        }

    def fill(
        self, cuts: list[Cut], rows: np.ndarray, between: Callable[[], object], tell: Callable[[int, int, float], None]
    ) -> str:
        """Compute and store what is missing at these cuts, all of them in one pass; returns a warning.

        `between` is called before each batch and may raise; `tell` hears how many of how many examples are done, and
        the seconds. Raises: MachineFault when the disk is full or refuses.
        """
        hashes, began = self.examples.hashes, time.perf_counter()
        shelves = {cut: self.shelf(cut) for cut in cuts}
        unique = {hashes[row]: row for row in reversed(rows.tolist())}
        missing = [row for e, row in unique.items() if any(e not in shelf for shelf in shelves.values())]
        for cut in self._lower(cuts[-1:]) if missing else ():
            self.shelf(cut)  # what other runs have left there is a beginning
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
                    for cut, states in (self.compute(absent, part) if absent else {}).items():
                        made[cut].update(zip((hashes[row] for row in part), states, strict=True))
                    done += len(part)
                    tell(done, len(kept), time.perf_counter() - began)
                for cut, states in made.items():
                    shelves[cut].put(states)
        return warning

    def _compute_along(self, cut: Cut, missing: list[int], shelf: Container[bytes]) -> None:
        """Compute what is missing; what room its batches leave goes to examples that will be asked for later."""
        for part in self.examples.batches(np.array(missing)):
            spare = self.examples.batch_size(part[0]) - len(part)
            if spare and sum(states.nbytes for states in self._spare.values()) < SPARE_BYTES:
                taken = {*missing, *(row for held, row in self._spare if held == cut)}
                free = (row for row in self.examples.like(part[0]).tolist() if row not in taken)
                free = (row for row in free if self.examples.hashes[row] not in shelf)
                part += [row for row, _ in zip(free, range(spare), strict=False)]
            self._spare.update(zip(((cut, row) for row in part), self.compute([cut], part)[cut], strict=True))

    def _lower(self, cuts: list[Cut]) -> list[Cut]:
        """The cuts from whose states those at all of `cuts` could be computed, the lowest first.

        In fp32 only: rounded states as a beginning would make the bits depend on what happens to be stored. And every
        layer's states come from the texts alone, as those of pictures do.
        """
        if (
            self.store is None
            or not self.trunk.texts
            or self.hardware.precision != "fp32"
            or any(cut.reading == "layers" for cut in cuts)
        ):
            return []
        return [Cut(layers) for layers in range(1, min(cut.layers + (cut.reading != "tokens") for cut in cuts))]

    def _below(self, cuts: list[Cut], rows: list[int]) -> Cut | None:
        """The highest of the lower cuts at which these examples are stored."""
        hashes = [self.examples.hashes[row] for row in rows]
        lower = [cut for cut in reversed(self._lower(cuts)) if cut in self.shelves]
        return next((cut for cut in lower if all(example in self.shelves[cut] for example in hashes)), None)

    def _that_fits(self, cuts: list[Cut], rows: np.ndarray) -> tuple[np.ndarray, str]:
        """The first of these rows, as many as there is room for, and a warning when that is not all."""
        assert self.store is not None
        needed = sum(self.size(cut, rows) for cut in cuts)
        if not needed or (room := self.store.room(needed)) >= needed:
            return rows, ""
        sizes = np.cumsum([sum(self.size(cut, rows[i : i + 1]) for cut in cuts) for i in range(len(rows))])
        kept = rows[: int(np.searchsorted(sizes, room, side="right"))]
        return kept, (
            f"features.max_gb: {needed / 2**30:.2f} GB are needed and {room / 2**30:.2f} are free, so {len(kept):,} of "
            f"{len(rows):,} examples are stored and the others are computed anew each time"
        )
