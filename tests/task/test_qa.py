"""Question answering: what is read and refused, the loss, the best spans, and runs over every family and freeze."""

import csv
import io
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from composing import compose as composed
from finished_objects import assemble
from tiny_models import FAMILIES
from tl_run import cli, predict, task
from tl_run.config.check import check
from tl_run.data.table import Table
from tl_run.errors import BadInput, BadOption
from tl_run.task.answer_spans import Found, best_spans
from tl_run.task.answers import Gold
from tl_run.task.qa import Example

COLUMNS = ("question", "context", "answers")
CONTEXT = "the film was good and the plot was good"


def kind(*overrides: str):
    return task.load(check(composed("task=qa", "task.train=x.json", *overrides)).task)


def table(*rows: tuple, columns=COLUMNS, path="train.jsonl") -> Table:
    return Table(path, columns, [dict(zip(columns, r, strict=True)) for r in rows], list(range(1, len(rows) + 1)))


def answers(*pairs: tuple[str, int]) -> dict[str, list]:
    return {"text": [text for text, _ in pairs], "answer_start": [start for _, start in pairs]}


GOOD = ("was it good", CONTEXT, answers(("good", 13)))


# -- reading


def test_an_example_is_what_its_row_says():
    made = kind("task.question=q", "task.context=c", "task.answers=a", "task.id=name")
    columns = ("name", "q", "c", "a")
    rows = table(
        ("one", "how", CONTEXT, answers(("good", 35), ("film", 4))),
        ("two", "how", CONTEXT, [{"text": "the", "answer_start": 0}]),
        ("three", "why", CONTEXT, answers()),
        columns=columns,
    )
    one, two, three = made.read({"train": rows})["train"]
    assert one == Example("one", "how", CONTEXT, (Gold("good", 35), Gold("film", 4)))
    assert (one.span, two.span, three.span) == ((35, 39), (0, 3), None)
    assert three.golds == ()
    assert made.inputs(one) == {"id": "one", "question": "how", "gold": ["good", "film"]}
    assert made.group(one) == made.group(three) != made.group(Example("x", "how", "another", ()))
    unknown = made.read_unlabelled(table(("how", CONTEXT), columns=("q", "c")))[0]
    assert made.inputs(unknown) == {"id": "0", "question": "how", "gold": None}


def test_a_split_without_any_answers_is_without_labels():
    made = kind()
    examples = made.read({"train": table(GOOD), "test": table(("how", "it", None), ("why", "it", None))})
    assert [made.stratum(example) for split in examples.values() for example in split] == [0, None, None]


def test_what_stands_nowhere_scores_but_is_not_learned():
    made = kind()
    rows = table(GOOD, ("q", CONTEXT, answers(("not there", -1))), ("q", CONTEXT, answers(("no", -1), ("film", 4))))
    examples = made.read({"train": rows, "validation": rows})
    assert [example.golds is None for example in examples["train"]] == [False, True, False]
    assert [example.span for example in examples["validation"]] == [(13, 17), None, (4, 8)]
    assert [len(example.golds) for example in examples["validation"]] == [1, 1, 2]


def test_a_misplaced_answer_is_taken_where_it_stands_nearest_when_that_is_asked_for():
    made = kind("task.misplaced=nearest")
    found = made.read(
        {"train": table(GOOD, ("q", CONTEXT, answers(("good", 34))), ("q", CONTEXT, answers(("good", 9))))}
    )
    assert [example.span for example in found["train"]] == [(13, 17), (35, 39), (13, 17)]
    assert made.notes == ["train.jsonl: 2 answers are taken where they stand nearest (task.misplaced)"]
    with pytest.raises(BadInput, match="nor anywhere else"):
        made.read({"train": table(("q", CONTEXT, answers(("goood", 13))))})


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ((1, CONTEXT, answers()), "'question' is a number, a text is needed (task.question)"),
        (("q", None, answers()), "'context' is missing, a text is needed (task.context)"),
        (("q", " \n", answers()), "'context' is empty, a text is needed (task.context)"),
        (
            ("q", CONTEXT, answers(("good", 14))),
            "the answer 'good' does not stand at 14, where the context has 'ood ', but at 13: mend it, or type "
            "task.misplaced=nearest (task.answers)",
        ),
        (
            ("q", CONTEXT, answers(("Good", 13))),
            "the answer 'Good' does not stand at 13, where the context has 'good', nor anywhere else; write it as the "
            "context does, or -1 for its place: then it only scores (task.answers)",
        ),
        (("q", CONTEXT, answers(("good", -1))), "the answer 'good' does not stand at -1, but at 13: mend it"),
        (("q", CONTEXT, answers(("nix", -2))), "the answer 'nix' does not stand at -2, nor anywhere else"),
        (("q", CONTEXT, answers(("good", "13"))), "the answer 'good' has no place; answer_start counts characters"),
        (("q", CONTEXT, answers((" ", 3))), "an answer has no text; write empty lists where there is no answer"),
        (("q", CONTEXT, {"text": ["good"], "answer_start": []}), "1 answers with 0 places; as many are needed"),
        (("q", CONTEXT, "good"), 'the answers are a text; write {"text": ["..."], "answer_start": [0]}, or empty'),
        (("q", CONTEXT, None), "the answers are missing; write"),
    ],
)
def test_problems_are_told_with_their_line_and_remedy(row, words):
    with pytest.raises(BadInput) as failure:
        kind().read({"train": table(GOOD, row)})
    assert str(failure.value).startswith(f"train.jsonl, line 2: {words}")


