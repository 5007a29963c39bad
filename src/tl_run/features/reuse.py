"""What a run takes from the store: each phase's highest cut, filled before training, read at every batch."""

from collections.abc import Callable, Mapping
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
from tl_run.features.states import States
from tl_run.features.store import Store
from tl_run.freeze import Freeze, Phase
from tl_run.hardware import Hardware
from tl_run.model.anatomy import Anatomy


def make(
    options: Any,
    model: Any,
    anatomy: Anatomy,
    learning: Freeze,
    splits: Mapping[str, Encoded],
    prints: Mapping[str, str],
    *,
    pad: Mapping[str, int],
    max_length: int | None,
    hardware: Hardware,
    required_by: str,
    taken_by: str,
) -> "Reuse":
    """The reuse that `features.*` asks for; `prints` are the fingerprints of the model's parameters, and
    `taken_by` says why nothing can be stored in any case: what has a hold of all layers, or changes what they read.

    Raises: BadOption when an option, `required_by`, needs the store, and nothing can be stored.
    """
    examples = Examples(splits, pad, max_length, hardware.device.type)
    trunk = Trunk(model, anatomy, {name: torch.from_numpy(array) for name, array in examples.probe().items()})
    cuts: dict[Phase, Cut | None] = {}
    reasons: list[str] = []
    for phase in learning.phases:
        freeze.apply(model, phase)
        why_none = taken_by or splits["train"].changing
        cuts[phase], reason = (None, why_none) if why_none else trunk.find(phase.learns)
        reasons += [reason] if reason else []
    if required_by and not any(cuts.values()):
        raise BadOption(
            f"{required_by}, but nothing can be stored: {reasons[0]}.\n"
            "  Type another freeze (trunk, bottom), or features.mode=auto"
        )
    folder = Path(options.path) if options.path else cache.folder() / "states"
    store = None if options.mode == "off" else Store(folder, round(options.max_gb * 2**30))
    keys = Keys(trunk, hardware, examples.tokens, prints)
    return Reuse(learning, cuts, reasons, States(trunk, examples, keys, hardware, store))


class Reuse:
    """Calls the model on examples of the run's splits, from the phase's cut on where it has one."""

    def __init__(self, learning: Freeze, cuts: Mapping[Phase, Cut | None], reasons: list[str], states: States) -> None:
        """`reasons`: why there is no cut, of each phase that has none."""
        self.learning, self.cuts, self.reasons, self.states = learning, cuts, reasons, states
        self._phase: Phase | None = None
        self._cut: Cut | None = None
        self._may_have_moved = False  # what lies below the cut, in an earlier phase

    # -- what it says

    def words(self) -> str:
        """For the plan: what is stored, or why nothing is."""
        cuts = [cut for cut in dict.fromkeys(self.cuts.values()) if cut]
        if not cuts:
            return f"nothing: {self.reasons[0]}"
        where = " down to ".join(dict.fromkeys(self._where(cut) for cut in (cuts[0], cuts[-1])))
        states, examples = self.states, self.states.examples
        if states.store is None:
            return f"{where}, computed anew each time (features.mode=off)"
        megabytes = sum(states.size(cut, np.arange(len(examples))) for cut in cuts) / 2**20
        there = sum(all(example in states.shelf(cut) for cut in cuts) for example in examples.hashes)
        return f"{where}: {megabytes:,.1f} MB, {there:,} of {len(examples):,} examples stored already"

    def _where(self, cut: Cut) -> str:
        return {
            "tokens": f"states of the lowest {cut.layers} of {len(self.states.trunk.layers)} layers",
            "pooled": "the pooler's output",
            "layers": "every layer's states, pooled",
        }.get(cut.reading, f"the trunk's state of the {cut.reading} token")

    @property
    def stored_mb(self) -> float:
        """Megabytes on the shelves that the run has used."""
        return sum(shelf.bytes for shelf in self.states.shelves.values()) / 2**20

    # -- phases

    def enter(
        self,
        phase: Phase,
        *,
        train_rows: np.ndarray | None = None,
        between: Callable[[], object] = lambda: None,
        tell: Callable[[int, int, float], None] = lambda done, total, seconds: None,
    ) -> str:
        """From now on the model is run as in this phase; what it needs is computed and stored if it is not there.

        `train_rows`: the training examples that will be seen, when they are not all. `between` is called before each
        batch and may raise; `tell` hears how many of how many examples are done, and the seconds. Returns a warning.
        """
        if phase is self._phase:
            return ""
        cut, phases, states = self.cuts[phase], self.learning.phases, self.states
        number = next(i for i, other in enumerate(phases) if other is phase)
        learned = frozenset[str]().union(*(before.learns for before in phases[:number]))
        self._may_have_moved = cut is not None and not learned.isdisjoint(states.trunk.below(cut))
        if self._may_have_moved:
            states.forget(learned)
        states.drop_spare()
        self._phase, self._cut = phase, cut
        if cut is None or states.store is None:
            return ""
        later = [self.cuts[after] for after in phases[number + 1 :]]
        cuts = {cut, *(c for c in later if c and {*states.trunk.below(c)} <= {*states.trunk.below(cut)})}
        test_comes_later = bool(later) and later[-1] != cut
        splits = [name for name in states.examples.splits if not (name == "test" and test_comes_later)]
        rows = states.examples.rows(splits)
        if train_rows is not None:
            rows = np.concatenate([train_rows, rows[len(states.examples.splits["train"]) :]])
        try:
            return states.fill(sorted(cuts), rows, between, tell)
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
        rows = (self.states.examples.starts[id(encoded.rows)] + encoded.reads(indices)).tolist()
        states = self.states.take(self._cut, rows)
        width = next(iter(inputs.values())).shape[1]
        states = self.states.padded(self._cut, states, len(rows), width)
        with self.states.trunk.above(self._cut, states, inputs) as rest:
            return model(**rest)

    def read(self, encoded: Encoded) -> np.ndarray:
        """What a head of ours reads of each example of a split: float32 (examples, dims), in the split's order."""
        assert self._cut is not None
        rows = self.states.examples.starts[id(encoded)] + np.arange(len(encoded))
        states = torch.stack(self.states.take(self._cut, rows.tolist()))  # (examples, layers, hidden)
        return states[:, list(self.states.trunk.model.layers)].flatten(1).float().numpy()
