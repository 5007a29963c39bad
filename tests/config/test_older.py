"""A run that an older version has left: options that came later are filled in, and nothing else."""

import csv
import io
import json
from pathlib import Path

import pytest
import yaml

from composing import compose
from tl_run import cli, identity, predict
from tl_run.config.check import check
from tl_run.config.older import complete

ADDED = ["task.class_weights", "model.statistics", "hardware.elastic", "training.early_stopping.min_delta", "adapter"]
"""As if all of them had come after the run."""


def without(config: dict, options: list[str]) -> dict:
    made = json.loads(json.dumps(config))
    for option in options:
        *path, last = option.split(".")
        at = made
        for name in path:
            at = at[name]
        del at[last]
    return made


@pytest.mark.parametrize(
    "choices",
    [
        (),
        ("task=similarity-demo",),
        ("task=qa-demo", "freeze=gradual", "optimizer=sgd"),
        ("model=rnn", "hardware=cpu"),
        ("task=tagging-demo", "adapter=lora", "transfer=l2sp", "freeze=bottom", "freeze.layers=1"),
    ],
)
def test_what_is_missing_is_what_the_yaml_says_today(choices):
    whole = compose(*choices)
    added = [option for option in ADDED if option != "task.class_weights" or "class_weights" in whole["task"]]
    added = [option for option in added if option != "adapter" or whole["adapter"]["name"] == "none"]
    assert complete(without(whole, added)) == whole
    assert complete(whole) == whole


def test_what_is_stored_stays_and_is_never_evaluated(monkeypatch):
    monkeypatch.setenv("CANARY", "evaluated")
    whole = compose("seed=5", "optimizer.lr=3e-3")
    whole["task"]["name"] = "${oc.env:CANARY}"
    made = complete(without(whole, ["model.statistics"]))
    assert made == whole
    assert made["task"]["name"] == "${oc.env:CANARY}"


def test_what_is_unknown_stays_unknown():
    whole = compose() | {"colour": "red"}
    with pytest.raises(Exception, match="there is no option 'colour'"):
        check(complete(whole))


def test_an_older_run_can_be_predicted_with_and_resumed(tl_run, table, bert, capsys):
    given = ["task=classification", f"task.train={table}", "task.max_length=16", "model=custom", f"model.path={bert}"]
    assert tl_run(*given, "training.max_steps=4", "hydra.run.dir=mine") == 0
    Path("new.csv").write_text("text\nthe film was good\n")

    def predicted() -> dict[str, str]:
        capsys.readouterr()
        assert cli.outcome(lambda: predict.predict(["mine", "new.csv"])) == 0
        return next(csv.DictReader(io.StringIO(capsys.readouterr().out)))

    before, stored = predicted(), yaml.safe_load(Path("mine/config.yaml").read_text())
    older = without(stored, ADDED)
    environment = json.loads(Path("mine/environment.json").read_text())
    environment["identity"] = identity.identity(older, environment["data"], environment["weights"])
    Path("mine/config.yaml").write_text(yaml.safe_dump(older))
    Path("mine/environment.json").write_text(json.dumps(environment))
    assert predicted() == before
    assert tl_run("resume=mine") == 0
    assert "mine is done; its result:" in capsys.readouterr().out
