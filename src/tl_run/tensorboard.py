"""Event files for TensorBoard: scalars, the config as text, pictures, and hyperparameters that unite over a sweep."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np


class Board:
    """One event file in the run folder itself.

    Only session-start and session-end records are written for hyperparameters, and no Experiment summary: TensorBoard
    takes one such summary for a whole folder of runs and then drops the keys it does not name (tensorboard issue 5596).
    """

    def __init__(self, folder: Path) -> None:
        """Begin anew: older event files of this folder are removed, for the log holds all they showed."""
        from torch.utils.tensorboard import SummaryWriter

        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        threading.excepthook = _in_another_thread
        self._writer = SummaryWriter(str(folder), flush_secs=5)

    def scalar(self, tag: str, value: float, step: int, at: float) -> None:
        """A point of a curve."""
        self._writer.add_scalar(tag, value, step, walltime=at)

    def text(self, tag: str, markdown: str) -> None:
        """A page of text."""
        self._writer.add_text(tag, markdown)

    def hyperparameters(self, values: Mapping[str, Any], at: float) -> None:
        """Session start. Runs with equal values, such as repeats over seeds, become one row with their mean."""
        from tensorboard.plugins.hparams import summary_v2

        plain = {k: v if isinstance(v, bool | int | float | str) else str(v) for k, v in values.items()}
        self._file().add_summary(summary_v2.hparams_pb(plain, start_time_secs=at))

    def ended(self, success: bool, at: float) -> None:
        """Session end."""
        from tensorboard.compat.proto import summary_pb2
        from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

        api: Any = api_pb2  # protobuf makes the names of these modules when they are imported
        plugin: Any = plugin_data_pb2
        summary: Any = summary_pb2.__dict__["Summary"]
        status = api.STATUS_SUCCESS if success else api.STATUS_FAILURE
        end = plugin.SessionEndInfo(status=status, end_time_secs=at)
        data = metadata.create_summary_metadata(plugin.HParamsPluginData(session_end_info=end))
        value = summary.Value(tag=metadata.SESSION_END_INFO_TAG, tensor=metadata.NULL_TENSOR, metadata=data)
        self._file().add_summary(summary(value=[value]))

    def confusion(self, tag: str, counts: Sequence[Sequence[int]], labels: Sequence[str], step: int, at: float) -> None:
        """A confusion matrix as a picture, for up to 30 classes."""
        if len(counts) <= 30:
            self._writer.add_image(tag, draw_confusion(counts, labels), step, walltime=at, dataformats="HWC")

    def pr_curve(self, tag: str, tp: Sequence[int], fp: Sequence[int], step: int, at: float) -> None:
        """Precision over recall from true and false positives at rising thresholds, the first of which takes all."""
        hits, misses = np.asarray(tp, float), np.asarray(fp, float)
        precision = np.divide(hits, hits + misses, out=np.ones_like(hits), where=hits + misses > 0)
        recall = hits / max(hits[0], 1)
        counts = (hits, misses, misses[0] - misses, hits[0] - hits)
        self._writer.add_pr_curve_raw(tag, *counts, precision, recall, step, num_thresholds=len(hits), walltime=at)

    def layout(self, metric: str) -> None:
        """Charts that belong together, on the page Custom Scalars."""
        charts = {
            "loss": ["Multiline", ["train/loss", "validation/loss"]],
            metric: ["Multiline", [f"validation/{metric}", f"best/{metric}"]],
            "learning rates": ["Multiline", ["train/lr/.*"]],
        }
        self._writer.add_custom_scalars({"tl-run": charts})

    def flush(self) -> None:
        """Bring what was added to the file."""
        self._writer.flush()

    def close(self) -> None:
        """No more."""
        self._writer.close()

    def _file(self) -> Any:
        return self._writer._get_file_writer()  # the one way to a Summary that SummaryWriter itself cannot express


def _in_another_thread(problem: threading.ExceptHookArgs) -> None:
    """The writer's thread dies of a full disk; whoever adds something next gets the error, and tells it."""
    if not issubclass(problem.exc_type, OSError):
        threading.__excepthook__(problem)


def draw_confusion(counts: Sequence[Sequence[int]], labels: Sequence[str]) -> np.ndarray:
    """Rows gold, columns predicted, shaded by the share of the row: uint8 (height, width, 3)."""
    from PIL import Image, ImageDraw, ImageFont

    matrix = np.asarray(counts, dtype=float)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    font = ImageFont.load_default(14)
    # The font that ships with Pillow draws Latin letters only: other names are shown as the number of the class.
    latin = [label if label.isascii() else str(i) for i, label in enumerate(labels)]
    names = [label if len(label) <= 14 else label[:13] + "." for label in latin]
    cell, left, top = 64, 24 + int(max(font.getlength(n) for n in names)), 52
    side = cell * len(names)
    picture = Image.new("RGB", (left + side + 12, top + side + 12), "white")
    pen = ImageDraw.Draw(picture)
    pen.text((left, 6), "predicted", fill="#555555", font=font)
    pen.text((6, top - 22), "gold", fill="#555555", font=font)
    for i, name in enumerate(names):
        pen.text((6, top + i * cell + cell // 2 - 8), name, fill="black", font=font)
        pen.text((left + i * cell + 4, top - 22), name[: max(3, cell // 8)], fill="black", font=font)
        for j in range(len(names)):
            tone = share[i, j]
            color = tuple(int(255 + tone * (target - 255)) for target in (26, 84, 144))
            box = (left + j * cell, top + i * cell, left + (j + 1) * cell - 2, top + (i + 1) * cell - 2)
            pen.rectangle(box, fill=color)
            text = f"{int(matrix[i, j])}"
            at = (box[0] + (cell - font.getlength(text)) / 2, box[1] + cell / 2 - 9)
            pen.text(at, text, fill="white" if tone > 0.5 else "black", font=font)
    return np.asarray(picture)
