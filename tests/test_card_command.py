"""`tl-run task=sentiment model=bert-base`, unchanged and offline, from a hub cache filled by hand."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import tl_run
from conftest import bert_folder

SHA = "8d51e7e4887a4caaa95b3fbebbf53c0490b58bbb"
CARD = """---
dataset_info:
  features:
  - name: idx
    dtype: int32
  - name: sentence
    dtype: string
  - name: label
    dtype:
      class_label:
        names:
          '0': negative
          '1': positive
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*
  - split: validation
    path: data/validation-*
  - split: test
    path: data/test-*
---
"""


def snapshot(hub: Path, name: str) -> Path:
    """An empty snapshot in the hub's cache, with the branch that leads to it."""
    (hub / name / "refs").mkdir(parents=True)
    (hub / name / "refs" / "main").write_text(SHA)
    folder = hub / name / "snapshots" / SHA
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def cache(tmp_path) -> Path:
    """HF_HOME with a tiny BERT under the name of bert-base-uncased, and 20 rows of SST-2."""
    home = tmp_path / "home"
    bert_folder(snapshot(home / "hub", "models--google-bert--bert-base-uncased"), max_position_embeddings=128)
    data = snapshot(home / "hub", "datasets--stanfordnlp--sst2")
    (data / "README.md").write_text(CARD)
    (data / "data").mkdir()
    sentences = [f"the {'good' if i % 2 else 'bad'} film {i} " for i in range(20)]
    for split, start, end in (("train", 0, 12), ("validation", 12, 16), ("test", 16, 20)):
        columns = {
            "idx": pa.array(range(end - start), pa.int32()),
            "sentence": sentences[start:end],
            "label": pa.array([-1 if split == "test" else i % 2 for i in range(start, end)], pa.int64()),
        }
        pq.write_table(pa.table(columns), data / "data" / f"{split}-00000-of-00001.parquet")
    return home


def test_it_runs_offline(cache, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(tl_run.__file__).parents[1]), "HF_HOME": str(cache)}
    environment.pop("HF_HUB_CACHE", None)
    typed = [sys.executable, "-m", "tl_run", "task=sentiment", "model=bert-base"]
    done = subprocess.run(typed, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "labels negative, positive" in done.stdout
    assert f"google-bert/bert-base-uncased at {SHA[:8]}" in done.stdout
    assert "note: the test split has no labels: validation is the test, and validation is held out" in done.stdout
    (folder,) = (tmp_path / "outputs" / "sentiment" / "bert-base").iterdir()
    told = [json.loads(line) for line in (folder / "predictions-test.jsonl").read_text().splitlines()]
    assert [line["text"] for line in told] == [f"the {'good' if i % 2 else 'bad'} film {i} " for i in range(12, 16)]
    assert [line["gold"] for line in told] == ["negative", "positive"] * 2
    assert [line["id"] for line in told] == list("0123")
    result = json.loads((folder / "result.json").read_text())
    assert result["metric"]["split"] == "test"
    assert result["validation"].keys() == result["test"].keys()
    assert json.loads((folder / "environment.json").read_text())["hub_commits"] == {"model": SHA, "dataset": SHA}
    labels = json.loads((folder / "model" / "config.json").read_text())["id2label"]
    assert labels == {"0": "negative", "1": "positive"}
    front = yaml.safe_load((folder / "model" / "README.md").read_text().split("---")[1])
    assert front["base_model"] == "google-bert/bert-base-uncased"
    assert front["datasets"] == ["stanfordnlp/sst2"]
