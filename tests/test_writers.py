"""metrics.jsonl is the truth; the event file is a view of it that is made anew."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from finished_objects import toy
from test_tensorboard import events
from tl_run.errors import BadCheckpoint
from tl_run.tensorboard import Board
from tl_run.training import Record
from tl_run.transfer.finetune import FineTune
from tl_run.writers import MetricsLog, to_board


def test_a_line_per_record(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, 0)
    log.write(Record("train", 3, 0.123456, {"loss": 0.1 + 0.2, "gradient_norm": float("inf"), "x": float("nan")}))
    log.write(Record("validation", 4, 1.0, {"accuracy": 0.5}, {"confusion": [[1, 0], [0, 1]], "per_class": {"没": 1}}))
    lines = (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    first, second = (json.loads(line, parse_constant=refuse) for line in lines)
    assert first | {"time": 0} == {
        "kind": "train",
        "step": 3,
        "epoch": 0.1235,
        "time": 0,
        "loss": 0.30000000000000004,  # as it was, to the last bit
        "gradient_norm": None,
        "x": None,
    }
    assert second["confusion"] == [[1, 0], [0, 1]]
    assert "没" in lines[1]
    assert list(log.lines()) == [first, second]


def test_what_came_after_the_checkpoint_is_cut_off(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, 0)
    log.write(Record("train", 1, 0.1, {"loss": 1.0}))
    kept = log.sync()
    log.write(Record("train", 2, 0.2, {"loss": 2.0}))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "tr')  # torn
    assert [line["step"] for line in MetricsLog(tmp_path, kept).lines()] == [1]
    assert list(MetricsLog(tmp_path, 0).lines()) == []


def test_a_log_that_lost_lines_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match=r"metrics.jsonl: has 0 bytes, but had 10"):
        MetricsLog(tmp_path, 10)


def test_nulls_are_no_points(tmp_path: Path) -> None:
    board = Board(tmp_path)
    line = {"kind": "train", "step": 1, "epoch": 0.1, "time": 1.0, "loss": 0.5, "gradient_norm": None}
    to_board(board, line | {"best/accuracy": 1}, ["a", "b"])
    board.close()
    assert sorted(events(tmp_path).Tags()["scalars"]) == ["best/accuracy", "train/loss"]


def test_after_a_resume_no_step_is_doubled(
    tl_run: Callable[..., int], bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [*toy(tmp_path), "model=custom", f"model.path={bert}", "training.max_steps=9", "training.batch_size=8"]
    command += ["training.log_every=1", "training.checkpoint_every=4", "hydra.run.dir=run"]
    terms, calls = FineTune.terms, []

    def terms_then_fail(self, *arguments):
        calls.append(1)
        if len(calls) == 7:
            raise RuntimeError("power cut")
        return terms(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(FineTune, "terms", terms_then_fail)
        assert tl_run(*command) == 70
    assert [point.step for point in events(Path("run")).Scalars("train/loss")] == [1, 2, 3, 4, 5, 6]
    assert tl_run("resume=run") == 0
    found = events(Path("run"))  # exactly one file
    lines = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    for kind, tag in (("train", "train/loss"), ("validation", "validation/loss")):
        written = [(line["step"], pytest.approx(line["loss"])) for line in lines if line["kind"] == kind]
        assert [(point.step, point.value) for point in found.Scalars(tag)] == written
    assert [line["step"] for line in lines if line["kind"] == "train"] == [1, 2, 3, 4, 5, 6, 7, 8, 9]
