"""Exact match and F1 of an answer as SQuAD's published scripts count them, and CMRC 2018's for Chinese."""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

Score = tuple[float, float]  # exact match and F1, 0 to 1 (the scripts print percent)

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_HAN = "\u4e00-\u9fa5"
# What CMRC 2018 leaves out; it keeps ASCII's commas and full stops.
_LEFT_OUT = str.maketrans("", "", "-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
_LETTER = rf"[^\s{_HAN}!-/:-@\[-`{{-~–—]"  # no white space, no Chinese character, no punctuation
_PARTS = re.compile(rf"\.?{_LETTER}+(?:[.,]{_LETTER}+)*(?:\.(?=\s))?|\S")


def words(text: str) -> list[str]:
    """The words that count: lower case, without ASCII punctuation, then without the articles a, an and the."""
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def by_words(golds: Sequence[str], prediction: str) -> Score:
    """The best over the golds; nothing at all is right where there is no answer, as SQuAD 2.0's script has it.

    Golds without a word that counts ("the") are no answers there. SQuAD 1.1's script has no such rule: it gives such a
    gold exact match and an F1 of 0; else the two agree.
    """
    found = words(prediction)
    answers = [answer for gold in golds if (answer := words(gold))] or [[]]
    return max(float(answer == found) for answer in answers), max(_f1(answer, found) for answer in answers)


def by_characters(golds: Sequence[str], prediction: str) -> Score:
    """The best over the golds; F1 from the longest run of Chinese characters and other words that both have.

    As CMRC 2018's script, except that its English word tokenizer is replaced by white space, punctuation and numbers
    (of 12,639 spans near the answers of its dev and trial sets 7 score otherwise). Where there is no
    answer, nothing at all is right.
    """
    if not golds:
        return float(not prediction), float(not prediction)
    found = _plain(prediction)
    exact = max(float(_plain(gold) == found) for gold in golds)
    return exact, max(_f1_of_run(_PARTS.findall(_plain(gold)), _PARTS.findall(found)) for gold in golds)


RULES: dict[bool, Callable[[Sequence[str], str], Score]] = {False: by_words, True: by_characters}


def is_chinese(texts: Sequence[str]) -> bool:
    """Whether most letters are Chinese characters."""
    letters = [c for text in texts for c in text if c.isalpha()]
    return 2 * len(re.findall(f"[{_HAN}]", "".join(letters))) > len(letters)


def best_threshold(differences: Sequence[float], spans: Sequence[float], nothing: Sequence[float]) -> Score:
    """The best mean score over all thresholds, and the lowest threshold that gives it.

    For each question: how far no answer is ahead of the best span, the score of that span, and the score of no answer,
    which is given where the difference is above the threshold.
    """
    order = sorted(range(len(differences)), key=lambda i: differences[i])
    total = best = sum(nothing)
    threshold = min(differences) - 1
    for place, i in enumerate(order):
        total += spans[i] - nothing[i]
        last_of_its_kind = place + 1 == len(order) or differences[order[place + 1]] > differences[i]
        if last_of_its_kind and total > best:
            best, threshold = total, differences[i]
    return best / len(differences), threshold


def _f1(gold: list[str], found: list[str]) -> float:
    if not gold or not found:
        return float(gold == found)
    same = sum((Counter(gold) & Counter(found)).values())
    return 2 * same / (len(gold) + len(found))


def _plain(text: str) -> str:
    return text.lower().strip().translate(_LEFT_OUT)


def _f1_of_run(gold: list[str], found: list[str]) -> float:
    longest, before = 0, [0] * (len(found) + 1)
    for part in gold:
        now = [0] * (len(found) + 1)
        for j, other in enumerate(found):
            if part == other:
                now[j + 1] = before[j] + 1
                longest = max(longest, now[j + 1])
        before = now
    return 2 * longest / (len(gold) + len(found)) if longest else 0.0
