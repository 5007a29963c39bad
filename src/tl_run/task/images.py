"""One label for a picture: from a folder for each class, a table with paths, or rows that hold the bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tl_run.data import augmentation
from tl_run.data.encoded import Encoded
from tl_run.data.picture_folder import read_folder
from tl_run.data.pictures import Picture, Pictures
from tl_run.data.table import Table, nearest, quoted
from tl_run.errors import BadInput
from tl_run.task.classes import Classes
from tl_run.task.kind import kind_of, refuse

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Example:
    """A picture and the index of its label, or None where there is none."""

    id: str
    picture: Picture
    label: int | None


class Images(Classes):
    """Pictures into the classes of the training data."""

    auto_class = "AutoModelForImageClassification"
    pipeline = "image-classification"
    processor = "image processor"
    tiny = "embedded:tiny-images"

    # -- reading

    def open(self, path: str | Path) -> Table:
        """A folder of pictures, or a table."""
        if Path(path).is_dir():
            return read_folder(Path(path), self.options.image, self.options.label)
        return super().open(path)

    def read(self, sources: Mapping[str, Table]) -> dict[str, list[Example]]:
        problems = [
            f"{rows.path}: its pictures lie in no folder of a class; put them into {Path(rows.path) / '<class>'}"
            for rows in sources.values()
            if Path(rows.path).is_dir() and self.options.label not in rows.columns
        ]
        refuse(problems)
        labels = self.read_labels(sources, problems)
        examples = {split: self._examples(rows, labels[split], problems) for split, rows in sources.items()}
        self.check(sources["train"], labels["train"], problems)
        refuse(problems)
        return examples

    def read_unlabelled(self, rows: Table) -> list[Example]:
        problems: list[str] = []
        examples = self._examples(rows, [None] * len(rows.rows), problems)
        refuse(problems)
        return examples

    def _examples(self, rows: Table, labels: Sequence[int | None], problems: list[str]) -> list[Example]:
        column = self.options.image
        rows.require(column, "task.image")
        found = [self._picture(rows, i, row[column], problems) for i, row in enumerate(rows.rows)]
        named = self.ids(rows)
        if not (self.options.id and self.options.id in rows.columns):
            named = [
                picture.name if picture and picture.name else name for picture, name in zip(found, named, strict=True)
            ]
        return [
            Example(name, picture, label) for name, picture, label in zip(named, found, labels, strict=True) if picture
        ]

    def _picture(self, rows: Table, number: int, value: Any, problems: list[str]) -> Picture | None:
        """A path beside the table, bytes, or both as `datasets` holds them; what is none is added to `problems`."""
        where, data, path = rows.where(number), None, value
        if isinstance(value, dict):
            data, path = value.get("bytes"), value.get("path")
        elif isinstance(value, bytes):
            data, path = value, None
        if isinstance(data, bytes):
            return Picture(str(path or ""), where, data, hashlib.sha256(data).hexdigest())
        if not isinstance(path, str) or not path:
            what = kind_of(value) if not isinstance(value, dict) else "an object without bytes or path"
            problems.append(f"{where}: '{self.options.image}' is {what}, a path or bytes are needed (task.image)")
            return None
        base = Path(rows.path)
        file = (base if base.is_dir() else base.parent) / path
        try:
            return Picture(path, str(file), file, hashlib.sha256(file.read_bytes()).hexdigest())
        except OSError as error:
            advice = _advice(file.parent, path) if len(problems) < BadInput.shown else ""
            problems.append(f"{where}: the picture {path} cannot be read ({error.strerror or error}){advice}")
            return None

    def content(self, rows: Table, examples: Sequence[Example]) -> Table:
        """A picture is what its bytes are, wherever they lie."""
        column = self.options.image
        pictures = [row | {column: example.picture.sha256} for row, example in zip(rows.rows, examples, strict=True)]
        return replace(rows, rows=pictures)

    def seen(self, example: Any) -> tuple[str, ...]:
        """The picture's bytes, and its text where it has one."""
        return example.picture.sha256, *filter(None, [getattr(example, "text", None)])

    @staticmethod
    def stratum(example: Example) -> int | None:
        return example.label

    # -- model

    def encode(self, examples: Sequence[Example], processor: Any) -> Pictures:
        """Pictures at the size that the model reads. Raises: BadInput for one that cannot be decoded."""
        changes = [*(["task.flip"] if self.options.flip else []), *(["task.crop"] if self.options.crop < 1 else [])]
        return Pictures.read(
            [example.picture for example in examples],
            processor,
            ids=[example.id for example in examples],
            labels=self.label_array([example.label for example in examples]),
            changing=f"training pictures change with every epoch ({' '.join(changes)})" if changes else "",
        )

    def collate_training(
        self, encoded: Encoded, indices: np.ndarray, pad: Mapping[str, int], seed: int, epoch: int
    ) -> dict[str, torch.Tensor]:
        """Pictures cropped and flipped as task.crop and task.flip say."""
        batch = self.collate(encoded, indices, pad)
        draws = augmentation.draw(len(encoded), seed, epoch)[indices]
        return batch | {
            "pixel_values": augmentation.augment(
                batch["pixel_values"], draws, smallest=self.options.crop, flip=self.options.flip
            )
        }

    def inputs(self, example: Example) -> dict[str, Any]:
        gold = None if example.label is None else self.gold(example.label)
        return {"id": example.id, "image": example.picture.name, "gold": gold}


def _advice(folder: Path, path: str) -> str:
    """What may have been meant by a path at which there is no picture."""
    if "://" in path:
        return "; this is an address: download the pictures, and write their paths"
    if "\\" in path:
        return "; write / for \\"
    close = nearest(Path(path).name, (each.name for each in folder.iterdir())) if folder.is_dir() else None
    return f"; did you mean {quoted(str(Path(path).with_name(close)), 200)}?" if close else ""
