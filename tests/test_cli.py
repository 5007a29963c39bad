"""The commonest mistakes, in words that help; what leaves nothing behind; and the speed of what needs no torch."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tl_run as package
from tl_run import failures

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(package.__file__).parents[1])}
TABLE = "text,label\nthe film was good,yes\nthe film was bad,no\nvery fine,yes\nvery poor,no\n"


@pytest.fixture
def refused(tl_run, capsys, tmp_path):
    """Run a command that must be refused; returns what it says."""

    def command(*arguments: str, code: int = 2) -> str:
        before = sorted(tmp_path.rglob("*"))
        assert tl_run(*arguments) == code
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("error: ")
        assert "Traceback" not in err
        assert sorted(tmp_path.rglob("*")) == before, "something was left"
        return err.removeprefix("error: ").removesuffix("\n")

    return command


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("task=sentimnt", "there is no task named 'sentimnt'. Did you mean 'sentiment'?\n  task is one of: acceptab"),
        ("model=bert-bas", "there is no model named 'bert-bas'. Did you mean 'bert-base'?"),
        ("hardware=gpuu", "Did you mean 'gpu'?\n  hardware is one of: auto, cpu, fsdp, gpu, mps"),
        ("freeze=", "freeze is one of: all_but_bias, all_but_norms, bottom"),
        ("freeze=null", "every run has a freeze; tl-run --help lists them: type freeze=..."),
        ("~freeze", "every run has a freeze; tl-run --help lists them: type freeze=..."),
        ("+task=sentiment", "a choice needs no '+': type task=sentiment"),
        ("experiment=nix", "experiment"),
        ("tsak=reviews", "there is no option 'tsak'. Did you mean 'task'?"),
        ("optimiser.lr=3", "there is no option 'optimiser'. Did you mean 'optimizer'?"),
        (
            "optimizer.lrr=3",
            "there is no option 'optimizer.lrr'. Did you mean 'optimizer.lr'?\n  optimizer has: name",
        ),
        ("+optimizer.lrr=3", "'optimizer.lrr' under optimizer=adamw. Did you mean 'optimizer.lr'?"),
        ("++optimizer.lrr=3", "Did you mean 'optimizer.lr'?"),
        ("training.early_stopping.patence=3", "Did you mean 'training.early_stopping.patience'?"),
        ("freeze.layer=3", "Did you mean 'freeze.layers (with freeze=bottom)'?"),
        ("freeze.layers=3", "Did you mean 'freeze.layers (with freeze=bottom)'?"),
        ("optimizer.momentum=0.9", "there is no option 'optimizer.momentum'."),
        ("hydra.run.dirr=x", "Did you mean 'hydra.run.dir'?"),
        ("optimizer.schedule=lineer", "is not one of linear, cosine"),
        ("hardware.precision=fp61", "Did you mean 'fp16'?"),
        ("optimizer.lr=abc", "optimizer.lr: 'abc' is not a number"),
        ("optimizer.lr=${model.lrr}", "optimizer.lr: Interpolation key 'model.lrr' not found"),
        ("training.batch_size=0", "training.batch_size: 0 must be at least 1"),
        ("learning_rate=1e-3", "Did you mean 'optimizer.lr'?"),
        ("num_train_epochs=3", "Did you mean 'training.epochs'?"),
        ("per_device_train_batch_size=8", "Did you mean 'training.batch_size'?"),
        ("+per_device_train_batch_size=8", "Did you mean 'training.batch_size'?"),
        ("training.num_train_epochs=8", "Did you mean 'training.epochs'?"),
        ("fp16=true", "Did you mean 'hardware.precision=fp16'?"),
        ("model_name_or_path=x", "Did you mean 'model.path (with model=custom)'?"),
        (
            "task=[sentiment,topic]",
            "tl-run task=sentiment   or, for one run each:   tl-run -m task=sentiment,topic",
        ),
        ("model=[tiny]", "tl-run model=tiny"),
        ("model=tiny,gpt2", "model=tiny,gpt2 is a sweep of several values: type tl-run -m model=tiny,gpt2"),
        ("seed=0,1", "type tl-run -m seed=0,1"),
        ("model=custom", "model.path is required: type model.path=..."),
        ("freeze=pattern", "freeze.pattern is required: type freeze.pattern=..."),
        ("task=classification", "type task.train=<file> (CSV, TSV, JSONL, JSON, Parquet)"),
        ("task.text=review", "task.text: "),
        ("task.train=nix.csv", "nix.csv: not found"),
        ("resume=nix", "resume=nix: no run lies there"),
        ("--config-dir=nix", "nix' not found"),
        ("seed", "'seed' cannot be read as option=value"),
        (
            "task.train=my(file.csv",
            "put quotes around special characters, and others around them for the shell: 'task.train=\"my(file.csv\"'",
        ),
    ],
)
def test_a_mistake_is_told_in_words_that_help(refused, typed, words):
    said = refused(typed)
    assert words in said
    assert len(said.splitlines()) <= 3


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("task.text=txt", "train.csv has no column 'txt'; its columns are 'text', 'label'; did you mean 'text'?"),
        ("task.label=labl", "did you mean 'label'?"),
        ("task.text_pair=texd", "task.text_pair: "),
        ("task.id=name", "task.id: train.csv has no column 'name'"),
        (
            "task.validation=unknown.csv",
            "unknown.csv, line 3: label 'yess' does not occur in train. Did you mean 'yes'",
        ),
        ("task.train=one.csv", "one.csv: 'label' holds 1 label (yes), two or more are needed"),
        ("task.train=empty.csv", "empty.csv"),
        ("task.train=gap.csv", "gap.csv, line 3: the label in 'label' is missing"),
        ("task.shots=3", "task.shots=3, but one class has only"),
        ("task.validation_share=0.01", "too few to hold out 1% of each class"),
        ("task.max_length=100", "task.max_length=100, but custom reads at most 64 tokens: type task.max_length=64"),
        ("freeze.layers=3", "freeze.layers=3, but the model has 2 layers"),
        ("model.path=nix", "model.path=nix"),
        ("hardware=gpu", "hardware.device=cuda"),
    ],
)
def test_a_mistake_about_data_or_model_too(refused, bert, tmp_path, override, words):
    for name, text in {
        "train.csv": TABLE,
        "unknown.csv": "text,label\na,yes\nb,yess\n",
        "one.csv": "text,label\na,yes\nb,yes\n",
        "empty.csv": "text,label\n",
        "gap.csv": "text,label\na,yes\nb,\nc,no\n",
    }.items():
        (tmp_path / name).write_text(text)
    arguments = ["task=classification", "task.train=train.csv", "task.validation_share=0.5", "task.max_length=16"]
    arguments += ["model=custom", f"model.path={bert}", "freeze=bottom", "freeze.layers=1", override]
    code = 5 if override in ("model.path=nix", "hardware=gpu") else 2
    if override == "hardware=gpu":
        import torch

        if torch.cuda.is_available():
            pytest.skip("there is a GPU")
    said = refused(*arguments, code=code)
    assert words in said
    assert code == 5 or len(said.splitlines()) <= 3


def test_everything_out_of_reach_is_named_at_once(refused):
    began = time.monotonic()
    said = refused("task=sentiment", "model=bert-base", code=5)
    assert time.monotonic() - began < 5
    assert "google-bert/bert-base-uncased" in said
    assert "stanfordnlp/sst2" in said
    assert "Type instead: model=tiny task=reviews" in said


def test_control_characters_never_reach_the_terminal(refused, tmp_path):
    (tmp_path / "train.csv").write_text("text,label\na,yes\nb,no\n")
    (tmp_path / "dev.csv").write_text("text,label\na,\x1b[31mred\n")
    said = refused("task=classification", "task.train=train.csv", "task.validation=dev.csv")
    assert "\\x1b[31mred" in said
    assert "\x1b" not in said


def test_a_fault_of_ours_has_its_traceback_in_a_log(tl_run, capsys, tmp_path, monkeypatch, bert, table):
    monkeypatch.setattr(failures.tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    arguments = ["task=classification", f"task.train={table}", "model=custom", f"model.path={bert}"]
    arguments += ["task.max_length=16", "hydra.run.dir=mine"]

    def fails(*_, **__):
        raise ZeroDivisionError("the reason")

    def said() -> str:
        assert tl_run(*arguments) == 70
        err = capsys.readouterr().err
        assert err.startswith("error: a fault of tl-run itself: ZeroDivisionError: the reason\n  traceback: ")
        assert len(err.splitlines()) == 2
        return err.split()[-1]

    with monkeypatch.context() as early:
        early.setattr("tl_run.prepare.sources.read", fails)
        assert said() == str(tmp_path / "temporary" / "tl-run.log")
    with monkeypatch.context() as loading:
        loading.setattr("tl_run.model.pretrained.load", fails)
        assert said() == str(tmp_path / "temporary" / "tl-run.log")
    assert not (tmp_path / "mine").exists()
    with monkeypatch.context() as late:
        late.setattr("tl_run.run.train", fails)
        assert said() == "mine/tl-run.log"
    log = (tmp_path / "temporary" / "tl-run.log").read_text() + (tmp_path / "mine" / "tl-run.log").read_text()
    assert log.count("Traceback (most recent call last)") == 3
    assert log.count("ZeroDivisionError: the reason") == 3
    assert log.count("tl-run task=classification") == 3
    assert tl_run(*arguments) == 0, "what fails for a reason that is gone goes on"


def test_the_plan_trains_nothing_and_leaves_nothing(tl_run, capsys, tmp_path, bert, table, monkeypatch):
    monkeypatch.setenv("TL_RUN_CACHE", str(tmp_path.parent / f"{tmp_path.name}-cache"))
    monkeypatch.setattr("tl_run.run.train", lambda **_: pytest.fail("trains"))
    before = sorted(tmp_path.rglob("*"))
    arguments = ["task=classification", f"task.train={table}", "model=custom", f"model.path={bert}"]
    arguments += ["task.max_length=16", "freeze=trunk"]
    assert tl_run(*arguments, "--plan") == 0
    out = capsys.readouterr().out
    assert "34 of 7,458 parameters (0.5%), freeze=trunk" in out
    assert "peak lr head 0.001 (34)" in out
    assert "4 examples held out from train" in out
    assert tl_run("--plan", *arguments, "-m", "seed=0,1") == 0
    assert "2 to run" in capsys.readouterr().out
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("place", [0, 1, 3])
def test_multirun_may_stand_anywhere(tl_run, capsys, place):
    arguments = ["seed=0,1", "task.limit=20", "--plan"]
    assert tl_run(*arguments[:place], "-m", *arguments[place:]) == 0
    assert "2 to run" in capsys.readouterr().out


def test_an_override_may_refer_to_another_option(tl_run, capsys):
    assert tl_run("optimizer.lr=${optimizer.eps}", "hydra.run.dir=x/${model.name}", "--plan") == 0
    out = capsys.readouterr().out
    assert "trunk 1e-08" in out
    assert "x/tiny" in out
    assert not Path("x").exists()


HEAVY = ("torch", "transformers", "datasets", "sklearn", "tensorboard", "rich")


@pytest.mark.parametrize(
    ("typed", "code"),
    [(["--help"], 0), (["optimizer.lrr=3"], 2), (["task.train=nix.csv"], 2), (["--cfg", "job"], 0)],
    ids=str,
)
def test_what_needs_no_torch_does_not_import_it(typed, code):
    program = (
        f"import sys; from tl_run import cli; sys.argv = ['tl-run', *{typed!r}]\n"
        f"code = cli.outcome(lambda: cli._compose_and_run({typed!r}))\n"
        f"print(code, [name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], env=ENVIRONMENT, capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == f"{code} []"


def test_help_lists_groups_and_options_faster_than_torch_is_imported():
    def seconds(*command: str) -> tuple[float, str]:
        began = time.perf_counter()
        done = subprocess.run([sys.executable, *command], env=ENVIRONMENT, capture_output=True, text=True, check=True)
        return time.perf_counter() - began, done.stdout

    helps = [seconds("-m", "tl_run", "--help") for _ in range(2)]
    torch = min(seconds("-c", "import torch")[0] for _ in range(2))
    assert min(helps)[0] < torch
    text = helps[0][1]
    for line in (
        "freeze: all_but_bias, all_but_norms, bottom, embeddings, gradual, none, pattern, schedule, trunk",
        "hardware: auto, cpu, fsdp, gpu, mps",
    ):
        assert line in text
    for option in ("training.epochs", "optimizer.lr", "task.limit", "hydra.run.dir", "tl-run -m", "--plan", "resume="):
        assert option in text


def test_a_reader_that_goes_away_is_no_error():
    program = "import sys; from tl_run import cli; sys.exit(cli.outcome(lambda: print('x' * 10**6)))"
    with subprocess.Popen(
        [sys.executable, "-c", program], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stderr is not None
        writer.stdout.read(10)
        writer.stdout.close()
        assert writer.stderr.read() == b""
    assert writer.returncode == 0


def test_pythons_own_way_to_start_it():
    done = subprocess.run([sys.executable, "-m", "tl_run", "task=x"], env=ENVIRONMENT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no task named 'x'" in done.stderr


@pytest.mark.parametrize(
    "problem",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("could not create a primitive"),
    ],
)
def test_memory_that_runs_out_is_no_fault_of_ours(problem):
    code, words = failures.in_words(problem)
    assert code == 5
    assert words.startswith("memory has run out (")
    assert "type a smaller training.micro_batch_size" in words
