"""Teachers: the formulas by hand, other tokenizers and widths, what is computed once, and who cannot teach."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from composing import compose
from conftest import bert_folder
from finished_objects import assemble, toy
from kind_runs import assert_any_cut_gives_the_same_gradient, lines
from tiny_models import gpt2, roberta
from tl_run.config import check
from tl_run.distributed import Group
from tl_run.errors import BadOption
from tl_run.transfer.distill import Distill, divergence
from tl_run.transfer.distill_relations import angles, compared, distances


@pytest.fixture
def lesson(tmp_path: Path, tl_run) -> list[str]:
    """A student, and a teacher of another family, width and tokenizer that has been trained on the same files."""
    files = toy(tmp_path)
    more = ["model=custom", f"model.path={roberta(tmp_path / 'roberta')}", "training.max_steps=2"]
    assert tl_run(*files, *more, "hydra.run.dir=teacher") == 0
    student = bert_folder(tmp_path / "plain", hidden_size=8, hidden_dropout_prob=0, attention_probs_dropout_prob=0)
    return [*files, "model=custom", f"model.path={student}", "optimizer.lr=0.01", "transfer.teacher=teacher"]


def test_divergence_by_hand():
    p, q = [0.5, 0.5], [0.8, 0.2]
    expected = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    assert divergence(torch.tensor([p, p]).log() + 2, torch.tensor([q, p]).log()).item() == pytest.approx(expected)


def test_distances_and_angles_by_hand():
    corner = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    assert distances(corner).tolist() == pytest.approx([3 / 4, 4 / 4, 3 / 4, 5 / 4, 4 / 4, 5 / 4])
    assert sorted(angles(corner).tolist()) == pytest.approx(sorted([0, 0, 0.6, 0.6, 0.8, 0.8]), abs=1e-6)
    assert compared(torch.tensor([0.0, 3.0]), torch.tensor([0.5, 0.0])).item() == (0.5 * 0.25 + 2.5) / 2
    alone = torch.ones(1, 2, requires_grad=True)
    (compared(distances(alone), distances(alone)) + compared(angles(alone), angles(alone))).backward()
    assert not alone.grad.any()
    torch.testing.assert_close(distances(corner * 7), distances(corner))
    twins = torch.zeros(3, 2, requires_grad=True)
    (distances(twins).sum() + angles(twins).sum()).backward()
    assert twins.grad.isfinite().all()


def test_the_loss_is_the_formula(lesson):
    parts = assemble(*lesson, "transfer=distill", "transfer.alpha=0.25", "transfer.temperature=2", "transfer.hidden=3")
    parts.model.eval()
    parts.method.prepare(parts.model, 0, 0.0)
    rows = parts.method.streams()["train"].batch(0)
    terms = parts.method.terms(parts.model, {"train": rows}, 0, 0.0)
    teacher = parts.method.teacher
    batch = parts.job.task.collate(teacher.encoded, rows, teacher.pad)
    with torch.no_grad():
        wanted = teacher.model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        own = parts.job.task.collate(parts.encoded["train"], rows, parts.found.pad)
        logits = parts.model(**{name: tensor for name, tensor in own.items() if name != "labels"}).logits
    expected = sum(
        a * math.log(a / b)
        for p, q in zip((wanted / 2).softmax(-1).tolist(), (logits / 2).softmax(-1).tolist(), strict=True)
        for a, b in zip(p, q, strict=True)
    )
    assert terms["soft"][0] == 0.25 * 4
    assert terms["soft"][1].item() == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert (terms["task"][0], terms["hidden"][0]) == (0.75, 3)
    assert parts.model.transfer["projection"].weight.shape == (16, 8)
    vectors = torch.from_numpy(teacher.says(parts.job.task, parts.hardware)["vectors"])[rows]
    assert vectors.shape == (16, 16)
    terms["hidden"][1].backward()
    assert parts.model.transfer["projection"].weight.grad.any()


def test_the_agreement_is_that_of_all_examples_of_a_step(lesson):
    parts = assemble(*lesson, "transfer=distill")
    parts.model.eval()
    parts.method.prepare(parts.model, 0, 0.0)
    rows = parts.method.stream.batch(0)
    how = {"step": 0, "progress": 0.0, "micro_batch_size": 5, "backward": lambda loss: loss.backward()}
    found = parts.method.gradient(parts.model, {"train": rows}, **how)["agreement"].item()
    batch = parts.job.task.collate(parts.encoded["train"], rows, parts.found.pad)
    with torch.no_grad():
        logits = parts.model(**{name: tensor for name, tensor in batch.items() if name != "labels"}).logits
    same = logits.argmax(-1) == parts.method.taught("logits", rows).argmax(-1)
    assert found == pytest.approx(same.float().mean().item())
    nothing = parts.method.gradient(parts.model, {"train": rows[:1]}, group=Group(1, 2), **how)
    assert (nothing["agreement"], parts.method.scalars(0, 0.0)) == (0, {})


def test_any_cut_gives_the_same_gradient(lesson, monkeypatch):
    gradient = Distill.gradient

    def taught(self, model, *batches, **how):
        self.prepare(model, 0, 0.0)
        return gradient(self, model, *batches, **how)

    monkeypatch.setattr(Distill, "gradient", taught)
    assert_any_cut_gives_the_same_gradient(*lesson, "transfer=distill", "transfer.hidden=1")


@pytest.mark.parametrize("method", ["distill", "distill_relations"])
def test_a_student_learns_from_a_teacher_that_may_be_gone_afterwards(method, lesson, tl_run, capsys):
    own = ["transfer.hidden=1"] if method == "distill" else []
    command = [*lesson, *own, f"transfer={method}", "training.epochs=2", "training.log_every=1", "hydra.run.dir=run"]
    assert tl_run(*command) == 0
    assert f"{method}: from a roberta of" in capsys.readouterr().out
    train = [line for line in lines(Path("run/metrics.jsonl")) if line["kind"] == "train"]
    names = {"task", "soft", "hidden", "agreement"} if method == "distill" else {"task", "distance", "angle"}
    assert {name for name in train[0] if name.startswith("term/")} == {f"term/{name}" for name in names}
    result = json.loads(Path("run/result.json").read_text())
    assert result["transfer"] == method
    assert len([*Path("cache/teachers").iterdir()]) == 1
    shutil.copytree("teacher", "elsewhere")
    moved = [f"transfer.teacher={Path('elsewhere').absolute()}" if "teacher=" in each else each for each in command]
    assert tl_run(*moved) == 0  # the same run, done
    assert "identity" in result


@pytest.mark.parametrize("options", [("distill",), ("distill", "transfer.hidden=1"), ("distill_relations",)])
@pytest.mark.parametrize("student", ["bert", "gpt2"])
def test_a_decoder_may_teach_and_learn(student, options, lesson, tl_run, tmp_path):
    decoder = f"model.path={gpt2(tmp_path / 'gpt2')}"
    files = [each for each in lesson if each.startswith("task")]
    assert tl_run(*files, "model=custom", decoder, "training.max_steps=1", "hydra.run.dir=teacher-gpt2") == 0
    own = [decoder] if student == "gpt2" else []
    method, *more = options
    parts = assemble(*lesson[:-1], "transfer.teacher=teacher-gpt2", *own, f"transfer={method}", *more)
    teacher = parts.method.teacher
    said = teacher.says(parts.job.task, parts.hardware)
    with torch.no_grad():
        logits = teacher.last(torch.from_numpy(said["vectors"]))[:, teacher.order]
    np.testing.assert_allclose(logits, said["logits"], atol=1e-5)
    parts.method.prepare(parts.model, 0, 0.0)
    terms = parts.method.terms(parts.model, {"train": parts.method.stream.batch(0)}, 0, 0.0)
    assert all(total.isfinite() for _, total in terms.values())


@pytest.mark.parametrize("options", [("distill", "transfer.hidden=1"), ("distill_relations",)])
def test_vectors_that_would_stay_are_refused(options, lesson):
    method, *more = options
    given = [*lesson, f"transfer={method}", *more]
    with pytest.raises(BadOption, match=r"with freeze=pattern nothing below the last layer .*: type freeze=none"):
        assemble(*given, "freeze=pattern", "freeze.pattern=bert")
    assert assemble(*given, "freeze=bottom", "freeze.layers=1").method.words


def test_soft_targets_need_no_vectors(lesson):
    assert assemble(*lesson, "transfer=distill", "freeze=pattern", "freeze.pattern=bert").method.words


def test_another_teacher_is_another_run(lesson, tl_run, tmp_path):
    command = [*lesson, "transfer=distill", "training.max_steps=1", "hydra.run.dir=run"]
    assert tl_run(*command) == 0
    shutil.rmtree("teacher")
    files = [each for each in lesson if each.startswith("task")]
    more = ["model=custom", f"model.path={tmp_path / 'roberta'}", "training.max_steps=1"]
    assert tl_run(*files, *more, "hydra.run.dir=teacher") == 0
    assert tl_run(*command) == 3


def test_labels_in_another_order_are_the_same_labels(lesson):
    path = Path("teacher/model/config.json")
    config = json.loads(path.read_text())
    before = assemble(*lesson, "transfer=distill").method
    path.write_text(json.dumps(config | {"id2label": {"0": "yes", "1": "no"}, "label2id": {"yes": 0, "no": 1}}))
    after = assemble(*lesson, "transfer=distill").method
    one, other = (m.teacher.says(m.task, m.hardware)["logits"] for m in (before, after))
    np.testing.assert_array_equal(one[:, ::-1], other)


def test_who_cannot_teach_is_told(lesson, tl_run, capsys):
    command = [*lesson, "transfer=distill", "hydra.run.dir=run"]
    path = Path("teacher/model/config.json")
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"id2label": {"0": "no", "1": "maybe"}}))
    assert tl_run(*command) == 2
    assert "it knows the labels no, maybe; the task has no, yes: type a teacher that" in capsys.readouterr().err
    shutil.rmtree("teacher/model")
    assert tl_run(*command) == 2
    assert "the run is not finished" in capsys.readouterr().err
    shutil.rmtree("teacher")
    assert tl_run(*command) == 2
    assert "there is no model with a head" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("transfer=distill",), "transfer=distill needs a teacher: type transfer.teacher=<folder of"),
        (("transfer=distill", "transfer.teacher=x", "task=tagging-demo"), "it goes with classification"),
        (("transfer=distill", "transfer.teacher=x", "transfer.hidden=1", "freeze=trunk"), "or transfer.hidden=0"),
        (
            ("transfer=distill_relations", "transfer.teacher=x", "freeze=trunk"),
            "would stay as they are: type freeze",
        ),
        (
            ("transfer=distill_relations", "transfer.teacher=x", "training.micro_batch_size=4"),
            "compares whole batches, which cannot be cut",
        ),
    ],
)
def test_what_cannot_be_is_said(options, said):
    with pytest.raises(BadOption) as failure:
        check.check(compose(*options))
    assert said in str(failure.value)
