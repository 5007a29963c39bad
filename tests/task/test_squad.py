"""Exact match and F1 on a table of edge cases, worked out by hand from the rules of the published scripts."""

import itertools
import random

import pytest

from tl_run.task.squad import best_threshold, by_characters, by_words, is_chinese, words


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("The Beatles", ["beatles"]),
        ("a an the A An THE", []),
        ("there another banana", ["there", "another", "banana"]),  # articles are whole words
        ("the-end", ["theend"]),  # punctuation goes first, and leaves no space
        ("theend", ["theend"]),
        ("a.b", ["ab"]),
        ("U.S.A.", ["usa"]),
        ("$1,000.50", ["100050"]),
        ("50%", ["50"]),
        ("  two \t words\n", ["two", "words"]),
        ("rock 'n' roll", ["rock", "n", "roll"]),
        ("Queen's", ["queens"]),
        ("“the” cat", ["“", "”", "cat"]),  # an article is found between any marks, and other quotes than ASCII's stay
        ("Café ÉTÉ", ["café", "été"]),
        ("İ", ["i̇"]),
        ("a\u00a0b", ["b"]),  # split() knows this space too
        ("", []),
        ("!?", []),
        ("北京 市", ["北京", "市"]),
    ],
)
def test_the_words_that_count(text, counted):
    assert words(text) == counted


@pytest.mark.parametrize(
    ("golds", "prediction", "em", "f1"),
    [
        (["Denver Broncos"], "Denver Broncos", 1, 1),
        (["the Denver Broncos"], "denver broncos!", 1, 1),
        (["Denver Broncos"], "Broncos", 0, 2 / 3),  # precision 1, recall 1/2
        (["Denver Broncos"], "Broncos Denver", 0, 1),  # order does not count in F1
        (["Denver Broncos"], "Carolina Panthers", 0, 0),
        (["Paris", "Paris, France", "in Paris"], "paris france", 1, 1),  # the best of several
        (["Paris", "Paris, France"], "Paris in France", 0, 4 / 5),
        (["to be or not to be"], "to be", 0, 4 / 8),  # repeated words count as often as both have them
        (["to be"], "to to to be", 0, 4 / 6),
        (["1,000"], "1000", 1, 1),
        (["1,000"], "1 000", 0, 0),
        (["a"], "an", 1, 1),  # neither has a word: no answer, and none is given
        (["the"], "cat", 0, 0),
        (["the", "cat"], "", 0, 0),  # a gold without a word is left out beside one with
        ([], "", 1, 1),
        ([], "the", 1, 1),
        ([], "cat", 0, 0),
        (["cat"], "", 0, 0),
        (["São Paulo"], "são paulo", 1, 1),
        (["São Paulo"], "Sao Paulo", 0, 1 / 2),
    ],
)
def test_exact_match_and_f1(golds, prediction, em, f1):
    assert by_words(golds, prediction) == pytest.approx((em, f1))
    assert by_words(golds[::-1], prediction) == pytest.approx((em, f1))


@pytest.mark.parametrize(
    ("golds", "prediction", "em", "f1"),
    [
        (["北京市"], "北京市", 1, 1),
        (["北京市"], "北京", 0, 4 / 5),
        (["北京市"], "市北京", 0, 4 / 6),  # the longest run, not the common characters
        (["《红楼梦》"], "红楼梦。", 1, 1),
        (["1998年", "一九九八年"], "1998年", 1, 1),
        (["1998年"], "1999年", 0, 2 / 4),  # a number is one part
        (["Windows 95系统"], "windows 95", 0, 4 / 6),
        (["北京", "上海"], "上海市", 0, 4 / 5),
        (["北京"], "广州", 0, 0),
        (["北京"], "", 0, 0),
        ([], "", 1, 1),
        ([], "北", 0, 0),
    ],
)
def test_chinese_is_counted_by_characters(golds, prediction, em, f1):
    assert by_characters(golds, prediction) == pytest.approx((em, f1))


def test_what_is_chinese():
    assert is_chinese(["光荣和ω-force开发的游戏"])
    assert not is_chinese(["The word 北京 means northern capital"])
    assert not is_chinese(["123 !"]), "no letter at all is no Chinese"


def test_the_best_threshold_is_the_best_of_all():
    draw = random.Random(0)
    for _ in range(200):
        count = draw.randint(1, 7)
        differences = [draw.choice([-2.0, -1.0, 0.5, 3.0]) for _ in range(count)]
        nothing = [float(draw.random() < 0.5) for _ in range(count)]
        spans = [0.0 if none else draw.choice([0.0, 0.4, 1.0]) for none in nothing]

        def mean(threshold: float, rows: list[tuple[float, float, float]]) -> float:
            return sum(none if difference > threshold else span for difference, span, none in rows) / len(rows)

        rows = list(zip(differences, spans, nothing, strict=True))
        best, threshold = best_threshold(differences, spans, nothing)
        tried = [min(differences) - 1, *differences, *(a + 0.1 for a in differences)]
        assert best == pytest.approx(max(mean(t, rows) for t in tried))
        assert mean(threshold, rows) == pytest.approx(best)
        assert all(mean(t, rows) < best - 1e-9 for t in tried if t < threshold - 1e-9)


def test_runs_are_found_wherever_they_stand():
    for gold, prediction in itertools.product(["".join(p) for p in itertools.permutations("甲乙丙")], repeat=2):
        longest = max((j - i for i in range(3) for j in range(i + 1, 4) if gold[i:j] in prediction), default=0)
        assert by_characters([gold], prediction)[1] == pytest.approx(2 * longest / 6)
