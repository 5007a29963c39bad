"""SQuAD's JSON: articles, paragraphs and questions one in the other, as a table with a row for each question."""

from collections.abc import Iterator
from typing import Any

from tl_run.data.json_reader import read_json
from tl_run.data.table import Table, quoted
from tl_run.errors import BadInput

COLUMNS = ("id", "title", "context", "question", "answers")
_LAYOUT = '{"data": [{"title": "...", "paragraphs": [{"context": "...", "qas": [{"question": "...", ...}]}]}]}'


def read_squad(name: str, data: bytes) -> Table:
    """The questions of a file in the layout of SQuAD 1.1 or 2.0; a .json in any other layout is read as ever.

    A question's place is its id, and where it lies: such files are often one line. Raises: BadInput.
    """
    articles = read_json(name, data)
    if "paragraphs" not in articles.columns:
        return articles
    rows: list[dict[str, Any]] = []
    places: list[str] = []
    problems: list[str] = []
    for number, article in enumerate(articles.rows):
        place = f"data[{number}].paragraphs"
        for at, paragraph in _objects(article["paragraphs"], name, place, problems):
            for _, question in _objects(paragraph.get("qas"), name, f"{at}.qas", problems):
                rows.append(
                    {
                        "id": question.get("id"),
                        "title": article.get("title"),
                        "context": paragraph.get("context"),
                        "question": question.get("question"),
                        "answers": question.get("answers"),
                    }
                )
                places.append(f"{quoted(str(question.get('id')))} ({at})")
    if problems:
        raise BadInput.of(problems)
    if not rows:
        raise BadInput(f"{name}: there is no question in it; SQuAD's layout is {_LAYOUT}")
    return Table(name, COLUMNS, rows, places, "question")


def _objects(value: Any, name: str, place: str, problems: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a list, each with its place; what is none is added to `problems`."""
    if not isinstance(value, list):
        problems.append(f"{name}, {place}: a list is needed; SQuAD's layout is {_LAYOUT}")
        return
    for i, item in enumerate(value):
        if isinstance(item, dict):
            yield f"{place}[{i}]", item
        else:
            problems.append(f"{name}, {place}[{i}]: an object is needed; SQuAD's layout is {_LAYOUT}")
