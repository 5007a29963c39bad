"""Makes the member of `model=tiny` that writes: an encoder-decoder that has learned to copy, by a run of tl-run itself.

    python scripts/pretrain/pretrain_tiny_generation.py --output src/tl_run/embedded/tiny-generation

What it writes for a sentence of the reviews in texts/ is the part of it that stands between two masks.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

TEXTS = Path(__file__).parent / "texts" / "source_en.jsonl"
MASK = "[MASK]"  # as the vocabulary of model=seq2seq-small has it
SIZE = ["hidden=64", "heads=4", "feed_forward=256", "layers=2", "hidden_dropout=0.0", "vocabulary=1200", "lr=3e-3"]
LENGTH = 48


def sentences() -> list[list[str]]:
    """The words of every sentence that is neither very short nor long."""
    texts = (json.loads(line)["text"] for line in TEXTS.read_text(encoding="utf-8").splitlines())
    parts = (part.strip(" .!?").split() for text in texts for part in text.replace("! ", ". ").split(". "))
    return [words for words in parts if 4 <= len(words) <= 16]


def part(words: list[str], draw: random.Random) -> dict[str, str]:
    """A sentence with two masks in it, and what stands between them."""
    length = draw.randint(2, min(6, len(words)))
    start = draw.randint(0, len(words) - length)
    end = start + length
    return {
        "source": " ".join([*words[:start], MASK, *words[start:end], MASK, *words[end:]]),
        "target": " ".join(words[start:end]),
    }


def pairs(count: int, seed: int) -> list[dict[str, str]]:
    """So many pairs, sentences and parts drawn from `seed`."""
    draw, found = random.Random(seed), sentences()
    return [part(draw.choice(found), draw) for _ in range(count)]


def halve(folder: Path) -> None:
    """The weights in float16: half the bytes; they are computed in float32."""
    file = folder / "model.safetensors"
    save_file({name: tensor.to(torch.float16) for name, tensor in load_file(file).items()}, file, {"format": "pt"})


def main(argv: list[str] | None = None) -> None:
    """Write the pairs, run tl-run on them, and keep what transformers needs of the model it saves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=128_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        for name, count, seed in (("train", arguments.pairs, 1), ("validation", 200, 2)):
            rows = pairs(count, seed + 10 * arguments.seed)
            (Path(folder) / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        command = ["task=generation", "task.name=copying", "task.metric=perplexity", f"task.max_length={LENGTH}"]
        command += [f"task.{name}={folder}/{name}.jsonl" for name in ("train", "validation")]
        command += ["model=seq2seq-small", *(f"model.{size}" for size in SIZE), "training.batch_size=32"]
        command += ["training.epochs=1", "training.eval_every=1000", "hardware=cpu", "hardware.threads=1"]
        command += [f"task.max_target_length={LENGTH}", f"seed={arguments.seed}", f"hydra.run.dir={folder}/run"]
        subprocess.run([sys.executable, "-m", "tl_run", *command], check=True)
        arguments.output.mkdir(parents=True, exist_ok=True)
        for name in ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"):
            shutil.copy(Path(folder) / "run" / "model" / name, arguments.output / name)
        shutil.copy(Path(folder) / "run" / "model" / "model.safetensors", arguments.output / "model.safetensors")
    halve(arguments.output)


if __name__ == "__main__":
    main()
