"""Words of spaced and unspaced scripts, and what two samples share."""

import pytest

from tl_run.shift.words import out_of_vocabulary, overlap, parts, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The film, ISN'T it?", ["the", "film", ",", "isn", "'", "t", "it", "?"]),
        ("很好吃。OK了", ["很", "好", "吃", "。", "ok", "了"]),
        ("naïve cafe\u0301", ["naïve", "café"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("ที่นี่", ["ที่", "นี่"]),
        ("すしが", ["す", "し", "が"]),
        ("", []),
    ],
)
def test_parts(text, expected):
    assert parts([text]) == [expected]


def test_punctuation_is_no_word():
    assert words(["good -- 7 films!", "", "不好。"]) == ["good", "7", "films", "不", "好"]


def test_out_of_vocabulary_counts_words_each_time():
    assert out_of_vocabulary(["a", "good", "film"], ["a", "good", "book"]) == pytest.approx(1 / 3)
    assert out_of_vocabulary(["a", "good", "film"], ["book", "book", "a", "good"]) == 0.5
    assert out_of_vocabulary(["a"], []) is None


def test_the_overlap_is_jaccards_index():
    assert overlap(["a", "b", "b"], ["b", "c", "d"], 3, seed=0) == 0.25
    assert overlap(["a"], ["a"], 1, seed=0) == 1
    assert overlap([], [], 0, seed=0) is None


def test_the_overlap_is_of_as_many_words_of_each():
    few, many = [str(i % 50) for i in range(200)], [str(i % 400) for i in range(20_000)]
    assert overlap(few, many, 20_000, seed=0) == 50 / 400
    drawn = overlap(few, many, 200, seed=0)
    assert drawn is not None
    assert drawn > 0.1, "or about 20 of 200 types"
    assert drawn == overlap(few, many, 200, seed=0) != overlap(few, many, 200, seed=1)
