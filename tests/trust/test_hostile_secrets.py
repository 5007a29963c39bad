"""A secret that was typed, configured or set in the environment is found nowhere: every byte and every name is read."""

import os
from pathlib import Path

import pytest

from tl_run import cli
from tl_run.report import command as report

TOKEN = "hf_" + "Zq7" * 10
PASSWORD = "c4nary-pass-w0rd"
PLAIN = "canary-of-the-environment"
CANARIES = (TOKEN, PASSWORD, PLAIN)
URL = f"https://me:{PASSWORD}@host.invalid"


@pytest.fixture(autouse=True)
def secrets(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", PLAIN)
    monkeypatch.setenv("WANDB_API_KEY", PLAIN[::-1])
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()


def leaks(folder: Path) -> list[str]:
    """Where a canary is: in a file's bytes, or in a name."""
    found = []
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        found += [f"the name {name}" for canary in CANARIES if canary in name]
        if path.is_file():
            data = path.read_bytes()
            found += [name for canary in CANARIES if canary.encode() in data or canary.encode("utf-16-le") in data]
    return found


def told(capsys) -> list[str]:
    out, err = capsys.readouterr()
    return [canary for canary in CANARIES if canary in out + err]


@pytest.mark.parametrize(
    "typed",
    [
        [f"+hub.token={TOKEN}"],
        [f"hub_token={TOKEN}"],
        [f"--token={TOKEN}"],
        ["--token", TOKEN],
        [f"seed={TOKEN}"],
        [f"seed={PLAIN}"],
        [f"task={TOKEN}"],
        [f"task.train={URL}/train.csv"],
        [f"task.train='{URL}/train.csv'"],
        ["task=classification", f"task.train='{URL}/train.csv'"],
        ["model=custom", f"model.path='{URL}/model'"],
        ["model=custom", f"model.path='{URL}/model'", "--plan"],
        ["model=custom", "model.path=nix/nix", f"model.revision={TOKEN}"],
        ["task=classification", f"task.dataset='{URL}/data'"],
        [f"resume={URL}"],
        [f"--config-dir={URL}"],
        [f"sweep.name={TOKEN}", "-m", "seed=0,1"],
        [f"hydra.run.dir=out/{TOKEN}"],
        ["hydra.run.dir=out/${oc.env:HF_TOKEN}"],
        ["task.name=${oc.env:HF_TOKEN}"],
        [f"hydra.sweep.dir=out/{PLAIN}", "-m", "seed=0,1"],
        ["-m", f"model.revision={TOKEN},{PLAIN}", "model=custom", "model.path=nix/nix"],
        ["hardware.nodes=2", f"hardware.endpoint=me:{PASSWORD}@host"],
    ],
    ids=lambda typed: " ".join(typed).replace(TOKEN, "TOKEN").replace(PASSWORD, "PASSWORD").replace(PLAIN, "PLAIN"),
)
def test_a_command_that_fails_does_not_repeat_it(typed, tl_run, tmp_path, capsys):
    code = tl_run(*typed)
    assert told(capsys) == []
    assert code in (1, 2, 5)
    assert leaks(tmp_path) == []


def test_an_endpoint_with_a_password(tl_run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", URL)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.HfApi.repo_info", lambda *_, **__: (_ for _ in ()).throw(OSError(URL)))
    assert tl_run("model=bert-base") == 5
    assert told(capsys) == []
    assert leaks(tmp_path) == []


def test_runs_a_sweep_and_a_report_do_not_hold_it(tl_run, table, bert, tmp_path, capsys, monkeypatch):
    (tmp_path / "conf/task").mkdir(parents=True)
    text = f"defaults: [classification]\nname: mine\ntrain: {table}\nmax_length: 16\nepochs: 1\n"
    (tmp_path / "conf/task/mine.yaml").write_text(text + "revision: ${oc.env:HF_TOKEN}\n")
    given = ["--config-dir=conf", "task=mine", "model=custom", f"model.path={bert}", f"model.revision={TOKEN}"]
    given += ["training.max_steps=2", f"features.path=cache/x-{os.getpid()}"]
    assert tl_run(*given, "hydra.run.dir=one") == 0
    assert tl_run(*given, "-m", f"seed=0,{TOKEN}", f"task.splits.train={PLAIN}", "sweep.name=some") == 1
    assert cli.outcome(lambda: report.report(["outputs/sweeps/some", "one"])) == 0

    def fails(**_):
        raise ZeroDivisionError(f"{TOKEN} {PLAIN} {URL}")

    monkeypatch.setattr("tl_run.run.train", fails)
    assert tl_run(*given, "hydra.run.dir=two", "seed=3") == 70
    assert told(capsys) == []
    assert (tmp_path / "two/tl-run.log").is_file()
    assert (tmp_path / "outputs/sweeps/some/sweep.jsonl").is_file()
    assert list(tmp_path.rglob("events.out.tfevents.*"))
    assert leaks(tmp_path) == []
