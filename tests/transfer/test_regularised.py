"""Fine-tuning towards the starting point: the formulas by hand, any cut of a batch, and what may not be combined."""

import json
import math
from pathlib import Path

import pytest
import torch

from composing import compose
from conftest import bert_folder
from finished_objects import assemble, toy
from kind_runs import assert_any_cut_gives_the_same_gradient, assert_the_store_changes_nothing, lines
from tiny_models import gpt2
from tl_run.config import check
from tl_run.distributed import Group
from tl_run.errors import BadOption
from tl_run.transfer.mixout import mix
from tl_run.transfer.rdrop import divergence

METHODS = ("l2sp", "mixout", "rdrop")


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    folder = bert_folder(tmp_path / "plain", hidden_dropout_prob=0, attention_probs_dropout_prob=0)
    return [*toy(tmp_path), "optimizer.lr=0.01", "model=custom", f"model.path={folder}"]


def own(method: str) -> list[str]:
    """The method; with dropout where it needs some."""
    return [f"transfer={method}", *(["model.dropout=0.1"] if method == "rdrop" else [])]


def step(parts, **how):
    """Gradients and means of the first batch."""
    batches = {name: stream.batch(0) for name, stream in parts.method.streams().items()}
    how = {"step": 0, "progress": 0.0, "micro_batch_size": 16, "backward": lambda loss: loss.backward()} | how
    return parts.method.gradient(parts.model, batches, **how)


def test_l2sp_pulls_towards_the_start_and_the_head_towards_0(options):
    plain, held = assemble(*options), assemble(*options, "transfer=l2sp", "transfer.alpha=0.5", "transfer.beta=0.25")
    assert held.method.start.keys() < dict(held.model.named_parameters()).keys()
    for parts in (plain, held):
        parts.model.eval()
        with torch.no_grad():
            for parameter in parts.model.parameters():
                parameter.add_(0.125)
        means = step(parts)
    expected, found, distance, size = plain.gradients(), held.gradients(), 0.0, 0.0
    for name, parameter in held.model.named_parameters():
        if name.startswith("classifier"):
            pull = 0.25 * parameter.detach()
            size += float(parameter.detach().square().sum())
        else:
            pull = 0.5 * torch.full_like(parameter, 0.125)
            distance += parameter.numel() * 0.125**2
        torch.testing.assert_close(found[name], expected[name] + pull, rtol=1e-4, atol=1e-5)
    assert means["l2sp"].item() == pytest.approx((0.5 * distance + 0.25 * size) / 2, rel=1e-4)
    assert held.method.scalars(0, 0.0)["l2sp/distance"] == pytest.approx(math.sqrt(distance), rel=1e-4)


def test_a_mixture_is_the_formula_and_its_mean_the_weight():
    weight, start = torch.tensor([4.0, 4.0]), torch.tensor([1.0, 1.0])
    mixed = mix(weight, start, torch.tensor([True, False]), 0.75)
    assert mixed.tolist() == [(4 - 0.75) / 0.25, (1 - 0.75) / 0.25]
    assert 0.25 * mixed[0] + 0.75 * mixed[1] == 4.0


def test_mixout_carries_the_gradient_back_and_leaves_the_weights(options):
    parts = assemble(*options, "transfer=mixout", "transfer.p=0.5")
    parts.model.eval()
    with torch.no_grad():
        for parameter in parts.model.parameters():
            parameter.add_(0.125)
    before = {name: p.detach().clone() for name, p in parts.model.named_parameters()}
    step(parts)
    assert all(torch.equal(p, before[name]) for name, p in parts.model.named_parameters())
    found, again = parts.gradients(), {}
    mixed = found["bert.encoder.layer.0.intermediate.dense.weight"]
    assert 0.3 < (mixed == 0).float().mean() < 0.7
    assert 0.4 < parts.method.scalars(0, 0.0)["mixout/share"] < 0.6
    parts.model.zero_grad()
    step(parts)
    again = parts.gradients()
    assert all(torch.equal(found[name], again[name]) for name in found)
    parts.model.zero_grad()
    step(parts, step=1)
    assert not torch.equal((parts.gradients()["bert.encoder.layer.0.intermediate.dense.weight"] == 0), mixed == 0)
    assert "classifier.weight" not in parts.method.start
    assert not any("embeddings" in name for name in parts.method.start)


def test_divergence_by_hand():
    p, q = [0.5, 0.5], [0.8, 0.2]
    there = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    back = sum(b * math.log(b / a) for a, b in zip(p, q, strict=True))
    one, other = torch.tensor([p, p]).log(), torch.tensor([q, p]).log() + 3
    assert divergence(one, other).item() == pytest.approx((there + back) / 2, rel=1e-5)


@pytest.mark.parametrize(
    ("freeze", "layers"),
    [
        (("freeze=none",), (0, 1)),
        (("freeze=bottom", "freeze.layers=1"), (1,)),
        (("freeze=pattern", "freeze.pattern=pooler|layer.1"), (0,)),
        (("freeze=gradual", "training.epochs=9"), (0, 1)),
    ],
)
def test_mixout_counts_and_mixes_what_ever_learns(freeze, layers, options):
    parts = assemble(*options, "transfer=mixout", *freeze)
    matrices = {f"bert.encoder.layer.{layer}." for layer in layers}
    found = {name[: len("bert.encoder.layer.0.")] for name in parts.method.start} - {"bert.pooler.dense.wei"}
    assert found == matrices
    pooler = 16 * 16 * ("pattern" not in freeze[0])
    count = len(layers) * (4 * 16 * 16 + 2 * 16 * 32) + pooler
    assert parts.method.words == f"mixout: 70% of {count:,} weights in matrices are replaced at each step"