def test_problems_are_three_at_most_and_columns_are_named():
    bad = ("q", CONTEXT, answers(("good", 1)))
    with pytest.raises(BadInput) as failure:
        kind().read({"train": table(GOOD), "test": table(*[bad] * 5, path="test.jsonl")})
    lines = str(failure.value).splitlines()
    assert [line[:18] for line in lines[:2]] == [f"test.jsonl, line {i}" for i in (1, 2)]
    assert lines[2] == "... and 3 more problems like these"
    with pytest.raises(BadInput, match=r"task\.context: train\.jsonl has no column 'text'"):
        kind("task.context=text").read({"train": table(GOOD)})
    with pytest.raises(BadInput, match=r"train\.jsonl: no question has an answer in 'answers'"):
        kind().read({"train": table(("q", CONTEXT, answers())), "validation": table(GOOD)})


def test_windows_cannot_share_all_they_hold():
    with pytest.raises(BadOption, match=r"task\.stride=24 tokens are shared by two windows of task\.max_length=24"):
        kind("task.max_length=24", "task.stride=24")


# -- loss and spans


def outputs(rows: int, tokens: int, dtype=torch.float32) -> Any:
    torch.manual_seed(0)
    start, end = (3 * torch.randn(2, rows, tokens)).to(dtype)
    return SimpleNamespace(start_logits=start, end_logits=end)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_loss_is_half_of_either_end_and_padding_has_no_part_in_it(dtype):
    found, lengths = outputs(3, 7, dtype), [7, 5, 2]
    batch = {"attention_mask": (torch.arange(7) < torch.tensor(lengths)[:, None]).long()}
    batch["labels"] = torch.tensor([[1, 6], [0, 0], [1, 1]])
    expected = 0.0
    for row, (length, labels) in enumerate(zip(lengths, batch["labels"].tolist(), strict=True)):
        for logits, label in zip((found.start_logits, found.end_logits), labels, strict=True):
            exact = logits[row, :length].double().numpy()
            expected += (np.log(np.exp(exact).sum()) - exact[label]) / 2
    made = kind()
    loss = made.loss(found, batch)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert made.weight(None, np.arange(3)) == 3
    for row, (length, decoded) in enumerate(zip(lengths, made.decode(found, batch, None), strict=True)):
        for logits, values in zip((found.start_logits, found.end_logits), decoded, strict=True):
            np.testing.assert_allclose(values[:length], logits[row, :length].float().log_softmax(-1), rtol=1e-4)
            assert (values[length:] == -np.inf).all()


def test_the_best_spans_are_the_best_of_all():
    draw = np.random.default_rng(0)
    for _ in range(60):
        tokens, longest, count = draw.integers(1, 12), int(draw.integers(1, 6)), int(draw.integers(1, 9))
        inside = draw.random(tokens) < 0.8
        places = np.stack([np.arange(tokens), np.arange(tokens) + inside], 1)
        starts, ends = draw.normal(size=(2, tokens)).astype(np.float32)
        context = np.flatnonzero(inside)
        every = [
            (int(first), int(last), float(starts[first] + ends[last]))
            for at, first in enumerate(context)
            for last in context[at : at + longest]
        ]
        expected = sorted(every, key=lambda span: -span[2])[:count]
        assert best_spans(starts, ends, places, count, longest) == expected


