"""Tags of tokens: CoNLL text, lists in JSON, lists written as text; and predicates."""

from typing import Any

from corpus.cases import CONLL, Case, csv_of
from corpus.json_files import lines

SENTENCES = [
    {"tokens": ["EU", "rejects", "German", "call"], "tags": ["B-ORG", "O", "B-MISC", "O"]},
    {"tokens": ["Peter", "Blackburn", "spoke"], "tags": ["B-PER", "I-PER", "O"]},
]
READ = [(each["tokens"], each["tags"]) for each in SENTENCES]
CLAUSES = [
    {"tokens": ["dogs", "bark"], "predicate_index": 1, "roles": ["B-A0", "B-V"]},
    {"tokens": ["she", "sang", "songs"], "predicate_index": 1, "roles": ["B-A0", "B-V", "B-A1"]},
]
UD = "# sent_id = 1\n1\tEU\tPROPN\n2\trejects\tVERB\n\n# sent_id = 2\n1\tPeter\tPROPN\n"


def error(name: str, suffix: str, train: str | bytes, *words: str, kind: str = "tagging", **others: Any) -> Case:
    return Case(name, kind, "error", train, suffix, words, **others)


def accept(
    name: str, suffix: str, train: str, values: Any, *, shown: tuple[str, ...] = ("tokens", "gold"), **others: Any
) -> Case:
    return Case(name, others.pop("kind", "tagging"), "accept", train, suffix, values=values, shown=shown, **others)


def sentence(tokens: Any, tags: Any) -> str:
    """A good file of JSON Lines with one more sentence, the third line."""
    return lines([*SENTENCES, {"tokens": tokens, "tags": tags}])


def clause(predicate: Any) -> str:
    return lines([*CLAUSES, {"tokens": ["it", "rained"], "predicate_index": predicate, "roles": ["O", "B-V"]}])