HEAD_ALONE = (
    ("freeze=pattern", "freeze.pattern=bert"),
    ("freeze=schedule", "freeze.phases=[{until: 1, learns: head}, {learns: classifier}]"),
)
BIASES = (("freeze=all_but_bias",), ("freeze=all_but_norms",))


@pytest.mark.parametrize(
    ("method", "freeze"),
    [*(("l2sp", each) for each in HEAD_ALONE), *(("mixout", each) for each in (*HEAD_ALONE, *BIASES))],
)
def test_a_start_that_never_learns_is_refused(method, freeze, options):
    with pytest.raises(BadOption, match=f"^transfer={method}: with {freeze[0]} .* type freeze=none, or transfer=fine"):
        assemble(*options, f"transfer={method}", *freeze)


@pytest.mark.parametrize("freeze", BIASES)
def test_l2sp_holds_biases_alone(freeze, options):
    assert assemble(*options, "transfer=l2sp", *freeze).method.words


@pytest.mark.parametrize(
    ("model", "remedy"),
    [
        ("stock", "model.dropout=0.1"),
        ("model.head=linear", "model.dropout=0.1"),
        ("gpt2", "model.head=linear model.dropout=0.1"),
        ("pictures", "model=mobilenet"),
    ],
)
def test_two_passes_without_dropout_are_refused(model, remedy, options, tmp_path):
    given = [*options, *([model] if "=" in model else [])]
    if model == "gpt2":
        folder = gpt2(tmp_path / "gpt2", attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0)
        given = [*options[:-1], f"model.path={folder}"]
    if model == "pictures":
        given = ["task=images-demo", "hardware=cpu"]
    said = f"transfer=rdrop: with freeze=none this model has no dropout .*: type {remedy}, or transfer=finetune$"
    with pytest.raises(BadOption, match=said):
        assemble(*given, "transfer=rdrop")
    if "model." in remedy:
        assert assemble(*given, "transfer=rdrop", *remedy.split()).method.words


def test_dropout_below_all_that_learns_is_none(tmp_path, options):
    dropping = [*options[:-1], f"model.path={bert_folder(tmp_path / 'dropping')}", "model.dropout=0", "transfer=rdrop"]
    with pytest.raises(BadOption, match="with freeze=trunk this model has no dropout where it learns"):
        assemble(*dropping, "freeze=trunk")
    assert assemble(*dropping, "freeze=bottom", "freeze.layers=1").method.words


@pytest.mark.parametrize("method", METHODS)
def test_any_cut_gives_the_same_gradient(method, options):
    assert_any_cut_gives_the_same_gradient(*options, *own(method))


@pytest.mark.parametrize("method", METHODS)
def test_a_process_may_have_no_example_of_a_step(method, options):
    parts = assemble(*options, *own(method))
    alone = {"train": parts.method.stream.batch(0)[:1]}
    how = {"step": 0, "progress": 0.0, "micro_batch_size": 16, "backward": lambda loss: loss.backward()}
    shares = [parts.method.gradient(parts.model, alone, group=Group(rank, 2), **how) for rank in range(2)]
    assert shares[0].keys() == shares[1].keys()
    assert not any(shares[1].values())
    assert all(math.isfinite(value) for value in parts.method.scalars(0, 0.0).values())


@pytest.mark.parametrize(
    ("method", "shown"), [("l2sp", "l2sp/distance"), ("mixout", "mixout/share"), ("rdrop", "term/agreement")]
)
def test_a_run_shows_its_scalars_whatever_is_stored(method, shown, options, tl_run):
    more = ("freeze=bottom", "freeze.layers=1", "training.epochs=1", "training.log_every=1")
    records = assert_the_store_changes_nothing(tl_run, *options, *more, *own(method))
    assert shown in next(record for record in records if record["kind"] == "train")
    assert json.loads(Path("off/result.json").read_text())["transfer"] == method


def test_dropout_makes_both_passes_differ(options, tmp_path, tl_run):
    folder = bert_folder(tmp_path / "dropping", hidden_dropout_prob=0.5)
    assert (
        tl_run(
            *options[:-1],
            f"model.path={folder}",
            "transfer=rdrop",
            "training.max_steps=2",
            "training.log_every=1",
            "hydra.run.dir=run",
        )
        == 0
    )
    train = [line for line in lines(Path("run/metrics.jsonl")) if line["kind"] == "train"]
    assert all(line["term/rdrop"] > 0 for line in train)
    assert all((16 * line["term/agreement"]) % 1 == 0 for line in train), "a share of all 16 examples of the step"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ("transfer=l2sp", "model=transformer-small"),
            "pretrained weights, and model=transformer-small has none",
        ),
        (("transfer=mixout", "model.pretrained=false"), "type transfer=finetune, or a pretrained model"),
        (("transfer=l2sp", "adapter=lora"), "the pretrained weights stay as they are anyway: type adapter=none"),
        (("transfer=mixout", "freeze=trunk"), "the pretrained weights stay as they are anyway: type freeze=none"),
        (("transfer=rdrop", "task=tagging-demo"), "it goes with classification, relation and images"),
        (("transfer=rdrop", "hardware=fsdp"), "type hardware.shard=false"),
    ],
)
def test_what_cannot_be_is_said(options, said):
    with pytest.raises(BadOption) as failure:
        check.check(compose(*options))
    assert said in str(failure.value)
