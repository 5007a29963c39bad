"""Solved heads: what scikit-learn says itself, in float64, comes out of the linear layer; and a run of them."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from finished_objects import Parts, assemble, toy
from tl_run import audit
from tl_run import features as store
from tl_run import solve as solving
from tl_run.config.options import SOLVED
from tl_run.errors import BadInput
from tl_run.evaluation import Evaluation
from tl_run.features.states import States
from tl_run.solve import GRID, SOLVERS, require_every_label, solve
from tl_run.training import Record


def test_the_solvers_are_those_of_the_option() -> None:
    assert set(SOLVERS) == set(SOLVED)


def parts_of(tmp_path: Path, bert: Path, kind: str, *more: str) -> Parts:
    chosen = ("model=custom", f"model.path={bert}", f"model.head={kind}", "freeze=trunk")
    return assemble(*toy(tmp_path), *chosen, *more)


def features_of(parts: Parts, split: str = "train") -> np.ndarray:
    """What the head reads, by the model itself and without the store."""
    encoded = parts.encoded[split]
    batch = parts.job.task.collate(encoded, np.arange(len(encoded)), parts.found.pad)
    with torch.no_grad():
        states = parts.model.eval().states(**{name: t for name, t in batch.items() if name != "labels"})
    return torch.cat(states, -1).numpy()


def solved(parts: Parts, **others: Any) -> list[Record]:
    given: dict[str, Any] = {
        "model": parts.model,
        "kind": parts.job.options.model.head,
        "read": lambda split: features_of(parts),
        "train": parts.encoded["train"],
        "freeze": parts.freeze,
        "evaluate": parts.score,
        "metric": "accuracy",
        "higher_is_better": True,
        "budget": parts.budget,
        "state": parts.state,
    }
    return list(solve(**(given | others)))


def clouds(labels: int, dims: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping classes, features of very different scales, one of them always the same."""
    generator = np.random.default_rng(labels)
    gold = np.arange(90) % labels
    features = generator.normal(size=(90, dims)) + 0.7 * generator.normal(size=(labels, dims))[gold]
    features = features * np.geomspace(0.01, 100, dims) + np.linspace(-3, 3, dims)
    features[:, 3] = 2.5
    return features.astype(np.float32), gold


@pytest.mark.parametrize("labels", [2, 3])
@pytest.mark.parametrize("kind", SOLVED)
@pytest.mark.parametrize("strength", GRID)
def test_the_linear_layer_says_what_scikit_learn_says(
    strength: float, kind: str, labels: int, tmp_path: Path, bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, gold = clouds(labels)
    parts = parts_of(tmp_path, bert, kind)
    parts.model.head.classifier = torch.nn.Linear(16, labels)
    for encoded in parts.encoded.values():
        object.__setattr__(encoded, "labels", gold)
    monkeypatch.setattr(solving, "GRID", (strength,))
    nothing = Evaluation({"accuracy": 0.5, "loss": 1.0}, {}, [])
    solved(parts, read=lambda split: features, evaluate=lambda: nothing)
    with torch.inference_mode():
        logits = parts.model.head.classifier(torch.from_numpy(features)).double()

    if kind == "svm":
        own: Any = make_pipeline(StandardScaler(), LinearSVC(C=strength, dual=False, max_iter=10_000))
        decisions = own.fit(features.astype(np.float64), gold).decision_function(features.astype(np.float64))
        expected = np.stack([-decisions, decisions], 1) if labels == 2 else decisions
        found = logits.numpy()
    else:
        own = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=10_000))
        expected = own.fit(features.astype(np.float64), gold).predict_proba(features.astype(np.float64))
        found = logits.softmax(-1).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(logits.argmax(1), own.predict(features.astype(np.float64)))


