"""What the embedded model is worth: fine-tuned, frozen, and against the same architecture with random weights.

    python scripts/pretrain/evaluate_tiny.py --data src/tl_run/embedded/reviews

A plain loop of its own, so that the figures do not depend on the program they are shipped with. Rates and epochs are
chosen on validation, for each kind separately; the test split is read only with --test.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import copy
import csv
import time
from pathlib import Path
from statistics import mean, stdev

import torch
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging

# kind: (learning rates, epochs)
GRIDS = {
    "pretrained": ([1e-4, 2e-4, 5e-4], 8),
    "frozen": ([1e-2, 3e-2], 10),
    "random": ([3e-4, 1e-3, 2e-3], 16),
}


def read(path: Path, tokenizer, max_length: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    rows = list(csv.DictReader(path.open(encoding="utf-8", newline="")))
    labels = sorted({row["label"] for row in rows})
    encoded = tokenizer(
        [row["text"] for row in rows], truncation=True, max_length=max_length, padding=True, return_tensors="pt"
    )
    return dict(encoded), torch.tensor([labels.index(row["label"]) for row in rows])


@torch.no_grad()
def accuracy(model, data) -> float:
    model.eval()
    return (model(**data[0]).logits.argmax(-1) == data[1]).float().mean().item()


def fit(model, train, validation, lr: float, epochs: int, batch_size: int = 16) -> tuple[float, int]:
    """AdamW, linear decay after 10 % warm-up. Leaves the best epoch's weights; returns its accuracy and number."""
    learning = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=lr, weight_decay=0.01)
    inputs, labels = train
    total = epochs * -(-len(labels) // batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min((s + 1) / (0.1 * total), (total - s) / (0.9 * total))
    )
    best = (-1.0, 0)
    for epoch in range(1, epochs + 1):
        model.train(mode=len(learning) > 2)  # a frozen trunk gives features: no dropout in it
        for batch in torch.randperm(len(labels)).split(batch_size):
            longest = int(inputs["attention_mask"][batch].sum(1).max())
            loss = F.cross_entropy(model(**{k: v[batch, :longest] for k, v in inputs.items()}).logits, labels[batch])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(learning, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        if (score := accuracy(model, validation)) > best[0]:
            best, weights = (score, epoch), copy.deepcopy(model.state_dict())
    model.load_state_dict(weights)
    return best


def start(folder: Path, kind: str, seed: int):
    torch.manual_seed(seed)
    if kind == "random":
        return AutoModelForSequenceClassification.from_config(AutoConfig.from_pretrained(folder))
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    if kind == "frozen":
        model.bert.requires_grad_(False)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("src/tl_run/embedded/tiny"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--kinds", nargs="+", default=list(GRIDS), choices=list(GRIDS))
    parser.add_argument("--lr", type=float, nargs="*", help="instead of the grid")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--max-length", type=int, default=64)
    parser.add_argument("--test", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    train, validation, *test = (
        read(arguments.data / f"{name}.csv", tokenizer, arguments.max_length)
        for name in ["train", "validation", *["test"] * arguments.test]
    )
    for kind in arguments.kinds:
        rates, epochs = arguments.lr or GRIDS[kind][0], arguments.epochs or GRIDS[kind][1]
        for lr in rates:
            chosen, tested, best_epochs, begin = [], [], [], time.perf_counter()
            for seed in range(arguments.seeds):
                model = start(arguments.model, kind, seed)
                score, epoch = fit(model, train, validation, lr, epochs)
                chosen.append(score)
                best_epochs.append(epoch)
                tested += [accuracy(model, test[0])] if test else []
            seconds = (time.perf_counter() - begin) / arguments.seeds
            scores = {"validation": chosen, "test": tested}
            words = [f"{split} {mean(x):.3f} sd {stdev(x):.3f}" for split, x in scores.items() if x]
            print(
                f"{kind} lr {lr:.0e} {epochs} epochs {seconds:.1f} s a run:",
                *words,
                f"best epochs {best_epochs}",
                flush=True,
            )


if __name__ == "__main__":
    main()