CASES = [
    error(
        "fewer tags than tokens",
        ".jsonl",
        sentence(["a", "b", "c"], ["O", "O"]),
        "train.jsonl, line 3",
        "3 in 'tokens' and 2 in 'tags'",
    ),
    error(
        "more tags than tokens",
        ".jsonl",
        sentence(["a"], ["O", "O"]),
        "train.jsonl, line 3",
        "1 in 'tokens' and 2 in 'tags'",
    ),
    error(
        "null among tokens",
        ".jsonl",
        sentence(["a", None], ["O", "O"]),
        "line 3",
        "item 2 of 'tokens' is missing",
        "task.tokens",
    ),
    error(
        "a number among tokens",
        ".jsonl",
        sentence(["in", 1999], ["O", "O"]),
        "line 3",
        "item 2 of 'tokens' is a number",
        "task.tokens",
    ),
    error(
        "null among tags",
        ".jsonl",
        sentence(["a", "b"], ["O", None]),
        "line 3",
        "item 2 of 'tags' is missing",
        "task.tags",
    ),
    error("a letter of no scheme", ".jsonl", sentence(["a"], ["X-PER"]), "line 3", "'X-PER'", "task.scheme=none"),
    error("a tag without a type", ".jsonl", sentence(["a"], ["B-"]), "line 3", "'B-'", "mend it"),
    error(
        "no column of tags",
        ".jsonl",
        lines({"tokens": s["tokens"], "ner_tags": s["tags"]} for s in SENTENCES),
        "task.tags",
        "did you mean 'ner_tags'?",
    ),
    error(
        *(
            "lists as python writes them in csv",
            ".csv",
            csv_of([(str(s["tokens"]), str(s["tags"])) for s in SENTENCES], ("tokens", "tags")),
        ),
        *("train.csv, line 2", "a list written as text", "JSONL"),
    ),
    error(
        "a line with one column less",
        ".conll",
        CONLL + "\nBonn\n",
        "train.conll, line 10",
        "1 column where line 1 has 2",
        "a blank line",
    ),
    error(
        "a line with one column more",
        ".conll",
        CONLL + "New York B-LOC\n",
        "train.conll, line 9",
        "3 columns where line 1 has 2",
    ),
    error(
        "tabs and blanks",
        ".conll",
        CONLL.replace(" ", "\t") + "said O\n",
        "train.conll, line 9",
        "1 column where line 1 has 2",
    ),
    error("a tag is missing", ".conll", "EU\tB-ORG\ncall\t\n", "train.conll, line 2", "the tag is missing"),
    error("a token is missing", ".conll", "EU\tB-ORG\n\tO\n", "train.conll, line 2", "the token is missing"),
    error("no sentence", ".conll", "\n\n-DOCSTART- -X- O\n\n", "train.conll", "no sentence"),
    error("comments of conll-u", ".conll", UD, "train.conll, line 1", "a comment", "remove"),
    error(
        "numbered tokens of conll-u",
        ".conll",
        UD.replace("# sent_id", "-DOCSTART-"),
        "train.conll",
        "counts the tokens",
        "cut",
    ),
    error("one tag only", ".conll", "a O\nb O\n\nc O\n", "train.conll", "only O", "two or more"),
    error(
        "a column that is not there",
        ".conll",
        CONLL,
        "task.tag_column=4",
        "line 1 has 2 columns",
        options=("task.tag_column=4",),
    ),
    error(
        "western bytes in conll",
        ".conll",
        CONLL.encode() + "Jos\u00e9 B-PER\n".encode("cp1252"),
        "train.conll, line 9",
        "WINDOWS-1252",
    ),
    error(
        "all in one sentence",
        ".conll",
        CONLL.replace("\n\n", "\n"),
        "one sentence alone",
        "task.validation=<file>",
        "a blank line ends a sentence",
        options=("task.validation=null",),
    ),
    # predicates
    error(
        "a predicate behind the end",
        ".jsonl",
        clause(2),
        "train.jsonl, line 3",
        "'2'",
        "0 to 1",
        "task.predicate",
        kind="srl",
    ),
    error("a predicate before the start", ".jsonl", clause(-1), "line 3", "'-1'", "0 to 1", kind="srl"),
    error("the predicate itself", ".jsonl", clause("rained"), "line 3", "'rained'", "0 to 1", kind="srl"),
    error("no predicate", ".jsonl", clause(None), "line 3", "missing", "task.predicate", kind="srl"),
    # odd, and right
    accept("conll", ".conll", CONLL, READ),
    accept(
        "blanks on blank lines, crlf, documents",
        ".txt",
        "-DOCSTART- -X-\r\n\r\n" + CONLL.replace("\n\n", "\n \t\n").replace("\n", "\r\n"),
        READ,
    ),
    accept("four columns", ".conll", CONLL.replace(" ", " NN I-NP "), READ),
    accept(
        "tags in the second column",
        ".conll",
        CONLL.replace("\n", " x\n").replace(" x\n x\n", " x\n\n"),
        READ,
        options=("task.tag_column=2",),
    ),
    accept(
        "tokens that are quotes", ".conll", CONLL + "\n\" O\n' O\n, O\n", [*READ, (['"', "'", ","], ["O", "O", "O"])]
    ),
    accept(
        "tokens and tags with blanks between",
        ".csv",
        csv_of([(" ".join(a), " ".join(b)) for a, b in READ], ("tokens", "tags")),
        READ,
    ),
    accept(
        "parts of speech as numbers",
        ".jsonl",
        lines([{"tokens": ["a", "b"], "tags": [1, 0]}, {"tokens": ["c"], "tags": [1]}]),
        [(["a", "b"], ["1", "0"]), (["c"], ["1"])],
        files={"dev.jsonl": lines([{"tokens": ["d"], "tags": [0]}])},
        options=("task.validation=dev.jsonl",),
    ),
    accept(
        "a tagged tsv with a header",
        ".tsv",
        "tokens\ttags\n" + "".join(f"{' '.join(a)}\t{' '.join(b)}\n" for a, b in READ),
        READ,
    ),
    accept(
        "bioes", ".conll", CONLL.replace("B-ORG", "S-ORG").replace("B-MISC", "S-MISC").replace("I-PER", "E-PER"), READ
    ),
    accept(
        "a predicate as text",
        ".csv",
        csv_of(
            [(" ".join(c["tokens"]), c["predicate_index"], " ".join(c["roles"])) for c in CLAUSES],
            ("tokens", "predicate_index", "roles"),
        ),
        [(c["predicate_index"], c["roles"]) for c in CLAUSES],
        kind="srl",
        shown=("predicate", "gold"),
    ),
]
