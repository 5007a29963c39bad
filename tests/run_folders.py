"""Run folders as runs leave them, written by hand: what is in them is known, and no torch is needed."""

import json
from pathlib import Path
from typing import Any

import yaml

from tl_run.folder import flat

CONFIG = {
    "seed": 0,
    "task": {"name": "films", "kind": "classification", "train": "/d/train.csv", "limit": None, "shots": None},
    "model": {"name": "tiny", "path": "embedded:tiny", "pretrained": True, "lr": 5e-4},
    "freeze": {"name": "none", "lr_factor": 1},
    "adapter": {"name": "none"},
    "transfer": {"name": "finetune"},
    "optimizer": {"name": "adamw", "lr": 5e-4},
    "hardware": {"name": "auto", "threads": 1},
    "training": {"epochs": 3},
    "features": {"mode": "auto"},
    "sweep": {"name": "films"},
    "resume": None,
    "plan": False,
}


def config(**changes: Any) -> dict[str, Any]:
    """CONFIG with some options changed: `config(**{"optimizer.lr": 1e-3})`."""
    made = json.loads(json.dumps(CONFIG))
    for key, value in changes.items():
        group, _, option = key.partition(".")
        if option:
            made.setdefault(group, {})[option] = value
        else:
            made[key] = value
    return made


def write(
    folder: Path,
    *,
    right: str = "1101",
    validation: float = 0.75,
    curve: tuple[float, ...] = (),
    trained_on: int = 100,
    metric: str = "accuracy",
    higher_is_better: bool = True,
    overrides: tuple[str, ...] = (),
    **changes: Any,
) -> Path:
    """A finished run with a test example for each 0 or 1 of `right`; `curve` is validation at steps 10, 20..."""
    made = config(**changes)
    folder.mkdir(parents=True)
    gold = ["yes" if i % 2 else "no" for i in range(len(right))]
    found = [
        label if mark == "1" else {"yes": "no", "no": "yes"}[label] for label, mark in zip(gold, right, strict=True)
    ]
    confusion = [
        [sum(g == a and f == b for g, f in zip(gold, found, strict=True)) for b in ("no", "yes")] for a in ("no", "yes")
    ]
    curve = curve or (validation,)
    facts = {
        "status": "done",
        "task": made["task"]["name"],
        "seed": made["seed"],
        "metric": {
            "name": metric,
            "value": right.count("1") / len(right),
            "split": "test",
            "higher_is_better": higher_is_better,
        },
        "splits": {"train": trained_on, "validation": 8, "test": len(right)},
        "validation": {metric: validation, "loss": 0.5},
        "test": {metric: right.count("1") / len(right), "loss": 0.5},
        "tables": {
            "split": "test",
            "per_class": {
                label: {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": gold.count(label)}
                for label in ("no", "yes")
            },
            "confusion": confusion,
        },
        "best_step": 10 * (1 + curve.index(max(curve))),
        "steps": 10 * len(curve),
        "examples": 160 * len(curve),
        "parameters": {"total": 1000, "trainable": 1000 if made["freeze"]["name"] == "none" else 10},
        "identity": str(folder.name),
        "seconds": {"total": 4.0, "load": 1.0, "encode": 1.0, "train": 1.0, "evaluate": 1.0},
    }
    lines = [{"id": str(i), "gold": g, "prediction": f} for i, (g, f) in enumerate(zip(gold, found, strict=True))]
    records: list[dict[str, Any]] = []
    for i, value in enumerate(curve, 1):
        records += [
            {"kind": "train", "step": 10 * i, "loss": 1 / i},
            {"kind": "validation", "step": 10 * i, metric: value},
        ]
    environment = {
        "identity": str(folder.name),
        "data": {"train": "a", "test": "b"},
        "weights": {"model": made["model"]["path"]},
    }
    (folder / "result.json").write_text(json.dumps(facts))
    (folder / "environment.json").write_text(json.dumps(environment))
    (folder / "config.yaml").write_text(yaml.safe_dump(made, sort_keys=False))
    (folder / "overrides.yaml").write_text(yaml.safe_dump(list(overrides)))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in records))
    (folder / "predictions-test.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert flat(made)["seed"] == made["seed"]
    return folder


def sides(root: Path, ours: list[str], theirs: list[str], **changes: Any) -> None:
    """A pretrained run and its twin from scratch for each seed, with these right and wrong answers."""
    for seed, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        amount = changes.get("task.limit", "all")
        write(root / f"p{seed}-{amount}", right=mine, seed=seed, **changes)
        write(root / f"s{seed}-{amount}", right=other, seed=seed, **{"model.pretrained": False, **changes})
