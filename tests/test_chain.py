"""A run that starts from another: the same as from its model folder, known by what came before, refused in words."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file

from composing import compose
from tl_run.errors import BadOption
from tl_run.prepare import prepare
from tl_run.report import runs, settings


@pytest.fixture
def first(tl_run, bert, table) -> str:
    """A finished run of three steps."""
    assert tl_run(*_typed(table), "model=custom", f"model.path={bert}", "task.name=first", "hydra.run.dir=first") == 0
    return "first"


def _typed(table: Path) -> list[str]:
    return ["task=classification", f"task.train={table}", "training.max_steps=3", "task.max_length=16"]


def _result(run: str) -> dict:
    return json.loads(Path(run, "result.json").read_text())


def test_a_chain_of_three_is_remembered_and_told(tl_run, first, table):
    again = [*_typed(table), "model=custom", "seed=1"]
    assert tl_run(*again, f"model.from_run={first}", "task.name=second", "hydra.run.dir=second") == 0
    assert tl_run(*again, "model.from_run=second", "task.name=third", "hydra.run.dir=third") == 0
    assert tl_run(*again, "model.path=second/model", "task.name=third", "hydra.run.dir=by-path") == 0
    start = _result("third")["start"]
    assert [link["task"] for link in start["chain"]] == ["first", "second"]
    assert [link["identity"] for link in start["chain"]] == [_result(run)["identity"] for run in ("first", "second")]
    assert _result("third")["identity"] == _result("by-path")["identity"]  # the weights decide, not how they are named
    one, other = (load_file(Path(run, "model", "model.safetensors")) for run in ("third", "by-path"))
    assert all(one[name].equal(other[name]) for name in one)
    assert tl_run("resume=third") == 0

    assert tl_run(*again, "model.path=first/model", "task.name=third", "hydra.run.dir=alone") == 0
    shutil.rmtree("by-path")
    (task,) = [task for task in settings.tasks(runs.find([Path()]).runs) if task.name == "third"]
    assert {setting.values["from_run"] for setting in task.settings} == {"first, second", settings.NOTHING}


def _refused(*typed: str) -> str:
    with pytest.raises(BadOption) as failure:
        prepare(compose(*typed), [*typed])
    return str(failure.value)


def test_what_is_no_start_is_refused_with_what_to_type(first, bert, table):
    again = [*_typed(table), "model=custom"]
    assert "no run lies there" in _refused(*again, "model.from_run=nowhere")
    assert "leave one of the two out" in _refused(*again, f"model.from_run={first}", f"model.path={bert}")
    assert "leave one of the two out" in _refused(*again, f"model.from_run={first}", "model.pretrained=false")
    assert "type model=custom" in _refused(*_typed(table), "model=tiny", f"model.from_run={first}")
    Path(first, "result.json").unlink()
    assert "not finished: tl-run resume=first" in _refused(*again, f"model.from_run={first}")
