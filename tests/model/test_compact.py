"""Reduced to the tokens that occur, a model computes, learns and resumes as the whole one does."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from finished_objects import Parts, assemble, toy
from tiny_models import FAMILIES, t5_with_a_head
from tl_run import optimizer
from tl_run.model import compact

LEARNING = ["optimizer.lr=0.01", "training.epochs=2", "training.batch_size=8", "optimizer.weight_decay=0.1"]


def ids(parts: Parts) -> tuple[torch.Tensor | None, list[str]]:
    used = [split.columns["input_ids"] for split in parts.encoded.values()]
    learns, pad = parts.freeze.phases[0].learns, parts.found.pad["input_ids"]
    return compact.occurring(parts.model, used, pad, learns, parts.job.options.optimizer)


def trained(overrides: list[str], *, reduced: bool) -> tuple[Parts, list[float]]:
    """The parts after training, and the loss of every record."""
    parts = assemble(*overrides)
    if reduced:
        found, notes = ids(parts)
        assert found is not None
        assert not notes
        assert len(found) < parts.model.get_input_embeddings().num_embeddings
        compact.shrink(parts.model, found)
        options = parts.job.options.optimizer
        parts.optimizer = optimizer.make(parts.model, parts.anatomy, parts.freeze.ever, options, {})
    losses = [record.values["loss"] for record in parts.train()]
    compact.expand(parts.model)
    return parts, losses


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["adamw", "sgd", "adam"])
def test_training_gives_the_same_weights_and_scores(family: str, kind: str, tmp_path: Path) -> None:
    overrides = [*toy(tmp_path), "model=custom", f"model.path={FAMILIES[family](tmp_path / 'model')}", *LEARNING]
    overrides += [f"optimizer={kind}", *(["optimizer.weight_decay=0"] if kind == "adam" else [])]
    whole, expected = trained(overrides, reduced=False)
    reduced, losses = trained(overrides, reduced=True)
    assert losses == pytest.approx(expected, rel=1e-4)
    weights = dict(whole.model.named_parameters())
    assert [name for name, _ in reduced.model.named_parameters()] == list(weights)
    for name, weight in reduced.model.named_parameters():
        torch.testing.assert_close(weight, weights[name], rtol=1e-4, atol=1e-5, msg=name)
    assert reduced.score("test").scores == pytest.approx(whole.score("test").scores, rel=1e-4)


def test_a_row_that_does_not_occur_decays_as_it_would(bert: Path, tmp_path: Path) -> None:
    overrides = [*toy(tmp_path), "model=custom", f"model.path={bert}", *LEARNING]
    before = assemble(*overrides).model.get_input_embeddings().weight.detach()
    whole, _ = trained(overrides, reduced=False)
    reduced, _ = trained(overrides, reduced=True)
    used, _ = ids(whole)
    assert used is not None
    absent = [i for i in range(len(before)) if i not in used.tolist()]
    found, wanted = (p.model.get_input_embeddings().weight.detach()[absent] for p in (reduced, whole))
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=0)
    assert not torch.equal(found, before[absent])


def test_without_decay_rows_that_do_not_occur_keep_their_bits(bert: Path, tmp_path: Path) -> None:
    overrides = [*toy(tmp_path), "model=custom", f"model.path={bert}", *LEARNING, "optimizer.weight_decay=0"]
    before = assemble(*overrides).model.get_input_embeddings().weight.detach()
    reduced, _ = trained(overrides, reduced=True)
    used, _ = ids(reduced)
    assert used is not None
    changed = (reduced.model.get_input_embeddings().weight != before).any(dim=1).nonzero().flatten().tolist()
    assert changed
    assert set(changed) <= set(used.tolist())


@pytest.mark.parametrize("freeze", ["trunk", "embeddings"])
def test_it_is_left_alone_where_embeddings_do_not_learn(freeze: str, bert: Path, tmp_path: Path) -> None:
    parts = assemble(*toy(tmp_path), "model=custom", f"model.path={bert}", f"freeze={freeze}")
    assert ids(parts) == (None, [])


def test_it_is_left_alone_and_said_where_it_would_not_be_exact(bert: Path, tmp_path: Path) -> None:
    overrides = [*toy(tmp_path), "model=custom", f"model.path={bert}"]
    found, notes = ids(assemble(*overrides, "optimizer=adam", "optimizer.weight_decay=0.1"))
    assert found is None
    assert "in Adam weight decay moves every row" in notes[0]
    parts = assemble(*overrides)
    parts.model.output = torch.nn.Linear(16, parts.model.config.vocab_size, bias=False)
    parts.model.output.weight = parts.model.get_input_embeddings().weight
    found, notes = ids(parts)
    assert found is None
    assert "its embeddings are output.weight too" in notes[0]


def test_it_is_left_alone_where_encoder_and_decoder_have_tables_of_their_own(tmp_path: Path) -> None:
    """T5 from version 1.1 on: to put another table into the model would replace all of them."""
    found, notes = ids(assemble(*toy(tmp_path), "model=custom", f"model.path={t5_with_a_head(tmp_path / 'model')}"))
    assert found is None
    assert "encoder and decoder have embeddings of their own" in notes[0]


def test_an_id_that_was_not_announced_is_an_error(bert: Path, tmp_path: Path) -> None:
    parts = assemble(*toy(tmp_path), "model=custom", f"model.path={bert}")
    compact.shrink(parts.model, torch.tensor([0, 5]))
    with pytest.raises(IndexError):
        parts.model(input_ids=torch.tensor([[5, 6]]))


def test_checkpoints_hold_the_rows_that_occur_and_the_saved_model_all(
    tl_run: Callable[..., int], bert: Path, tmp_path: Path
) -> None:
    assert tl_run(*toy(tmp_path), "model=custom", f"model.path={bert}", *LEARNING, "hydra.run.dir=run") == 0
    (newest, *_) = sorted(Path("run/checkpoints").iterdir(), reverse=True)
    name = "bert.embeddings.word_embeddings.weight"
    original = load_file(bert / "model.safetensors")[name.removeprefix("bert.")]
    assert len(load_file(newest / "weights.safetensors")[name]) < len(original)
    assert load_file(Path("run/model/model.safetensors"))[name].shape == original.shape
