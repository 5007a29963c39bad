"""Scores that are counted from sums, against scikit-learn and scipy on the drawn examples themselves."""

import json
from pathlib import Path

import numpy as np
import pytest
from run_folders import write
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from tl_run.report.runs import find
from tl_run.report.scores import aligned, right, scorer
from tl_run.task import ranks
from tl_run.task.spans import count, spans

LABELS = ["a", "b", "c"]
REFERENCES = {
    "accuracy": accuracy_score,
    "f1_macro": lambda gold, found: f1_score(gold, found, labels=LABELS, average="macro", zero_division=0.0),
    "f1_weighted": lambda gold, found: f1_score(gold, found, labels=LABELS, average="weighted", zero_division=0.0),
    "mcc": matthews_corrcoef,
}


def run(tmp_path: Path, metric: str, score: float, lines: list[dict], labels=("no", "yes")):
    folder = write(tmp_path / "run", metric=metric)
    result = json.loads((folder / "result.json").read_text())
    row = {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 1}
    result["tables"] = {"per_class": dict.fromkeys(labels, row)}
    (folder / "result.json").write_text(json.dumps(result))
    (folder / "predictions-test.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (found,) = find([tmp_path]).runs
    return found, scorer([found], [found.predictions()], [score])


@pytest.mark.parametrize("metric", REFERENCES)
def test_scores_of_classes(tmp_path, metric):
    random = np.random.default_rng(0)
    gold, found = random.choice(LABELS, (2, 60))
    lines = [
        {"id": str(i), "gold": str(g), "prediction": str(f)} for i, (g, f) in enumerate(zip(gold, found, strict=True))
    ]
    _, score = run(tmp_path, metric, REFERENCES[metric](gold, found), lines, LABELS)
    assert score is not None
    weights = random.multinomial(60, np.full(60, 1 / 60), 5)
    drawn = [np.repeat(np.arange(60), own) for own in weights]
    assert score(weights)[:, 0] == pytest.approx([REFERENCES[metric](gold[own], found[own]) for own in drawn])


@pytest.mark.parametrize("metric", ["f1_macro", "f1_micro"])
def test_scores_of_several_labels_for_one_text(tmp_path, metric):
    random = np.random.default_rng(2)
    gold, found = random.random((2, 30, 3)) < 0.4
    named = [
        [[name for name, holds in zip(LABELS, row, strict=True) if holds] for row in rows] for rows in (gold, found)
    ]
    lines = [{"id": str(i), "gold": g, "prediction": f} for i, (g, f) in enumerate(zip(*named, strict=True))]

    def reference(places):
        return f1_score(gold[places], found[places], average=metric.removeprefix("f1_"), zero_division=0.0)

    _, score = run(tmp_path, metric, reference(np.arange(30)), lines, LABELS)
    assert score is not None
    weights = random.multinomial(30, np.full(30, 1 / 30), 4)
    assert score(weights)[:, 0] == pytest.approx([reference(np.repeat(np.arange(30), own)) for own in weights])


@pytest.mark.parametrize("metric", ["pearson", "rmse", "mae", "spearman"])
def test_scores_of_numbers(tmp_path, metric):
    random = np.random.default_rng(1)
    gold = random.integers(0, 6, 40).astype(float)
    found = gold + random.normal(0, 2, 40)
    references = {
        "pearson": lambda g, f: pearsonr(g, f)[0],
        "spearman": lambda g, f: spearmanr(g, f)[0],
        "rmse": lambda g, f: ((g - f) ** 2).mean() ** 0.5,
        "mae": lambda g, f: np.abs(g - f).mean(),
    }
    lines = [{"id": str(i), "gold": g, "prediction": f} for i, (g, f) in enumerate(zip(gold, found, strict=True))]
    _, score = run(tmp_path, metric, references[metric](gold, found), lines)
    assert score is not None
    weights = random.multinomial(40, np.full(40, 1 / 40), 4)
    drawn = [np.repeat(np.arange(40), own) for own in weights]
    tolerance = 0.05 if metric == "spearman" else 1e-9  # ranks are those among all examples
    expected = [references[metric](gold[own], found[own]) for own in drawn]
    assert score(weights)[:, 0] == pytest.approx(expected, abs=tolerance)


def test_f1_of_spans(tmp_path):
    gold = [["B-PER", "I-PER", "O"], ["O", "B-LOC", "O"], ["O", "O", "O"], ["B-PER", "B-PER", "O"]]
    found = [["B-PER", "I-PER", "O"], ["O", "B-PER", "O"], ["B-LOC", "O", "O"], ["B-PER", "O", "O"]]
    lines = [
        {"id": str(i), "tokens": ["x"] * 3, "gold": g, "prediction": f, "spans": [span._asdict() for span in spans(f)]}
        for i, (g, f) in enumerate(zip(gold, found, strict=True))
    ]
    expected = count(map(spans, gold), map(spans, found))[""]["f1"]
    _, score = run(tmp_path, "f1", expected, lines)
    assert score is not None
    assert score(np.array([[1, 1, 1, 1], [2, 0, 0, 1]]))[:, 0] == pytest.approx([expected, 2 * 3 / (3 + 4)])


def test_f1_of_answers_and_perplexity(tmp_path):
    lines = [
        {"id": "0", "gold": ["the red house"], "prediction": "red house"},
        {"id": "1", "gold": ["a dog"], "prediction": "dog cat"},
    ]
    _, score = run(tmp_path / "qa", "f1", (1 + 2 / 3) / 2, lines)
    assert score is not None
    assert score(np.array([[0, 1]]))[0, 0] == pytest.approx(2 / 3)
    lines = [{"id": "0", "tokens": 3, "perplexity": 4.0}, {"id": "1", "tokens": 1, "perplexity": 16.0}]
    _, score = run(tmp_path / "lm", "perplexity", 2**2.5, lines)
    assert score is not None
    assert score(np.array([[1, 1], [0, 2]]))[:, 0] == pytest.approx([2**2.5, 16])


@pytest.mark.parametrize("metric", ranks.SCORES)
def test_scores_of_ranks(tmp_path, metric):
    found = np.array([[1.0, 12.0], [2.5, 3.0], [40.0, 1.0]])
    lines = [{"id": str(i), "rank_head": head, "rank_tail": tail} for i, (head, tail) in enumerate(found.tolist())]
    _, score = run(tmp_path, metric, ranks.SCORES[metric](found).mean(), lines)
    assert score is not None
    assert score(np.array([[0, 2, 1]]))[0, 0] == pytest.approx(ranks.SCORES[metric](found[[1, 1, 2]]).mean())


def test_what_does_not_give_the_stored_score_is_not_counted(tmp_path):
    lines = [{"id": "0", "gold": "no", "prediction": "no"}, {"id": "1", "gold": "yes", "prediction": "no"}]
    assert run(tmp_path / "a", "accuracy", 0.5, lines)[1] is not None
    assert run(tmp_path / "b", "accuracy", 0.6, lines)[1] is None
    assert run(tmp_path / "c", "a_metric_of_mine", 0.5, lines)[1] is None


def test_predictions_are_put_in_one_order_or_are_not_compared(tmp_path):
    first, second = write(tmp_path / "0"), write(tmp_path / "1", seed=1)
    turned = (second / "predictions-test.jsonl").read_text().splitlines()[::-1]
    (second / "predictions-test.jsonl").write_text("\n".join(turned) + "\n")
    runs = find([tmp_path]).runs
    lines = aligned(runs)
    assert lines is not None
    assert [line["id"] for line in lines[1]] == ["0", "1", "2", "3"]
    assert right(runs[0], lines[0]).tolist() == [True, True, False, True]
    (first / "predictions-test.jsonl").write_text("\n".join(turned[1:]) + "\n")
    assert aligned(runs) is None
    (first / "predictions-test.jsonl").unlink()
    assert aligned(runs) is None
    assert right(runs[0], [{"gold": ["a"], "prediction": "a"}]) is None
