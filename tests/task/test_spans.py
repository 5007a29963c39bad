"""Schemes of tags, and scores over spans against seqeval and a table by hand."""

import random

import pytest

from tl_run.task.spans import Span, count, fault, recognise, spans, to_iob2

SAME = {
    "iob1": "I-PER I-PER B-PER O I-LOC I-ORG O I-ORG B-ORG I-ORG",
    "iob2": "B-PER I-PER B-PER O B-LOC B-ORG O B-ORG B-ORG I-ORG",
    "bioes": "B-PER E-PER S-PER O S-LOC S-ORG O S-ORG B-ORG E-ORG",
}
FOUND = [("PER", 0, 2), ("PER", 2, 3), ("LOC", 4, 5), ("ORG", 5, 6), ("ORG", 7, 8), ("ORG", 8, 10)]


@pytest.mark.parametrize("scheme", SAME)
def test_the_same_spans_in_every_scheme(scheme):
    tags = SAME[scheme].split()
    assert recognise([["O"], tags]) == scheme
    assert fault(tags, scheme) is None
    assert to_iob2(tags) == SAME["iob2"].split()
    assert spans(to_iob2(tags)) == FOUND


def test_other_letters_of_bioes():
    for tags in ("B-A M-A M-A E-A S-B O B-B E-B", "B-A I-A I-A L-A U-B O B-B L-B"):
        assert recognise([tags.split()]) == "bioes"
        assert to_iob2(tags.split()) == ["B-A", "I-A", "I-A", "I-A", "B-B", "O", "B-B", "I-B"]


@pytest.mark.parametrize("tags", ["NNP VBZ -LRB- O .", "ARG0 V ARGM-TMP C-ARG1 O", "O O O", "B- -PER I"])
def test_plain_tags_mark_no_spans(tags):
    assert recognise([tags.split()]) == "none"


@pytest.mark.parametrize(
    ("tags", "scheme", "words"),
    [
        (
            "O B-A PER",
            "iob2",
            "tag 3 is 'PER', in iob2 it is O or begins with B- or I-: mend it, or type task.scheme=none",
        ),
        ("O S-A", "iob1", "tag 2 is 'S-A', in iob1 it is O or begins with B- or I-"),
        ("O N-A", "bioes", "tag 2 is 'N-A', in bioes it is O or begins with B- or I- or E- or S-"),
        ("B-A O I-A", "iob2", "tag 3 is 'I-A' and begins a span, in iob2 B- does: mend it, or type task.scheme=iob1"),
    ],
)
def test_what_is_not_of_the_scheme_is_told(tags, scheme, words):
    assert (fault(tags.split(), scheme) or "").startswith(words)


def test_what_continues_no_span_begins_one():
    found = spans(["B-PER", "I-LOC", "I-LOC", "O", "I-LOC", "B-LOC", "I-PER"])
    assert found == [("PER", 0, 1), ("LOC", 1, 3), ("LOC", 4, 5), ("LOC", 5, 6), ("PER", 6, 7)]


def test_a_table_by_hand():
    """Four in the gold, five found, two right: a wrong type, a wrong end, and one too many."""
    gold = ["B-PER I-PER O B-LOC O", "B-ORG I-ORG O", "B-PER"]
    found = ["B-PER I-PER O B-ORG O", "B-ORG O B-LOC", "I-PER"]
    rows = count([spans(tags.split()) for tags in gold], [spans(tags.split()) for tags in found])
    assert rows == {
        "": {"precision": 2 / 5, "recall": 2 / 4, "f1": pytest.approx(4 / 9), "support": 4},
        "LOC": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1},
        "ORG": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1},
        "PER": {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 2},
    }
    nothing: list[list[Span]] = [[]]
    assert count(nothing, nothing) == {"": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}}


@pytest.mark.filterwarnings("ignore")  # seqeval and numpy warn where there is nothing to divide by
def test_scores_are_seqevals():
    metrics, labeling = (pytest.importorskip(f"seqeval.metrics{part}") for part in ("", ".sequence_labeling"))
    generator = random.Random(0)
    labels = ["O", "O", *(f"{letter}-{kind}" for kind in ("PER", "LOC", "A-B") for letter in "BI")]
    for _ in range(100):
        lengths = [generator.randint(1, 9) for _ in range(generator.randint(1, 8))]
        gold, found = ([[generator.choice(labels) for _ in range(n)] for n in lengths] for _ in range(2))
        found = [
            [g if generator.random() < 0.7 else f for g, f in zip(*pair, strict=True)]
            for pair in zip(gold, found, strict=True)
        ]
        for tags in [*gold, *found]:
            any_scheme = [tag.replace("B-", "S-") if generator.random() < 0.2 else tag for tag in tags]
            any_scheme = [tag.replace("I-", "E-") if generator.random() < 0.2 else tag for tag in any_scheme]
            entities = [(kind, start, end + 1) for kind, start, end in labeling.get_entities(any_scheme)]
            assert spans(to_iob2(any_scheme)) == entities
        ours = count(map(spans, gold), map(spans, found))
        report = metrics.classification_report(gold, found, output_dict=True, zero_division=0)
        theirs = {"": report["micro avg"], **{k: v for k, v in report.items() if not k.endswith(" avg")}}
        assert ours.keys() == theirs.keys()
        for kind, row in theirs.items():
            assert ours[kind] == pytest.approx(
                {name.removesuffix("-score"): value for name, value in row.items()}, abs=1e-9
            )
