"""Changes of words by hand: what each does, what it may not do, and the list of synonyms."""

from types import SimpleNamespace

import numpy as np
import pytest

from composing import compose
from finished_objects import assemble, toy
from tl_run.augment import eda
from tl_run.config import check
from tl_run.data import synonyms
from tl_run.errors import BadInput, BadOption

RATES = {"swap": 0.0, "delete": 0.0, "insert": 0.0, "replace": 0.0}
KNOWN = {"good": ("fine", "great"), "film": ("movie",)}


class Draws:
    """In place of a generator: gives what is listed."""

    def __init__(self, **answers):
        self.answers = {name: iter(values) for name, values in answers.items()}

    def __getattr__(self, name):
        return lambda *_, **__: np.asarray(next(self.answers[name]))


def pairs(text):
    return [(word, " ") for word in text.split()]


def words(changed):
    return [word for word, _ in changed]


def changer(seed=0, known=KNOWN, **rates):
    return eda.Changer(SimpleNamespace(**RATES | rates), known, np.random.default_rng(seed))


def test_each_change_by_hand():
    text = pairs("a good film was it")
    assert words(eda.swap(text, 0.4, Draws(choice=[(0, 2), (2, 4)]))) == ["film", "good", "it", "was", "a"]
    assert words(eda.delete(text, 0.3, Draws(random=[[0.3, 0.2, 0.9, 0.0, 0.5]]))) == ["a", "film", "it"]
    draw = Draws(integers=[0, 1, 5, 1, 0, 0])  # fine or great of the first known word, at the end; movie in front
    assert words(eda.insert(text, 0.4, draw, KNOWN)) == ["movie", "a", "good", "film", "was", "it", "great"]
    draw = Draws(permutation=[(2, 1)], integers=[0])
    assert words(eda.replace(text, 0.2, draw, KNOWN)) == ["a", "good", "movie", "was", "it"]


def test_so_many_words_as_the_rate_says_and_one_at_least():
    long = pairs("good " * 20)
    for rate, count in ((0.1, 2), (0.25, 5), (0.01, 1)):
        draw = np.random.default_rng(0)
        assert len(eda.insert(long, rate, draw, KNOWN)) == 20 + count
        assert sum(word != "good" for word in words(eda.replace(long, rate, draw, KNOWN))) == count


def test_nothing_is_left_empty_and_nothing_is_made_of_nothing():
    draw = np.random.default_rng(0)
    assert words(eda.delete(pairs("a b c"), 1.0, Draws(random=[[0.1, 0.7, 0.2]]))) == ["b"]
    assert words(eda.swap(pairs("one"), 0.5, draw)) == ["one"]
    assert words(eda.insert(pairs("no such words"), 0.5, draw, KNOWN)) == ["no", "such", "words"]
    assert changer(swap=1.0, delete=1.0).text("") == ""


def test_spaces_punctuation_and_capitals_stay_what_they_are():
    assert changer(replace=1.0, known={"good": ("fine",)}).text(" Good,\tvery (good)!") == " Fine,\tvery (fine)!"
    assert sorted(changer(swap=0.5).text("a  b\nc").split()) == ["a", "b", "c"]
    assert changer(swap=1.0).text("a  b\nc")[1:3] == "  "
    assert changer(delete=0.5, seed=3).text("a b c d e f").strip() == changer(delete=0.5, seed=3).text("a b c d e f")


def test_a_character_is_a_word_where_none_are_written_apart():
    made = changer(swap=0.4).text("这部电影很好")
    assert made != "这部电影很好"
    assert sorted(made) == sorted("这部电影很好")
    assert changer(insert=0.1, known={"好": ("棒",)}).text("好") in ("好棒", "棒好")


def test_rates_of_0_change_no_bit(tmp_path):
    assert changer().text(" as  it was ") == " as  it was "
    options = toy(tmp_path)
    plain, same = assemble(*options), assemble(*options, "augment=eda", "augment.swap=0", "augment.delete=0")
    none = assemble(*options, "augment=eda", "augment.share=0")
    rows = np.arange(10)
    expected = plain.method.task.collate_training(plain.encoded["train"], rows, plain.found.pad, 0, 1)
    for parts in (same, none):
        batch = parts.method.task.collate_training(parts.encoded["train"], rows, parts.found.pad, 0, 1)
        assert batch.keys() == expected.keys()
        assert all((batch[name] == expected[name]).all() for name in batch)


