"""Entities from tags, their marks in the text, and where these are among the tokens of every family."""

import numpy as np
import pytest
import transformers

from tiny_models import FAMILIES
from tl_run.data import entities
from tl_run.errors import BadInput, BadOption


@pytest.mark.parametrize(
    ("text", "plain", "first", "second"),
    [
        ("the <e1>dog</e1> bit the <e2>man</e2>.", "the dog bit the man.", "dog", "man"),
        ("<e2>a</e2><e1>b c</e1>", "ab c", "b c", "a"),
        ("<e1> dog </e1>and<e2>\tcat</e2>", " dog and\tcat", "dog", "cat"),
        ("<e1>the <e2>old</e2> dog</e1>", "the old dog", "the old dog", "old"),
        ("<e3>x</e3> <e1>狗</e1>咬<e2>人</e2>", "<e3>x</e3> 狗咬人", "狗", "人"),
    ],
)
def test_tags_are_taken_out(text, plain, first, second):
    found, spans = entities.untagged(text)
    assert found == plain
    assert [found[start:end] for start, end in spans] == [first, second]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a b", "no <e1> and no </e1> and no <e2> and no </e2>"),
        ("<e1>a</e1> <e2>b", "no </e2>"),
        ("<e1>a</e1> <e1>c</e1> <e2>b</e2>", "<e1> twice"),
        ("<e1> </e1> <e2>b</e2>", "nothing in <e1>"),
        ("<e1>a</e1> </e2>b<e2>", "<e2> after its end"),
    ],
)
def test_tags_that_do_not_fit_are_told(text, words):
    with pytest.raises(ValueError, match="^" + words):
        entities.untagged(text)


@pytest.mark.parametrize(
    ("text", "spans", "marked"),
    [
        ("the dog bit the man.", ((4, 7), (16, 19)), "the @ dog @ bit the # man # ."),
        ("the dog bit the man.", ((16, 19), (4, 7)), "the # dog # bit the @ man @ ."),
        ("dog man", ((0, 3), (4, 7)), "@ dog @ # man #"),
        ("狗咬人", ((0, 1), (2, 3)), "@ 狗 @ 咬 # 人 #"),
        ("the old dog", ((0, 11), (4, 7)), "@ the # old # dog @"),
        ("the old dog", ((0, 11), (0, 7)), "@ # the old # dog @"),
        ("old dog", ((0, 7), (4, 7)), "@ old # dog # @"),
    ],
)
def test_marks_stand_apart_around_the_entities(text, spans, marked):
    found, places = entities.marked(text, spans)
    assert found == marked
    assert [found[place] for place in places] == ["@", "#"]
    assert places == (found.index("@"), found.index("#"))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_first_marks_are_found_among_the_tokens_of_every_family(family, tmp_path):
    tokenizer = transformers.AutoTokenizer.from_pretrained(FAMILIES[family](tmp_path / family))
    made = [
        entities.marked("the film was good, but the plot dull", ((4, 8), (27, 31))),
        entities.marked("a great story", ((2, 7), (0, 1))),
        entities.marked("@ is the # of it # @", ((5, 8), (17, 20))),
    ]
    found = entities.encode([text for text, _ in made], [places for _, places in made], tokenizer, 64)
    for i, (text, places) in enumerate(made):
        row = slice(found["offsets"][i], found["offsets"][i + 1])
        whole = tokenizer(text, return_offsets_mapping=True)
        assert found["input_ids"][row].tolist() == whole["input_ids"]
        for number, place in enumerate(places, 1):
            (at,) = np.flatnonzero(found[entities.COLUMN][row] & number)
            start, end = whole["offset_mapping"][at]
            assert start <= place < end


@pytest.mark.parametrize("length", [4, 5, 8, 11, 19, 20])
def test_a_long_text_keeps_what_is_nearest_to_the_marks(bert, length):
    tokenizer = transformers.AutoTokenizer.from_pretrained(bert)
    text = "the film was good and the plot was not bad but dull"
    made, places = entities.marked(text, ((4, 8), (39, 42)))  # film, bad
    found = entities.encode([made], [places], tokenizer, length)
    ids, where = found["input_ids"].tolist(), found[entities.COLUMN].tolist()
    whole = tokenizer(made)["input_ids"]
    assert len(ids) == min(length, len(whole))
    assert (ids[0], ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
    assert sorted(where)[-2:] == [1, 2]
    rest = iter(whole)
    assert all(token in rest for token in ids)  # the order of the text
    if length >= 8:
        film, bad = tokenizer.convert_tokens_to_ids(["film", "bad"])
        assert (ids[where.index(1) + 1], ids[where.index(2) + 1]) == (film, bad)


def test_what_a_tokenizer_cannot_do_is_told(bert):
    tokenizer = transformers.AutoTokenizer.from_pretrained(bert)
    from tokenizers.normalizers import Replace

    tokenizer.backend_tokenizer.normalizer = Replace("@", " ")
    with pytest.raises(BadInput, match="the model's tokenizer makes no token of the mark @"):
        entities.encode(["@ a @ # b #"], [(0, 6)], tokenizer, 16)

    class Slow:
        is_fast = False

    with pytest.raises(BadOption, match="a Slow does not say where its tokens come from"):
        entities.encode(["@ a @ # b #"], [(0, 6)], Slow(), 16)
