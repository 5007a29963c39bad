"""Draws the embedded pictures (`task=images-demo`, `task=image-text-demo`), and pretrains the tiny model for pictures
on other patterns.

    python scripts/pictures/draw.py src/tl_run/embedded

One minute of one core. The same seed gives the same pictures, and on the same type of processor the same weights.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

SIDE = 32
SIZES = {"train": 16, "validation": 10, "test": 20}  # pictures of each class
COLOURS = 4  # of a file's palette: half a kilobyte a picture
STEPS, BATCH = 600, 64

Y, X = np.mgrid[:SIDE, :SIDE]


def turned(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Across and down, in any direction and from anywhere."""
    angle, shift = generator.uniform(0, np.pi), generator.uniform(0, 20, 2)
    across, down = X * np.cos(angle) + Y * np.sin(angle), Y * np.cos(angle) - X * np.sin(angle)
    return across + shift[0], down + shift[1]


def places(generator: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """Across and down from each of three points."""
    return [(X - a, Y - b) for a, b in generator.uniform(4, SIDE - 4, (3, 2))]


def stripes(g: np.random.Generator) -> np.ndarray:
    """Parallel stripes."""
    return turned(g)[0] // g.uniform(3, 5) % 2 == 0


def checks(g: np.random.Generator) -> np.ndarray:
    """A chessboard."""
    (across, down), width = turned(g), g.uniform(4, 6)
    return (across // width + down // width) % 2 == 0


def discs(g: np.random.Generator) -> np.ndarray:
    """Three discs of one size."""
    radius = g.uniform(4, 6)
    return np.any([np.hypot(a, b) < radius for a, b in places(g)], axis=0)


def rings(g: np.random.Generator) -> np.ndarray:
    """Three rings of one size."""
    radius = g.uniform(4, 7)
    return np.any([abs(np.hypot(a, b) - radius) < 1.3 for a, b in places(g)], axis=0)


def squares(g: np.random.Generator) -> np.ndarray:
    """Three upright squares of one size."""
    radius = g.uniform(3, 5)
    return np.any([np.maximum(abs(a), abs(b)) < radius for a, b in places(g)], axis=0)


def crosses(g: np.random.Generator) -> np.ndarray:
    """Three crosses of one size."""
    radius = g.uniform(4, 7)
    return np.any([(np.minimum(abs(a), abs(b)) < 1.3) & (abs(a) + abs(b) < radius) for a, b in places(g)], axis=0)


def waves(g: np.random.Generator) -> np.ndarray:
    """Wavy stripes."""
    (across, down), width = turned(g), g.uniform(4, 6)
    return (across + 2.5 * np.sin(down / g.uniform(2, 3))) // width % 2 == 0


def lattice(g: np.random.Generator) -> np.ndarray:
    """Thin lines that cross."""
    (across, down), width = turned(g), g.uniform(5, 8)
    return (across % width < 1.6) | (down % width < 1.6)


def dots(g: np.random.Generator) -> np.ndarray:
    """Dots in rows."""
    (across, down), width = turned(g), g.uniform(6, 8)
    return np.hypot(across % width - width / 2, down % width - width / 2) < 2.2


def halves(g: np.random.Generator) -> np.ndarray:
    """Two halves."""
    return turned(g)[0] > g.uniform(16, 36)


TARGET = {"checks": checks, "discs": discs, "stripes": stripes}
CAPTIONS = {
    "checks": ("a board of checks", "squares of two colours side by side", "a picture of checks", "checks like a game"),
    "discs": ("three round discs", "a few discs on plain ground", "a picture of discs", "round spots of one size"),
    "stripes": ("stripes that run side by side", "a picture of stripes", "long lines of two colours", "even stripes"),
}
SOURCE = (rings, squares, crosses, waves, lattice, dots, halves)  # none of the target's


def draw(shape: Callable[[np.random.Generator], np.ndarray], generator: np.random.Generator) -> np.ndarray:
    """A pattern in one colour on ground of another, with noise: uint8 (height, width, 3)."""
    while True:  # two colours that can be told apart
        colours = generator.uniform(30, 225, (2, 3))
        if np.abs(colours[0] - colours[1]).max() > 80:
            break
    picture = colours[shape(generator).astype(int)] + generator.normal(0, 12, (SIDE, SIDE, 3))
    return picture.clip(0, 255).astype(np.uint8)


def write_pictures(folder: Path) -> None:
    """A folder for each split, and in it one for each class."""
    generator = np.random.default_rng(0)
    for split, count in SIZES.items():
        for name, shape in TARGET.items():
            (folder / split / name).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                image = Image.fromarray(draw(shape, generator)).quantize(COLOURS, dither=Image.Dither.NONE)
                image.save(folder / split / name / f"{number:02}.png", optimize=True)


def write_captions(folder: Path) -> None:
    """A table for each split: picture, caption, class (`task=image-text-demo`)."""
    generator = np.random.default_rng(2)
    for split, count in SIZES.items():
        lines = ["image,text,label"]
        for name in TARGET:
            for number in range(count):
                caption = CAPTIONS[name][generator.integers(len(CAPTIONS[name]))]
                lines.append(f"{split}/{name}/{number:02}.png,{caption},{name}")
        (folder / f"{split}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def pretrain(folder: Path, steps: int = STEPS) -> list[float]:
    """Write a ResNet that has learned to tell the source patterns; returns the loss of each step."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    generator = np.random.default_rng(1)
    config = transformers.ResNetConfig(
        embedding_size=16,
        hidden_sizes=[16, 16, 32, 48],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        num_labels=len(SOURCE),
    )
    model = transformers.ResNetForImageClassification(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0, steps)
    losses = []
    for _ in range(steps):
        labels = generator.integers(len(SOURCE), size=BATCH)
        pictures = torch.from_numpy(np.stack([draw(SOURCE[label], generator) for label in labels]))
        logits = model(pictures.permute(0, 3, 1, 2) / 127.5 - 1).logits
        loss = F.cross_entropy(logits, torch.from_numpy(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    model.resnet.save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    halved = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
    save_file(halved, folder / "model.safetensors", {"format": "pt"})  # read as fp32: the config says so
    transformers.ViTImageProcessorPil(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    return losses


def main() -> None:
    """Write `patterns/` and `tiny-images/` into the folder that is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    write_pictures(folder / "patterns")
    write_captions(folder / "patterns")
    losses = pretrain(folder / "tiny-images")
    print(f"loss {np.mean(losses[:20]):.3f} in the first 20 steps, {np.mean(losses[-20:]):.3f} in the last")


if __name__ == "__main__":
    main()
