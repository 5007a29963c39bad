"""Features prepared for a solved head: selected, reduced, with words beside them, aligned; the head holds it all."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfTransformer
from torch import nn

import tl_run as package
from composing import compose
from finished_objects import toy
from kind_runs import lines
from tl_run.config import check
from tl_run.errors import BadOption
from tl_run.model.bag import Bag
from tl_run.transfer.features import Projection, alignment, anova, autoencode, bring, l1


def standard(features: np.ndarray) -> np.ndarray:
    return (features - features.mean(0)) / features.std(0)


@pytest.mark.parametrize("select", [anova, l1])
def test_the_features_that_tell_labels_apart_are_kept(select):
    generator = np.random.default_rng(0)
    labels = np.arange(80) % 2
    features = generator.normal(size=(80, 6))
    features[:, 4] += 3 * labels
    features[:, 1] -= 2 * labels
    assert select(standard(features), labels, 2).tolist() == [1, 4]


def test_a_feature_that_is_always_the_same_is_no_choice():
    features = np.array([[0.0, 1], [0, 2], [0, 3], [0, 5]])
    assert anova(features, np.array([0, 0, 1, 1]), 1).tolist() == [1]


def test_the_autoencoder_finds_the_directions_there_are():
    generator = np.random.default_rng(0)
    two = generator.normal(size=(200, 2)) @ generator.normal(size=(2, 8))
    projection, restored = autoencode(standard(two), 2, seed=0)
    again, _ = autoencode(standard(two), 2, seed=0)
    assert restored > 0.95
    assert np.array_equal(projection.matrix, again.matrix)
    found = projection(standard(two))
    assert found.shape == (200, 2)
    assert found.mean(0) == pytest.approx(0, abs=1e-9)
    assert found.std(0) == pytest.approx(1)
    assert autoencode(standard(generator.normal(size=(200, 8))), 2, seed=0)[1] < 0.6


def test_alignment_gives_the_new_domain_the_statistics_of_the_old():
    generator = np.random.default_rng(0)
    old = generator.normal(size=(500, 3)) @ np.array([[1, 0.8, 0], [0, 1, 0], [0, 0, 2.0]]) + 5
    new = generator.normal(size=(400, 3)) @ np.array([[2, 0, 0], [0, 1, -0.7], [0, 0, 1.0]]) - 3
    matrix, offset = alignment(old, new)
    brought = new @ matrix.T + offset
    assert brought.mean(0) == pytest.approx(old.mean(0))

    def regular(x: np.ndarray) -> np.ndarray:  # what algorithm 1 matches: correlations with 1 on the diagonal added
        return np.cov(standard(x).T) + np.eye(3)

    def root(m: np.ndarray) -> np.ndarray:
        values, vectors = np.linalg.eigh(m)
        return vectors @ np.diag(np.sqrt(values)) @ vectors.T

    by_hand = standard(new) @ np.linalg.inv(root(regular(new))) @ root(regular(old)) * old.std(0) + old.mean(0)
    assert brought == pytest.approx(by_hand)
    same, nothing = alignment(old, old)
    assert same == pytest.approx(np.eye(3))
    assert nothing == pytest.approx(0)


def test_a_projection_becomes_part_of_a_linear_layer():
    linear = nn.Linear(2, 3)
    x = torch.randn(5, 4)
    projection = Projection(np.random.default_rng(0).normal(size=(2, 4)), np.array([1.0, -2.0]))
    expected = linear(torch.from_numpy(projection(x.numpy())).float())
    wide = nn.Linear(4, 3)
    with torch.no_grad():
        wide.weight.copy_(linear.weight @ torch.from_numpy(projection.matrix).float())
        wide.bias.copy_(linear.bias + linear.weight @ torch.from_numpy(projection.offset).float())
    torch.testing.assert_close(wide(x), expected)
    square = nn.Linear(4, 3)
    matrix, offset = np.random.default_rng(1).normal(size=(4, 4)), np.arange(4.0)
    expected = square(x @ torch.from_numpy(matrix).float().T + torch.from_numpy(offset).float())
    bring(square, matrix, offset)
    torch.testing.assert_close(square(x), expected, rtol=1e-4, atol=1e-5)


def test_a_bag_is_scikit_learns():
    counts = np.array([[2, 1, 0, 0], [0, 1, 3, 0], [1, 0, 0, 0]])
    found = TfidfTransformer(sublinear_tf=True).fit(counts)
    bag = Bag(4, 2)
    bag.idf.copy_(torch.from_numpy(found.idf_))
    ids = torch.tensor([[0, 0, 1, 3], [2, 1, 2, 2], [0, 3, 3, 3]])
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1], [1, 0, 0, 0]]).bool()
    expected = torch.from_numpy(found.transform(counts).toarray()).float()
    torch.testing.assert_close(bag(ids, mask), expected)


@pytest.mark.parametrize(
    "options",
    [
        ("transfer.select=anova", "transfer.keep=5", "transfer.tfidf=true"),
        ("transfer.select=l1", "transfer.autoencoder=3"),
        ("transfer.align=coral", "task.domain.train=test.csv", "task.domain.test=test.csv"),
    ],
)
def test_the_saved_head_says_what_the_run_said(options, tmp_path, bert, tl_run, monkeypatch, capsys):
    command = [o for o in toy(tmp_path) if not (o.startswith("task.test") and "align" in options[0])]
    command += [
        "model=custom",
        f"model.path={bert}",
        "model.head=logistic",
        "freeze=trunk",
        "transfer=features",
        *options,
    ]
    assert tl_run(*command, "hydra.run.dir=run") == 0
    assert tl_run(*command, "hydra.run.dir=off", "features.mode=auto", f"features.path={tmp_path / 'another'}") == 0
    said = lines(Path("run/predictions-test.jsonl"))
    assert said == lines(Path("off/predictions-test.jsonl"))
    model, tokenizer = package.load_model(Path("run/model"))
    batch = tokenizer([line["text"] for line in said], padding=True, return_tensors="pt")
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        found = model(**inputs).logits.softmax(-1)
    for line, chances in zip(said, found.tolist(), strict=True):
        assert [*line["probabilities"].values()] == pytest.approx(chances, abs=1e-4)
    result = json.loads(Path("run/result.json").read_text())
    assert (result["transfer"], result["audit"]["frozen_moved"]) == ("features", [])
    validations = [line for line in lines(Path("run/metrics.jsonl")) if line["kind"] == "validation"]
    if "transfer.autoencoder=3" in options:
        assert 0 < validations[-1]["features/restored_variance"] <= 1
    if "transfer.keep=5" in options:
        assert validations[-1]["features/dimensions"] == 5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("transfer.select=anova",), "type model.head=logistic freeze=trunk"),
        (("model.head=svm", "freeze=trunk"), "transfer=features does nothing yet"),
        (("model.head=svm", "freeze=trunk", "transfer.align=coral"), "needs both task.domain.train="),
        (("model.head=svm", "freeze=trunk", "transfer.select=anova", "transfer.keep=0"), "transfer.keep"),
    ],
)
def test_what_cannot_be_is_said(options, said):
    with pytest.raises(BadOption) as failure:
        check.check(compose("transfer=features", *options))
    assert said in str(failure.value)
