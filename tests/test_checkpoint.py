"""State to disk and back: exact, verified before it is read, and a damaged one costs only itself."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from finished_objects import Parts, assemble, toy
from tl_run import checkpoint
from tl_run.training import State


@pytest.fixture
def arguments(bert: Path, tmp_path: Path) -> list[str]:
    common = [*toy(tmp_path), "model=custom", f"model.path={bert}", "optimizer.lr=0.01", "training.batch_size=8"]
    return [*common, "training.max_steps=12", "training.log_every=1", "training.eval_every=3"]


def save(parts: Parts, folder: Path, keep: int = 2, identity: str = "mine", frozen: str = "same") -> Path:
    return checkpoint.save(
        folder,
        model=parts.model,
        ever=parts.freeze.ever,
        optimizer=parts.optimizer,
        state=parts.state,
        identity=identity,
        frozen=frozen,
        metrics_bytes=123,
        keep=keep,
        ids=parts.method.ids,
    )


def restore(parts: Parts, folder: Path, identity: str = "mine", frozen: str = "same") -> tuple[State, int, list[str]]:
    return checkpoint.restore(
        folder, model=parts.model, ever=parts.freeze.ever, optimizer=parts.optimizer, identity=identity, frozen=frozen
    )


def run_to(parts: Parts, step: int) -> Parts:
    records = parts.train()
    while parts.state.step < step:
        next(records)
    return parts


def moments(parts: Parts) -> dict[str, dict[str, torch.Tensor | None]]:
    return {name: dict(parts.optimizer.state.get(p, {})) for name, p in parts.model.named_parameters()}


@pytest.mark.parametrize("freeze", ["none", "trunk", "gradual"])
@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_everything_comes_back_exactly(name: str, freeze: str, arguments: list[str], tmp_path: Path) -> None:
    options = [*arguments, f"optimizer={name}", f"freeze={freeze}", "training.log_every=5"]  # the sum of two losses
    before = run_to(assemble(*options), 7)
    save(before, tmp_path / "checkpoints")
    after = assemble(*options, "seed=0")
    with torch.no_grad():
        for name_, parameter in after.model.named_parameters():
            if name_ in after.freeze.ever:
                parameter.add_(1)
    state, metrics_bytes, warnings = restore(after, tmp_path / "checkpoints")
    assert (metrics_bytes, warnings) == (123, [])
    for one, other in zip(before.model.parameters(), after.model.parameters(), strict=True):
        assert torch.equal(one, other)
    for parameter, held in moments(before).items():
        found = moments(after)[parameter]
        kept = {key: value for key, value in held.items() if value is not None}
        assert found.keys() == kept.keys(), parameter
        for key, value in kept.items():
            assert torch.equal(found[key], value), (parameter, key)
            assert (found[key].dtype, found[key].device) == (value.dtype, value.device)
    best, kept_best = state.best_weights, before.state.best_weights
    assert best.keys() == kept_best.keys()
    assert all(torch.equal(best[key], kept_best[key]) for key in best)
    assert {**vars(state), "best_weights": 0} == {**vars(before.state), "best_weights": 0}
    after.state = state
    rest = [[(r.kind, r.step, r.values["loss"]) for r in parts.train()] for parts in (before, after)]
    assert rest[0] == rest[1]
    for one, other in zip(before.model.parameters(), after.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_frozen_trunk_is_not_stored(arguments: list[str], tmp_path: Path) -> None:
    path = save(run_to(assemble(*arguments, "freeze=trunk"), 4), tmp_path / "checkpoints")
    assert sum(file.stat().st_size for file in path.iterdir()) < 5000
    assert sorted(file.name for file in path.iterdir()) == [
        "best.safetensors",
        "manifest.json",
        "optimizer.safetensors",
        "state.json",
        "weights.safetensors",
    ]


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_newest_are_kept(keep: int, arguments: list[str], tmp_path: Path) -> None:
    parts = assemble(*arguments, "freeze=trunk")
    folder = tmp_path / "checkpoints"
    for step in (2, 4, 9, 10):
        save(run_to(parts, step), folder, keep)
    steps = sorted(int(path.name.removeprefix("step-")) for path in folder.iterdir())
    assert steps == [2, 4, 9, 10][-keep:]


def flip(name: str) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(data)

    return act


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a bit of the weights": flip("weights.safetensors"),
    "a bit of the moments": flip("optimizer.safetensors"),
    "a bit of the best": flip("best.safetensors"),
    "a bit of the counters": flip("state.json"),
    "a bit of the manifest": flip("manifest.json"),
    "cut": lambda folder: (folder / "weights.safetensors").write_bytes(b"123"),
    "empty": lambda folder: (folder / "state.json").write_bytes(b""),
    "a file is gone": lambda folder: (folder / "optimizer.safetensors").unlink(),
    "no manifest": lambda folder: (folder / "manifest.json").unlink(),
    "another's file": lambda folder: shutil.copy(
        folder.parent / "step-00000002" / "weights.safetensors", folder / "weights.safetensors"
    ),
    "a file for a folder": lambda folder: (shutil.rmtree(folder), folder.write_text("junk")),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_one_is_said_and_the_one_before_is_used(damage: str, arguments: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    parts = assemble(*arguments)
    save(run_to(parts, 2), folder)
    weights = parts.model.classifier.weight.detach().clone()
    newest = save(run_to(parts, 3), folder)
    DAMAGE[damage](newest)
    after = assemble(*arguments)
    state, _, [warning] = restore(after, folder)
    assert state.step == 2
    assert torch.equal(after.model.classifier.weight, weights)
    assert warning.startswith(str(newest))
    assert "an older checkpoint is used" in warning
    assert len(warning.splitlines()) == 1
    assert newest.exists()  # nothing is deleted


def test_when_all_are_damaged_it_begins_again_and_changes_nothing(arguments: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    parts = assemble(*arguments)
    for step in (2, 3):
        flip("weights.safetensors")(save(run_to(parts, step), folder))
    after, untouched = assemble(*arguments), assemble(*arguments)
    state, metrics_bytes, warnings = restore(after, folder)
    assert (state, metrics_bytes, len(warnings)) == (State(), 0, 2)
    assert not after.optimizer.state
    for one, other in zip(after.model.parameters(), untouched.model.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("keep", [1, 2])
def test_what_was_passed_over_does_not_push_out_what_is_good(keep: int, arguments: list[str], tmp_path: Path) -> None:
    """After damage at steps 8 and 9 the run begins again; its checkpoint of step 2 must stay until there is a newer."""
    folder = tmp_path / "checkpoints"
    parts = assemble(*arguments)
    for step in (8, 9):
        flip("weights.safetensors")(save(run_to(parts, step), folder))
    again = assemble(*arguments)
    restore(again, folder)
    save(run_to(again, 2), folder, keep)
    assert restore(assemble(*arguments), folder)[0].step == 2
    save(run_to(again, 4), folder, keep)
    assert restore(assemble(*arguments), folder)[0].step == 4


def test_another_runs_checkpoint_is_not_taken(arguments: list[str], tmp_path: Path) -> None:
    path = save(run_to(assemble(*arguments), 2), tmp_path / "checkpoints", identity="other")
    state, _, [warning] = restore(assemble(*arguments), tmp_path / "checkpoints")
    assert state.step == 0
    assert f"{path}: belongs to another run" in warning


def test_one_that_lacks_tensors_is_not_taken(arguments: list[str], tmp_path: Path) -> None:
    path = save(run_to(assemble(*arguments, "freeze=trunk"), 2), tmp_path / "checkpoints")
    state, _, [warning] = restore(assemble(*arguments), tmp_path / "checkpoints")
    assert state.step == 0
    assert f"{path}: its tensors are not those of this model" in warning


def test_other_frozen_weights_are_noticed(arguments: list[str], tmp_path: Path) -> None:
    """The frozen ones are not in the checkpoint: should another version load or draw them differently, it says so."""
    path = save(run_to(assemble(*arguments), 2), tmp_path / "checkpoints")
    state, _, [warning] = restore(assemble(*arguments), tmp_path / "checkpoints", frozen="other")
    assert state.step == 0
    assert f"{path}: its frozen weights are not those" in warning


def test_only_exact_names_count(arguments: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    path = save(run_to(assemble(*arguments), 2), folder)
    for name in ("step-00000099-old", "step-99", "best", ".tmp-step-00000050"):
        shutil.copytree(path, folder / name)
    state, _, warnings = restore(assemble(*arguments), folder)
    assert (state.step, warnings) == (2, [])


@pytest.mark.parametrize("damaged", [1, 2])
def test_a_run_goes_on_from_the_older_and_ends_alike(
    damaged: int, tl_run: Callable[..., int], arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*arguments, "training.keep_checkpoints=2"]
    assert tl_run(*command, "hydra.run.dir=undisturbed") == 0
    assert tl_run(*command, "hydra.run.dir=run") == 0
    Path("run/result.json").unlink()  # as if it had died before its end
    newest = sorted(Path("run/checkpoints").iterdir())
    assert [path.name for path in newest] == ["step-00000009", "step-00000012"]
    for path in newest[-damaged:]:
        flip("optimizer.safetensors")(path)
    capsys.readouterr()
    assert tl_run("resume=run") == 0
    said = capsys.readouterr().out
    assert said.count("warning: run/checkpoints/step-000000") == damaged
    assert ("going on from step 9" in said) == (damaged == 1)
    for name in ("model/model.safetensors", "predictions-test.jsonl"):
        assert Path("run", name).read_bytes() == Path("undisturbed", name).read_bytes()
    lines = [
        [(line["kind"], line["step"], line["loss"]) for line in map(json.loads, path.read_text().splitlines())]
        for path in (Path("run/metrics.jsonl"), Path("undisturbed/metrics.jsonl"))
    ]
    assert lines[0] == lines[1]


def test_a_log_shorter_than_the_checkpoint_knows_is_damage(
    tl_run: Callable[..., int], arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert tl_run(*arguments, "hydra.run.dir=run") == 0
    Path("run/result.json").unlink()
    Path("run/metrics.jsonl").write_text("")
    assert tl_run("resume=run") == 3
    assert "run/metrics.jsonl: has 0 bytes, but had" in capsys.readouterr().err
