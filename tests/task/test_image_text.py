"""Pictures and texts by a contrastive loss: the formula, both recalls, zero-shot classes, a model that comes back."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import tl_run as package
from composing import compose
from finished_objects import assemble
from kind_runs import lines
from tl_run import embedded, predict
from tl_run.config.check import check
from tl_run.errors import BadOption

DEMO = ["task=image-text-demo", "hardware=cpu", "training.batch_size=12"]


def test_the_loss_is_the_mean_of_both_directions():
    parts = assemble(*DEMO)
    task = parts.job.task
    vectors = F.normalize(torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(0)), dim=-1)
    labels = torch.tensor([[0, 10], [1, 11], [2, 10], [3, 13]])  # the first and the third have the same text
    outputs = type("Outputs", (), {"vectors": vectors.flatten(0, 1)})
    scores = task.options.scale * vectors[0] @ vectors[1].T
    hidden = torch.zeros(4, 4, dtype=torch.bool)
    hidden[0, 2] = hidden[2, 0] = True
    masked = scores.masked_fill(hidden, -torch.inf)
    own = torch.arange(4)
    expected = (F.cross_entropy(masked, own, reduction="sum") + F.cross_entropy(masked.T, own, reduction="sum")) / 2
    torch.testing.assert_close(task.loss(outputs, {"labels": labels}), expected)


def test_recalls_and_classes_are_counted():
    parts = assemble(*DEMO)
    task = parts.job.task
    vectors = np.array([[[1, 0], [1, 0.1]], [[0, 1], [0.9, 0.1]], [[-1, 0], [-1, 0.2]]], np.float32)
    encoded = type("Rows", (), {"labelled": np.array([True] * 3), "labels": np.array([[0, 10], [1, 11], [2, 12]])})
    encoded.classes = ["checks", "discs", "discs"]
    chances = [np.array([0.9, 0.1, 0.0]), np.array([0.1, 0.9, 0.0]), np.array([0.9, 0.1, 0.0])]
    found = [{"vectors": v, "classes": c} for v, c in zip(vectors, chances, strict=True)]
    found = task.gather(found, encoded)
    assert [line["rank_of_text"] for line in found] == [1, 2, 1]
    assert [line["rank_of_image"] for line in found] == [1, 2, 1]
    scores = task.metrics(found, encoded)
    assert scores["text_recall_at_1"] == scores["image_recall_at_1"] == scores["recall_at_1"] == pytest.approx(2 / 3)
    assert scores["zero_shot_accuracy"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("freeze", [("freeze=none",), ("freeze=trunk",), ("freeze=pattern", "freeze.pattern=vision")])
def test_a_run_is_loaded_again_and_classifies_what_it_was_not_trained_for(freeze, tl_run, tmp_path, capsys):
    assert tl_run(*DEMO, *freeze, "training.max_steps=3", "hydra.run.dir=run") == 0
    result = json.loads(Path("run/result.json").read_text())
    assert (result["metric"]["name"], result["audit"]["frozen_moved"]) == ("zero_shot_accuracy", [])
    learned = {"freeze=none": 1_787_280, "freeze=trunk": 5_696}.get(freeze[0], 1_735_168 + 5_696)
    assert result["parameters"]["trainable"] == pytest.approx(learned, abs=20_000)
    said = lines(Path("run/predictions-test.jsonl"))
    model, processors = package.load_model(Path("run/model"))
    from PIL import Image

    folder = embedded.locate("embedded:patterns")
    image = processors.pictures([Image.open(folder / said[0]["image"]).convert("RGB")], return_tensors="pt")
    with torch.no_grad():
        texts = model.texts(**processors.tokenizer([said[0]["text"]], return_tensors="pt"))
        cosine = (model.pictures(image["pixel_values"]) @ texts.T).item()
    assert cosine == pytest.approx(said[0]["cosine"], abs=1e-4)
    new = tmp_path / "new.csv"
    with new.open("w") as file:
        writer = csv.writer(file)
        writer.writerows([["image"], [folder / said[0]["image"]], [folder / said[30]["image"]]])
    predict.predict(["run", str(new), "-f", "jsonl"])
    again = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    for line, before in zip(again, (said[0], said[30]), strict=True):
        assert line["prediction"] == before["prediction"]
        assert line["probability"] == pytest.approx(before["probability"], abs=1e-4)


def test_another_encoder_of_pictures_is_another_run():
    jobs = [assemble(*DEMO, *more).job for more in ((), ("task.dimensions=16",))]
    assert jobs[0].identity != jobs[1].identity
    assert any(name.startswith("vision/") for name in jobs[0].weights)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("task=image-text-demo", "model=minilm"), "type model.vision=<hub id or folder>"),
        (("model=minilm", "model.vision=x"), "model.vision=x does nothing with task=reviews"),
        (("task=image-text-demo", "task.prompt=a photo"), "type {label} once"),
        (("task=image-text-demo", "task.label=null"), "type task.label=<column>"),
        (("task=image-text-demo", "freeze=gradual"), "two towers are not one stack of layers"),
        (("task=image-text-demo", "adapter=lora"), "adapter=none"),
        (("task=image-text-demo", "transfer=dann", "task.domain.train=x.csv"), "classification"),
        (("task=image-text-demo", "training.micro_batch_size=4"), "cannot be cut"),
    ],
)
def test_what_cannot_be_is_said(options, said):
    with pytest.raises(BadOption) as failure:
        check(compose(*options))
    assert said in str(failure.value)
