"""A state is a function of its example alone: the shape it is computed in, its hash, and therefore its bits."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from tl_run.audit import fingerprints
from tl_run.data.encoded import Encoded
from tl_run.features.cut import Cut
from tl_run.features.examples import Examples
from tl_run.features.reuse import Reuse, make
from tl_run.freeze import Freeze, apply
from tl_run.hardware import Hardware
from tl_run.model.anatomy import anatomy

PAD = {"input_ids": 0, "token_type_ids": 0}


def encoded(*texts: list[int], types: int | None = 0) -> Encoded:
    """Texts of these tokens, all of one type, or without types."""
    flat = np.concatenate([np.asarray(text, np.int32) for text in texts])
    columns = {"input_ids": flat} | ({} if types is None else {"token_type_ids": np.full_like(flat, types)})
    offsets = np.cumsum([0, *map(len, texts)], dtype=np.int64)
    return Encoded(offsets, columns, [f"{i}" for i in range(len(texts))], np.zeros(len(texts), np.int64))


def texts(count: int, seed: int = 0, longest: int = 30, vocabulary: int = 50) -> list[list[int]]:
    generator = np.random.default_rng(seed)
    return [generator.integers(1, vocabulary, length).tolist() for length in generator.integers(1, longest + 1, count)]


def examples(*splits: Encoded, max_length: int = 32, device: str = "cpu") -> Examples:
    return Examples(dict(zip(("train", "validation", "test"), splits, strict=False)), PAD, max_length, device)


@pytest.mark.parametrize("max_length", [30, 32, 512])
def test_the_shape_of_a_row_is_its_own(max_length):
    """Whatever lies beside it, in whichever order, in whichever split."""
    these = texts(60)
    alone = {tuple(text): examples(encoded(text), max_length=max_length) for text in these}
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(60)
        found = examples(
            *(encoded(*(these[i] for i in part)) for part in np.array_split(order, 3)), max_length=max_length
        )
        for row, i in enumerate(order):
            own = alone[tuple(these[i])]
            assert found.widths[row] == own.widths[0] <= max_length
            assert found.widths[row] >= len(these[i])
            assert found.batch_size(row) == own.batch_size(0)
            assert found.arrays([row])["input_ids"].shape == own.arrays([0])["input_ids"].shape
            assert found.hashes[row] == own.hashes[0]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_every_row_is_in_one_batch_of_its_shape(device):
    found = examples(encoded(*texts(700)), encoded(*texts(90, 1)), device=device)
    asked = np.random.default_rng(2).permutation(len(found))[:500]
    batches = found.batches(asked)
    assert sorted(row for batch in batches for row in batch) == sorted(asked.tolist())
    assert batches == [batch for piece in found.pieces(asked) for batch in piece]
    for batch in batches:
        arrays = found.arrays(batch)
        mask = arrays["attention_mask"]
        assert len({found.widths[row] for row in batch}) == 1
        assert mask.shape == (found.batch_size(batch[0]), found.widths[batch[0]])
        assert mask.size <= max(found.tokens, mask.shape[1])
        assert len({bool(row.all()) for row in mask}) == 1  # a mask is given to all or to none
        for number, row in enumerate(batch):
            text = found.all.columns["input_ids"][found.all.offsets[row] : found.all.offsets[row + 1]]
            assert arrays["input_ids"][number][mask[number] == 1].tolist() == text.tolist()


def test_a_hash_is_of_tokens_types_and_width():
    text = [3, 4, 5, 6, 7]

    def hashed(*these: list[int], types: int | None = 0, max_length: int = 32) -> list[bytes]:
        return examples(encoded(*these, types=types), max_length=max_length).hashes

    (own,) = hashed(text)
    assert [own, own] == hashed(text, text)
    assert [own] == hashed(text, max_length=8)  # padded to 8 either way
    others = [
        *hashed([3, 4, 5, 7, 6]),
        *hashed(text[:4]),
        *hashed([*text, 0]),
        *hashed(text, types=1),
        *hashed(text, types=None),
        *hashed(text, max_length=6),
        *hashed([*text, *[0] * 3]),
    ]
    assert len({own, *others}) == len(others) + 1
    assert hashed([3], types=0) != hashed([3, 0], types=None)  # the same numbers in other columns


def test_rows_like_one_are_of_its_split_and_shape():
    found = examples(encoded([1] * 5, [1] * 4, [1] * 6), encoded([1] * 7, [1] * 8), encoded([1] * 5))
    assert found.like(0).tolist() == [0, 2]
    assert found.like(1).tolist() == [1]
    assert found.like(3).tolist() == [3]
    assert found.like(5).tolist() == [5]
    assert found.rows(["test", "train"]).tolist() == [5, 0, 1, 2]


# -- bits


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def big(family: str) -> Any:
    """Three layers of a width that kernels care for."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "num_labels": 2, "pad_token_id": 0}
    if family == "gpt2":
        config = transformers.GPT2Config(n_embd=96, n_layer=3, n_head=4, n_positions=64, **sizes)
        config.use_cache = False
        return transformers.GPT2ForSequenceClassification(config)
    config = transformers.BertConfig(
        hidden_size=96, num_hidden_layers=3, num_attention_heads=4, intermediate_size=200, **sizes
    )
    return transformers.BertForSequenceClassification(config)


