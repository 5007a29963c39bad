"""CoNLL text as it is found: with columns, documents, blank lines, tabs; and its mistakes with their lines."""

import pytest

from tl_run.data.conll_reader import read_conll, read_tagged_tsv
from tl_run.errors import BadInput

NAMES = {"tokens": "words", "tags": "ner", "tag_column": "last"}
NEWS = "-DOCSTART- -X- O\n\nEU NNP I-ORG\nrejects VBZ O\n\n\n-DOCSTART- -X- O\nPeter NNP I-PER\n"


def test_sentences_with_their_lines():
    table = read_conll("news.txt", NEWS.encode(), **NAMES)
    assert table.columns == ("words", "ner")
    assert table.rows == [
        {"words": ["EU", "rejects"], "ner": ["I-ORG", "O"]},
        {"words": ["Peter"], "ner": ["I-PER"]},
    ]
    assert table.where(1) == "news.txt, sentence from line 8"


@pytest.mark.parametrize(
    "change", [("\n", "\r\n"), (" ", "\t"), (" ", "  "), ("\n\n", "\n \t\n"), ("-X-", "-X- -X-"), ("EU", "\ufeffEU")]
)
def test_the_same_whatever_separates_and_ends(change):
    text = NEWS.removeprefix("-DOCSTART- -X- O\n\n") if "\ufeffEU" in change else NEWS
    assert read_conll("x", text.replace(*change).encode(), **NAMES).rows == read_conll("x", NEWS.encode(), **NAMES).rows


def test_a_column_may_be_chosen_and_a_file_without_tags_has_none():
    rows = read_conll("x", NEWS.encode(), **(NAMES | {"tag_column": 2})).rows
    assert [row["ner"] for row in rows] == [["NNP", "VBZ"], ["NNP"]]
    table = read_conll("x", b"EU\nrejects\n\nPeter\n", **NAMES)
    assert table.columns == ("words",)
    assert table.rows == [{"words": ["EU", "rejects"]}, {"words": ["Peter"]}]


def test_tokens_may_hold_spaces_where_tabs_separate_and_spaces_of_other_scripts_anywhere():
    assert read_conll("x", b"New York\tB-LOC\nis\tO\n", **NAMES).rows[0]["words"] == ["New York", "is"]
    assert read_conll("x", "\u3000 O\n\xa0 B-LOC\n".encode(), **NAMES).rows[0]["words"] == ["\u3000", "\xa0"]


def test_a_tsv_is_a_table_where_its_header_names_the_tokens():
    table = read_tagged_tsv("x.tsv", b"words\tner\nEU rejects\tB-ORG O\n", **NAMES)
    assert table.rows == [{"words": "EU rejects", "ner": "B-ORG O"}]
    table = read_tagged_tsv("x.tsv", b"EU\tB-ORG\nrejects\tO\n", **NAMES)
    assert table.rows == [{"words": ["EU", "rejects"], "ner": ["B-ORG", "O"]}]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "EU B-ORG\nrejects\n",
            ["x.txt, line 2: 1 column where line 1 has 2 ('rejects'); a blank line ends a sentence"],
        ),
        ("EU B-ORG\na b O\n", ["x.txt, line 2: 3 columns where line 1 has 2"]),
        ("EU\tB-ORG\n\tO\n", ["x.txt, line 2: the token is missing"]),
        ("EU\tB-ORG\na\t\n", ["x.txt, line 2: the tag is missing"]),
        (
            "EU B\n" + "a\n" * 5,
            [*(f"x.txt, line {n}: 1 column" for n in (2, 3)), "... and 3 more problems like these"],
        ),
        (
            "\n-DOCSTART- O\n",
            ["x.txt: no sentence; write a token a line, with its tag after a space or a tab: EU B-ORG"],
        ),
    ],
)
def test_mistakes_have_their_lines(text, words):
    with pytest.raises(BadInput) as failure:
        read_conll("x.txt", text.encode(), **NAMES)
    lines = str(failure.value).splitlines()
    assert len(lines) == len(words)
    assert all(line.startswith(start) for line, start in zip(lines, words, strict=True))


def test_a_column_that_is_not_there():
    with pytest.raises(BadInput, match=r"task.tag_column=4: x.txt, line 3 has 3 columns .*: type a number from 2 to 3"):
        read_conll("x.txt", NEWS.encode(), **(NAMES | {"tag_column": 4}))