def test_both_texts_of_a_pair_change(tmp_path):
    file = tmp_path / "pairs.csv"
    lines = [f"one film {i} was good and fine,another plot {i} was bad and dull,{i % 2}" for i in range(12)]
    file.write_text("\n".join(["text,other,label", *lines]) + "\n")
    parts = assemble("task=regression", f"task.train={file}", "task.text_pair=other", "augment=eda", "augment.share=1")
    task = parts.method.task
    example = parts.job.splits.train[0]
    changed = task.disturbed(example, eda.Changer(parts.job.options.augment, {}, np.random.default_rng(1)))
    assert changed.text != example.text
    assert changed.pair != example.pair
    assert changed.label == example.label


def test_a_list_of_synonyms(tmp_path):
    file = tmp_path / "groups.txt"
    file.write_text("good, Fine great\n\nfilm movie\nfine\tdandy\n")
    assert synonyms.read(file) == {
        "good": ("fine", "great"),
        "fine": ("good", "great", "dandy"),
        "great": ("good", "fine"),
        "film": ("movie",),
        "movie": ("film",),
        "dandy": ("fine",),
    }
    file.write_text("good fine\nalone\n")
    with pytest.raises(BadInput, match=r"groups.txt:2: 'alone' stands alone; a group is two words or more"):
        synonyms.read(file)
    file.write_text("\n")
    with pytest.raises(BadInput, match="holds no words"):
        synonyms.read(file)
    with pytest.raises(BadInput, match="there is no such file; type one with a group of words on each line"):
        synonyms.read(tmp_path / "nowhere.txt")


def test_synonyms_come_into_the_texts_and_the_run_is_another(tmp_path):
    file, options = tmp_path / "groups.txt", toy(tmp_path)
    file.write_text("good splendid\n")
    asked = ("augment=eda", "augment.swap=0", "augment.delete=0", "augment.replace=0.3", "augment.share=1")
    one = assemble(*options, *asked, f"augment.synonyms={file}")
    train = one.encoded["train"]
    made = one.method.task.make(train, 0, 0)
    new = one.found.tokenizer("splendid", add_special_tokens=False)["input_ids"]
    rows = [made.columns["input_ids"][a:b].tolist() for a, b in zip(made.offsets, made.offsets[1:], strict=False)]
    with_it = [any(row[i : i + len(new)] == new for i in range(len(row))) for row in rows]
    assert with_it == [example.label == 1 for example in one.job.splits.train]
    other = tmp_path / "others.txt"
    other.write_text("good splendid\n")
    assert assemble(*options, *asked, f"augment.synonyms={other}").job.identity == one.job.identity
    other.write_text("good wonderful\n")
    assert assemble(*options, *asked, f"augment.synonyms={other}").job.identity != one.job.identity


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("augment.replace=0.1",), "augment.replace=0.1 puts in synonyms, and none are known: type augment.synonyms="),
        (("augment.insert=0.1",), "or augment.insert=0"),
        (("augment.synonyms=a.txt",), "does nothing yet: type augment.insert=0.1 augment.replace=0.1"),
        (("task=tagging-demo",), "no text that may change while its labels stay; it goes with classification"),
        (("task=relation-demo",), "type augment=token_dropout, or augment=none"),
        (("task=lm-demo",), "type augment=none"),
        (("model.head=svm", "freeze=trunk"), "is solved once, on features of the examples as they are"),
        (("features.mode=require", "freeze=trunk"), "so no states of them are stored: type features.mode=auto"),
        (("augment.swap=1.5",), "augment.swap: 1.5 must be at most 1"),
    ],
)
def test_what_cannot_be_is_said(options, said):
    with pytest.raises(BadOption) as failure:
        check.check(compose("augment=eda", *options))
    assert said in str(failure.value)
