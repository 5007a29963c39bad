"""SQuAD's nested JSON as a table of questions; other JSON as ever; what is wrong with its place."""

import json

import pytest

from tl_run.data.readers import read_table
from tl_run.data.squad_reader import read_squad
from tl_run.errors import BadInput

ANSWER = {"text": "good", "answer_start": 9}
FILE = {
    "version": "v2.0",
    "data": [
        {
            "title": "Films",
            "paragraphs": [
                {
                    "context": "film was good",
                    "qas": [
                        {"id": "a", "question": "how was it", "answers": [ANSWER], "is_impossible": False},
                        {"id": "b", "question": "why", "answers": [], "plausible_answers": [ANSWER]},
                    ],
                }
            ],
        },
        {
            "title": "Plots",
            "paragraphs": [{"context": "dull", "qas": []}, {"context": "x", "qas": [{"question": "y"}]}],
        },
    ],
}


def read(value):
    return read_squad("train.json", json.dumps(value).encode())


def test_a_row_for_each_question_with_its_id_as_its_place():
    table = read(FILE)
    assert table.columns == ("id", "title", "context", "question", "answers")
    assert [tuple(row.values()) for row in table.rows] == [
        ("a", "Films", "film was good", "how was it", [ANSWER]),
        ("b", "Films", "film was good", "why", []),
        (None, "Plots", "x", "y", None),
    ]
    assert [table.where(i) for i in range(3)] == [
        "train.json, question 'a' (data[0].paragraphs[0])",
        "train.json, question 'b' (data[0].paragraphs[0])",
        "train.json, question 'None' (data[1].paragraphs[1])",
    ]


def test_the_list_of_articles_alone_will_do(tmp_path):
    path = tmp_path / "x.json"
    path.write_text(json.dumps(FILE["data"]))
    assert read_table(path, {".json": read_squad}).rows == read(FILE).rows


def test_other_json_is_read_as_ever():
    table = read([{"question": "why", "context": "x"}, {"question": "how"}])
    assert table.rows == [{"question": "why", "context": "x"}, {"question": "how", "context": None}]
    assert table.where(0) == "train.json, line 1"
    with pytest.raises(BadInput, match=r"train\.json: this is a string; write a list of objects"):
        read("x")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([{"paragraphs": "x"}], "train.json, data[0].paragraphs: a list is needed; SQuAD's layout is"),
        ([{"paragraphs": [3]}], "train.json, data[0].paragraphs[0]: an object is needed"),
        ([{"paragraphs": []}, {"paragraphs": [{"context": "x"}]}], "train.json, data[1].paragraphs[0].qas: a list is"),
        ([{"paragraphs": [{"qas": [{}, []]}]}], "train.json, data[0].paragraphs[0].qas[1]: an object is needed"),
        ([{"paragraphs": [{"context": "x", "qas": []}]}], "train.json: there is no question in it; SQuAD's layout is"),
    ],
)
def test_what_is_missing_is_told_with_its_place(data, words):
    with pytest.raises(BadInput) as failure:
        read({"version": "1.1", "data": data})
    assert str(failure.value).startswith(words)
