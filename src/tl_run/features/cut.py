"""Where a model is cut: run it up to there, or run it from there on with stored states in place of what lies below.

The model's own forward does both, so that masks and positions are its own: layers below the cut hand the stored states
on, or the whole trunk is answered for when the head reads one row of a text.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn

from tl_run.model.anatomy import Anatomy
from tl_run.model.design import STOCK
from tl_run.model.heads import Headed, for_trunk
from tl_run.model.pooling import POOLINGS

Inputs = Mapping[str, torch.Tensor]  # each (batch, tokens); of pictures (batch, channels, height, width), and no mask


@dataclass(frozen=True, order=True)
class Cut:
    """Below it lie the embeddings and the lowest `layers` layers; `reading` is what is kept of their output.

    tokens: the state of every token. Of a whole trunk also less, when the head reads no more: first or last (that
    token's state), pooled (the pooler's output), layers (every layer's states, pooled as the head pools them).
    """

    layers: int
    reading: str = "tokens"


class Trunk:
    """A model that can be run up to a cut and from a cut on; unchanged in between."""

    def __init__(self, model: Any, anatomy: Anatomy, inputs: Inputs) -> None:
        """`inputs`: a few padded examples, on which a cut is proved."""
        self.model, self.anatomy, self.base, self.inputs = model, anatomy, model.base_model, inputs
        self.texts = "attention_mask" in inputs  # and not pictures, which have no tokens
        self.layers: list[nn.Module] = list(model.get_submodule(anatomy.path)) if anatomy.path else []

    def find(self, learns: Collection[str]) -> tuple[Cut | None, str]:
        """The highest cut below all that learns, or None and why."""
        parts = self.anatomy
        if self.base.config.is_encoder_decoder and self.model.can_generate():
            return None, "of an encoder-decoder that writes no states are kept"
        if any(name in learns for name in parts.embeddings):
            return None, "the embeddings learn"
        free = [any(name in learns for name in layer) for layer in parts.layers]
        count = free.index(True) if True in free else len(free)
        whole = count == len(free) and not any(name in learns for name in parts.top)
        if not self.layers and not whole:
            return None, f"a {type(self.model).__name__} is not one stack of layers"
        with torch.random.fork_rng(devices=[]):
            cut = Cut(count, self._read_of_it if whole else "tokens")
            if cut.reading == "tokens" and not self.texts:
                return None, "of pictures only the whole trunk's state is kept, where the head reads one"
            if cut.reading == "tokens":
                cut = Cut(min(count, *self.model.layers) if isinstance(self.model, Headed) else count)
            if not cut.layers:
                return None, "the lowest layer learns" if not count else "the head reads the lowest states"
            return (None, problem) if (problem := self._problem(cut)) else (cut, "")

    def below(self, cut: Cut) -> list[str]:
        """The names of the parameters below a cut."""
        parts = self.anatomy
        layers = [name for layer in parts.layers[: cut.layers] for name in layer]
        return [*parts.embeddings, *layers, *(parts.top if cut.reading != "tokens" else ())]

    def rows(self, cut: Cut) -> int:
        """Rows that are kept of an example, where that does not depend on its length."""
        return (len(self.layers) + 1) * self.model.width if cut.reading == "layers" else 1

    @property
    def hidden(self) -> int:
        """Numbers in a state."""
        output = self._seen.output  # a convolution's last states are maps: only what is pooled of them is kept
        states = output.last_hidden_state
        return states.shape[-1] if states.dim() == 3 else output.pooler_output.flatten(1).shape[1]

    def run(
        self, inputs: Inputs, cuts: Collection[Cut], below: Cut | None = None, states: torch.Tensor | None = None
    ) -> dict[Cut, torch.Tensor]:
        """The states at `cuts`, each (batch, rows, hidden), from the texts or from the `states` at the cut `below`."""
        taken: dict[Cut, torch.Tensor] = {}
        tokens = [cut for cut in cuts if cut.reading == "tokens"]
        rest = [cut for cut in cuts if cut.reading != "tokens"]
        last = max(tokens, default=None)

        def taker(cut: Cut) -> Callable[..., None]:
            def take(module: nn.Module, args: Any, output: Any) -> None:
                taken[cut] = output[0] if isinstance(output, tuple) else output
                if not rest and cut == last:
                    raise _Reached

            return take

        hooks = [self.layers[cut.layers - 1].register_forward_hook(taker(cut)) for cut in tokens]
        pooling = {"output_hidden_states": True} if any(cut.reading == "layers" for cut in rest) else {}
        try:
            with self._handing_on(below, states):
                output = self.base(**for_trunk(inputs), **pooling)
        except _Reached:
            return taken
        finally:
            for hook in hooks:
                hook.remove()
        return taken | {cut: self._read(cut.reading, output, inputs) for cut in rest}

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Inside, the model is in eval mode."""
        modes = [(module, module.training) for module in self.model.modules()]
        self.model.eval()
        try:
            yield
        finally:
            for module, training in modes:
                module.training = training

    @contextmanager
    def above(self, cut: Cut, states: torch.Tensor, inputs: Inputs) -> Iterator[Inputs]:
        """Inside, the model called with the inputs that this gives starts from `states`, (batch, rows, hidden)."""
        if cut.reading == "tokens":
            with self._handing_on(cut, states):
                yield inputs
        else:
            with _forward(self.base, lambda *_, **__: self._output(cut.reading, states)):
                yield self._one_token(inputs, cut.reading) if self.texts else inputs

    def _one_token(self, inputs: Inputs, reading: str) -> Inputs:
        words = {"words": self.model.words(inputs)} if getattr(self.model, "design", STOCK).tfidf else {}
        return {**_one_token(inputs, reading), **words}

    @contextmanager
    def _handing_on(self, cut: Cut | None, states: torch.Tensor | None) -> Iterator[None]:
        if cut is None:
            yield
            return
        below = self.layers[: cut.layers]
        for layer in below:
            shape = self._seen.shapes[layer]
            layer.forward = lambda *_, shape=shape, **__: shape(states)  # type: ignore[method-assign]
        try:
            yield
        finally:
            for layer in below:
                del layer.forward

    @cached_property
    def _seen(self) -> "_Seen":
        """What the whole model makes of the inputs."""
        shapes: dict[nn.Module, Any] = {}

        def look(module: nn.Module, args: Any, output: Any) -> None:
            if not isinstance(output, tuple):
                shapes[module] = lambda states: states
            elif all(part is None for part in output[1:]):
                rest = output[1:]
                shapes[module] = lambda states: (states, *rest)
            else:
                shapes[module] = None

        hooks = [layer.register_forward_hook(look) for layer in self.layers]
        try:
            with torch.no_grad(), self.evaluating():
                output = self.base(**for_trunk(self.inputs))
        finally:
            for hook in hooks:
                hook.remove()
        with torch.no_grad(), self.evaluating():
            return _Seen(output, shapes, _logits(self.model(**self.inputs)))

    @cached_property
    def _read_of_it(self) -> str:
        """What the head reads of the whole trunk's output, found from the gradient that comes back to it."""
        if isinstance(self.model, Headed):
            return "layers" if self.model.pooling in POOLINGS else "tokens"
        inputs, output = self.inputs, self._seen.output
        leaves = {name: value.detach().requires_grad_() for name, value in output.items() if torch.is_tensor(value)}
        with torch.enable_grad(), self.evaluating(), _forward(self.base, lambda *_, **__: type(output)(**leaves)):
            logits = _logits(self.model(**inputs))
        logits.backward(torch.randn_like(logits), inputs=list(leaves.values()))
        read = {name for name, leaf in leaves.items() if leaf.grad is not None and leaf.grad.any()}
        if read == {"pooler_output"}:
            return "pooled"
        gradient = leaves["last_hidden_state"].grad
        if read != {"last_hidden_state"} or gradient is None or gradient.dim() != 3:
            return "tokens"
        rows = gradient.any(-1)  # (batch, tokens)
        if not (rows.sum(1) == 1).all():
            return "tokens"
        if not self.texts:
            return "first" if rows[:, 0].all() else "tokens"
        ends = _ends(inputs)
        batch = torch.arange(len(ends), device=ends.device)
        if ends.min() == 0:
            return "tokens"
        return "first" if rows[:, 0].all() else "last" if rows[batch, ends].all() else "tokens"

    def _read(self, reading: str, output: Any, inputs: Inputs) -> torch.Tensor:
        if reading == "layers":
            states = [*output.hidden_states[:-1], output.last_hidden_state]
            return torch.stack([self.model.pooled(state, inputs) for state in states], 1)
        if reading == "pooled":
            return output.pooler_output.flatten(1)[:, None]
        if reading == "first":
            return output.last_hidden_state[:, :1]
        column = _ends(inputs)
        return output.last_hidden_state[torch.arange(len(column), device=column.device), column][:, None]

    def _output(self, reading: str, states: torch.Tensor) -> Any:
        """What the trunk would return for one-token texts with these states."""
        seen = self._seen.output
        kind = type(seen)
        if reading == "layers":
            return kind(last_hidden_state=states[:, -1:], hidden_states=states.split(1, dim=1))
        if reading == "pooled":
            return kind(last_hidden_state=states, pooler_output=states.view(-1, *seen.pooler_output.shape[1:]))
        return kind(last_hidden_state=states)

    def _problem(self, cut: Cut) -> str | None:
        """Why the model cannot be cut there: something learns or is drawn below, or the rest does not follow."""
        if None in self._seen.shapes.values():
            return f"a {type(self.layers[0]).__name__} returns more than states"
        with torch.enable_grad():
            now = self.run(self.inputs, [cut])[cut]
        if now.requires_grad:
            return "what lies below depends on something that learns"
        with torch.no_grad(), self.evaluating():
            states = self.run(self.inputs, [cut])[cut]
            if not _close(states, now):  # with a gradient some kernels (an LSTM's) are others
                return "dropout is drawn below the frozen layers"
            with self.above(cut, states, self.inputs) as rest:
                again = _logits(self.model(**rest))
        if not _close(self._seen.logits, again):
            return f"a {type(self.model).__name__} is not a plain stack of layers"
        return None


@dataclass(frozen=True)
class _Seen:
    output: Any  # of the trunk, as transformers types it
    shapes: Mapping[nn.Module, Any]
    """For each layer how its output is made from states (alone, or first in a tuple of nothing else), or None."""
    logits: torch.Tensor


class _Reached(Exception):  # no error: the states are taken, the layers above need not run
    pass


def _one_token(inputs: Inputs, reading: str) -> Inputs:
    """Of each text the one token whose state is read."""
    column = _ends(inputs) if reading == "last" else torch.zeros_like(_ends(inputs))
    one = {name: values.gather(1, column[:, None]) for name, values in inputs.items()}
    return one | {"attention_mask": torch.ones_like(column)[:, None]}


def _ends(inputs: Inputs) -> torch.Tensor:
    """The column of each text's last token: (batch,)."""
    return inputs["attention_mask"].sum(1) - 1


def _logits(outputs: Any) -> torch.Tensor:
    """All that a head gives: (batch, numbers)."""
    return torch.cat([t.flatten(1) for name, t in outputs.items() if name.endswith(("logits", "vectors"))], 1)


def _close(expected: torch.Tensor, found: torch.Tensor) -> bool:
    return torch.allclose(expected, found, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@contextmanager
def _forward(module: Any, forward: Callable[..., Any]) -> Iterator[None]:
    module.forward = forward
    try:
        yield
    finally:
        del module.forward
