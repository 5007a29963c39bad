"""A run from its command to what it leaves: files, result, model, and the rule that test is looked at once."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from conftest import bert_folder
from finished_objects import toy
from tl_run import evaluation
from tl_run import run as run_module

TlRun = Callable[..., int]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run; the tests only read it."""
    from hydra.core.global_hydra import GlobalHydra

    from tl_run import cli

    parent = tmp_path_factory.mktemp("finished")
    command = [*toy(parent), "model=custom", f"model.path={bert_folder(parent / 'bert')}", "optimizer.lr=0.01"]
    command += ["training.epochs=12", "training.batch_size=8", f"hydra.run.dir={parent}/run", "seed=3"]
    GlobalHydra.instance().clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["tl-run", *command])
        patch.setenv("TL_RUN_CACHE", str(parent / "cache"))
        assert cli.outcome(lambda: cli._compose_and_run(command)) == 0
    return parent / "run"


def result_of(run: Path) -> dict[str, Any]:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return json.loads((run / "result.json").read_text(), parse_constant=refuse)


def predictions(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "predictions-test.jsonl").read_text().splitlines()]


def test_a_run_leaves_exactly_this(run: Path) -> None:
    names = sorted("events" if path.name.startswith("events.out.tfevents.") else path.name for path in run.iterdir())
    assert names == [
        ".lock",
        "checkpoints",
        "config.yaml",
        "environment.json",
        "events",
        "metrics.jsonl",
        "model",
        "overrides.yaml",
        "predictions-test.jsonl",
        "projector",
        "projector_config.pbtxt",
        "result.json",
    ]
    assert sorted(path.name for path in (run / "model").iterdir()) == [
        "README.md",
        "config.json",
        "manifest.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["step-00000066", "step-00000072"]


def test_no_pickle_lies_in_a_run(run: Path) -> None:
    for path in run.rglob("*"):
        if path.is_file() and not path.name.startswith("events.out"):
            assert path.suffix in (".json", ".jsonl", ".yaml", ".safetensors", ".md", ".tsv", ".pbtxt", "")
            assert not path.read_bytes().startswith((b"\x80", b"PK\x03\x04"))


def test_the_result_says_all_that_was_promised(run: Path) -> None:
    result = result_of(run)
    chosen = ("status", "task", "model", "freeze", "transfer", "seed")
    assert [result[key] for key in chosen] == ["done", "classification", "custom", "none", "finetune", 3]
    metric = {"name": "accuracy", "value": result["test"]["accuracy"], "split": "test", "higher_is_better": True}
    assert result["metric"] == metric
    assert (
        result["validation"].keys() == result["test"].keys() == {"accuracy", "f1_macro", "f1_weighted", "mcc", "loss"}
    )
    assert (result["steps"], result["epochs"], result["examples"]) == (72, 12.0, 12 * 48)
    assert result["parameters"]["total"] == result["parameters"]["trainable"] > 5000
    assert result["seconds"].keys() == {"total", "load", "encode", "train", "evaluate"}
    assert all(seconds > 0 for seconds in result["seconds"].values())
    assert result["examples_per_second"] > 0
    assert result["peak_memory_mb"] > 0
    assert result["stored_mb"] == 0
    assert len(result["identity"]) == 64
    assert result["tables"]["confusion"] == [[10, 0], [0, 10]]


def test_the_toy_is_learned(run: Path) -> None:
    assert result_of(run)["test"]["accuracy"] == 1.0


def test_predictions_are_the_test_split_in_its_order(run: Path) -> None:
    rows = (run.parent / "test.csv").read_text().splitlines()[1:]
    lines = predictions(run)
    assert [line["id"] for line in lines] == [str(i) for i in range(20)]
    assert [f"{line['text']},{line['gold']}" for line in lines] == rows
    for line in lines:
        assert line["probability"] == max(line["probabilities"].values())
        assert line["probabilities"][line["prediction"]] == line["probability"]
        assert sum(line["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_the_config_is_resolved_and_the_overrides_as_typed(run: Path) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert "${" not in (run / "config.yaml").read_text()
    assert (config["training"]["epochs"], config["optimizer"]["lr"], config["seed"]) == (12, 0.01, 3)
    assert "seed=3" in yaml.safe_load((run / "overrides.yaml").read_text())


def test_the_environment_is_recorded(run: Path) -> None:
    environment = json.loads((run / "environment.json").read_text())
    assert environment["versions"]["torch"] == torch.__version__
    assert (environment["device"], environment["precision"], environment["threads"]) == ("cpu", "fp32", 1)
    assert environment["data"].keys() == {"train", "validation", "test"}
    assert "***" not in json.dumps(environment["versions"])
    assert environment["identity"] == result_of(run)["identity"]


def test_the_model_card_is_what_the_hub_reads(run: Path) -> None:
    _, front, body = (run / "model" / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(front) == {
        "library_name": "transformers",
        "pipeline_tag": "text-classification",
        "tags": ["tl-run", "finetune", "freeze-none"],
    }
    assert "| test | accuracy | 1.0000 |" in body
    assert "Labels: no, yes." in body


def test_the_model_loads_in_a_pipeline_that_knows_nothing_of_us(run: Path, tmp_path: Path) -> None:
    program = """
import json, sys
from transformers import pipeline
texts = [json.loads(line)["text"] for line in open(sys.argv[2])]
found = pipeline("text-classification", model=sys.argv[1])(texts, batch_size=7)
assert not any(name.startswith("tl_run") for name in sys.modules)
print(json.dumps(found))
"""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-I", "-c", program, run / "model", run / "predictions-test.jsonl"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert [each["label"] for each in found] == [line["prediction"] for line in predictions(run)]
    for each, line in zip(found, predictions(run), strict=True):
        assert each["score"] == pytest.approx(line["probability"], abs=1e-5)


def test_test_is_scored_once_and_only_with_the_chosen_model(
    tl_run: TlRun, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Validation says that step 12 is the best, though training goes on to step 30."""
    scored: list[tuple[int, dict[str, torch.Tensor]]] = []
    real = evaluation.evaluate
    accuracies = iter([0.5, 0.9, 0.6, 0.8, 0.7])

    def watch(model: Any, task: Any, encoded: Any, **options: Any) -> evaluation.Evaluation:
        scored.append((len(encoded), {n: p.detach().clone() for n, p in model.named_parameters()}))
        found = real(model, task, encoded, **options)
        if len(encoded) == 16:  # the validation split
            found.scores["accuracy"] = next(accuracies)
        return found

    monkeypatch.setattr(run_module, "evaluate", watch)
    command = [*toy(tmp_path), "model=custom", f"model.path={bert}", "optimizer.lr=0.01", "training.epochs=5"]
    command += ["freeze=embeddings"]  # where they learn, training has a table of the words that occur
    assert tl_run(*command, "training.batch_size=8", "hydra.run.dir=run") == 0
    assert [size for size, _ in scored] == [16] * 5 + [20]
    result = result_of(Path("run"))
    assert (result["best_step"], result["steps"], result["validation"]["accuracy"]) == (12, 30, 0.9)
    best, last = scored[1][1], scored[-1][1]
    words = "bert.embeddings.word_embeddings.weight"  # in training only the rows that occur, and one of ones
    rows = best.pop(words)[:-1]
    assert len(rows) < len(last[words])
    assert all(any(torch.equal(row, whole) for whole in last[words]) for row in rows)
    assert all(torch.equal(best[name], last[name]) for name in best)
    from safetensors.torch import load_file

    saved = load_file("run/model/model.safetensors")
    assert all(torch.equal(last[name], saved[name]) for name in last)


def test_without_a_test_split_validation_is_reported_as_what_it_is(tl_run: TlRun, bert: Path, tmp_path: Path) -> None:
    command = [each for each in toy(tmp_path) if not each.startswith("task.test=")]
    command += ["model=custom", f"model.path={bert}", "training.max_steps=2", "hydra.run.dir=run"]
    assert tl_run(*command) == 0
    result = result_of(Path("run"))
    assert (result["test"], result["metric"]["split"]) == (None, "validation")
    assert Path("run/predictions-validation.jsonl").exists()
    assert not Path("run/predictions-test.jsonl").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_gpu_that_is_not_there_is_not_replaced(
    tl_run: TlRun, bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*toy(tmp_path), "model=custom", f"model.path={bert}", "hydra.run.dir=run"]
    assert tl_run(*command, "hardware=gpu") == 5
    error = capsys.readouterr().err
    assert error.startswith("error: hardware.device=cuda: ")
    assert "type hardware=cpu or hardware=auto" in error
    assert not Path("run").exists()


def test_the_plan_runs_nothing_and_leaves_nothing(
    tl_run: TlRun, bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.iterdir())
    command = [*toy(tmp_path), "model=custom", f"model.path={bert}", "hydra.run.dir=run", "freeze=trunk"]
    assert tl_run(*command, "--plan") == 0
    said = capsys.readouterr().out
    assert "34 of 7,458 parameters (0.5%), freeze=trunk" in said
    assert "48 train, 16 validation, 20 test; labels no, yes" in said
    assert not Path("run").exists()
    assert before == []


def test_another_run_in_the_folder_is_refused_and_untouched(
    run: Path, tl_run: TlRun, capsys: pytest.CaptureFixture[str]
) -> None:
    def content() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}

    before = content()
    command = [each for each in yaml.safe_load((run / "overrides.yaml").read_text()) if not each.startswith("seed=")]
    assert tl_run(*command, "seed=4", f"hydra.run.dir={run}") == 3
    assert "holds another run; nothing was touched.\n  Different: seed was 3, now 4" in capsys.readouterr().err
    assert content() == before
    assert tl_run(*command, "seed=3", f"hydra.run.dir={run}") == 0
    assert "is done; its result:" in capsys.readouterr().out
    assert content() == before
