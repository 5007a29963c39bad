"""Matrix work: how much the texts of a data set need, and how much this machine can do in a second.

python scripts/bench/flops.py --threads 2     # prints the peak in GFLOP/s, by precision
"""

import argparse
import csv
import json
import time
from pathlib import Path

SIZES = (1024, 2048, 4096)  # of the square matrices; the fastest counts
SECONDS = 1.0  # spent on each size


def forward(model: Path, tokens: list[int]) -> float:
    """Floating-point operations of one forward pass over texts of so many tokens, without any padding.

    Per layer and token: 8 h^2 for queries, keys, values and output, 4 h i for the feed-forward part (i its width), and
    4 t h for attention over t tokens. Embeddings, norms and heads are left out.
    """
    config = json.loads((model / "config.json").read_text())
    hidden, layers, inner = config["hidden_size"], config["num_hidden_layers"], config["intermediate_size"]
    return float(sum(layers * t * (8 * hidden**2 + 4 * hidden * inner + 4 * t * hidden) for t in tokens))


def lengths(model: Path, table: Path, max_length: int) -> list[int]:
    """Tokens of each text of a CSV file."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.enable_truncation(max_length)
    tokenizer.no_padding()
    with table.open(encoding="utf-8", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    return [len(encoding.ids) for encoding in tokenizer.encode_batch(texts)]


def peak(threads: int) -> dict[str, float]:
    """GFLOP/s of the fastest square matrix product in each precision."""
    import torch

    torch.set_num_threads(threads)
    found = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        best = 0.0
        for size in SIZES:
            a, b = (torch.randn(size, size).to(dtype) for _ in range(2))
            a @ b
            ends = time.perf_counter() + SECONDS
            while (began := time.perf_counter()) < ends:
                a @ b
                best = max(best, 2e-9 * size**3 / (time.perf_counter() - began))
        found[name] = best
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    print(json.dumps(peak(parser.parse_args().threads)))
