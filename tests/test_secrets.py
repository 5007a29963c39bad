"""What looks like a secret is written nowhere."""

import pytest

from tl_run.secrets import MASK, mask

TOKEN = "hf_" + "aB3" * 8


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ({"hf_token": "x"}, {"hf_token": MASK}),
        ({"API_KEY": 5, "apikey": "x"}, {"API_KEY": MASK, "apikey": MASK}),
        ({"a": {"db_password": ["x", "y"]}}, {"a": {"db_password": [MASK, MASK]}}),
        ({"secret": None}, {"secret": None}),
        (["hub.token=abc", "+x.secret=", "seed=3"], [f"hub.token={MASK}", f"+x.secret={MASK}", "seed=3"]),
        (f"use {TOKEN}, please", f"use {MASK}, please"),
        (f"path={TOKEN}", f"path={MASK}"),
        ("https://me:pass@host/x", f"https://{MASK}@host/x"),
        ({"text": "hf_short", "number": 3, "share": 0.5, "flag": True}, None),
        ({"tokens": "words", "tokenizer": "wordpiece", "max_tokens": 5}, None),
        (["task.tokens=words", "model.tokenizer=x"], None),
        ("https://host:80/path@2", None),
    ],
)
def test_masked_at_any_depth(value, masked):
    assert mask(value) == (value if masked is None else masked)


def test_values_of_the_environment_are_masked(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0123456789")
    monkeypatch.setenv("SHORT_TOKEN", "abc")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "sometimes")
    assert mask("key 0123456789, abc, sometimes") == f"key {MASK}, abc, sometimes"


def test_no_file_of_a_run_and_no_log_holds_one(tl_run, bert, table, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", "plain-secret-words")
    arguments = ["task=classification", f"task.train={table}", "task.max_length=16", "model=custom"]
    arguments += [f"model.path={bert}", f"sweep.name={TOKEN}", "hydra.run.dir=mine"]
    assert tl_run(*arguments) == 0

    def fails(**_):
        raise ZeroDivisionError(f"with {TOKEN}")

    monkeypatch.setattr("tl_run.run.train", fails)
    arguments[-2:] = ["sweep.name=plain-secret-words", "hydra.run.dir=other"]
    assert tl_run(*arguments) == 70
    assert f"ZeroDivisionError: with {MASK}\n" in capsys.readouterr().err
    files = [path for path in tmp_path.rglob("*") if path.is_file() and "cache" not in path.parts]
    assert tmp_path / "other" / "tl-run.log" in files
    assert len([path for path in files if "mine" in path.parts]) > 10
    for path in files:
        data = path.read_bytes()
        assert TOKEN.encode() not in data, path
        assert b"plain-secret-words" not in data, path