def reuse(model: Any, splits: dict[str, Encoded], folder: Path, mode: str, precision: str = "fp32") -> Reuse:
    head = [name for name, _ in model.named_parameters() if "classifier" in name or "score" in name]
    parts = anatomy(model, head)
    learning = Freeze(parts, SimpleNamespace(name="trunk"))
    found = make(
        SimpleNamespace(mode=mode, path=str(folder), max_gb=1.0),
        model,
        parts,
        learning,
        splits,
        fingerprints(dict(model.named_parameters())),
        pad=PAD,
        max_length=32,
        hardware=Hardware(torch.device("cpu"), precision),
        required_by="",
        taken_by="",
    )
    apply(model, learning.phases[0])
    found.enter(learning.phases[0])
    return found


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_the_bits_of_a_state_are_its_own(family, precision, threads, tmp_path):
    """Whichever neighbours it has, in whichever place, and whether its beginning is stored or not."""
    model = big(family)
    types = 0 if family == "bert" else None
    these = [text for text in texts(30, longest=14) for _ in range(2)]
    found = reuse(model, {"train": encoded(*these, types=types)}, tmp_path / "none", "off", precision)
    top = found.cuts[found.learning.phases[0]]
    assert top
    cuts = [Cut(1), Cut(2), top]
    direct: dict[tuple, list[torch.Tensor]] = {}
    for seed in range(2):  # as full as they get, and nearly empty
        order = np.random.default_rng(seed).permutation(len(these))
        for part in np.array_split(order, 1 if seed == 0 else 8):
            for batch in found.states.examples.batches(part):
                for cut, states in found.states.compute(cuts, batch).items():
                    for row, state in zip(batch, states, strict=True):
                        direct.setdefault((cut, *these[row]), []).append(state)
    assert len(direct) == 3 * len({tuple(text) for text in these})
    for name, states in direct.items():
        assert len(states) >= 4
        assert all(torch.equal(state, states[0]) for state in states), name[0]
    stored = reuse(model, {"train": encoded(*reversed(these), types=types)}, tmp_path / "some", "auto", precision)
    for row, text in enumerate(reversed(these)):
        assert torch.equal(stored.states.take(top, [row])[0], direct[(top, *text)][0])


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_a_higher_state_has_the_same_bits_from_a_lower_one(family, threads, tmp_path):
    model = big(family)
    these = encoded(*texts(60, longest=14), types=0 if family == "bert" else None)
    found = reuse(model, {"train": these}, tmp_path, "auto")
    top = found.cuts[found.learning.phases[0]]
    assert top
    batches = found.states.examples.batches(np.arange(60))
    direct = [found.states.compute([Cut(2), top], batch) for batch in batches]
    shelf = found.states.shelf(Cut(1))
    for batch in batches:
        made = found.states.compute([Cut(1)], batch)[Cut(1)]
        shelf.put({found.states.examples.hashes[row]: state for row, state in zip(batch, made, strict=True)})
    for batch, states in zip(batches, direct, strict=True):
        assert found.states._below([Cut(2), top], batch) == Cut(1)
        again = found.states.compute([Cut(2), top], batch)
        for cut in (Cut(2), top):
            assert all(torch.equal(a, b) for a, b in zip(again[cut], states[cut], strict=True))
