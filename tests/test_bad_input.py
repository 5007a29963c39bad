"""The corpus of bad, odd and doubtful files, each as the command would take it, up to its first step of training."""

import functools
import io
import os
import subprocess
import sys
import time
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import finished_objects
import tl_run as package
from corpus.cases import Case
from corpus.index import CASES
from tl_run.console import Terminal
from tl_run.errors import Failure
from tl_run.failures import in_words
from tl_run.prepare import Job, prepare
from tl_run.run import run
from tl_run.signals import Signals

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(package.__file__).parents[1]), "HF_HUB_OFFLINE": "1"}
MODEL = ("model=tiny", "hardware=cpu", "training.batch_size=1")  # few rows: no more is doubted than the files
SECONDS = 5


def of(verdict: str) -> Any:
    chosen = [case for case in CASES if case.verdict == verdict]
    return pytest.mark.parametrize("case", chosen, ids=[f"{case.kind}-{case.name}" for case in chosen])


@functools.cache
def composed(*overrides: str) -> dict[str, Any]:
    return finished_objects.compose(*overrides)


def configured(arguments: list[str]) -> dict[str, Any]:
    """The config; what train is called is put in afterwards, so that most cases share a composition."""
    typed = [argument for argument in arguments if not argument.startswith("task.train=")]
    train = [argument.partition("=")[2].strip("'") for argument in arguments if argument not in typed]
    graph = any(argument.startswith("model=") for argument in typed)
    config = deepcopy(composed(*(MODEL[1:] if graph else MODEL), *typed, "task.train=x", "plan=true"))
    config["task"]["train"] = train[-1]
    return config


def planned(case: Case, folder: Path) -> tuple[Job, str]:
    """The job, and all that `tl-run --plan` prints."""
    job = prepare(configured(case.write(folder)), [])
    printed = io.StringIO()
    run(job, SimpleNamespace(path=Path("run")), Terminal(printed), Signals())  # type: ignore[arg-type]
    return job, printed.getvalue()


@of("error")
def test_what_is_wrong_is_refused_in_three_lines(case: Case, tmp_path: Path) -> None:
    arguments = case.write(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    config, began = configured(arguments), time.perf_counter()
    with pytest.raises(Failure) as caught:
        run(prepare(config, []), SimpleNamespace(path=Path("run")), Terminal(io.StringIO()), Signals())  # type: ignore[arg-type]
    code, message = in_words(caught.value)
    assert code == 2, message
    assert time.perf_counter() - began < SECONDS
    lines = message.split("\n")
    assert len(lines) <= 3, message
    assert all(line.isprintable() and len(line) < 400 for line in lines), message
    assert [words for words in case.words if words not in message] == [], message
    assert sorted(path for path in tmp_path.rglob("*") if "cache" not in path.parts) == before, "something was left"


@of("accept")
def test_what_is_odd_and_right_is_read_as_it_is(case: Case, tmp_path: Path) -> None:
    job, printed = planned(case, tmp_path)
    assert "warning: " not in printed
    assert read(case, job) == [tuple(row) if isinstance(row, list | tuple) else (row,) for row in case.values or ()]


def read(case: Case, job: Job) -> list[Any]:
    """The columns of the training examples that the case shows, in order; of a picture the colour of its middle."""
    task = job.task
    if case.kind == "images" and case.shown != ("gold",):
        return [colour(job, case.shown[0])]
    examples = [*job.splits.train, *(job.splits.validation if case.kind == "images" else ())]
    lines = sorted(
        (task.inputs(each) for each in examples), key=lambda line: str(line["image"]) if "image" in line else 0
    )
    return [tuple(line[column] for column in case.shown) for line in lines]


def colour(job: Job, path: str) -> tuple[int, ...]:
    from tl_run.data.pictures import _decoded

    examples = [*job.splits.train, *job.splits.validation]
    (picture,) = [each.picture for each in examples if path.endswith(each.picture.name)]
    image = _decoded(picture)
    return image.getpixel((image.width // 2, image.height // 2))


@of("warn")
def test_what_is_doubtful_is_told_once_with_counts(case: Case, tmp_path: Path) -> None:
    _, printed = planned(case, tmp_path)
    warnings = [line for line in printed.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == case.warnings, printed
    said = "\n".join(warnings)
    assert [words for words in case.words if words not in said] == [], printed
    assert all(line.isprintable() for line in warnings)


COMMAND = ("a comma in a number", "last line cut", "offsets in bytes", "a picture cut short", "validation is train")


@pytest.mark.parametrize("name", COMMAND)
def test_the_command_itself_says_so_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    (case,) = [case for case in CASES if case.name == name]
    arguments = case.write(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    planned = ("--plan",) if case.verdict == "warn" else ()
    began = time.perf_counter()
    command = [sys.executable, "-m", "tl_run", *arguments, *MODEL, *planned]
    environment = ENVIRONMENT | {"TL_RUN_CACHE": str(tmp_path / "cache")}
    found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert time.perf_counter() - began < 60  # on a machine that does much else; some two seconds on one that does not
    said = found.stdout if planned else found.stderr
    assert found.returncode == (0 if planned else 2), found.stderr
    assert [words for words in case.words if words not in said] == []
    assert "Traceback" not in found.stdout + found.stderr
    assert said.count("warning: ") == 1 if planned else len(said.splitlines()) <= 3
    assert [path for path in sorted(tmp_path.rglob("*")) if "cache" not in path.parts] == before, "something was left"


def test_the_corpus_is_as_large_as_it_says() -> None:
    counts = {verdict: sum(case.verdict == verdict for case in CASES) for verdict in ("error", "accept", "warn")}
    assert counts["error"] >= 150
    assert counts["accept"] >= 50
    assert counts["warn"] >= 40
    assert len({(case.kind, case.name) for case in CASES}) == len(CASES)