def test_features_are_what_the_head_sees_in_the_order_of_the_split(tmp_path: Path, bert: Path) -> None:
    parts = parts_of(tmp_path, bert, "svm", "model.pooling=mean")
    options, prints = parts.job.options, audit.fingerprints(dict(parts.model.named_parameters()))
    reuse = store.make(
        options.features,
        parts.model,
        parts.anatomy,
        parts.freeze,
        parts.encoded,
        prints,
        pad=parts.found.pad,
        max_length=options.task.max_length,
        hardware=parts.hardware,
        required_by="",
        taken_by="",
    )
    reuse.enter(parts.freeze.phases[0])
    features = reuse.read(parts.encoded["train"])
    assert (features.dtype, features.shape) == (np.float32, (48, 16))
    seen: list[torch.Tensor] = []
    parts.model.head.dropout.register_forward_hook(lambda module, given, out: seen.append(given[0]))
    encoded = parts.encoded["train"]
    for i in (0, 7, 47):
        batch = parts.job.task.collate(encoded, np.array([i]), parts.found.pad)
        del batch["labels"]
        with torch.inference_mode():
            parts.model(**batch)
        np.testing.assert_allclose(features[i], seen[-1][0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(features_of(parts), features, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", SOLVED)
def test_one_record_for_each_c_and_the_best_by_validation_is_kept(kind: str, tmp_path: Path, bert: Path) -> None:
    parts = parts_of(tmp_path, bert, kind)
    scores, weights = iter([0.5, 0.7, 0.9, 0.9, 0.6]), []

    def evaluate() -> Evaluation:
        weights.append(parts.model.head.classifier.weight.detach().clone())
        return Evaluation({"accuracy": next(scores), "loss": 1.0}, {}, [])

    records = solved(parts, evaluate=evaluate)
    assert [record.kind for record in records] == ["validation"] * len(GRID)
    assert [(record.step, record.epoch, record.values["C"]) for record in records] == [
        (n, n, strength) for n, strength in enumerate(GRID, 1)
    ]
    assert (parts.state.best_step, parts.state.best_value) == (3, 0.9)
    assert torch.equal(parts.state.best_weights["head.classifier.weight"], weights[2])
    assert not torch.equal(weights[2], weights[4])
    assert parts.state.examples == len(GRID) * 48
    assert solved(parts) == []  # all is done


@pytest.mark.parametrize("step", range(len(GRID)))
def test_it_goes_on_from_any_state(step: int, tmp_path: Path, bert: Path) -> None:
    whole = parts_of(tmp_path, bert, "svm")
    records = [record.values for record in solved(whole)]
    halves = parts_of(tmp_path, bert, "svm")
    interrupted = iter([None] * step)

    def evaluate() -> Evaluation:
        next(interrupted)  # ends here, after the head was solved and before it was scored
        return halves.score()

    with pytest.raises(RuntimeError, match="StopIteration"):
        solved(halves, evaluate=evaluate)
    assert (halves.state.step, halves.state.evaluated) == (step + 1, step or -1)
    rest = [record.values for record in solved(halves)]
    assert rest == records[step:]
    assert all(torch.equal(halves.state.best_weights[name], t) for name, t in whole.state.best_weights.items())


def test_a_label_without_an_example_is_told(tmp_path: Path, bert: Path) -> None:
    encoded = parts_of(tmp_path, bert, "svm").encoded["train"]
    require_every_label("svm", encoded, ["no", "yes"])
    with pytest.raises(BadInput, match=r"model.head=svm: no training example has the label 'maybe'.*task\.shots"):
        require_every_label("svm", encoded, ["no", "yes", "maybe"])


# -- whole runs


def lines_of(run: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(run, "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("kind", SOLVED)
def test_a_run(
    kind: str, tl_run: Callable[..., int], tmp_path: Path, bert: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*toy(tmp_path), "model=custom", f"model.path={bert}", f"model.head={kind}", "freeze=trunk"]
    assert tl_run(*command, "hydra.run.dir=run", "seed=1") == 0
    said = capsys.readouterr().out
    assert f"solved      {kind} by scikit-learn, C=0.0001, 0.001, 0.01, 0.1, 1, the best by validation" in said
    assert "optimizer" not in said
    assert [line["C"] for line in lines_of("run")] == list(GRID)
    result = json.loads(Path("run/result.json").read_text())
    assert result["C"] == GRID[result["best_step"] - 1]
    assert (result["steps"], result["epochs"], result["examples"]) == (len(GRID), len(GRID), len(GRID) * 48)
    proof = {"frozen": 37, "frozen_moved": [], "learning": 2, "learning_moved": 2}
    proof["moves_from_step"] = {"head": 0, "layer.1": None, "layer.0": None, "embeddings": None}
    assert result["audit"] == proof
    assert result["test"]["accuracy"] > 0.8
    # Nothing in it is drawn by chance: another seed is the same run.
    assert tl_run(*command, "hydra.run.dir=again", "seed=2") == 0
    one, other = (Path(run, "predictions-test.jsonl").read_bytes() for run in ("run", "again"))
    assert one == other


def test_interrupted_while_features_are_read(
    tl_run: Callable[..., int],
    tmp_path: Path,
    bert: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = [*toy(tmp_path), "model=custom", f"model.path={bert}", "model.head=svm", "freeze=trunk"]
    command += ["training.eval_batch_size=8"]
    assert tl_run(*command, "hydra.run.dir=whole") == 0

    whole = States.compute

    def stopped(*given: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return whole(*given)

    with monkeypatch.context() as patch:
        patch.setenv("TL_RUN_CACHE", str(tmp_path / "cold"))
        patch.setattr(States, "compute", stopped)
        assert tl_run(*command, "hydra.run.dir=run") == 75
    assert "interrupted by SIGTERM at step 0" in capsys.readouterr().err
    assert not Path("run/result.json").exists()
    assert tl_run(*command, "hydra.run.dir=run") == 0
    assert Path("run/predictions-test.jsonl").read_bytes() == Path("whole/predictions-test.jsonl").read_bytes()
    assert [line["C"] for line in lines_of("run")] == list(GRID)
