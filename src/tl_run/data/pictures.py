"""Pictures of a split: decoded once to bytes of the size that the model reads, and made numbers batch by batch.

What a picture becomes is what transformers' own PIL processor of the model's folder makes of it, bit for bit: it
resizes and crops; a byte's number is looked up in a table that the same processor fills. All splits are in memory, a
byte for each value: 147 KB for a picture of 224 x 224.
"""

import hashlib
import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tl_run import cache
from tl_run.data.decoding import POINTER
from tl_run.data.encoded import Encoded
from tl_run.errors import BadInput

FORMAT = 2  # raise when the stored arrays change meaning


@dataclass(frozen=True)
class Picture:
    """Where a picture lies, or its bytes as the file would hold them."""

    name: str
    """As the data names it."""
    where: str
    """For messages: the file, or the place of the row."""
    source: Path | bytes
    sha256: str

    def data(self) -> bytes:
        """The bytes of the file."""
        return self.source if isinstance(self.source, bytes) else self.source.read_bytes()


class Stacked:
    """Arrays of several splits as if they were one, without a copy."""

    def __init__(self, *parts: np.ndarray) -> None:
        self.parts, self.starts = parts, np.cumsum([0, *map(len, parts)])
        self.shape = parts[0].shape[1:]  # of each row

    def __getitem__(self, rows: Any) -> np.ndarray:
        rows = np.arange(self.starts[-1])[rows]
        found = np.empty((len(rows), *self.shape), self.parts[0].dtype)
        for start, part in zip(self.starts, self.parts, strict=False):
            here = (rows >= start) & (rows < start + len(part))
            found[here] = part[rows[here] - start]
        return found


@dataclass(frozen=True, kw_only=True)
class Pictures(Encoded):
    """A row for each picture: its bytes are `columns["pixels"]`, uint8 (pictures, channels, height, width)."""

    numbers: np.ndarray
    """What the model reads for a byte: float32 (channels, 256)."""
    changing: str = ""
    odd: tuple[int, ...] = ()
    """How many pictures are animated, are transparent, have more than 8 bits a value."""

    @property
    def lengths(self) -> np.ndarray:
        """The work that a picture is, as tokens: its parts of 16 x 16."""
        _, height, width = self.columns["pixels"].shape
        return np.full(len(self), max(1, height * width // 256))

    @classmethod
    def read(
        cls, pictures: Sequence[Picture], processor: Any, ids: list[str], labels: np.ndarray, changing: str
    ) -> "Pictures":
        """Decode pictures, or take them from the cache when the same were decoded before.

        Raises: BadInput when a picture cannot be decoded, or the processor gives no one size.
        """
        digest = hashlib.sha256(_settings(processor).encode())
        digest.update("".join(picture.sha256 for picture in pictures).encode())
        arrays = cache.arrays("pictures", digest.hexdigest(), lambda: _decode_all(pictures, processor))
        numbers = _numbers(processor)
        rows, columns = np.arange(len(pictures) + 1), {"pixels": Stacked(arrays["pixels"])}
        made = cls(rows, columns, ids, labels, numbers=numbers, changing=changing, odd=(*arrays["odd"].tolist(),))
        first = _processed(processor, _decoded(pictures[0]))
        if not np.array_equal(made.padded(np.array([0]), {})["pixel_values"][0], first):
            raise BadInput(
                f"model.path: the model's {type(processor).__name__} does more to a picture than to resize, crop, "
                "rescale and normalize it: take another model"
            )
        return made

    @staticmethod
    def joined(parts: Sequence[Any]) -> "Pictures":
        """The pictures of several splits in one."""
        return replace(
            parts[0],
            offsets=np.arange(sum(map(len, parts)) + 1),
            columns={"pixels": Stacked(*(array for part in parts for array in part.columns["pixels"].parts))},
            ids=[name for part in parts for name in part.ids],
            labels=np.concatenate([part.labels for part in parts]),
        )

    def padded(self, indices: np.ndarray, pad: Mapping[str, int], width: int | None = None) -> dict[str, np.ndarray]:
        """What the model reads of these pictures: `pixel_values`, float32 (batch, channels, height, width)."""
        pixels = self.columns["pixels"][indices]
        values = np.empty(pixels.shape, np.float32)
        for channel, numbers in enumerate(self.numbers):
            values[:, channel] = numbers[pixels[:, channel]]
        return {"pixel_values": values}


def _settings(processor: Any) -> str:
    """All that decides what a picture becomes."""
    import PIL
    import transformers

    return (
        f"{FORMAT} {PIL.__version__} {transformers.__version__} {type(processor).__name__} {processor.to_json_string()}"
    )


def _decode_all(pictures: Sequence[Picture], processor: Any) -> dict[str, np.ndarray]:
    """`pixels`, uint8 (pictures, channels, height, width), and `odd`, see `Pictures.odd`."""
    odd = np.zeros(3, np.int64)
    problems: list[str] = []
    pixels: np.ndarray | None = None
    for i, picture in enumerate(pictures):
        try:
            image = _decoded(picture, odd)
        except Exception as problem:  # each format has its own ways to be broken: OSError, SyntaxError, struct.error
            problems.append(
                f"{picture.where}: the picture cannot be read ({_why(picture, problem)}); replace or remove it"
            )
            continue
        made = _processed(processor, image, do_rescale=False, do_normalize=False)
        pixels = np.empty((len(pictures), *made.shape), np.uint8) if pixels is None else pixels
        if made.shape != pixels.shape[1:]:
            raise BadInput(
                f"model.path: its preprocessor_config.json gives pictures of different sizes, {pixels.shape[2:]} and "
                f"{made.shape[1:]} (height, width): add do_center_crop and crop_size there"
            )
        pixels[i] = made
    if problems:
        raise BadInput.of(problems)
    assert pixels is not None
    return {"pixels": pixels, "odd": odd}


def _decoded(picture: Picture, odd: np.ndarray | None = None) -> Any:
    """A PIL image in RGB, upright: as transformers' own pipeline opens it; what that loses is counted in `odd`."""
    from PIL import Image, ImageOps

    with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(picture.data())) as image:
        if odd is not None:
            odd += [getattr(image, "is_animated", False), _transparent(image), image.mode[0] in "IF"]
        return ImageOps.exif_transpose(image).convert("RGB")


def _transparent(image: Any) -> bool:
    return image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema()[0] < 255


def _processed(processor: Any, image: Any, **less: bool) -> np.ndarray:
    """(channels, height, width)."""
    return np.asarray(processor([image], **less)["pixel_values"][0])


def _numbers(processor: Any) -> np.ndarray:
    """What rescaling and normalizing make of each byte in each channel: float32 (channels, 256)."""
    ramp = np.tile(np.arange(256, dtype=np.uint8).reshape(1, 16, 16), (3, 1, 1))
    less = {"do_resize": False, "do_center_crop": False, "input_data_format": "channels_first"}
    return _processed(processor, ramp, **less).reshape(3, 256).astype(np.float32)


def _why(picture: Picture, problem: Exception) -> str:
    from PIL import UnidentifiedImageError

    data = picture.data()
    if not data:
        return "it is empty"
    if data.startswith(POINTER):
        return "a pointer of git-lfs, not the picture: type git lfs pull"
    if isinstance(problem, UnidentifiedImageError):
        return "no picture of a kind that is known"
    return f"{type(problem).__name__}: {problem}".splitlines()[0]
