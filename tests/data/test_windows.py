"""Windows over contexts: what is cut, where answers are, and which token stands for none; for every family."""

from itertools import pairwise

import numpy as np
import pytest
import transformers

from tiny_models import FAMILIES
from tl_run.data.windows import Windows, windows
from tl_run.errors import BadInput

CONTEXT = "the film was very good, but i hated the dull story and the poor ending. it is a great plot, and not bad"
QUESTIONS = ["was it good", "the story", "what is great", "is it fine"]
CONTEXTS = [CONTEXT, "the story was fine", CONTEXT.replace(", ", "  "), CONTEXT]
ANSWERS = ["hated the dull", "fine", "great plot", None]
SPANS = [
    None if answer is None else (context.index(answer), context.index(answer) + len(answer))
    for context, answer in zip(CONTEXTS, ANSWERS, strict=True)
]
WORDS = ("bert", "distilbert", "electra", "xlm-roberta")  # to the others a letter or a byte is a token


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    folder = FAMILIES[request.param](tmp_path_factory.mktemp("families") / request.param)
    return request.param, transformers.AutoTokenizer.from_pretrained(folder)


def made(tokenizer, length=24, stride=6, labelled=True, questions=QUESTIONS, contexts=CONTEXTS, spans=SPANS) -> Windows:
    names = [f"q{i}" for i in range(len(questions))]
    return windows(
        questions,
        contexts,
        spans,
        tokenizer,
        max_length=length,
        stride=stride,
        ids=names,
        labelled=labelled,
        examples=(),
    )


def test_windows_cover_the_context_and_the_answer_is_where_it_stands(family):
    name, tokenizer = family
    length, stride = (24, 6) if name in WORDS else (48, 14)
    encoded = made(tokenizer, length, stride)
    assert encoded.lengths.max() == length
    assert encoded.ids == [f"q{i}" for i in encoded.owner]
    assert len(encoded) > len(QUESTIONS)
    for number, (question, context, answer) in enumerate(zip(QUESTIONS, CONTEXTS, ANSWERS, strict=True)):
        asked = tokenizer(question, add_special_tokens=False)["input_ids"]
        whole = tokenizer(context, add_special_tokens=False)["input_ids"]
        covered, hits, parts = np.zeros(len(context), bool), 0, []
        for row in encoded.rows_of(number):
            ids = encoded.columns["input_ids"][encoded.offsets[row] : encoded.offsets[row + 1]].tolist()
            places, (first, last) = encoded.spans_of(row), encoded.labels[row]
            inside = np.flatnonzero(places[:, 1] > places[:, 0])
            assert "".join(map(str, asked)) in "".join(map(str, ids)), "the question is never cut"
            parts.append([ids[i] for i in inside])
            for start, end in places[inside]:
                covered[start:end] = True
            if (first, last) == (encoded.null[row],) * 2:
                begins, ends = places[inside[0], 0], places[inside[-1], 1]
                assert answer is None or not (begins <= SPANS[number][0] and SPANS[number][1] <= ends)
            else:
                assert context[places[first, 0] : places[last, 1]].strip() == answer
                hits += 1
        assert all(covered[i] for i, c in enumerate(context) if not c.isspace())
        assert bool(hits) == (answer is not None)
        if name in WORDS[:3]:  # XLM-RoBERTa begins a window of its own with a mark
            assert [*parts[0], *(token for part in parts[1:] for token in part[stride:])] == whole
            assert all(one[-stride:] == two[:stride] for one, two in pairwise(parts))


def test_the_token_of_no_answer_is_cls_or_the_first(family):
    _, tokenizer = family
    encoded = made(tokenizer, 44, 15)
    firsts = encoded.columns["input_ids"][encoded.offsets[:-1] + encoded.null]
    if tokenizer.cls_token_id is None:
        assert not encoded.null.any()
    else:
        assert (firsts == tokenizer.cls_token_id).all()


def test_without_labels_and_from_the_cache_it_is_the_same(bert, monkeypatch):
    tokenizer = transformers.AutoTokenizer.from_pretrained(bert)
    first = made(tokenizer)
    monkeypatch.setattr("tl_run.data.windows._encode", None)
    again = made(tokenizer, labelled=False)
    assert (again.labels == -1).all()
    assert not again.labelled.any()
    assert first.labelled.all()
    for name in ("offsets", "owner", "null", "spans"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    np.testing.assert_array_equal(first.columns["input_ids"], again.columns["input_ids"])
    for changed in ({"stride": 5}, {"length": 25}, {"contexts": CONTEXTS[::-1]}, {"questions": QUESTIONS[::-1]}):
        with pytest.raises(TypeError, match="NoneType"):
            made(tokenizer, **changed)
    assert tokenizer.backend_tokenizer.truncation is None, "it would be saved with the model"


def test_many_questions_are_numbered_through(bert, monkeypatch):
    tokenizer = transformers.AutoTokenizer.from_pretrained(bert)
    whole = made(tokenizer)
    monkeypatch.setattr("tl_run.data.windows.AT_ONCE", 3)
    monkeypatch.setenv("TL_RUN_CACHE", "another")
    parts = made(tokenizer)
    np.testing.assert_array_equal(whole.owner, parts.owner)
    np.testing.assert_array_equal(whole.labels, parts.labels)


def test_an_answer_that_fits_in_no_window_is_none_of_its_tokens(bert):
    tokenizer = transformers.AutoTokenizer.from_pretrained(bert)
    encoded = made(tokenizer, 16, 2, questions=["it"], contexts=[CONTEXT], spans=[(0, len(CONTEXT))])
    assert len(encoded) > 1
    assert (encoded.labels == 0).all()


def test_a_question_that_leaves_no_room_is_told_with_the_remedy(bert):
    tokenizer = transformers.AutoTokenizer.from_pretrained(bert)
    long = "was the film good " * 4
    with pytest.raises(BadInput) as failure:
        made(tokenizer, questions=["it", long, long, long, long], contexts=[CONTEXT] * 5, spans=[None] * 5)
    lines = str(failure.value).splitlines()
    assert lines[0] == (
        "the question of example 'q1' has 16 tokens: of task.max_length=24 that leaves 5 for the context, and more "
        "than task.stride=6 are needed: type a larger task.max_length or a smaller task.stride, or shorten the question"
    )
    assert len(lines) == 3
    assert lines[2] == "... and 2 more problems like these"
    made(tokenizer, stride=4, questions=[long], contexts=[CONTEXT], spans=[None])


def test_a_tokenizer_that_does_not_know_places_is_refused(bert):
    class Slow:
        is_fast = False

    with pytest.raises(BadInput, match="type a model with a fast tokenizer"):
        made(Slow())
