"""CoNLL text: a token a line with its columns, a blank line ends a sentence; there is no header."""

import re

from tl_run.data.csv_reader import read_tsv
from tl_run.data.decoding import decode, line_end
from tl_run.data.table import Table, quoted
from tl_run.errors import BadInput


def read_conll(name: str, data: bytes, *, tokens: str, tags: str, tag_column: int | str) -> Table:
    """A row for each sentence, with the lists `tokens` (the first column) and `tags` (none in a file of one column).

    Columns are separated by tabs if the first line has one, else by spaces. `tag_column` counts from 1, or is "last".
    Lines that begin with -DOCSTART- stand between documents. Raises: BadInput with the lines that are not well formed.
    """
    text = decode(name, data)
    rows: list[dict[str, list[str]]] = []
    lines, problems = [], []
    first: tuple[int, int] | None = None  # line and columns of the first token
    tabs, inside, at = False, False, 0
    for number, line in enumerate(text.split(line_end(text)), 1):
        line = line.rstrip("\r")
        if not line.strip(" \t") or line.startswith("-DOCSTART-"):
            inside = False
            continue
        tabs = "\t" in line if first is None else tabs
        fields = line.split("\t") if tabs else re.split("[ \t]+", line.strip(" \t"))
        if first is None:
            if line.startswith("# "):
                raise BadInput(f"{name}, line {number}: a comment ({quoted(line)}); remove the lines that begin with #")
            first = number, len(fields)
            at = len(fields) if tag_column == "last" else int(tag_column)
            if at > len(fields) > 1:
                raise BadInput(
                    f"task.tag_column={at}: {name}, line {number} has {len(fields)} columns ({quoted(line)}): type a "
                    f"number from 2 to {len(fields)}"
                )
        if len(fields) != first[1] or not fields[0] or not fields[min(at, len(fields)) - 1]:
            problems.append(f"{name}, line {number}: {_fault(fields, *first)}")
            continue
        if not inside:
            rows.append({tokens: [], tags: []} if first[1] > 1 else {tokens: []})
            lines.append(number)
            inside = True
        rows[-1][tokens].append(fields[0])
        if first[1] > 1:
            rows[-1][tags].append(fields[at - 1])
    if problems:
        raise BadInput.of(problems)
    if rows and max(len(row[tokens]) for row in rows) > 1 and all(_counts(row[tokens]) for row in rows):
        raise BadInput(f"{name}: the first column counts the tokens, and must be the tokens; cut it off: cut -f2-")
    if not rows:
        raise BadInput(f"{name}: no sentence; write a token a line, with its tag after a space or a tab: EU B-ORG")
    return Table(name, tuple(rows[0]), rows, lines, unit="sentence from line")


def read_tagged_tsv(name: str, data: bytes, *, tokens: str, tags: str, tag_column: int | str) -> Table:
    """A table if its first line names the column `tokens`, else CoNLL text."""
    header = decode(name, data).lstrip().partition("\n")[0].rstrip("\r").split("\t")
    if tokens in header:
        return read_tsv(name, data)
    return read_conll(name, data, tokens=tokens, tags=tags, tag_column=tag_column)


def _fault(fields: list[str], first: int, expected: int) -> str:
    if len(fields) != expected and fields[0].startswith("#"):
        return f"a comment ({quoted(' '.join(fields))}); remove the lines that begin with #"
    if len(fields) != expected:
        count = f"{len(fields)} column{'s' if len(fields) > 1 else ''}"
        return f"{count} where line {first} has {expected} ({quoted(' '.join(fields))}); a blank line ends a sentence"
    return "the token is missing" if not fields[0] else "the tag is missing"


def _counts(tokens: list[str]) -> bool:
    """Whether these are 1, 2, 3 ..., as CoNLL-U has them before the tokens."""
    return tokens == [str(i) for i in range(1, len(tokens) + 1)]
