"""The embedded model and reviews: complete, small, honest about their splits, and made by the script that says so."""

import csv
import json
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer

ROOT = Path(__file__).parents[1]
EMBEDDED = ROOT / "src" / "tl_run" / "embedded"
TINY = EMBEDDED / "tiny"
PRETRAIN = ROOT / "scripts" / "pretrain"
SIZES = {"reviews": (240, 120, 240), "reviews-zh": (160, 80, 160)}


def rows(name: str, split: str) -> list[dict[str, str]]:
    with (EMBEDDED / name / f"{split}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def words(text: str) -> str:
    """The text without what a copyist changes: case, spaces, punctuation."""
    return "".join(c for c in text.lower() if c.isalnum())


def source_texts() -> list[str]:
    files = [PRETRAIN / "texts" / f"source_{language}.jsonl" for language in ("en", "zh")]
    return [json.loads(line)["text"] for file in files for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", SIZES)
def test_splits_have_their_size_and_are_balanced(name):
    for split, size in zip(("train", "validation", "test"), SIZES[name], strict=True):
        labels = [row["label"] for row in rows(name, split)]
        assert len(labels) == size
        assert [labels.count(label) for label in set(labels)] == [size // 2, size // 2]


@pytest.mark.parametrize("name", SIZES)
def test_no_text_and_no_id_occurs_twice(name):
    everything = [row for split in ("train", "validation", "test") for row in rows(name, split)]
    assert len({words(row["text"]) for row in everything}) == len(everything)
    assert len({row["id"] for row in everything}) == len(everything)


def test_the_target_reviews_are_not_among_the_source_texts():
    source = [words(text) for text in source_texts()]
    target = [
        words(row["text"]) for name in SIZES for split in ("train", "validation", "test") for row in rows(name, split)
    ]
    all_source, all_target = "\n".join(source), "\n".join(target)
    assert not [text for text in target if text in all_source]
    assert not [text for text in source if len(text) > 8 and text in all_target]


@pytest.mark.parametrize("word", ["film", "movie", "cinema", "电影", "影片", "影院"])
def test_the_source_domains_are_not_films(word):
    assert not [text for text in source_texts() if word in text.lower()]
    assert word not in "".join(
        (PRETRAIN / f"lexicon_{language}.toml").read_text(encoding="utf-8") for language in ("en", "zh")
    )


def test_loads_with_the_auto_classes_and_gives_numbers():
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    inputs = tokenizer(["A joy.", "节奏太慢，看睡着了。"], ["A chore.", "好看。"], padding=True, return_tensors="pt")
    assert inputs["token_type_ids"].max() == 1
    model = AutoModelForSequenceClassification.from_pretrained(TINY).eval()
    assert model.dtype == torch.float32
    assert model(**inputs).logits.isfinite().all()


@pytest.mark.parametrize(("praise", "blame"), [("a joy. {}", "a mess. {}"), ("很好看。{}", "很难看。{}")])
def test_pooler_tells_praise_from_blame_and_random_weights_do_not(praise, blame):
    """Pairs that differ in one word: the pretrained pooler moves them all in one direction."""
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    rest = [
        "I saw it on Sunday.",
        "the acting",
        "it is about two sisters",
        "with my family",
        "我周末去的。",
        "演员",
        "故事",
    ]
    texts = [pattern.format(more) for pattern in (praise, blame) for more in rest]
    inputs = tokenizer(texts, padding=True, return_tensors="pt")

    def agreement(model) -> float:
        with torch.no_grad():
            good, bad = model.eval()(**inputs).pooler_output.chunk(2)
        return (
            torch.nn.functional.normalize(good - bad, dim=-1).mean(0).norm() * (good - bad).norm(dim=-1).mean()
        ).item()

    torch.manual_seed(0)
    random = AutoModel.from_config(AutoConfig.from_pretrained(TINY))
    assert agreement(AutoModel.from_pretrained(TINY)) > 4 * agreement(random)


def test_only_the_classifier_is_missing():
    _, report = AutoModelForSequenceClassification.from_pretrained(TINY, output_loading_info=True)
    assert set(report["missing_keys"]) == {"classifier.weight", "classifier.bias"}
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]


def test_is_small_enough_for_the_package():
    assert 1e6 < sum(p.numel() for p in AutoModel.from_pretrained(TINY).parameters()) < 2e6
    assert (TINY / "model.safetensors").stat().st_size < 4e6


def test_tokenizer_knows_every_character_of_the_reviews():
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    texts = [row["text"] for name in SIZES for split in ("train", "validation", "test") for row in rows(name, split)]
    unknown = [text for text in texts if tokenizer.unk_token_id in tokenizer(text)["input_ids"]]
    assert not unknown


def test_the_same_words_get_the_same_pieces_in_any_case():
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    assert tokenizer("SUPERB Acting")["input_ids"] == tokenizer("superb acting")["input_ids"]


@pytest.fixture
def script(monkeypatch):
    threads = torch.get_num_threads()
    monkeypatch.syspath_prepend(str(PRETRAIN))
    import pretrain_tiny

    yield pretrain_tiny
    torch.set_num_threads(threads)
    for name in ("pretrain_tiny", "grammar"):
        sys.modules.pop(name, None)


def test_pretraining_loss_falls_and_what_it_saves_loads(script, tmp_path):
    budget = ["--steps", "20", "--layers", "1", "--mix", "4", "8", "2", "2", "--stars-first", "0", "--lr", "3e-3"]
    records = script.main([*budget, "--output", str(tmp_path)])
    assert len(records) == 20
    first, last = ([record["words"] for record in part] for part in (records[:5], records[-5:]))
    assert sum(last) < 0.95 * sum(first)
    assert AutoModel.from_pretrained(tmp_path).config.num_hidden_layers == 1
    assert AutoTokenizer.from_pretrained(tmp_path)("good")["token_type_ids"] == [0, 0, 0]


def test_pretraining_is_seeded(script):
    budget = ["--steps", "2", "--layers", "1", "--mix", "2", "2", "2", "2", "--stars-first", "0"]
    assert script.main(budget) == script.main(budget)
    assert script.main(budget) != script.main([*budget, "--seed", "1"])


def test_invented_reviews_never_speak_of_films_and_are_half_good(script):
    for language in ("en", "zh"):
        invented = script.grammar.reviews(language, 400, seed=3)
        assert sum(row["stars"] > 3 for row in invented) == 200
        assert not any(
            word in row["text"].lower() for row in invented for word in ("film", "movie", "cinema", "电影", "影片")
        )
