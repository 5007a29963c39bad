"""Tags from files to the first piece of each token, through training, scores, predictions and the saved model."""

import csv
import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers

import tiny_models
from composing import compose
from finished_objects import assemble
from tl_run import cli, predict, task
from tl_run.config.check import check
from tl_run.data.table import Table
from tl_run.errors import BadInput

LABELS = ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]


def kind(*overrides: str, labels=None):
    made = task.load(check(compose("task=tagging", "task.train=x.conll", *overrides)).task)
    made.labels = labels or made.labels
    return made


def table(*rows: tuple, columns=("tokens", "tags"), path="train.jsonl", **more) -> Table:
    return Table(
        path, columns, [dict(zip(columns, row, strict=True)) for row in rows], list(range(1, len(rows) + 1)), **more
    )


def tagged(*sentences: str, **more) -> Table:
    """Sentences such as `Anna/B-PER sings/O`."""
    pairs = [[word.rsplit("/", 1) for word in sentence.split()] for sentence in sentences]
    return table(*(([p[0] for p in pair], [p[1] for p in pair]) for pair in pairs), **more)


ANNA = "Anna/B-PER met/O Li/B-PER Wei/I-PER in/O Oslo/B-LOC"


ANNA_WORDS, ANNA_TAGS = ([word.split("/")[part] for word in ANNA.split()] for part in (0, 1))


# -- reading


def test_labels_have_both_letters_of_every_type():
    made = kind()
    examples = made.read({"train": tagged(ANNA)})["train"]
    assert made.labels == LABELS
    assert (made.metric, made.marks_spans, made.notes) == ("f1", True, [])
    assert made.inputs(examples[0]) == {"id": "0", "tokens": ANNA_WORDS, "gold": ANNA_TAGS}


@pytest.mark.parametrize(
    ("scheme", "tags"),
    [
        ("IOB1", "I-PER O I-PER I-PER O I-LOC"),
        ("BIOES", "S-PER O B-PER E-PER O S-LOC"),
        ("IOB2", "B-PER O B-PER I-PER O B-LOC"),
    ],
)
def test_every_scheme_becomes_iob2_and_the_plan_says_so(scheme, tags):
    for given in ("auto", scheme.lower()):
        made = kind(f"task.scheme={given}")
        examples = made.read({"train": table((ANNA_WORDS, tags.split()))})["train"]
        assert [*examples[0].tags] == ANNA_TAGS
        told = [] if scheme == "IOB2" else [f"the tags are {scheme}, and become IOB2 (task.scheme)"]
        assert (made.labels, made.notes) == (LABELS, told)


def test_plain_tags_are_scored_by_token():
    made = kind()
    made.read({"train": tagged("Anna/NNP sings/VBZ ./.", "it/PRP is/VBZ -/-LRB-")})
    assert made.labels == ["-LRB-", ".", "NNP", "PRP", "VBZ"]
    assert (made.metric, made.marks_spans) == ("accuracy", False)
    made = kind("task.scheme=none")
    made.read({"train": tagged(ANNA)})
    assert made.labels == ["O", "B-LOC", "B-PER", "I-PER"]  # as they are; they still look like spans
    assert (made.metric, made.marks_spans) == ("accuracy", False)


def test_texts_are_cut_at_spaces_and_class_numbers_have_names():
    made = kind()
    names = {"class_names": {"tags": ["O", "B-PER", "I-PER"]}}
    rows = table(("Anna sings", [1, 0]), ("it is", [None, None]), ("so it is", None), **names)
    examples = made.read({"train": rows})["train"]
    assert [(e.tokens, e.tags) for e in examples] == [
        (["Anna", "sings"], ["B-PER", "O"]),
        (["it", "is"], None),
        (["so", "it", "is"], None),
    ]
    assert [made.stratum(example) for example in examples] == [0, None, None]
    assert made.read({"train": table(("Anna sings", "B-PER O"))})["train"][0].tags == ["B-PER", "O"]
    assert kind().read({"train": table((["a", "b"], [3, 0]))})["train"][0].tags == ["3", "0"]


