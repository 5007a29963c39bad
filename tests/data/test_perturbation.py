"""Texts disturbed on purpose: drawn by seed and text alone, never emptied, and what must stay stays."""

import pytest

from tl_run.data.perturbation import KINDS, NEIGHBOURS, Disturbance

TEXT = "A gripping, well-made film   that never loses its nerve; the ending is Worth Waiting for ."
CHINESE = "她最后的选择我不同意，但我尊重。"
WORDS = TEXT.split()


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_and_another_another(kind):
    first, second = Disturbance(kind, 0.5, 0), Disturbance(kind, 0.5, 1)
    assert first.text(TEXT) == Disturbance(kind, 0.5, 0).text(TEXT) != TEXT
    assert first.text(TEXT) != second.text(TEXT)
    assert first.words(WORDS) != second.words(WORDS)
    assert Disturbance("typos", 0.5, 0).words(WORDS) != Disturbance("case", 0.5, 0).words(WORDS)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_disturbed_at_one_rate_is_disturbed_alike_at_every_higher_one(kind):
    little, much = (Disturbance(kind, rate, 3).words(WORDS) for rate in (0.3, 0.7))
    changed = [i for i, word in enumerate(little) if word != WORDS[i]]
    assert changed
    assert all(much[i] == little[i] for i in changed)
    assert sum(a != b for a, b in zip(much, WORDS, strict=True)) > len(changed)


@pytest.mark.parametrize("kind", KINDS)
def test_about_as_many_words_as_the_rate_says(kind):
    texts = [[f"word{n}", *(f"More{i}" for i in range(9))] for n in range(100)]
    pairs = [(a, b) for words in texts for a, b in zip(words, Disturbance(kind, 0.2, 0).words(words), strict=True)]
    assert sum(a != b for a, b in pairs) / len(pairs) == pytest.approx(0.2, abs=0.04)


def distance(first: str, second: str) -> int:
    """Damerau and Levenshtein's, of neighbours swapped."""
    rows = [[i + j if not i * j else 0 for j in range(len(second) + 1)] for i in range(len(first) + 1)]
    for i, a in enumerate(first, 1):
        for j, b in enumerate(second, 1):
            rows[i][j] = min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (a != b))
            if i > 1 and j > 1 and first[i - 2 : i] == second[j - 2 : j][::-1]:
                rows[i][j] = min(rows[i][j], rows[i - 2][j - 2] + 1)
    return rows[-1][-1]


def test_a_typo_is_one_edit_within_a_word_and_all_four_kinds_occur():
    words = [f"{a}story{b}" for a in "abcdefghij" for b in "klmnop"]
    made = [str(word) for word in Disturbance("typos", 1, 0).words(words)]
    assert [distance(*pair) for pair in zip(words, made, strict=True)] == [1] * len(words)
    lengths = {len(word) - 7 for word in made}
    assert lengths == {-1, 0, 1}
    swapped = [pair for pair in zip(words, made, strict=True) if sorted(pair[0]) == sorted(pair[1])]
    replaced = [pair for pair in zip(words, made, strict=True) if len(pair[1]) == 7 and pair not in swapped]
    assert swapped
    assert replaced
    for before, after in replaced:
        (old, new), *others = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
        assert not others
        assert new in NEIGHBOURS[old]
    assert set(NEIGHBOURS["s"]) == set("adwezx")
    assert set(NEIGHBOURS["p"]) == set("ol")


def test_case_changes_letters_only_in_their_case():
    made = Disturbance("case", 1, 0).text(TEXT)
    assert made.lower() == TEXT.lower()
    assert made != TEXT
    words = [str(word) for word in Disturbance("case", 1, 0).words(["ordinary"] * 50)]
    assert {"ORDINARY", "Ordinary"} < {*words}
    assert {*words} - {"ORDINARY", "Ordinary", "ordinary"}, "letters at random occur too"


def test_words_are_left_out_with_the_space_behind_them_and_one_always_stays():
    assert set(Disturbance("drop", 0.5, 0).text(TEXT).split()) < set(WORDS)
    assert "  " not in Disturbance("drop", 0.5, 0).text("one two three four five six")
    for text in ("one two three", "one", CHINESE):
        assert Disturbance("drop", 1, 0).text(text) in [*text.split(), *text]
    assert Disturbance("drop", 1, 0).words(list("abc"), kept=[1]) == [None, "b", None]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["", "  ", "...", "12 %", "a", "\ud800 odd", "né à Noël", "x" * 5000])
def test_odd_texts_are_borne(kind, text):
    made = Disturbance(kind, 1, 0).text(text)
    assert bool(made.strip()) == bool(text.strip())
    if not any(c.isalpha() for c in text) and kind != "drop":
        assert made == text


def test_chinese_is_disturbed_by_character():
    dropped = Disturbance("drop", 0.3, 0).text(CHINESE)
    assert 0 < len(dropped) < len(CHINESE)
    assert Disturbance("case", 1, 0).text(CHINESE) == CHINESE
    typos = Disturbance("typos", 0.3, 0).text(CHINESE + "iPhone")
    assert typos != CHINESE + "iPhone"
    assert {*typos} - {*"iphoneIPHONE"} - {*"".join(map("".join, NEIGHBOURS.values()))} <= {*CHINESE}


@pytest.mark.parametrize("kind", KINDS)
def test_marked_spans_are_found_again(kind):
    text = "The engine of  the car (an old one) caused damage."
    for seed in range(20):
        made, spans = Disturbance(kind, 0.6, seed).marked(text, [(4, 10), (15, 22), (19, 22)])
        first, second, within = (made[slice(*span)] for span in spans)
        assert second.endswith(within)
        assert all(part and part == part.strip() for part in (first, second, within))
        if kind == "drop":
            assert (first, second, within) == ("engine", "the car", "car")
        if kind == "case":
            assert (first.lower(), second.lower(), within.lower()) == ("engine", "the car", "car")
