"""The kind `episodes`: whose classes are whose, the score and its interval, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from composing import compose
from finished_objects import assemble
from kind_runs import lines
from tl_run import predict
from tl_run.config import check
from tl_run.data.encoded import Encoded
from tl_run.data.episodes import Answer
from tl_run.errors import BadInput, BadOption
from tl_run.prepare import prepare

DEMO = ("task=episodes-demo", "hardware=cpu", "task.episodes=30", "task.validation_episodes=10")


def table(path: Path, classes: dict[str, int]) -> str:
    rows = [f"{name} number {i},{name}" for name, count in classes.items() for i in range(count)]
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    return str(path)


def job(*overrides: str):
    return prepare(compose("task=episodes", "task.ways=2", "task.shots=1", "task.queries=1", *overrides), [])


def test_classes_are_held_out_by_the_split_seed():
    found = prepare(compose(*DEMO), [])
    of = [{e.label for e in getattr(found.splits, name)} for name in ("train", "validation", "test")]
    assert [len(own) for own in of] == [6, 3, 3]
    assert {*range(12)} == of[0] | of[1] | of[2]
    again, other = (prepare(compose(*DEMO, *more), []) for more in (["seed=5"], ["task.split_seed=1"]))
    assert {e.label for e in again.splits.test} == of[2] != {e.label for e in other.splits.test}
    assert "classes: 6 train, 3 validation, 3 test; no class is in two splits" in found.task.notes[0]


def test_files_of_ones_own_keep_their_classes(tmp_path):
    train = table(tmp_path / "train.csv", dict.fromkeys("abcde", 3))
    test = table(tmp_path / "test.csv", dict.fromkeys("xy", 3))
    found = job(f"task.train={train}", f"task.test={test}", "task.validation_share=0.4")
    names = [{found.task.labels[e.label] for e in getattr(found.splits, s)} for s in ("train", "validation", "test")]
    assert [len(own) for own in names] == [3, 2, 2]
    assert names[2] == {"x", "y"}
    assert names[0] | names[1] == {*"abcde"}


def test_no_class_may_be_in_two_splits(tmp_path):
    train = table(tmp_path / "train.csv", dict.fromkeys("abcde", 3))
    test = table(tmp_path / "test.csv", dict.fromkeys("xybd", 3))
    with pytest.raises(BadInput, match=r"test\.csv: 'b', 'd' occur in .*train\.csv too, and test shall ask for new"):
        job(f"task.train={train}", f"task.test={test}")


def test_small_classes_and_too_few_are_named(tmp_path):
    train = table(tmp_path / "train.csv", dict.fromkeys("abcdefg", 3) | {"rare": 1})
    with pytest.raises(BadInput, match=r"class 'rare' has 1 examples, and an episode takes 2 of each"):
        job(f"task.train={train}", "task.validation_share=0.25", "task.test_share=0.25")
    few = table(tmp_path / "few.csv", dict.fromkeys("abcde", 3))
    with pytest.raises(BadInput, match=r"task.ways=2, but test has 1 classes: type .* a larger task.test_share"):
        job(f"task.train={few}", "task.validation_share=0.4")


def test_the_score_by_hand():
    task = assemble(*DEMO, "model=tiny").job.task
    encoded = Encoded(np.arange(5), {}, ["a", "b", "c", "d"], np.array([3, 4, 5, 3]))
    here, there = np.array([3, 4]), np.array([5, 3])
    sure, other = np.array([0.9, 0.1]), np.array([0.2, 0.8])
    answers = [
        *(Answer(0, 0, here, sure), Answer(0, 1, here, sure)),  # right, wrong
        *(Answer(1, 2, there, sure), Answer(1, 3, there, other)),  # both right
    ]
    assert task.metrics(answers, encoded) == {"accuracy": 0.75}
    shown = task.tables(answers, encoded)["episodes"]
    half = 1.96 * np.std([0.5, 1.0], ddof=1) / np.sqrt(2)
    assert shown["interval_95"] == pytest.approx([0.75 - half, 0.75 + half])
    assert shown["count"] == 2
    assert task.tables(answers[:2], encoded)["episodes"]["interval_95"] is None  # one has no spread


def test_a_run_leaves_a_line_for_each_query(tl_run, capsys):
    assert tl_run(*DEMO, "hydra.run.dir=run", "training.max_steps=2") == 0
    result, said = json.loads(Path("run/result.json").read_text()), lines(Path("run/predictions-test.jsonl"))
    assert (result["transfer"], result["steps"], result["splits"]["test"]) == ("finetune", 0, 24)
    assert len(said) == 30 * 3 * 4
    assert len({line["id"] for line in said}) == len(said)
    own = [np.mean([s["gold"] == s["prediction"] for s in said if s["episode"] == i]) for i in range(30)]
    assert result["test"]["accuracy"] == pytest.approx(np.mean(own))
    low, high = result["tables"]["episodes"]["interval_95"]
    assert high - low == pytest.approx(2 * 1.96 * np.std(own, ddof=1) / np.sqrt(30))
    assert all(s["gold"] in s["probabilities"] and len(s["probabilities"]) == 3 for s in said)
    assert all(s["id"] == f"{s['episode']}/{s['example']}" for s in said)
    assert result["audit"]["frozen_moved"] == []
    assert "no step of training before the episodes, 2 of at most 16 examples in each" in capsys.readouterr().out
    Path("new.csv").write_text("text\nPlay a song.\n")
    with pytest.raises(BadOption, match="learned how to learn, and no classes: give it your examples in a run of"):
        predict.predict(["run", "new.csv"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("transfer=l2sp",), "asks for new classes: type transfer=protonet, reptile, maml, or finetune"),
        (("transfer=fedavg",), "transfer=fedavg learns from single examples"),
        (("task=reviews", "transfer=maml"), "task=reviews has none: type task=episodes"),
        (("task=reviews", "transfer=protonet"), "transfer=protonet learns from episodes of new classes"),
        (("hardware.processes=2",), "episodes are of one process: type hardware.processes=1"),
        (("hardware.compile=true", "transfer=maml"), "type hardware.compile=false"),
        (("training.micro_batch_size=4",), "episodes are not cut: type auto"),
        (("freeze=gradual", "transfer=reptile"), "what learns in an episode is fixed"),
        (("hardware.precision=fp16", "transfer=reptile"), "inner steps have no scaler"),
        (("model.head=svm", "freeze=trunk"), "type model.head=linear with task=episodes-demo"),
        (("task.limit=20",), "an episode has as many examples as task.shots says: type task.limit=null"),
        (("transfer=maml", "transfer.inner_steps=0"), "transfer.inner_steps: 0 must be at least 1"),
    ],
)
def test_what_cannot_be_is_said(options, said):
    with pytest.raises(BadOption) as failure:
        check.check(compose("task=episodes-demo", *options))
    assert said in str(failure.value)
