"""Event files, read back by TensorBoard's own code: curves, text, pictures, and hyperparameters over a sweep."""

import io
import json
import re
import resource
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from composing import compose
from finished_objects import toy
from tl_run.config import check
from tl_run.errors import MACHINE
from tl_run.failures import in_words
from tl_run.plan import hyperparameters
from tl_run.tensorboard import Board, draw_confusion


def events(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    [path] = folder.glob("events.out.tfevents.*")
    accumulator = EventAccumulator(str(path), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    return accumulator.Reload()


def session_groups(folder: Path) -> tuple[list[dict[str, Any]], set[str]]:
    """Rows of the HParams page: hyperparameters, sessions, metric values; and the names of its columns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # tensorboard 2.20's own, on import
        from tensorboard import context
        from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
        from tensorboard.plugins import base_plugin
        from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups
    multiplexer = plugin_event_multiplexer.EventMultiplexer().AddRunsFromDirectory(str(folder))
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, str(folder))
    backend = backend_context.Context(base_plugin.TBContext(data_provider=provider, logdir=str(folder)))
    request_context, api = context.RequestContext(), vars(api_pb2)
    experiment = backend.experiment_from_metadata(
        request_context, "", True, backend.hparams_metadata(request_context, ""), []
    )
    statuses = [api[name] for name in ("STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING", "STATUS_UNKNOWN")]
    request = api["ListSessionGroupsRequest"](
        allowed_statuses=statuses,
        col_params=[api["ColParams"](metric=info.name) for info in experiment.metric_infos],
        aggregation_type=api["AGGREGATION_AVG"],
        start_index=0,
        slice_size=100,
    )
    found = list_session_groups.Handler(request_context, backend, "", request).run()
    rows = [
        {
            "hparams": dict(group.hparams.items()),
            "sessions": [(session.name, session.status) for session in group.sessions],
            "metrics": {value.name.tag: value.value for value in group.metric_values},
        }
        for group in found.session_groups
    ]
    return rows, {info.name for info in experiment.hparam_infos}


def options(*overrides: str) -> dict[str, Any]:
    return hyperparameters(check.check(compose(*overrides)))


def test_heads_are_told_apart() -> None:
    assert {"pooling", "head_layer", "dropout"}.isdisjoint(options())
    assert options()["head"] == "stock"
    shown = options("model.head=layer", "model.head_layer=0", "model.pooling=max", "model.dropout=0")
    assert [shown[name] for name in ("head", "head_layer", "pooling", "dropout")] == ["layer", 0, "max", 0.0]


def write(folder: Path, values: dict[str, Any], accuracy: float, success: bool = True) -> None:
    folder.mkdir(parents=True)
    board = Board(folder)
    board.hyperparameters(values, at=100.0)
    board.scalar("validation/accuracy", accuracy, 5, 101.0)
    board.ended(success, at=110.0)
    board.close()


def test_seeds_fold_into_one_row_and_choices_into_others(tmp_path: Path) -> None:
    for seed, accuracy in ((0, 0.5), (1, 0.7)):
        write(tmp_path / f"none-{seed}", options("freeze=none", f"seed={seed}"), accuracy)
    write(tmp_path / "bottom", options("freeze=bottom", "freeze.layers=1", "optimizer.lr=0.1"), 0.25, success=False)
    rows, columns = session_groups(tmp_path)
    assert "seed" not in columns
    rows.sort(key=lambda row: len(row["sessions"]))
    assert [len(row["sessions"]) for row in rows] == [1, 2]
    [failed], finished = (row["sessions"] for row in rows)
    assert failed[1] != finished[0][1] == finished[1][1]
    assert rows[1]["metrics"]["validation/accuracy"] == pytest.approx(0.6)
    assert rows[0]["metrics"]["validation/accuracy"] == pytest.approx(0.25)
    assert rows[0]["hparams"]["optimizer.lr"].number_value == pytest.approx(0.1)
    assert rows[1]["hparams"]["freeze"].string_value == "none"
    # What only one of them has is a column all the same; what is not set in any is none.
    assert {"freeze.layers", "freeze", "optimizer.lr", "model", "task", "training.epochs"} <= columns
    assert not {"task.shots", "task.limit", "optimizer.head_lr", "training.max_steps"} & columns


def test_what_is_unset_is_no_column_and_what_is_set_is() -> None:
    assert "task.shots" not in options()
    assert options("task.shots=8")["task.shots"] == 8
    assert options("optimizer.head_lr=0.1")["optimizer.head_lr"] == 0.1
    assert "seed" not in options("seed=3")
    assert options("seed=0") == options("seed=1")


def test_the_confusion_picture_has_a_cell_per_pair_and_shows_the_counts() -> None:
    two, three = draw_confusion([[5, 0], [1, 4]], ["no", "yes"]), draw_confusion(np.eye(3).tolist(), ["a", "b", "c"])
    assert (two.dtype, two.ndim, two.shape[2]) == (np.uint8, 3, 3)
    assert three.shape[0] - two.shape[0] == 64  # one more row of cells
    assert two.shape[0] == 52 + 2 * 64 + 12
    other = draw_confusion([[4, 1], [1, 4]], ["no", "yes"])
    assert other.shape == two.shape
    assert (other != two).any()
    assert (draw_confusion([[5, 0], [1, 4]], ["no", "yes"]) == two).all()


@pytest.mark.parametrize(("classes", "drawn"), [(30, True), (31, False)])
def test_a_large_confusion_is_not_drawn(classes: int, drawn: bool, tmp_path: Path) -> None:
    board = Board(tmp_path)
    board.confusion(
        "validation/confusion", np.eye(classes, dtype=int).tolist(), [f"c{i}" for i in range(classes)], 1, 1
    )
    board.close()
    assert events(tmp_path).Tags()["images"] == (["validation/confusion"] if drawn else [])


def test_an_empty_row_and_long_names_can_be_drawn() -> None:
    assert draw_confusion([[0, 0], [0, 3]], ["a name that is rather long", "字符"]).any()


def test_a_precision_recall_curve_is_that_of_its_counts(tmp_path: Path) -> None:
    """Of 4 + 6 examples all are taken at first, then 3 right and 1 wrong, then none."""
    board = Board(tmp_path)
    board.pr_curve("validation/yes", [4, 3, 0], [6, 1, 0], 5, 1.0)
    board.close()
    [event] = events(tmp_path).Tensors("validation/yes")
    from tensorboard.util import tensor_util

    tp, fp, tn, fn, precision, recall = tensor_util.make_ndarray(event.tensor_proto)
    assert (tp.tolist(), fp.tolist(), tn.tolist(), fn.tolist()) == ([4, 3, 0], [6, 1, 0], [0, 5, 6], [0, 1, 4])
    assert precision.tolist() == pytest.approx([0.4, 0.75, 1.0])
    assert recall.tolist() == pytest.approx([1.0, 0.75, 0.0])


def test_what_a_run_shows(tl_run: Callable[..., int], bert: Path, tmp_path: Path) -> None:
    command = [*toy(tmp_path), "model=custom", f"model.path={bert}", "training.max_steps=9", "training.batch_size=8"]
    assert tl_run(*command, "training.log_every=3", "hydra.run.dir=run", "optimizer.layer_decay=0.9") == 0
    found = events(Path("run"))
    tags = found.Tags()
    assert set(tags["scalars"]) == {
        "train/loss",
        "train/gradient_norm",
        "train/examples_per_second",
        *(f"train/lr/{name}" for name in ("head", "top", "layer.0", "layer.1", "embeddings")),
        *(f"validation/{name}" for name in ("accuracy", "f1_macro", "f1_weighted", "mcc", "loss")),
        "best/accuracy",
    }
    assert [point.step for point in found.Scalars("train/loss")] == [3, 6, 9]
    lines = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    written = [line for line in lines if line["kind"] == "validation"]
    shown = found.Scalars("validation/loss")
    assert [point.step for point in shown] == [6, 9]
    assert [point.value for point in shown] == pytest.approx([line["loss"] for line in written])
    assert [point.wall_time for point in shown] == pytest.approx([line["time"] for line in written])
    pictures = found.Images("validation/confusion")
    assert [picture.step for picture in pictures] == [6, 9]
    size = Image.open(io.BytesIO(pictures[0].encoded_image_string)).size
    assert size == (pictures[0].width, pictures[0].height)
    text = found.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "batch_size: 8" in text
    assert set(found.summary_metadata) >= {"_hparams_/session_start_info", "_hparams_/session_end_info"}
    assert "_hparams_/experiment" not in found.summary_metadata
    curves = {tag for tag, data in found.summary_metadata.items() if data.plugin_data.plugin_name == "pr_curves"}
    assert len(curves) == 2
    layout = found.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0]
    assert all(tag in layout for tag in (b"train/loss", b"validation/accuracy", b"train/lr/.*"))


def _write_on(board: Board) -> None:
    for step in range(50):
        board.text("long", "word " * 1000)
        board.scalar("a", 1.0, step, 0.0)
        board.flush()


def test_a_full_disk_is_told_once_by_who_adds_something_next(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The writer's own thread meets it first, and says nothing there."""
    board = Board(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="File too large") as failure:
            _write_on(board)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert capfd.readouterr().err == ""
    failure.value.run_folder = tmp_path  # type: ignore[attr-defined]
    code, words = in_words(failure.value)
    assert code == MACHINE
    assert re.match(rf"cannot write {tmp_path}: File too large \([\d,]+ bytes free\)\nMake room", words)
