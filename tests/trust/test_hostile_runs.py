"""A run folder from anyone: refused or right, but no code runs, nothing outside changes, it ends soon."""

import json
import shutil
import time
from pathlib import Path

import hostile_files as hostile
import pytest
import yaml

from tl_run import cli, predict
from tl_run.explain import command as explain
from tl_run.report import command as report

COMMANDS = ("resume", "predict", "report", "explain")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, bert: Path) -> Path:
    """A finished run, to be copied."""
    folder = tmp_path_factory.mktemp("finished")
    rows = "".join(f"the film {i} was {word},{word}\n" for i in range(12) for word in ("good", "bad"))
    (folder / "train.csv").write_text("text,label\n" + rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        given = ["task=classification", "task.train=train.csv", "task.test=train.csv", "task.max_length=16"]
        given += ["model=custom", f"model.path={bert}", "training.max_steps=4", "hydra.run.dir=run"]
        patch.setattr("sys.argv", ["tl-run", *given])
        assert cli.outcome(lambda: cli._compose_and_run(given)) == 0
    return folder


@pytest.fixture
def run(finished, tmp_path) -> Path:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return Path("run")


@pytest.fixture
def said(tl_run, capsys):
    """Run one of our commands on a folder: exit code, and what is printed to stdout and stderr."""

    def command(what: str, folder: Path) -> tuple[int, str, str]:
        capsys.readouterr()
        if what == "resume":
            code = tl_run(f"resume={folder}")
        elif what == "predict":
            code = cli.outcome(lambda: predict.predict([str(folder), "train.csv", "-o", "told.csv"]))
        elif what == "report":
            code = cli.outcome(lambda: report.report([str(folder), "--html", "r.html", "--csv", "r.csv"]))
        else:
            code = cli.outcome(lambda: explain.explain([str(folder), "train.csv"]))
        return code, *capsys.readouterr()

    return command


def changed(config: dict, **options) -> bytes:
    made = json.loads(json.dumps(config))
    for option, value in options.items():
        group, name = option.split("__")
        made[group][name] = value
    return yaml.safe_dump(made).encode()


CONFIGS = {
    "a bomb": hostile.BOMB,
    "itself": hostile.ITSELF,
    "a tag": hostile.TAG,
    "deep": hostile.DEEP_YAML,
    "no mapping": b"- task\n- model\n",
    "a word": b"word\n",
    "empty": b"",
    "bytes": bytes(range(256)),
    "groups as lists": b"task: []\nmodel: []\nhardware: []\nseed: 0\n",
    "a pickle": hostile.PICKLE,
    "keys of other types": b"1: 2\n? [a, b]\n: c\nnull: 3\n",
    "dates": b"task: 2020-01-01\nmodel: 1e999\nhardware: .nan\n",
}
CHANGES = {
    "_target_": {"model___target_": "os.mkdir"},
    "a path": {"task__train": "../../../../etc/passwd"},
    "code": {"model__trust_remote_code": True},
    "a name": {"task__name": "../../../outside\x1b[31m<script>alert(1)</script>"},
    "interpolation": {"task__name": "${oc.env:HOME}"},
    "a huge number": {"training__batch_size": 10**30},
    "hours": {"training__max_steps": 2**31, "training__batch_size": 2**31},
    "a pattern that takes for ever": {"model__copy": "(a+)+$"},
}
FILES = {
    "result as a list": {"result.json": b"[1]"},
    "result deep": {"result.json": hostile.DEEP_OBJECT},
    "result a pickle": {"result.json": hostile.PICKLE},
    "result empty": {"result.json": b"{}"},
    "result of strings": {"result.json": b'{"metric": "x", "seconds": [], "validation": 3, "test": {}, "seed": "a"}'},
    "result with infinity": {"result.json": b'{"metric": {"name": "accuracy"}, "validation": {"accuracy": 1e999}}'},
    "environment deep": {"environment.json": hostile.DEEP_JSON},
    "environment empty": {"environment.json": b"{}"},
    "environment as a number": {"environment.json": b"3"},
    "metrics deep": {"metrics.jsonl": hostile.DEEP_JSON + b"\n[]\n3\nnull\n{}\n"},
    "metrics of other types": {"metrics.jsonl": b'{"kind": [], "step": {}}\n{"kind": "validation", "accuracy": "x"}\n'},
    "metrics of bytes": {"metrics.jsonl": bytes(range(256)) * 40},
    "predictions deep": {"predictions-test.jsonl": hostile.DEEP_JSON + b'\n{"gold": [], "prediction": {}}\n'},
    "predictions of other types": {"predictions-test.jsonl": b'{"id": {}, "gold": 1, "prediction": [2]}\n' * 24},
    "overrides a tag": {"overrides.yaml": hostile.TAG},
    "overrides a bomb": {"overrides.yaml": hostile.BOMB},
    "labels that are none": {"model/config.json": b'{"model_type": "bert", "id2label": [1, 2]}'},
    "model config deep": {"model/config.json": hostile.DEEP_OBJECT},
    "model config a list": {"model/config.json": b"[]"},
    "weights a pickle": {"model/model.safetensors": hostile.PICKLE},
    "weights only as a pickle": {"model/model.safetensors": None, "model/pytorch_model.bin": hostile.PICKLE},
    "weights with a huge header": {"model/model.safetensors": hostile.HUGE_HEADER},
    "weights with a long header": {"model/model.safetensors": hostile.LONG_HEADER},
    "no tokenizer": {"model/tokenizer.json": None, "model/tokenizer_config.json": None},
    "a broken tokenizer": {"model/tokenizer.json": b"{"},
    "a tokenizer that is a pickle": {"model/tokenizer.json": hostile.PICKLE},
    "a design that is deep": {"model/tl_run.json": hostile.DEEP_OBJECT},
}


READ_BY = [(case, what) for case in (*CONFIGS, *CHANGES) for what in ("resume", "predict", "report")]
READ_BY += [
    (case, what)
    for case, files in FILES.items()
    for what in (("predict", "explain") if any("model/" in name for name in files) else ("resume", "report", "explain"))
]
"""Which command reads what is hostile."""


@pytest.mark.parametrize(("case", "what"), READ_BY)
def test_nothing_runs_and_nothing_outside_changes(case, what, run, said, tmp_path):
    if case in CONFIGS:
        hostile.put(run, {"config.yaml": CONFIGS[case]})
    elif case in CHANGES:
        config = yaml.safe_load((run / "config.yaml").read_text())
        hostile.put(run, {"config.yaml": changed(config, **CHANGES[case])})
    else:
        hostile.put(run, FILES[case])
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir() if path.is_file()}
    began = time.process_time()
    code, out, err = said(what, run)
    assert time.process_time() - began < 5
    assert code in (0, 2, 3, 5), err
    assert len(err.splitlines()) <= 4
    assert "\x1b" not in out + err
    made = {path.name for path in tmp_path.iterdir()} - {path.name for path in before}
    assert made <= {"run", "cache", "hf", "told.csv", "r.html", "r.csv", "report.md", "r-transfer.csv"}
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in before.items())
    assert not (tmp_path.parent / "outside").exists()


