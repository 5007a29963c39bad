"""The peer: an ordinary script with transformers' Trainer, set as its example run_glue.py sets it.

    python scripts/bench/peer_trainer.py --model DIR --train train.csv --validation dev.csv --output DIR --padding max

`--padding max` is run_glue's own default; `dynamic` pads to the longest text of a batch; `grouped` also puts texts of
like length together. It writes `result.json` with the names that tl-run uses.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from datasets import load_dataset
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    default_data_collator,
    set_seed,
)


class FirstStep(TrainerCallback):
    """The time at which the first optimizer step was done."""

    at: float | None = None

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.at = self.at or time.time()


class Timed(Trainer):
    """Trainer, with the time spent in evaluations kept apart and the scores in a list."""

    evaluate_seconds = 0.0

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        began = time.perf_counter()
        scores = super().evaluate(*args, **kwargs)
        self.evaluate_seconds += time.perf_counter() - began
        return scores


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--random", action="store_true", help="the same architecture with random weights")
    parser.add_argument("--train", required=True)
    parser.add_argument("--validation", required=True)
    parser.add_argument("--test")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--padding", choices=["max", "dynamic", "grouped"], default="max")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--freeze-trunk", action="store_true")
    parser.add_argument("--freeze-bottom", type=int, default=0, metavar="LAYERS")
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--max-steps", type=int, default=-1)
    parser.add_argument("--lr", type=float, default=5e-5)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--eval-batch-size", type=int, default=8)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def load(options: argparse.Namespace, labels: int) -> Any:
    """The classifier, frozen as asked for."""
    if options.random:
        config = AutoConfig.from_pretrained(options.model, num_labels=labels)
        return AutoModelForSequenceClassification.from_config(config)
    model, found = AutoModelForSequenceClassification.from_pretrained(
        options.model, num_labels=labels, output_loading_info=True
    )
    stays = []
    if options.freeze_trunk:
        stays = [f"{model.base_model_prefix}."]
    elif options.freeze_bottom:
        layers = [f"{model.base_model_prefix}.encoder.layer.{i}." for i in range(options.freeze_bottom)]
        stays = [f"{model.base_model_prefix}.embeddings.", *layers]
    for name, parameter in model.named_parameters():
        if name.startswith(tuple(stays)) and name not in found["missing_keys"]:
            parameter.requires_grad_(False)
    return model


def main() -> None:
    started, options = time.time(), arguments()
    torch.set_num_threads(options.threads)
    set_seed(options.seed)
    files = {"train": options.train, "validation": options.validation}
    files |= {"test": options.test} if options.test else {}
    data = load_dataset("csv", data_files=files)
    labels = sorted(set(data["train"]["label"]))
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    model = load(options, len(labels))
    loaded = time.time()

    padding = "max_length" if options.padding == "max" else False

    def encode(rows: dict[str, list[Any]]) -> dict[str, Any]:
        encoded = tokenizer(rows["text"], padding=padding, max_length=options.max_length, truncation=True)
        return {**encoded, "label": [labels.index(label) for label in rows["label"]]}

    data = data.map(encode, batched=True)
    encoded = time.time()
    first = FirstStep()
    trainer = Timed(
        model=model,
        args=TrainingArguments(
            output_dir=str(options.output),
            num_train_epochs=options.epochs,
            max_steps=options.max_steps,
            learning_rate=options.lr,
            per_device_train_batch_size=options.batch_size,
            per_device_eval_batch_size=options.eval_batch_size,
            train_sampling_strategy="group_by_length" if options.padding == "grouped" else "random",
            bf16=options.bf16,
            eval_strategy="epoch",
            save_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
            seed=options.seed,
        ),
        train_dataset=data["train"],
        eval_dataset=data["validation"],
        data_collator=default_data_collator if options.padding == "max" else DataCollatorWithPadding(tokenizer),
        compute_metrics=lambda p: {"accuracy": float((p.predictions.argmax(1) == p.label_ids).mean())},
        callbacks=[first],
    )
    began = time.perf_counter()
    trainer.train()
    train_seconds = time.perf_counter() - began - trainer.evaluate_seconds
    if options.test:
        trainer.evaluate(data["test"], metric_key_prefix="test")
    trainer.save_model()
    steps = trainer.state.global_step
    examples = round(trainer.state.epoch * len(data["train"])) if options.max_steps < 0 else steps * options.batch_size
    scores = [entry["eval_accuracy"] for entry in trainer.state.log_history if "eval_accuracy" in entry]
    result = {
        "validation": {"accuracy": max(scores)},
        "steps": steps,
        "examples": examples,
        "first_step_at": first.at,
        "examples_per_second": examples / train_seconds,
        "seconds": {
            "total": time.time() - started,
            "load": loaded - started,
            "encode": encoded - loaded,
            "train": train_seconds,
            "evaluate": trainer.evaluate_seconds,
        },
    }
    (options.output / "result.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
