"""What people type: every mistake is told in three lines that help, and nothing is trained or left behind."""

import shlex
from pathlib import Path

import pytest
import yaml

from tl_run.config import yaml_files
from tl_run.folder import flat

CORPUS = Path(__file__).parents[1] / "corpus_commands"
TRAIN = "text,label\n" + "".join(f"the film {i} was {w},{w}\n" for i in range(8) for w in ("good", "bad"))


def cases(name: str) -> list:
    return [pytest.param(case, id=case["typed"]) for case in yaml.safe_load((CORPUS / name).read_text("utf-8"))]


@pytest.fixture
def folder(tmp_path, bert):
    """What lies where the command is typed."""

    def made(files: dict[str, str]) -> set[Path]:
        (tmp_path / "bert").symlink_to(bert)
        for name, text in ({"train.csv": TRAIN, "dev.csv": TRAIN} | files).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(text.encode("latin-1" if "\xff" in text else "utf-8"))
        return {*tmp_path.rglob("*")}

    return made


@pytest.mark.parametrize("case", cases("refused.yaml"))
def test_a_mistake_is_refused_in_words_that_help(case, folder, tl_run, tmp_path, capsys, monkeypatch):
    before = folder(case.get("files", {}))
    monkeypatch.setattr("tl_run.run.train", lambda **_: pytest.fail("it trains"))
    code = tl_run(*shlex.split(case["typed"]))
    out, err = capsys.readouterr()
    assert code == case.get("code", 2), err
    for words in case["says"]:
        assert words in err
    assert len(err.splitlines()) <= 3, err
    assert err.startswith("error: ")
    assert out == ""
    assert "Traceback" not in err
    left = {path for path in {*tmp_path.rglob("*")} - before if path.relative_to(tmp_path).parts[0] != "cache"}
    assert not left, "something was left"


@pytest.mark.parametrize("case", cases("accepted.yaml"))
def test_what_is_odd_but_right_is_taken_as_it_is_typed(case, folder, tl_run, monkeypatch, capsys):
    folder(case.get("files", {}))
    seen: list[dict] = []
    monkeypatch.setattr("tl_run.job.start", lambda ready, plain, *_, **__: seen.append(flat(plain)))
    assert tl_run(*shlex.split(case["typed"])) == 0, capsys.readouterr().err
    assert {option: value for option, value in seen[0].items() if option in flat(case["holds"])} == flat(case["holds"])


@pytest.mark.parametrize("case", cases("warned.yaml"))
def test_what_is_doubtful_is_said_once(case, folder, tl_run, capsys):
    folder({})
    assert tl_run(*shlex.split(case["typed"]), "--plan") == 0
    out = capsys.readouterr().out
    said = [line for line in out.splitlines() if line.startswith("warning: ")]
    assert len(said) == 1, out
    for words in case["says"]:
        assert words in said[0]


def test_without_a_doubt_nothing_is_said(tl_run, capsys):
    assert tl_run("--plan") == 0
    assert "warning: " not in capsys.readouterr().out


def test_nothing_typed_names_no_folder_of_options():
    yaml_files.check([])