ESCAPES = "\x1b]0;mine\x07\x1b[2J\x9b31m[red]<script>alert(1)</script>"


@pytest.mark.parametrize("what", COMMANDS)
def test_names_of_a_foreign_run_steer_neither_terminal_nor_page(what, run, said):
    text = (run / "result.json").read_text().replace("accuracy", json.dumps(ESCAPES)[1:-1])
    text = text.replace('"good"', json.dumps(ESCAPES)).replace('"bad"', json.dumps("../../x\n" + ESCAPES))
    (run / "result.json").write_text(text)
    config = json.loads((run / "model/config.json").read_text())
    config["id2label"]["0"] = ESCAPES
    (run / "model/config.json").write_text(json.dumps(config))
    stored = yaml.safe_load((run / "config.yaml").read_text())
    stored["task"]["name"] = ESCAPES
    (run / "config.yaml").write_text(yaml.safe_dump(stored))
    code, out, err = said(what, run)
    assert code in (0, 2, 3), err
    for sign in ("\x1b", "\x9b", "\x07"):
        assert sign not in out + err
    for page in (Path("r.html"), run / "explain.html"):
        if page.exists():
            assert "<script>alert" not in page.read_text()


@pytest.mark.parametrize("name", [".lock", "metrics.jsonl", "terminal.log", "checkpoints", "model", "result.json"])
def test_nothing_is_written_through_a_link(name, run, said, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("theirs")
    shutil.rmtree(run / name) if (run / name).is_dir() else (run / name).unlink(missing_ok=True)
    whole = name in ("checkpoints", "model")
    (run / name).symlink_to(tmp_path / "outside" / ("" if whole else "file"))
    code, _, err = said("resume", run)
    assert code == 3
    assert f"run/{name} is a link, and nothing is written through one" in err
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["file"]
    assert (tmp_path / "outside" / "file").read_text() == "theirs"