@pytest.fixture(scope="module")
def bert3(tmp_path_factory):
    return FAMILIES["bert"](tmp_path_factory.mktemp("qa") / "bert")


def test_windows_of_an_example_are_put_together(bert3):
    """Log-probabilities put by hand on tokens of known windows."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(bert3)
    made = kind("task.max_length=13", "task.stride=4", "task.n_best=3", "task.max_answer_tokens=2")
    examples = [Example("0", "was it good", CONTEXT, ()), Example("1", "was it", "dull", ())]
    encoded = made.encode(examples, tokenizer)
    assert encoded.owner.tolist() == [0, 0, 1]  # the film was good and the plot | good and the plot was good
    assert made.notes == ["2 questions are read in 3 windows, counted as examples"]
    rows = [np.full((2, 20), -50.0) for _ in range(3)]

    def put(row: int, first: int, last: int, value: float) -> None:
        rows[row][0, first], rows[row][1, last] = value / 2, value / 2

    def at(row: int, character: int) -> int:
        return int(np.flatnonzero((encoded.spans_of(row)[:, 0] == character) & (encoded.spans_of(row)[:, 1] > 0))[0])

    put(0, 0, 0, -3.0)
    put(1, 0, 0, -1.0)
    put(2, 0, 0, -2.0)
    put(0, at(0, 26), at(0, 26), -1.0)  # plot, in both windows
    put(1, at(1, 26), at(1, 31), -1.5)  # plot was
    rows[1][1, at(1, 26)] = -3.0  # plot, less likely here
    put(0, at(0, 13), at(0, 13), -12.0)
    put(1, at(1, 13), at(1, 13), -2.5)  # good, more likely here
    first, second = made.gather(rows, encoded)
    texts = [CONTEXT[slice(*span)] for span, _ in first.spans]
    assert texts == ["plot", "plot was", "good"]
    assert [value for _, value in first.spans] == [-1.0, -1.5, -2.5]  # the likelier of the two windows
    assert first.null == -3.0, "no answer must be likely in every window"
    assert first.difference == -2.0
    assert second.spans[0][0] == (0, 4)
    assert second.null == -2.0


def test_no_answer_is_given_above_the_threshold():
    example = Example("0", "q", CONTEXT, (Gold("good", 13),))
    found = Found([((13, 17), math.log(0.3)), ((4, 8), math.log(0.2))], math.log(0.4))
    none = Example("1", "q", CONTEXT, ())
    encoded = SimpleNamespace(examples=[example, none])
    always, never, wide = kind(), kind("task.null_threshold=0"), kind("task.null_threshold=0.5")
    assert always.describe(example, found) == {
        "prediction": "good",
        "probability": 0.3,
        "n_best": [
            {"text": "good", "start": 13, "probability": 0.3},
            {"text": "film", "start": 4, "probability": 0.2},
        ],
    }
    assert {k: v for k, v in never.describe(example, found).items() if k != "n_best"} == {
        "prediction": "",
        "probability": 0.4,
        "no_answer": 0.4,
    }
    assert wide.describe(example, found)["prediction"] == "good"
    assert always.describe(example, Found([], -1.0))["prediction"] == ""
    assert always.metrics([found], SimpleNamespace(examples=[example])) == {"f1": 1.0, "em": 1.0}
    scores = never.metrics([found, found], encoded)
    assert scores == {
        "f1": 0.5,
        "em": 0.5,
        "f1_answerable": 0.0,
        "em_answerable": 0.0,
        "em_unanswerable": 1.0,
        "best_f1": 0.5,
        "best_f1_threshold": pytest.approx(found.difference - 1),
    }
    assert wide.metrics([found, found], encoded)["f1_answerable"] == 1.0
    sure = Found(found.spans, math.log(0.01))
    assert never.metrics([sure, found], encoded)["best_f1"] == 1.0


@pytest.mark.parametrize(
    ("option", "golds", "threshold"), [("auto", answers(), 0.0), ("auto", None, None), ("null", answers(), None)]
)
def test_the_threshold_follows_the_training_questions(option, golds, threshold):
    made = kind(f"task.null_threshold={option}")
    made.read({"train": table(GOOD, *([("q", CONTEXT, golds)] if golds else []))})
    assert made.head()["null_threshold"] == threshold
    assert bool(made.notes) == (threshold is not None)
    other = kind("task.null_threshold=auto")
    other.restore(SimpleNamespace(**made.head()))
    assert other.threshold == threshold


def test_chinese_is_scored_by_characters_when_most_of_it_is():
    chinese = ("谁", "北京市在中国", answers(("北京市", 0)))
    found = Found([((0, 2), -1.0)], -9.0)
    for option, row, f1 in (("auto", chinese, 0.8), ("false", chinese, 0.0), ("true", chinese, 0.8)):
        made = kind(f"task.by_character={option}")
        examples = made.read({"train": table(row)})["train"]
        assert made.metrics([found], SimpleNamespace(examples=examples))["f1"] == pytest.approx(f1)
    made = kind()
    made.read({"train": table(GOOD)})
    assert not made.by_character


# -- runs

FILLING = ["the film was dull and", "it is a plot", "i hated it but", "the ending was poor and very bad", "not a story"]


def toy(folder: Path, none_every: int = 0) -> list[str]:
    """Contexts of one to three windows; the answer is the word great and the one after it, wherever it stands."""
    number, overrides = 0, []
    for split, count in (("train", 32), ("validation", 10), ("test", 12)):
        rows = []
        for i in range(count):
            number += 1
            parts = [FILLING[(number * k) % 5] for k in range(1, 2 + number % 4)]
            answer = f"great {['film', 'story', 'ending'][number % 3]}"
            has = not none_every or i % none_every
            parts.insert(number % (len(parts) + 1), answer if has else "fine")
            context = " ".join(parts)
            golds = answers((answer, context.index(answer))) if has else answers()
            rows.append({"id": f"{split}{i}", "question": "what is good", "context": context, "answers": golds})
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        overrides.append(f"task.{split}={folder / split}.jsonl")
    return ["task=qa", *overrides, "task.id=id", "task.max_length=20", "task.stride=4", "hardware=cpu", "task.n_best=3"]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> list[str]:
    return toy(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def with_none(tmp_path_factory) -> list[str]:
    return toy(tmp_path_factory.mktemp("toy_v2"), none_every=3)


@pytest.fixture
def options(bert3) -> list[str]:
    return ["model=custom", f"model.path={bert3}", "optimizer.lr=1e-2", "training.batch_size=8", "hydra.run.dir=run"]


def lines(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def result(folder: str = "run") -> dict[str, Any]:
    return json.loads((Path(folder) / "result.json").read_text())


def test_it_learns_and_says_so_in_every_place(tl_run, data, options, capsys):
    assert tl_run(*data, *options, "training.epochs=12", "freeze=none") == 0
    shown = capsys.readouterr().out
    assert "12 questions are read in " in shown
    assert "best by f1" in shown
    found = result()
    assert found["test"]["f1"] > 0.9, "the answer follows from one word"
    assert found["metric"]["name"] == "f1"
    told, asked = lines("run/predictions-test.jsonl"), lines(data[3].partition("=")[2])
    assert [line["id"] for line in told] == [row["id"] for row in asked]
    for line, row in zip(told, asked, strict=True):
        assert list(line) == ["id", "question", "gold", "prediction", "probability", "n_best"]
        assert line["gold"] == row["answers"]["text"]
        assert line["n_best"][0]["text"] == line["prediction"]
        assert [best["probability"] for best in line["n_best"]] == sorted(
            (best["probability"] for best in line["n_best"]), reverse=True
        )
        for best in line["n_best"]:
            assert row["context"].startswith(best["text"], best["start"])
    right = [line["prediction"] in line["gold"] for line in told]
    assert sum(right) / len(right) == pytest.approx(found["test"]["em"])
    check_tl_predict(data, told, capsys)
    check_the_card(told, asked)


def check_tl_predict(data, told, capsys):
    """In both formats what the run said, in input order, from files without gold answers."""
    rows = lines(data[3].partition("=")[2])
    paragraphs = [{"context": r["context"], "qas": [{"id": r["id"], "question": r["question"]}]} for r in rows]
    Path("new.json").write_text(json.dumps({"version": "1.1", "data": [{"title": "x", "paragraphs": paragraphs}]}))
    with open("new.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["context", "id", "question"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)

    def tl_predict(*arguments: str) -> str:
        assert cli.outcome(lambda: predict.predict(["run", *arguments])) == 0
        return capsys.readouterr().out

    capsys.readouterr()
    as_jsonl = [json.loads(line) for line in tl_predict("new.json", "-f", "jsonl").splitlines()]
    as_csv = list(csv.DictReader(io.StringIO(tl_predict("new.csv", "--batch-size", "3"))))
    for line, one, other in zip(told, as_jsonl, as_csv, strict=True):
        assert (line["id"], line["prediction"]) == (one["id"], one["prediction"]) == (other["id"], other["prediction"])
        assert one["probability"] == pytest.approx(line["probability"], abs=1e-5)
        assert float(other["probability"]) == pytest.approx(line["probability"], abs=1e-5)
        assert [best["text"] for best in json.loads(other["n_best"])] == [best["text"] for best in one["n_best"]]


def check_the_card(told, asked):
    """What the card says of loading the model works, and gives the answers of the run."""
    card = Path("run/model/README.md").read_text()
    assert "pipeline_tag: question-answering" in card
    assert "windows of 20 tokens" in card
    code = card.partition("```python\n")[2].partition("```")[0].replace("<this folder>", "run/model")
    compared = 0
    for line, row in zip(told, asked, strict=True):
        if len(row["context"].split()) < 12:  # one window
            given = code.replace("Who built the mill?", row["question"])
            given = given.replace("The mill was built by Ida Berg.", row["context"])
            names: dict[str, Any] = {}
            exec(given, names)
            assert names["answer"] == line["prediction"]
            compared += 1
    assert compared > 2


def test_questions_without_an_answer(tl_run, with_none, options, capsys):
    assert tl_run(*with_none, *options, "training.epochs=14") == 0
    assert "no answer is given where it is ahead of the best span by more than 0" in capsys.readouterr().out
    found = result()["test"]
    assert set(found) == {
        "f1", "em", "f1_answerable", "em_answerable", "em_unanswerable", "best_f1", "best_f1_threshold", "loss"
    }  # fmt: skip
    assert found["em_unanswerable"] > 0.7
    assert found["f1_answerable"] > 0.7
    assert found["best_f1"] >= found["f1"] - 1e-9
    told = lines("run/predictions-test.jsonl")
    assert [line["gold"] == [] for line in told] == [i % 3 == 0 for i in range(12)]
    assert json.loads(Path("run/model/config.json").read_text())["null_threshold"] == 0
    Path("q.csv").write_text("question,context\nwhat is good,i hated it but fine\n")
    capsys.readouterr()
    assert cli.outcome(lambda: predict.predict(["run", "q.csv", "-f", "jsonl"])) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["prediction"], said["probability"]) == ("", said["no_answer"])


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_runs_and_its_model_loads(tl_run, data, family, tmp_path):
    import transformers

    FAMILIES[family](tmp_path / "model")
    more = ["task.max_length=60", "task.stride=8", "training.max_steps=2", "hydra.run.dir=run", "freeze=bottom"]
    assert tl_run(*data, *more, "freeze.layers=1", "model=custom", f"model.path={tmp_path / 'model'}") == 0
    assert "f1" in result()["test"]
    assert result()["stored_mb"] > 0, "the lowest layer's states are stored for every family"
    model = transformers.AutoModelForQuestionAnswering.from_pretrained("run/model")
    assert type(model).__name__.endswith("ForQuestionAnswering")
    _, report = type(model).from_pretrained("run/model", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]


def left(folder: str) -> tuple[Any, ...]:
    from safetensors.torch import load_file

    weights = load_file(Path(folder) / "model" / "model.safetensors")
    scores = {key: result(folder)[key] for key in ("validation", "test", "best_step", "audit")}
    told = (Path(folder) / "predictions-test.jsonl").read_text()
    return scores, told, {name: tensor.numpy().tobytes() for name, tensor in weights.items()}


@pytest.mark.parametrize("freeze", [["freeze=trunk"], ["freeze=bottom", "freeze.layers=2"]], ids=lambda f: f[0])
def test_with_the_store_off_cold_and_warm_the_bits_are_the_same(tl_run, data, options, freeze):
    common = [*data, *options[:-1], *freeze, "training.epochs=2"]
    found = []
    for name, mode in (("off", "off"), ("cold", "require"), ("warm", "require")):
        assert tl_run(*common, f"features.mode={mode}", f"hydra.run.dir={name}") == 0
        found.append(left(name))
    assert found[0] == found[1] == found[2]
    assert result("cold")["audit"]["frozen_moved"] == []


@pytest.mark.parametrize("size", [1, 3])
def test_any_cut_of_a_batch_gives_the_same_gradient(data, options, size):
    parts = assemble(*data, *options[:-1])
    parts.model.eval()
    gradients = []
    batch = {"train": next(b for b in map(parts.method.stream.batch, range(9)) if len(b) == 8)}
    assert len({*parts.encoded["train"].lengths[batch["train"]].tolist()}) > 1, "rows are padded otherwise when cut"
    for cut in (8, size):
        parts.model.zero_grad()
        backward = torch.Tensor.backward
        parts.method.gradient(parts.model, batch, step=0, progress=0.0, micro_batch_size=cut, backward=backward)
        gradients.append(parts.gradients())
    assert gradients[0]
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-4, atol=1e-6)


def test_killed_and_resumed_is_not_killed(tl_run, data, options, monkeypatch):
    from tl_run import checkpoint

    assert tl_run(*data, *options, "training.epochs=2") == 0
    whole = left("run")
    save, saved = checkpoint.save, []

    def dying(*arguments: Any, **named: Any) -> None:
        save(*arguments, **named)
        saved.append(named["state"].step)
        raise KeyboardInterrupt

    again = [*data, *options[:-1], "training.epochs=2", "training.checkpoint_every=3", "hydra.run.dir=again"]
    monkeypatch.setattr(checkpoint, "save", dying)
    assert tl_run(*again) != 0
    monkeypatch.setattr(checkpoint, "save", save)
    assert saved == [3]
    assert tl_run(*again) == 0
    assert left("again") == whole


def test_bf16_limit_held_out_and_no_labels_in_test(tl_run, data, options, capsys):
    rows = [json.loads(line) | {"answers": None} for line in Path(data[3].partition("=")[2]).read_text().splitlines()]
    Path("test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = [data[0], data[1], "task.test=test.jsonl", *data[4:]]
    more = ["task.limit=12", "training.max_steps=3", "hardware.precision=bf16", "task.validation_share=0.2"]
    assert tl_run(*given, *options, *more, "model.pretrained=false") == 0
    shown = capsys.readouterr().out
    assert "the test split has no labels: it is not scored" in shown
    assert "train: 12 examples drawn by seed=0" in shown
    assert result()["test"] is None
    assert math.isfinite(result()["validation"]["loss"])
    assert (Path("run") / "predictions-validation.jsonl").exists()


def test_questions_on_one_context_are_held_out_together(data, options, tmp_path):
    rows = []
    for i in range(30):
        context = f"{FILLING[i % 5]} great film {'very ' * (i // 3)}"
        rows.append({"question": f"q{i}", "context": rows[-1]["context"] if i % 3 else context})
        place = rows[-1]["context"].index("great")
        rows[-1]["answers"] = answers(("great", place))
    (tmp_path / "one.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = ["task=qa", f"task.train={tmp_path / 'one.jsonl'}", "task.validation_share=0.3", *data[5:]]
    parts = assemble(*given, *options[:-1])
    train, held = ({e.context for e in parts.encoded[split].examples} for split in ("train", "validation"))
    assert len(parts.encoded["validation"].examples) == 9
    assert not train & held


def test_the_demo_and_the_plan_run_with_nothing_else_typed(tl_run, capsys):
    assert tl_run("task=qa-demo", "plan=true") == 0
    shown = capsys.readouterr().out
    assert "60 train, 16 validation, 20 test; best by f1" in shown
    assert not Path("outputs").exists()
    assert tl_run("task=qa-demo", "training.max_steps=2", "hydra.run.dir=run") == 0
    assert len(lines("run/predictions-test.jsonl")) == 20


def test_a_file_of_squads_layout_is_refused_with_the_questions_id(tl_run, options, capsys):
    question = {"id": "q7", "question": "how", "answers": [{"text": "good", "answer_start": 12}]}
    article = {"title": "x", "paragraphs": [{"context": CONTEXT, "qas": [question]}]}
    Path("train.json").write_text(json.dumps({"version": "1.1", "data": [article]}))
    assert tl_run("task=qa", "task.train=train.json", *options) == 2
    told = capsys.readouterr().err
    assert "train.json, question 'q7' (data[0].paragraphs[0]): the answer 'good' does not stand at 12" in told