def test_a_type_that_train_lacks_is_told_and_missed():
    made = kind()
    examples = made.read({"train": tagged(ANNA), "test": tagged("Anna/B-PER Acme/B-ORG")})
    predictions = [(np.array([3, 0]), np.ones(2))]
    scores = made.metrics(predictions, SimpleNamespace(examples=examples["test"]))
    assert (scores["precision"], scores["recall"], scores["accuracy"]) == (1, 0.5, 0.5)


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        (table((["a", "b"], ["O"])), ["1: 2 in 'tokens' and 1 in 'tags', each token needs one tag"]),
        (table((5, [])), ["1: 'tokens' is a number, a list of texts is needed (task.tokens)"]),
        (table((["a", 5], ["O", "O"])), ["1: item 2 of 'tokens' is a number, a text is needed (task.tokens)"]),
        (table((["a", "b"], ["O", None])), ["1: item 2 of 'tags' is missing, a text is needed (task.tags)"]),
        (tagged(ANNA, "Oslo/LOC"), ["2: tag 1 is 'LOC', in iob2 it is O or begins with B- or I-: mend it"]),
        (tagged(*["a/O b/B-"] * 5, ANNA), [*(f"{n}: tag 2 is 'B-'" for n in (1, 2)), "... and 3 more"]),
    ],
)
def test_problems_are_told_with_their_lines_three_at_most(tables, words):
    with pytest.raises(BadInput) as failure:
        kind().read({"train": tables})
    lines = [line.removeprefix("train.jsonl, line ") for line in str(failure.value).splitlines()]
    assert len(lines) == len(words)
    assert all(line.startswith(start) for line, start in zip(lines, words, strict=True)), lines


def test_columns_and_labels_that_are_not_there():
    with pytest.raises(BadInput, match=r"^task.tokens: train.jsonl has no column 'tokens'"):
        kind().read({"train": table((["a"], ["O"]), columns=("words", "tags"))})
    with pytest.raises(BadInput, match=r"^train.jsonl: 'tags' holds only O, two or more are needed \(task.tags\)"):
        kind().read({"train": tagged("a/O b/O")})


def test_options_that_the_tags_do_not_have():
    with pytest.raises(BadInput, match=r"task.metric=f1: the tags mark no spans .* type task.metric=accuracy"):
        kind("task.metric=f1").read({"train": tagged("a/DT b/NN")})
    with pytest.raises(BadInput, match=r"tag 2 is 'I-PER' and begins a span, in iob2 B- does: .* task.scheme=iob1"):
        kind("task.scheme=iob2").read({"train": tagged("a/O b/I-PER")})


