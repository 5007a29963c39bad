"""Generation: rows, prompts, losses and scores beside those of other libraries, and what a run leaves."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from composing import compose
from conftest import WORDS
from finished_objects import assemble
from kind_runs import assert_any_cut_gives_the_same_gradient, assert_the_store_changes_nothing, jsonl, lines, outcome
from tiny_models import WRITERS
from tl_run import embedded, task
from tl_run.config.check import check
from tl_run.data import pairs_of_text
from tl_run.data.table import Table
from tl_run.errors import BadInput, BadOption
from tl_run.task import writing
from tl_run.task.generation import Written
from tl_run.task.source_target import Example
from tl_run.task.text_scores import Characters, scores

SMALL = ["model=seq2seq-small", "model.hidden=16", "model.layers=1", "model.feed_forward=32", "model.vocabulary=300"]


def kind(*overrides: str) -> Any:
    return task.load(check(compose("task=generation", "task.train=x.jsonl", *overrides)).task)


def table(*rows: dict[str, Any]) -> Table:
    return Table("x.jsonl", [*dict.fromkeys(name for row in rows for name in row)], [*rows], [*range(1, len(rows) + 1)])


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> list[str]:
    """The target is two words of the source, in the other order."""
    folder, overrides, number = tmp_path_factory.mktemp("toy"), [], 0
    for split, count in (("train", 24), ("validation", 6), ("test", 7)):
        rows = []
        for i in range(count):
            number += 1
            first, second = WORDS[(5 * number) % 11], WORDS[11 + number % 11]
            filling = " ".join(WORDS[(number * k) % 22] for k in range(number % 5))
            rows.append({"id": f"{split}{i}", "source": f"{first} {second} {filling}", "target": f"{second} {first}"})
        overrides.append(f"task.{split}={jsonl(folder / f'{split}.jsonl', rows)}")
    sizes = ["task.max_length=40", "task.max_target_length=16", "training.batch_size=8"]
    return ["task=generation", *overrides, "task.id=id", *sizes, "hardware=cpu", "hardware.threads=1"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("writers")
    return {name: make(place / name) for name, make in WRITERS.items()}


def custom(folder: Path) -> list[str]:
    return ["model=custom", f"model.path={folder}", "optimizer.lr=5e-3"]


# -- reading


def test_an_example_is_what_its_row_says():
    made = kind("task.references=others", "task.id=id")
    rows = {
        "train": table({"id": "a", "source": "s", "target": "t"}),
        "test": table(
            {"id": "b", "source": "s", "target": "t", "others": ["u", "v"]},
            {"id": "c", "source": "", "target": "t", "others": '["u"]'},
        ),
    }
    assert made.read(rows) == {
        "train": [Example("a", "s", "t", ("t",))],
        "test": [Example("b", "s", "t", ("u", "v")), Example("c", "", "t", ("u",))],
    }
    assert made.read_unlabelled(table({"source": "s"})) == [Example("0", "s", None)]


def test_a_split_without_any_target_is_without_labels():
    found = kind().read({"train": table({"source": "s", "target": "t"}), "test": table({"source": "s", "target": ""})})
    assert found["test"] == [Example("0", "s", None, ())]
    assert kind().stratum(found["test"][0]) is None
    with pytest.raises(BadInput, match=r"x.jsonl: no example has a text in 'target'"):
        kind().read({"train": table({"source": "s", "target": None})})


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"source": None, "target": "t"}, "x.jsonl, line 2: 'source' is missing, a text is needed (task.source)"),
        ({"source": "s", "target": ""}, "x.jsonl, line 2: 'target' is missing, a text is needed (task.target)"),
        ({"source": "s", "target": 3}, "x.jsonl, line 2: 'target' is a number, a text is needed (task.target)"),
        ({"source": "s", "target": "t", "others": "u"}, "'others' is a text, a list of texts is needed"),
        ({"source": "s", "target": "t", "others": []}, "'others' is a list of something else, a list of texts"),
    ],
)
def test_problems_are_told_with_their_line_and_remedy(row, words):
    good = {"source": "s", "target": "t", "others": ["u"]}
    with pytest.raises(BadInput) as failure:
        kind("task.references=others").read({"train": table(good, good | row)})
    assert words in str(failure.value)


def test_a_column_that_no_split_has_is_named():
    with pytest.raises(BadInput, match=r"task.references"):
        kind("task.references=others").read({"train": table({"source": "s", "target": "t"})})


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["task.prompt='summarize:'"], "type {source} once"),
        (["task.length_penalty=2"], "task.length_penalty=2 does nothing without beams: type task.beams=4"),
        (["+task.num_beams=4"], "Did you mean 'task.beams'?"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(overrides, words):
    with pytest.raises(BadOption) as failure:
        kind(*overrides)
    assert words in str(failure.value)


# -- what the model reads

TEXTS = ["good film", "the plot was not very good and i hated it", ""]


def encoded(folder: Path, *overrides: str, targets: Any = ("film", "it was a very very dull plot", "a")) -> Any:
    made = kind(*overrides)
    made.meta = made.meet(transformers.AutoConfig.from_pretrained(folder))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    examples = [Example(str(i), *pair) for i, pair in enumerate(zip(TEXTS, targets, strict=True))]
    return made, made.encode(examples, tokenizer), tokenizer


@pytest.mark.parametrize("family", ["t5", "bart"])
def test_an_encoder_decoder_reads_the_prompt_and_the_target_one_later(family, folders):
    options = ("task.max_length=24", "task.max_target_length=12", "task.prompt='say: {source} now'")
    made, found, tokenizer = encoded(folders[family], *options)
    batch = made.collate(found, np.arange(3), {"input_ids": tokenizer.pad_token_id})
    rows = [ids[mask == 1].tolist() for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)]
    assert rows[0] == tokenizer("say: good film now")["input_ids"]
    assert rows[2] == tokenizer("say:  now")["input_ids"]
    whole = tokenizer(f"say: {TEXTS[1]} now")["input_ids"]
    end = tokenizer(" now")["input_ids"][-5:]
    assert len(rows[1]) == 24
    assert rows[1] == whole[:19] + end, "of a long source the end is cut, and the prompt stays"
    assert batch["labels"][0][batch["labels"][0] != -100].tolist() == tokenizer("film")["input_ids"]
    cut = tokenizer("it was a very very dull plot")["input_ids"]
    assert batch["labels"][1].tolist() == [*cut[:11], cut[-1]]
    assert made.notes == [
        "1 of 3 sources are cut at task.max_length=24",
        "1 of 3 targets are cut at task.max_target_length=12",
    ]
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folders[family])
    assert torch.equal(batch["decoder_input_ids"], model.prepare_decoder_input_ids_from_labels(batch["labels"]))
    assert made.weight(found, np.arange(3)) == (batch["labels"] != -100).sum()


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_a_decoder_reads_the_target_behind_the_prompt_and_learns_it_alone(family, folders):
    made, found, tokenizer = encoded(folders[family], "task.max_length=30", "task.max_target_length=16")
    batch = made.collate(found, np.arange(3), {"input_ids": tokenizer.pad_token_id})
    prompt = tokenizer("good film\n")["input_ids"]
    target = [*tokenizer("film", add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    assert batch["input_ids"][0][: len(prompt + target)].tolist() == prompt + target
    assert batch["labels"][0][: len(prompt + target)].tolist() == [-100] * len(prompt) + target
    assert (batch["labels"][0][len(prompt + target) :] == -100).all(), "padding is not learned"
    assert found.lengths.max() <= made.row_length == 46
    assert made.weight(found, np.arange(3)) == (batch["labels"] != -100).sum()


@pytest.mark.parametrize("family", WRITERS)
def test_the_loss_is_transformers_own_as_a_sum(family, folders):
    made, found, tokenizer = encoded(folders[family], "task.max_length=40", "task.max_target_length=16")
    batch = made.collate(found, np.arange(3), {"input_ids": tokenizer.pad_token_id})
    model = getattr(transformers, made.auto_class).from_pretrained(folders[family])
    with torch.no_grad():
        theirs = model(**batch).loss.item()
        ours = made.loss(model(**{k: v for k, v in batch.items() if k != "labels"}), batch).item()
    count = made.weight(found, np.arange(3))
    assert ours == pytest.approx(theirs * count, rel=1e-5)
    made.metric = "perplexity"
    predictions = made.decode(model(**{k: v for k, v in batch.items() if k != "labels"}), batch, model)
    assert [p.text for p in predictions] == [None] * 3
    assert made.metrics(predictions, found) == {"perplexity": pytest.approx(math.exp(theirs), rel=1e-5)}


@pytest.mark.parametrize("model", ["small", "gpt2"])
def test_any_cut_gives_the_same_gradient(model, toy, folders):
    chosen = SMALL if model == "small" else custom(folders[model])
    assert_any_cut_gives_the_same_gradient(*toy, *chosen)


# -- scores


def test_scores_are_those_of_the_libraries():
    import sacrebleu
    from rouge_score.rouge_scorer import RougeScorer

    texts = ["The boys are running home.", "a dull plot", ""]
    references = [["The boy runs home!", "Boys running to their home."], ["a very dull plot, it was"], ["nothing"]]
    found = scores(texts, references, by_character=False)
    streams = [["The boy runs home!", "a very dull plot, it was", "nothing"], ["Boys running to their home.", "", ""]]
    assert found["bleu"] == sacrebleu.corpus_bleu(texts, streams).score > 0
    assert found["chrf"] == sacrebleu.corpus_chrf(texts, streams).score > 0
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
    for name in ("rouge1", "rouge2", "rougeL"):
        best = [
            max(scorer.score(reference, text)[name].fmeasure for reference in each)
            for text, each in zip(texts, references, strict=True)
        ]
        assert found[name] == pytest.approx(np.mean(best))
        assert found[name] > 0


def test_chinese_is_scored_by_characters_when_most_of_it_is():
    import sacrebleu
    from rouge_score.rouge_scorer import RougeScorer

    text, reference = "今天天气很好", "今天天气真好"
    found = scores([text], [[reference]], by_character=True)
    assert found["bleu"] == sacrebleu.corpus_bleu([text], [[reference]], tokenize="zh").score > 0
    assert found["rouge1"] == pytest.approx(5 / 6)
    assert found["rougeL"] == RougeScorer(["rougeL"], tokenizer=Characters()).score(reference, text)["rougeL"].fmeasure
    assert scores([text], [[reference]], by_character=False)["rouge1"] == 0
    for target, option, expected in ((reference, "auto", True), ("today", "auto", False), (reference, "false", False)):
        made = kind(f"task.by_character={option}")
        made.read({"train": table({"source": "s", "target": target})})
        assert made.by_character is expected


def test_floors_are_told_of_the_chosen_model_alone():
    made = kind()
    examples = [Example("0", "a dull film", "dull film", ("dull film",))]
    split = pairs_of_text.Encoded(np.array([0, 1]), {}, ["0"], np.zeros(1), None, examples)
    assert made.tables([Written("x", 1.0, 1)], split) == {}
    made.settle({})
    floors = made.tables([Written("x", 1.0, 1)], split)["floors"]
    assert floors["source"] == scores(["a dull film"], [["dull film"]], by_character=False)
    assert floors["nothing"]["rougeL"] == floors["nothing"]["chrf"] == 0


# -- writing


@pytest.mark.parametrize("more", [[], ["task.beams=3", "task.length_penalty=0.5", "task.no_repeat_ngram=2"]], ids=str)
@pytest.mark.parametrize("family", WRITERS)
def test_a_text_does_not_depend_on_what_it_is_padded_beside(family, more, toy, folders):
    parts = assemble(*toy, *custom(folders[family]), *more)
    together, alone = parts.score("test", batch_size=7), parts.score("test", batch_size=1)
    written = [prediction.text for prediction in together.predictions]
    assert written == [prediction.text for prediction in alone.predictions]
    config = parts.model.generation_config
    assert (config.max_new_tokens, config.num_beams) == (16, 3 if more else 1)
    tokenizer, made = parts.found.tokenizer, parts.job.task
    for example, text in list(zip(parts.encoded["test"].examples, written, strict=True))[:2]:
        prompt = made.prompt.replace("{source}", example.source)
        inputs = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)
        found = parts.model.generate(**inputs)[0][inputs["input_ids"].shape[1] if made.in_one else 0 :]
        assert tokenizer.decode(found, skip_special_tokens=True).strip() == text


@pytest.mark.parametrize("family", WRITERS)
def test_every_family_runs_and_its_model_writes_the_same_elsewhere(family, toy, folders, tl_run, capsys):
    assert tl_run(*toy, *custom(folders[family]), "training.epochs=2", "hydra.run.dir=run", "freeze=embeddings") == 0
    result = json.loads(Path("run/result.json").read_text())
    assert result["metric"]["name"] == "rougeL"
    assert {*result["test"]} == {"bleu", "chrf", "rouge1", "rouge2", "rougeL", "perplexity", "loss"}
    assert {*result["tables"]["floors"]} == {"source", "nothing"}
    assert result["tables"]["floors"]["source"]["rouge1"] > 0
    assert math.log(result["test"]["perplexity"]) == pytest.approx(result["test"]["loss"], rel=1e-5)
    told = lines(Path("run/predictions-test.jsonl"))
    assert {*told[0]} == {"id", "source", "gold", "prediction"}
    auto = transformers.AutoModelForCausalLM if family in ("gpt2", "llama") else transformers.AutoModelForSeq2SeqLM
    model, tokenizer = auto.from_pretrained("run/model"), transformers.AutoTokenizer.from_pretrained("run/model")
    if auto is transformers.AutoModelForCausalLM:
        pipe = transformers.pipeline("text-generation", model="run/model")
        written = [pipe(f"{row['source']}\n", return_full_text=False)[0]["generated_text"].strip() for row in told]
    else:
        rows = [tokenizer(row["source"], return_tensors="pt", return_token_type_ids=False) for row in told]
        written = [tokenizer.decode(model.generate(**row)[0], skip_special_tokens=True).strip() for row in rows]
    assert written == [row["prediction"] for row in told]
    assert "generate(**inputs)" in Path("run/model/README.md").read_text()
    capsys.readouterr()
    from tl_run import predict

    predict.predict(["run", toy[3].partition("=")[2], "--format", "jsonl", "--device", "cpu"])
    again = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["prediction"] for row in again] == written


def test_with_perplexity_nothing_is_written_before_the_test(toy, tl_run, monkeypatch):

    written = []
    monkeypatch.setattr(writing, "write", lambda model, tokenizer, ids, mask: [written.append(1) or "x" for _ in ids])
    assert tl_run(*toy, *SMALL, "task.metric=perplexity", "training.epochs=3", "hydra.run.dir=run") == 0
    result = json.loads(Path("run/result.json").read_text())
    assert len(written) == 7
    assert {*result["validation"]} == {"perplexity", "loss"}
    seen = [line["perplexity"] for line in lines(Path("run/metrics.jsonl")) if line["kind"] == "validation"]
    assert result["validation"]["perplexity"] == min(seen) < seen[0]
    assert result["test"]["rouge1"] == 0


# -- what learns


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("t5", ["freeze=bottom", "freeze.layers=3"]),
        ("t5", ["freeze=all_but_bias", "model.path=BART"]),
        ("bart", ["freeze=all_but_norms"]),
        ("t5", ["freeze=gradual", "freeze.head_first=0", "freeze.every=0.5"]),
        ("t5-with-a-head", ["freeze=trunk"]),
        ("t5", ["adapter=lora"]),
        ("bart", ["adapter=lora"]),
        ("llama", ["adapter=lora", "freeze=bottom", "freeze.layers=1"]),
    ],
    ids=str,
)
def test_what_stays_and_what_learns(family, options, toy, folders, tl_run, capsys):
    options = [option.replace("BART", str(folders["bart"])) for option in options]
    few = ["training.max_steps=4", "training.eval_every=4", "task.metric=perplexity", "hydra.run.dir=run"]
    assert tl_run(*toy, *custom(folders[family]), *few, *options) == 0
    result = json.loads(Path("run/result.json").read_text())
    assert result["audit"]["frozen_moved"] == []
    assert result["parameters"]["trainable"] > 0
    if family != "llama":
        assert "of an encoder-decoder that writes no states are kept" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("freeze", "words"),
    [
        (
            "freeze=trunk",
            "it writes with its embeddings: type freeze=bottom freeze.layers=3, or freeze=none adapter=lora",
        ),
        ("freeze=gradual", "it writes with its embeddings: type freeze.head_first=0"),
    ],
)
def test_a_head_that_is_the_embeddings_cannot_learn_alone(freeze, words, toy, folders, tl_run, capsys):
    assert tl_run(*toy, *custom(folders["t5"]), freeze) == 2
    assert words in capsys.readouterr().err


def test_a_frozen_part_of_a_decoder_is_computed_once_with_the_same_bits(toy, folders, tl_run):
    command = [*toy, *custom(folders["llama"]), "freeze=bottom", "freeze.layers=2", "training.epochs=2"]
    assert_the_store_changes_nothing(tl_run, *command)
    assert json.loads(Path("warm/result.json").read_text())["stored_mb"] > 0


def test_killed_and_resumed_is_not_killed(toy, tl_run, monkeypatch):
    from tl_run import checkpoint

    command = [*toy, *SMALL, "training.epochs=2", "training.checkpoint_every=2"]
    assert tl_run(*command, "hydra.run.dir=whole") == 0
    save = checkpoint.save

    def dying(*arguments: Any, **named: Any) -> None:
        save(*arguments, **named)
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", dying)
    assert tl_run(*command, "hydra.run.dir=again") != 0
    monkeypatch.setattr(checkpoint, "save", save)
    assert tl_run(*command, "hydra.run.dir=again") == 0
    (records, weights, told), (whole, right, expected) = outcome(Path("again")), outcome(Path("whole"))
    assert (records, told) == (whole, expected)
    assert all(torch.equal(weights[name], right[name]) for name in right)


def test_bf16_limit_held_out_and_no_targets_in_test(toy, folders, tl_run, capsys):
    rows = [row | {"target": None} for row in lines(Path(toy[3].partition("=")[2]))]
    given = [toy[0], toy[1], f"task.test={jsonl(Path('test.jsonl'), rows)}", *toy[4:], *custom(folders["gpt2"])]
    more = ["task.limit=12", "training.max_steps=2", "hardware.precision=bf16", "task.validation_share=0.2"]
    assert tl_run(*given, *more, "model.pretrained=false", "hydra.run.dir=run") == 0
    assert "the test split has no labels: it is not scored" in capsys.readouterr().out
    assert json.loads(Path("run/result.json").read_text())["test"] is None
    assert len(lines(Path("run/predictions-validation.jsonl"))) == 5


# -- models


def test_a_small_one_that_begins_with_nothing_is_transformers_own(toy, tl_run):
    assert tl_run(*toy, *SMALL, "training.max_steps=2", "hydra.run.dir=run") == 0
    config = json.loads(Path("run/model/config.json").read_text())
    assert (config["model_type"], config["architectures"]) == ("mbart", ["MBartForConditionalGeneration"])
    tokenizer = transformers.AutoTokenizer.from_pretrained("run/model")
    text = "The 2 Films, naïve: ok?"
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True).strip() == text, "what is written has its capitals and marks"
    assert ids[:-1] == tokenizer(f" {text}", add_special_tokens=False)["input_ids"], (
        "a word is the same at the beginning"
    )
    assert ids[-1] == tokenizer.eos_token_id == config["eos_token_id"]
    assert tokenizer.pad_token_id == config["pad_token_id"]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["task=generation", "model=rnn"], "model=rnn has no head for task=generation: type model=tiny"),
        (["task=classification", "model=seq2seq-small"], "has no head for task=classification"),
        (
            ["task=generation", "model=seq2seq-small", "model.heads=5"],
            "model.hidden=128 is no multiple of model.heads=5",
        ),
        (["task=generation", "BERT"], "reads a text from both sides, so it cannot write"),
        (
            ["task=generation", "GPT2", "task.max_length=60"],
            "this model reads at most 64 tokens: type task.max_length=48",
        ),
        (
            ["task=generation", "T5", "task.max_length=8", "task.prompt='please say in a few words: {source}'"],
            "task.prompt takes",
        ),
        (["task=generation", "BART", "task.max_target_length=80"], "this model writes at most 64 tokens"),
    ],
    ids=str,
)
def test_models_that_cannot_are_refused_in_words(overrides, words, toy, folders, bert, tl_run, capsys):
    models = {"BERT": custom(bert), **{name.upper(): custom(folder) for name, folder in folders.items()}}
    chosen = [each for override in overrides for each in models.get(override, [override])]
    data = toy[1:] if "task=generation" in overrides else [toy[1], "task.text=source", "task.label=target"]
    data = [option for option in data if option.partition("=")[0] not in {o.partition("=")[0] for o in chosen}]
    assert tl_run(*chosen, *data) == 2
    assert words in capsys.readouterr().err


# -- what ships


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "scripts" / "pretrain"))
    import pretrain_tiny_generation

    return pretrain_tiny_generation


def test_the_embedded_model_was_taught_to_copy_what_stands_between_two_masks(script):
    found = script.pairs(50, seed=3)
    assert found == script.pairs(50, seed=3) != script.pairs(50, seed=4)
    assert all(pair["source"].split(script.MASK)[1].strip() == pair["target"] for pair in found)
    folder = Path(embedded.__file__).parent / "tiny-generation"
    assert sum(file.stat().st_size for file in folder.iterdir()) < 1e6
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer([pair["source"] for pair in found], padding=True, return_tensors="pt")
    with torch.no_grad():
        written = writing.write(model, tokenizer, inputs["input_ids"], inputs["attention_mask"])
    assert sum(text == pair["target"] for text, pair in zip(written, found, strict=True)) > 40


def test_the_demo_and_the_plan_run_with_nothing_else_typed(tl_run, capsys):
    assert tl_run("task=generation-demo", "plan=true") == 0
    assert "72 train, 12 validation, 20 test; best by rougeL" in capsys.readouterr().out
    assert tl_run("task=generation-demo", "training.max_steps=2", "hydra.run.dir=run") == 0
    told = lines(Path("run/predictions-test.jsonl"))
    assert len(told) == 20
    assert all(row["gold"] in row["source"] for row in told)
