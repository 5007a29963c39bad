"""Answers in a context: offsets that are off or count bytes, layouts that are not SQuAD's, what cannot be answered."""

import json
from typing import Any

from corpus.cases import CONTEXT, Case, Content, csv_of
from corpus.json_files import lines

ACCENTS = "Le café où naquit Zoé fut détruit en 1944."
EMOJI = "😀😀 It was built in 1889."


def row(text: Any, start: Any, context: Any = CONTEXT, question: Any = "When was it built?") -> dict[str, Any]:
    return {"question": question, "context": context, "answers": {"text": text, "answer_start": start}}


GOOD = row(["1889"], [CONTEXT.index("1889")])
WHO = row(["Ida Berg"], [CONTEXT.index("Ida")], question="Who built it?")


def squad(**changes: Any) -> dict[str, Any]:
    """An article with two questions on one paragraph."""
    answers = [{"text": "1889", "answer_start": CONTEXT.index("1889")}]
    asked = [{"id": "q1", "question": "When?", "answers": answers}, {"id": "q2", "question": "Why?", "answers": []}]
    return {
        "version": "v2.0",
        "data": [{"title": "Mill", "paragraphs": [{"context": CONTEXT, "qas": asked, **changes}]}],
    }


def error(name: str, train: Content, *words: str, suffix: str = ".jsonl", **others: Any) -> Case:
    return Case(name, "qa", "error", train, suffix, words, **others)


def accept(name: str, train: Content, values: Any, *, suffix: str = ".jsonl", **others: Any) -> Case:
    return Case(name, "qa", "accept", train, suffix, values=values, **{"shown": ("question", "gold"), **others})


def after(bad: dict[str, Any]) -> str:
    """A good file with one more question, the third line."""
    return lines([GOOD, WHO, bad])


CASES = [
    error(
        "one character off",
        after(row(["1889"], [CONTEXT.index("1889") - 1])),
        "train.jsonl, line 3",
        "'1889' does not stand at 33",
        "but at 34",
        "task.misplaced=nearest",
    ),
    error(
        "offsets in bytes",
        after(row(["1944"], [len(ACCENTS.encode()) - 5], ACCENTS)),
        "line 3",
        "bytes",
        "characters",
        "task.misplaced=nearest",
    ),
    error(
        "offsets in utf-16",
        after(row(["1889"], [21], EMOJI)),
        "line 3",
        "UTF-16",
        "characters",
        "task.misplaced=nearest",
    ),
    error(
        "an answer that stands nowhere",
        after(row(["1890"], [34])),
        "line 3",
        "'1890'",
        "nor anywhere else",
        "write it as the context does",
    ),
    error("an answer in other letters", after(row(["ida berg"], [22])), "line 3", "'ida berg'", "nor anywhere else"),
    error("a place before the start", after(row(["1889"], [-5])), "line 3", "does not stand at -5", "but at 34"),
    error("a place behind the end", after(row(["1889"], [999])), "line 3", "does not stand at 999", "but at 34"),
    error(
        "a place as text",
        after(row(["1889"], ["34"])),
        "line 3",
        "'1889' has no place",
        "answer_start counts characters from 0",
    ),
    error("no place", after({**GOOD, "answers": {"text": ["1889"]}}), "line 3", "answer_start"),
    error("two answers with one place", after(row(["1889", "1901"], [34])), "line 3", "2 answers with 1 place"),
    error("an empty answer", after(row([""], [34])), "line 3", "an answer has no text", "empty lists"),
    error("an answer without a list", after(row("1889", 34)), "line 3", "answer_start", '["..."]'),
    error("answers that are a text", after({**GOOD, "answers": "1889"}), "line 3", "a text", "answer_start"),
    error(
        "answers of csv",
        csv_of([("When?", CONTEXT, "1889")], ("question", "context", "answers")),
        "train.csv, line 2",
        "a text",
        "answer_start",
        suffix=".csv",
    ),
    error("no context", after(row([], [], None)), "line 3", "'context'", "missing"),
    error("no question", after(row([], [], question=None)), "line 3", "'question'", "missing"),
    error(
        "no column of answers",
        lines([{"question": "When?", "context": CONTEXT, "answer": "1889"}]),
        "task.answers",
        "did you mean 'answer'?",
    ),
    error(
        "no question has an answer",
        lines([row([], []), row([], [], question="Why?")]),
        "train.jsonl",
        "no question has an answer",
    ),
    error("squad cut off", json.dumps(squad())[:-30], "train.json, line 1", "cut off", suffix=".json"),
    error(
        "questions that are no list",
        json.dumps(squad(qas={"q1": "When?"})),
        "train.json, data[0].paragraphs[0].qas",
        "a list is needed",
        suffix=".json",
    ),
    error(
        "squad without a context",
        json.dumps(squad(context=None)),
        "train.json",
        "'q1'",
        "'context'",
        "missing",
        suffix=".json",
    ),
    error("squad without questions", json.dumps(squad(qas=[])), "train.json", "no question in it", suffix=".json"),
    error(
        "squad with a place that is off",
        json.dumps(squad(qas=[{"id": "q1", "question": "When?", "answers": [{"text": "1889", "answer_start": 3}]}])),
        "train.json",
        "'q1'",
        "data[0].paragraphs[0]",
        "but at 34",
        suffix=".json",
    ),
    # odd, and right
    accept("squad of version 2", json.dumps(squad()), [("When?", ["1889"]), ("Why?", [])], suffix=".json"),
    accept(
        "empty lists", lines([GOOD, row([], [], question="Why?")]), [("When was it built?", ["1889"]), ("Why?", [])]
    ),
    accept(
        "an answer with blanks around",
        lines([row([" 1889,"], [33]), WHO]),
        [("When was it built?", [" 1889,"]), ("Who built it?", ["Ida Berg"])],
    ),
    accept(
        "offsets behind emoji", lines([row(["1889"], [EMOJI.index("1889")], EMOJI)]), [("When was it built?", ["1889"])]
    ),
    accept(
        "several answers",
        lines([row(["1889", "in 1889"], [34, 31]), WHO]),
        [("When was it built?", ["1889", "in 1889"]), ("Who built it?", ["Ida Berg"])],
    ),
]