# -- encoding


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_first_pieces_carry_the_tags_whatever_the_tokenizer(family, tmp_path):
    """Joined by hand from the pieces of each word alone, as running text has them."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_models.FAMILIES[family](tmp_path))
    made = kind()
    examples = made.read({"train": tagged("the/O film/B-PER was/I-PER good/O", "bad/O plot/B-PER")})["train"]
    encoded = made.encode(examples, tokenizer)
    for i, example in enumerate(examples):
        ids = encoded.columns["input_ids"][encoded.offsets[i] : encoded.offsets[i + 1]].tolist()
        assert ids == tokenizer(" ".join(example.tokens))["input_ids"]
        at = encoded.firsts.values[encoded.firsts.offsets[i] : encoded.firsts.offsets[i + 1]].tolist()
        ends = [*at[1:], len(ids)]
        for word, start, end in zip(example.tokens, at, ends, strict=True):
            assert tokenizer.decode(ids[start:end], skip_special_tokens=True).replace(" ", "") == word
        targets = encoded.targets.values[encoded.offsets[i] : encoded.offsets[i + 1]]
        assert targets[at].tolist() == [made.labels.index(tag) for tag in example.tags]
        assert (np.delete(targets, at) == -100).all()
    assert made.weight(encoded, np.array([1, 0])) == 6


@pytest.mark.parametrize("side", ["right", "left"])
def test_what_is_cut_or_has_no_piece_is_told_and_counts_as_outside(bert, side):
    tokenizer = transformers.AutoTokenizer.from_pretrained(bert)
    tokenizer.truncation_side = side
    made = kind("task.max_length=6")
    rows = tagged("the/O film/B-PER was/O good/O and/O bad/B-PER", "\u200b/B-PER it/O")
    rows.rows.append({"tokens": ["\u200b"], "tags": ["O"]})
    rows.lines.append(3)
    encoded = made.encode(made.read({"train": rows})["train"], tokenizer)
    assert made.notes == [
        "4 tokens in 3 of 3 sentences have no piece within task.max_length=6: they are not read, and what is marked "
        "there is missed"
    ]
    # [CLS], four words, [SEP]; the last sentence has no word at all
    assert encoded.lengths.tolist() == [6, 3, 2]
    assert made.weight(encoded, np.array([0, 1, 2])) == 5
    pieces = [(np.full(6, 1), np.full(6, 0.5))] * 3  # everywhere B-PER
    found = made.gather(pieces, encoded)
    read, unread = ["B-PER"] * 4, ["O"] * 2
    assert made.tags(found[0]) == (read + unread if side == "right" else unread + read)
    assert made.tags(found[1]) == ["O", "B-PER"]
    assert made.describe(encoded.examples[1], found[1]) == {
        "prediction": ["O", "B-PER"],
        "probability": [None, 0.5],
        "spans": [{"type": "PER", "start": 1, "end": 2, "text": "it"}],
    }
    assert kind(labels=["NN", "VB"]).tags(found[1]) == [None, "VB"]


def test_a_slow_tokenizer_is_refused(bert):
    tokenizer = SimpleNamespace(is_fast=False)
    made = kind()
    examples = made.read({"train": tagged(ANNA)})["train"]
    with pytest.raises(Exception, match="does not say which word a piece is of; type another model"):
        made.encode(examples, tokenizer)


# -- loss and scores


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_loss_is_a_sum_over_first_pieces(dtype):
    made = kind(labels=LABELS)
    logits = (4 * torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(0))).to(dtype)
    labels = torch.tensor([[-100, 3, -100, 0], [1, -100, -100, -100]])
    exact = logits.double().numpy()
    expected = sum(np.log(np.exp(exact[i, j]).sum()) - exact[i, j, labels[i, j]] for i, j in ((0, 1), (0, 3), (1, 0)))
    loss = made.loss(SimpleNamespace(logits=logits), {"labels": labels})
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    for row, (found, probability) in zip(exact, made.decode(SimpleNamespace(logits=logits), {}, None), strict=True):
        assert (found == row.argmax(-1)).all()
        np.testing.assert_allclose(probability, np.exp(row).max(-1) / np.exp(row).sum(-1), rtol=1e-4)


def test_scores_and_tables_by_hand():
    """Gold: Anna, Li Wei, Oslo. Found: Anna, Li, Oslo as a person."""
    made = kind(labels=LABELS)
    encoded = SimpleNamespace(examples=kind().read({"train": tagged(ANNA)})["train"])
    predictions = [(np.array([3, 0, 3, 0, 0, 4]), np.ones(6))]
    assert made.metrics(predictions, encoded) == pytest.approx(
        {"f1": 1 / 3, "precision": 1 / 3, "recall": 1 / 3, "accuracy": 4 / 6}
    )
    assert made.tables(predictions, encoded) == {
        "per_type": {
            "LOC": {"precision": 0, "recall": 0, "f1": 0, "support": 1},
            "PER": {"precision": 1 / 3, "recall": 1 / 2, "f1": pytest.approx(0.4), "support": 2},
        }
    }


# -- runs


def files(folder: Path) -> list[str]:
    """Overrides for a task that can be learned: what follows `the` is a thing, `very good` and the like a judgement."""
    overrides, number = ["task=tagging", "task.max_length=24", "hardware=cpu", "hardware.threads=1"], 0
    for split, rows in (("train", 24), ("validation", 8), ("test", 9)):
        lines = []
        for _ in range(rows):
            number += 1
            thing, how = ("film", "plot", "story", "ending")[number % 4], ("good", "bad", "dull")[number % 3]
            lines += [
                f"{w} x {t}" for w, t in (("the", "O"), (thing, "I-T"), ("was", "O"), ("very", "I-J"), (how, "I-J"))
            ]
            lines += ["it x O", "is x O"] * (number % 3) + [""]
        (folder / f"{split}.conll").write_text("\n".join(lines))
        overrides.append(f"task.{split}={folder / split}.conll")
    return overrides


@pytest.fixture
def given(tmp_path, bert) -> list[str]:
    return [*files(tmp_path), "model=custom", f"model.path={bert}", "optimizer.lr=1e-2"]


def test_a_run_from_files_to_pipeline_and_predictions(given, tl_run, capsys):
    assert tl_run(*given, "training.epochs=8", "hydra.run.dir=mine") == 0
    result = json.loads(Path("mine/result.json").read_text())
    assert result["metric"] == {"name": "f1", "value": result["test"]["f1"], "split": "test", "higher_is_better": True}
    assert result["test"]["f1"] == 1
    assert result["tables"]["per_type"]["T"] == {"precision": 1, "recall": 1, "f1": 1, "support": 9}
    shown = capsys.readouterr().out
    assert "the tags are IOB1, and become IOB2" in shown
    assert "labels O, B-J, I-J, B-T, I-T; best by f1" in shown
    assert "J         1.000   1.000  1.000        9" in shown
    assert "token-classification" in Path("mine/model/README.md").read_text()

    told = [json.loads(line) for line in Path("mine/predictions-test.jsonl").read_text().splitlines()]
    assert [line["prediction"] for line in told] == [line["gold"] for line in told]
    pipe = transformers.pipeline("token-classification", model="mine/model", aggregation_strategy="simple")
    for line in told:
        found = [(entity["entity_group"], entity["word"]) for entity in pipe(" ".join(line["tokens"]))]
        assert found == [(span["type"], span["text"]) for span in line["spans"]] != []

    Path("new.txt").write_text("\n".join("\n".join(line["tokens"]) + "\n" for line in told))
    Path("new.csv").write_text("tokens\n" + "".join(" ".join(line["tokens"]) + "\n" for line in told))
    for name, form in (
        ("new.txt", "jsonl"),
        ("new.csv", "jsonl"),
        ("new.txt", "csv"),
        (given[6].split("=")[1], "jsonl"),
    ):
        capsys.readouterr()
        assert cli.outcome(lambda name=name, form=form: predict.predict(["mine", name, "-f", form])) == 0
        out = capsys.readouterr().out
        if form == "jsonl":
            lines = [json.loads(line) for line in out.splitlines()]
        else:
            rows = [*csv.DictReader(io.StringIO(out))]
            lines = [{k: json.loads(v) if v[0] == "[" else v for k, v in row.items()} for row in rows]
        for line, row in zip(lines, told, strict=True):
            assert line.pop("probability") == pytest.approx(row["probability"], abs=1e-5)
            assert line == {key: row[key] for key in ("id", "prediction", "spans")}


@pytest.mark.parametrize("freeze", ["none", "trunk", "bottom"])
def test_any_cut_gives_the_same_gradient(given, freeze):
    """Sentences have different numbers of tokens: a mean over micro-batches would not do."""
    layers = ["freeze.layers=1"] if freeze == "bottom" else []
    parts = assemble(*given, f"freeze={freeze}", *layers, "features.mode=off")
    parts.model.eval()
    indices, gradients = np.arange(7), []
    for size in (7, 3, 1):
        parts.model.zero_grad(set_to_none=True)
        parts.method.gradient(
            parts.model,
            {"train": indices},
            step=0,
            progress=0.0,
            micro_batch_size=size,
            backward=lambda loss: loss.backward(),
        )
        gradients.append(parts.gradients())
    assert all(gradient.any() for name, gradient in gradients[0].items() if "key.bias" not in name)
    for other in gradients[1:]:
        assert other.keys() == gradients[0].keys()
        for name, gradient in gradients[0].items():
            torch.testing.assert_close(other[name], gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("freeze", [["freeze=trunk"], ["freeze=bottom", "freeze.layers=1"]])
def test_the_store_changes_no_bit(given, tl_run, freeze, capsys):
    outcomes = []
    for name, mode in (("off", "off"), ("cold", "require"), ("warm", "require")):
        run = Path(name)
        assert tl_run(*given, *freeze, f"features.mode={mode}", "training.epochs=2", f"hydra.run.dir={run}") == 0
        weights = (run / "model" / "model.safetensors").read_bytes()
        outcomes.append(
            (
                weights,
                (run / "predictions-test.jsonl").read_bytes(),
                json.loads((run / "result.json").read_text())["test"],
            )
        )
        said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("reused")]
        assert {"off": "computed anew each time", "cold": " 0 of 41 examples", "warm": "41 of 41 examples"}[
            name
        ] in said[0]
    assert outcomes[0] == outcomes[1] == outcomes[2]


def test_bf16_random_weights_few_examples_and_a_test_without_tags(given, tl_run, tmp_path, capsys):
    lines = Path(tmp_path / "test.conll").read_text().splitlines()
    (tmp_path / "bare.jsonl").write_text(
        json.dumps({"tokens": [line.split()[0] for line in lines if line], "tags": None})
    )
    given = [*(g for g in given if not g.startswith(("task.validation", "task.test"))), "task.test=bare.jsonl"]
    given += ["hardware.precision=bf16", "model.pretrained=false", "task.limit=10", "training.epochs=1"]
    assert tl_run(*given, "hydra.run.dir=mine") == 0
    shown = capsys.readouterr().out
    assert "the test split has no labels: it is not scored" in shown
    assert "validation: 2 examples held out from train" in shown
    assert "10 train, 2 validation, no test" in shown
    assert len(Path("mine/predictions-validation.jsonl").read_text().splitlines()) == 2


def test_a_stopped_run_ends_like_one_that_was_not(given, tl_run, monkeypatch, capsys):
    assert tl_run(*given, "training.epochs=2", "hydra.run.dir=whole") == 0
    from tl_run import disk

    done = []

    def stop(operation: str, path: Path) -> None:
        done.append(path)
        if len(done) == 40:
            raise OSError(28, "no space")

    monkeypatch.setattr(disk, "hook", stop)
    assert tl_run(*given, "training.epochs=2", "hydra.run.dir=broken") != 0
    monkeypatch.setattr(disk, "hook", lambda operation, path: None)
    capsys.readouterr()
    assert tl_run("resume=broken") == 0
    assert "going on from step 2" in capsys.readouterr().out
    for name in ("model/model.safetensors", "predictions-test.jsonl"):
        assert Path("whole", name).read_bytes() == Path("broken", name).read_bytes()
