"""Domain adaptation: the formulas, two streams through the loop, and what may not be combined."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from composing import compose
from conftest import bert_folder
from finished_objects import assemble, toy
from kind_runs import assert_any_cut_gives_the_same_gradient, assert_the_store_changes_nothing, lines
from tiny_models import bart, bert, gpt2, llama, t5, t5gemma
from tl_run.config import check
from tl_run.errors import BadOption
from tl_run.transfer.cdan import Cdan
from tl_run.transfer.coral import coral, covariance
from tl_run.transfer.dann import reverse
from tl_run.transfer.domains import Adaptation, Inputs
from tl_run.transfer.mmd import mmd

METHODS = ("mmd", "coral", "dann", "cdan")


@pytest.fixture
def domains(tmp_path: Path) -> list[str]:
    """Two files of the old domain, and of the new one texts alone, and others with labels."""
    folder = bert_folder(tmp_path / "plain", hidden_dropout_prob=0, attention_probs_dropout_prob=0)
    new = tmp_path / "new.csv"
    new.write_text("text\n" + "".join(f"it was {word}\n" for word in ("good", "bad", "dull", "great", "poor") * 5))
    options = [option for option in toy(tmp_path) if not option.startswith("task.test")]
    options += [f"task.domain.train={new}", f"task.domain.test={tmp_path / 'test.csv'}", "optimizer.lr=0.01"]
    return [*options, "model=custom", f"model.path={folder}"]


# -- formulas


def test_mmd_is_the_formula():
    generator = np.random.default_rng(0)
    one, other = generator.normal(size=(4, 3)), generator.normal(size=(3, 3)) + 1
    both = np.concatenate([one, other])
    pairs = [((both[i] - both[j]) ** 2).sum() for i in range(7) for j in range(7) if i != j]
    spread = sum(pairs) / len(pairs)

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return sum(math.exp(-((x - y) ** 2).sum() / (b * spread)) for b in (0.5, 2.0)) / 2

    expected = sum(kernel(one[i], one[j]) for i in range(4) for j in range(4) if i != j) / 12
    expected += sum(kernel(other[i], other[j]) for i in range(3) for j in range(3) if i != j) / 6
    expected -= 2 * sum(kernel(x, y) for x in one for y in other) / 12
    assert mmd(torch.tensor(one), torch.tensor(other), [0.5, 2.0]).item() == pytest.approx(expected, rel=1e-12)


def test_mmd_brings_samples_together_and_says_nothing_of_one_example():
    generator = torch.Generator().manual_seed(0)
    one, other = torch.randn(64, 4, generator=generator), torch.randn(64, 4, generator=generator)
    assert abs(mmd(one, other, [1.0]).item()) < 0.01
    moved = (other + 2).requires_grad_()
    apart = mmd(one, moved, [1.0])
    assert apart.item() > 0.2
    apart.backward()
    assert mmd(one, (moved - 10 * moved.grad).detach(), [1.0]) < apart
    alone = torch.ones(1, 4, requires_grad=True)
    mmd(alone, other, [1.0]).backward()
    assert not alone.grad.any()


def test_coral_is_the_formula():
    one, other = torch.tensor([[0.0, 0.0], [2.0, 0.0]]), torch.tensor([[1.0, 1.0], [1.0, 5.0], [1.0, 3.0]])
    assert covariance(one).tolist() == [[2, 0], [0, 0]]
    assert covariance(other).tolist() == [[0, 0], [0, 4]]
    assert coral(one, other).item() == (2**2 + 4**2) / (4 * 2**2)


def test_the_gradient_is_reversed():
    vectors = torch.tensor([[1.0, 2.0]], requires_grad=True)
    found = reverse(vectors, 0.25)
    assert torch.equal(found, vectors)
    (found * torch.tensor([[3.0, 5.0]])).sum().backward()
    assert vectors.grad.tolist() == [[-0.75, -1.25]]


def test_cdan_sees_vector_times_prediction_and_counts_sure_ones_more():
    method = Cdan.__new__(Cdan)
    method.options = SimpleNamespace(entropy=True)
    outputs = SimpleNamespace(logits=torch.tensor([[0.0, 0.0], [100.0, 0.0]]))
    joined = method.joined(torch.tensor([[2.0, 4.0], [2.0, 4.0]]), outputs)
    torch.testing.assert_close(joined, torch.tensor([[1.0, 2, 1, 2], [2, 4, 0, 0]]))
    assert method.importance(outputs).tolist() == pytest.approx([(1 + 0.5) / 2, 1.0])


@pytest.mark.parametrize(
    ("schedule", "expected"), [("constant", [3, 3, 3]), ("ramp", [0, 3 * (2 / (1 + math.exp(-5)) - 1), 3 * 0.9999092])]
)
def test_the_weight_of_the_term_rises(schedule: str, expected: list[float]):
    method = Adaptation.__new__(Adaptation)
    method.options = SimpleNamespace(weight=3.0, schedule=schedule, name="mmd")
    assert [method.factor(progress) for progress in (0, 0.5, 1)] == pytest.approx(expected)


# -- vectors


@pytest.mark.parametrize("family", [bert, gpt2, llama, bart, t5, t5gemma])
def test_the_vectors_are_those_that_the_logits_come_of(family, domains: list[str], tmp_path: Path):
    path = family(tmp_path / "other")
    more = ["training.max_steps=1", "features.mode=off"]
    parts = assemble(*domains[:-1], f"model.path={path}", "transfer=coral", *more)
    rows = np.arange(6)
    batch = parts.method.task.collate(parts.encoded["train"], rows, parts.found.pad)
    assert not batch["attention_mask"].all(), "some are padded"
    with torch.no_grad(), Inputs(parts.method.last, parts.model.eval()) as seen:
        logits = parts.model(**{name: tensor for name, tensor in batch.items() if name != "labels"}).logits
    assert seen.vectors.dim() == 2
    torch.testing.assert_close(parts.method.last(seen.vectors), logits)


@pytest.mark.parametrize("method", METHODS)
def test_a_decoder_may_adapt(method: str, domains: list[str], tmp_path: Path):
    parts = assemble(*domains[:-1], f"model.path={gpt2(tmp_path / 'gpt2')}", f"transfer={method}")
    batches = {name: stream.batch(0) for name, stream in parts.method.streams().items()}
    terms = parts.method.terms(parts.model, batches, 0, 1.0)
    for name, (_, total) in terms.items():
        assert total.isfinite(), name
    assert terms["task"][1].dim() == 0
    if "domain_accuracy" in terms:
        assert terms["domain_accuracy"][1] <= sum(map(len, batches.values())), "one of each example, not of each token"


# -- in the loop


@pytest.mark.parametrize("method", ["dann", "cdan"])
def test_any_cut_of_both_streams_gives_the_same_gradient(method: str, domains: list[str]):
    assert_any_cut_gives_the_same_gradient(*domains, f"transfer={method}", "transfer.schedule=constant")


@pytest.mark.parametrize("method", METHODS)
def test_a_run_scores_the_new_domain_and_leaves_nothing_of_its_own_in_the_model(method, domains, tl_run, capsys):
    options = ["training.epochs=2", "training.log_every=1", "hydra.run.dir=run"]
    assert tl_run(*domains, *options, f"transfer={method}") == 0
    printed = capsys.readouterr().out
    weight = {"coral": 1000, "mmd": 1}.get(method, 0.1)
    assert f"{method}: 25 examples of the new domain, weight {weight}, ramp" in printed
    assert "test: of the new domain (task.domain.test)" in printed
    result = json.loads(Path("run/result.json").read_text())
    assert (result["transfer"], result["splits"]) == (method, {"train": 48, "validation": 16, "test": 20, "domain": 25})
    saved = load_file("run/model/model.safetensors")
    assert not [name for name in saved if name.startswith("transfer")]
    assert result["parameters"]["total"] == sum(tensor.numel() for tensor in saved.values())
    train = [line for line in lines(Path("run/metrics.jsonl")) if line["kind"] == "train"]
    names = {name for line in train for name in line if name.startswith("term/")}
    own = {"mmd": {"mmd"}, "coral": {"coral"}}.get(method, {"domain_of_train", "domain_of_domain", "domain_accuracy"})
    assert names == {f"term/{name}" for name in {"task"} | own}
    assert train[0][f"{method}/factor"] == 0 < train[-1][f"{method}/factor"]


@pytest.mark.parametrize("method", ["mmd", "dann"])
def test_states_of_both_domains_are_reused(method, domains, tl_run):
    assert_the_store_changes_nothing(
        tl_run, *domains, f"transfer={method}", "freeze=bottom", "freeze.layers=1", "training.epochs=1"
    )


def test_fine_tuning_beside_another_domain_is_the_baseline(domains, tl_run, capsys):
    assert tl_run(*domains, "training.max_steps=1", "hydra.run.dir=run") == 0
    assert "task.domain.train is not read by transfer=finetune" in capsys.readouterr().out
    assert "domain" not in json.loads(Path("run/result.json").read_text())["splits"]


def test_another_new_domain_is_another_run(domains, tl_run, capsys):
    options = [*domains, "transfer=coral", "training.max_steps=1", "hydra.run.dir=run"]
    assert tl_run(*options) == 0
    new = Path(next(o for o in domains if "domain.train" in o).partition("=")[2])
    new.write_text(new.read_text() + "it was fine\n")
    assert tl_run(*options) == 3


# -- what may not be combined


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("transfer=mmd",), "transfer=mmd needs examples of the new domain, without labels: type task.domain.train="),
        (("transfer=mmd", "training.micro_batch_size=4"), "compares whole batches, which cannot be cut"),
        (("transfer=coral", "hardware.processes=2"), "which several processes cannot share: type hardware.processes=1"),
        (("transfer=dann", "hardware=fsdp"), "type hardware.shard=false"),
        (("transfer=dann", "freeze=trunk"), "would stay as they are: type freeze=none"),
        (("transfer=dann", "model.head=svm", "freeze=trunk"), "type transfer=finetune"),
        (("transfer=dann", "task=tagging-demo"), "it goes with classification, regression, relation and images"),
        (("transfer=cdan", "task=regression-demo"), "type transfer=dann"),
        (("transfer=dann", "transfer.bandwidths=[1]"), None),
    ],
)
def test_what_cannot_be_is_said(options, said):
    more = () if options == ("transfer=mmd",) else ("task.domain.train=x.csv",)
    if said is None:
        with pytest.raises(Exception, match="bandwidths"):
            compose(*options, *more)
        return
    with pytest.raises(BadOption) as failure:
        check.check(compose(*options, *more))
    assert said in str(failure.value)


@pytest.mark.parametrize(
    "freeze",
    [
        ("freeze=pattern", "freeze.pattern=base|bert"),
        ("freeze=schedule", "freeze.phases=[{until: 1, learns: head}, {learns: classifier}]"),
        ("freeze=pattern", "freeze.pattern=base", "model.head=dense"),
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_vectors_that_would_stay_are_refused(method, freeze, domains):
    given = [*domains, f"transfer={method}"]
    with pytest.raises(BadOption, match=f"^transfer={method}: with {freeze[0]} nothing below .*: type freeze=none, or"):
        assemble(*given, *freeze)


@pytest.mark.parametrize(
    "more",
    [
        ("freeze=all_but_bias",),
        ("freeze=pattern", "freeze.pattern=base", "model.head=mlp"),
        ("freeze=pattern", "freeze.pattern=embeddings|pooler", "adapter=lora"),
        ("freeze=gradual",),
    ],
)
def test_vectors_that_change_a_little_are_taken(more, domains):
    assert assemble(*domains, "transfer=dann", *more).method.words


def test_the_domain_classifier_learns_at_a_rate_of_its_own(domains: list[str]):
    parts = assemble(*domains, "transfer=dann", "transfer.classifier_lr=0.02", "optimizer.head_lr=0.03")
    rates = {group["name"]: group["peak_lr"] for group in parts.optimizer.param_groups}
    assert rates == {"trunk": 0.01, "head": 0.03, "transfer.domain": 0.02}
