"""Folders in the hub's layout, as the hub's cache holds them and as users keep them; no network, nothing written."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tl_run.data.hub_data import read_split, splits
from tl_run.data.hub_layout import choose, download_patterns, lacks
from tl_run.errors import BadInput

SHA = "8d51e7e4887a4caaa95b3fbebbf53c0490b58bbb"
SST2_FEATURES = {
    "idx": {"dtype": "int32", "_type": "Value"},
    "sentence": {"dtype": "string", "_type": "Value"},
    "label": {"names": ["negative", "positive"], "_type": "ClassLabel"},
}
SST2_CARD = """---
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
  splits:
  - name: train
    num_examples: 67349
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
# SST-2
"""
GLUE_CARD = """---
config_names:
- ax
- mrpc
- qnli
configs:
- config_name: ax
  data_files:
  - split: test
    path: ax/test-*
- config_name: mrpc
  data_files:
  - split: train
    path: mrpc/train-*
  - split: validation
    path: mrpc/validation-*
- config_name: qnli
  data_files:
  - split: train
    path: qnli/train-*
dataset_info:
- config_name: mrpc
  features:
  - name: sentence1
    dtype: string
  - name: label
    dtype:
      class_label:
        names:
          '0': not_equivalent
          '1': equivalent
- config_name: qnli
  features:
  - name: sentence1
    dtype: string
  - name: label
    dtype:
      class_label:
        names:
          '0': entailment
          '1': not_entailment
---
"""


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        pytest.fail(f"asked the network: {args}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def write_parquet(path: Path, columns: dict, features: dict | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"huggingface": json.dumps({"info": {"features": features}})} if features else None
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), path)
    return path


def write_sst2(folder: Path, features: dict | None = None, label: int | None = None) -> Path:
    for split in ("train", "validation", "test"):
        labels = [-1] * 20 if split == "test" else [i % 2 for i in range(20)]
        columns = {
            "idx": pa.array(range(20), pa.int32()),
            "sentence": [f"{split} {i}" for i in range(20)],
            "label": pa.array(labels, pa.int64()),
        }
        write_parquet(folder / f"data/{split}-00000-of-00001.parquet", columns, features)
    return folder


def write_glue(folder: Path, *subsets: str) -> Path:
    write(folder / "README.md", GLUE_CARD)
    for subset in subsets:
        for split in {"mrpc": ["train", "validation"], "qnli": ["train"], "ax": ["test"]}[subset]:
            columns = {"sentence1": [f"{subset} {split}"], "label": pa.array([1], pa.int64())}
            write_parquet(folder / subset / f"{split}-00000-of-00001.parquet", columns)
    return folder


def into_cache(folder: Path, cache: Path) -> Path:
    """The hub's cache: the files in a snapshot are links to blobs without a suffix."""
    (cache / "blobs").mkdir(parents=True)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        blob = cache / "blobs" / f"{abs(hash(path)):x}"
        path.rename(blob)
        link = cache / "snapshots" / SHA / path.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    write(cache / "refs/main", SHA)
    return cache / "snapshots" / SHA


@pytest.mark.parametrize("card", [True, False], ids=["features in README.md", "features in the parquet files"])
def test_sst2_from_the_cache(tmp_path, card):
    folder = write_sst2(tmp_path / "sst2", None if card else SST2_FEATURES)
    if card:
        write(folder / "README.md", SST2_CARD)
    folder = into_cache(folder, tmp_path / ".cache/hub/datasets--stanfordnlp--sst2")
    assert splits(folder, None) == ["train", "validation", "test"]
    train = read_split(folder, None, "train")
    assert train.columns == ("idx", "sentence", "label")
    assert train.rows[3] == {"idx": 3, "sentence": "train 3", "label": 1}
    assert type(train.rows[3]["label"]) is int
    assert len(train.rows) == 20
    assert train.class_names == {"label": ["negative", "positive"]}
    assert train.where(3) == "stanfordnlp/sst2 train, row 3"


def test_minus_one_is_no_label(tmp_path):
    write(tmp_path / "README.md", SST2_CARD)
    rows = read_split(write_sst2(tmp_path), None, "test").rows
    assert {row["label"] for row in rows} == {None}
    assert rows[1]["idx"] == 1


def test_minus_one_stays_in_a_column_of_numbers(tmp_path):
    write_parquet(tmp_path / "train.parquet", {"score": [-1, 2]})
    assert [row["score"] for row in read_split(tmp_path, None, "train").rows] == [-1, 2]


def test_classes_of_tokens(tmp_path):
    tags = {"feature": {"names": ["O", "B-PER"], "_type": "ClassLabel"}, "_type": "List"}
    features = {"tokens": {"feature": {"dtype": "string", "_type": "Value"}, "_type": "List"}, "ner_tags": tags}
    columns = {"tokens": [["Ann", "sat"]], "ner_tags": pa.array([[1, -1]], pa.list_(pa.int64()))}
    write_parquet(tmp_path / "train.parquet", columns, features)
    train = read_split(tmp_path, None, "train")
    assert train.class_names == {"ner_tags": ["O", "B-PER"]}
    assert train.rows == [{"tokens": ["Ann", "sat"], "ner_tags": [1, None]}]


def test_one_subset_of_several_is_enough(tmp_path):
    """As a download of one subset leaves it: the first one of README.md, ax, is not there."""
    folder = write_glue(tmp_path, "mrpc", "qnli")
    assert splits(folder, "mrpc") == ["train", "validation"]
    mrpc = read_split(folder, "mrpc", "train")
    assert mrpc.rows == [{"sentence1": "mrpc train", "label": 1}]
    assert mrpc.class_names == {"label": ["not_equivalent", "equivalent"]}
    assert mrpc.where(0).endswith("mrpc train, row 0")
    assert read_split(folder, "qnli", "train").class_names == {"label": ["entailment", "not_entailment"]}


def test_unknown_subset_and_split(tmp_path):
    folder = write_glue(tmp_path, "mrpc")
    with pytest.raises(BadInput, match=r"no subset 'mprc', did you mean 'mrpc'\?; it has ax, mrpc, qnli"):
        read_split(folder, "mprc", "train")
    with pytest.raises(BadInput, match=r"task.subset: .* several subsets, choose one of ax, mrpc, qnli"):
        splits(folder, None)
    with pytest.raises(
        BadInput, match=r"no split 'validaton', did you mean 'validation'\?; there is train, validation"
    ):
        read_split(folder, "mrpc", "validaton")
    with pytest.raises(BadInput, match=r"no split 'train': no file matches qnli/train-\*; there is no data files"):
        read_split(folder, "qnli", "train")


def test_a_default_may_be_marked(tmp_path):
    a, b = "{config_name: a, data_files: a.csv}", "{config_name: b, data_files: b.csv, default: true}"
    write(tmp_path / "README.md", f"---\nconfigs: [{a}, {b}]\n---\n")
    write(tmp_path / "b.csv", "text\nhello\n")
    assert read_split(tmp_path, None, "train").rows == [{"text": "hello"}]


def test_subset_by_folder_name(tmp_path):
    write_parquet(tmp_path / "de/train-00000-of-00001.parquet", {"text": ["hallo"]})
    write_parquet(tmp_path / "en/train-00000-of-00001.parquet", {"text": ["hello"]})
    assert read_split(tmp_path, "de", "train").rows == [{"text": "hallo"}]
    with pytest.raises(BadInput, match=r"lacks a folder 'ed' with data files.*; there is de, en"):
        splits(tmp_path, "ed")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("train.csv", 'text,stars\n"so, so",3\n'),
        ("train.tsv", "text\tstars\nso, so\t3\n"),
        ("train.jsonl", '{"text": "so, so", "stars": 3}\n'),
        ("train.json", '[{"text": "so, so", "stars": 3}]'),
    ],
)
def test_text_files_and_file_names(tmp_path, name, text):
    folder = tmp_path / "a [new] set?"  # these are wildcards to the library
    write(folder / name, text)
    write(folder / name.replace("train", "dev"), text)
    write(folder / "config.json", "{}")
    assert splits(folder, None) == ["train", "validation"]
    train = read_split(folder, None, "train")
    assert train.rows == [{"text": "so, so", "stars": 3}]
    assert train.columns == ("text", "stars")
    assert train.class_names == {}


def test_csv_as_the_card_says(tmp_path):
    card = (
        "---\nconfigs:\n- config_name: default\n  sep: ;\n  data_files: all.csv\n"
        "dataset_info:\n  features:\n  - {name: text, dtype: string}\n"
        "  - name: label\n    dtype: {class_label: {names: {'0': bad, '1': good}}}\n---\n"
    )
    write(tmp_path / "README.md", card)
    write(tmp_path / "all.csv", "text;label\nyes, yes;good\nno;bad\n")
    train = read_split(tmp_path, None, "train")
    assert train.rows == [{"text": "yes, yes", "label": 1}, {"text": "no", "label": 0}]
    assert train.class_names == {"label": ["bad", "good"]}


def test_a_script_is_not_run(tmp_path):
    folder = tmp_path / "sst2"
    write(folder / "sst2.py", f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(BadInput, match="no data files"):
        read_split(folder, None, "train")
    write(folder / "train.csv", "text\nhello\n")
    assert read_split(folder, None, "train").rows == [{"text": "hello"}]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("path", ["https://example.org/train.csv", "hf://datasets/a/b/c.csv", "/etc/x.csv", "../x.csv"])
def test_a_card_cannot_reach_outside(tmp_path, path):
    write(tmp_path / "README.md", f"---\nconfigs:\n- config_name: default\n  data_files: {path}\n---\n")
    with pytest.raises(BadInput, match="lies outside of the folder"):
        read_split(tmp_path, None, "train")


def test_unreadable_files_and_cards(tmp_path):
    write(tmp_path / "train.parquet", "not parquet")
    with pytest.raises(BadInput, match=r"train cannot be read, ArrowInvalid: .*[Pp]arquet"):
        read_split(tmp_path, None, "train")
    write(tmp_path / "README.md", "---\nconfigs: [oh\n---\n")
    with pytest.raises(BadInput, match=r"README.md: cannot read its `configs`"):
        splits(tmp_path, None)


def test_nothing_is_said_on_the_side(tmp_path):
    """In a program of its own: there the libraries have not been muted by an earlier test."""
    write(tmp_path / "README.md", "A set of mine.\n")
    write(tmp_path / "train.csv", "text\nhello\n")
    write(tmp_path / "test.jsonl", '{"text": "hello"\n')
    program = (
        f"from pathlib import Path\nfrom tl_run.data.hub_data import read_split\nhere = Path({str(tmp_path)!r})\n"
        "print(read_split(here, None, 'train').rows)\n"
        "try:\n    read_split(here, None, 'test')\nexcept Exception as problem:\n    print(problem)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout.splitlines()[0] == "[{'text': 'hello'}]"
    assert "test cannot be read, " in done.stdout


def test_mixed_kinds_are_not_guessed(tmp_path):
    write(tmp_path / "a.csv", "text\nhello\n")
    write(tmp_path / "b.jsonl", '{"text": "hello"}\n')
    with pytest.raises(BadInput, match=r"a.csv and b.jsonl are of different kinds"):
        read_split(tmp_path, None, "train")


def test_nothing_is_written(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = write_sst2(tmp_path / "sst2", SST2_FEATURES)
    before = sorted(tmp_path.rglob("*"))
    read_split(folder, None, "train")
    assert sorted(tmp_path.rglob("*")) == before


def test_what_to_download(tmp_path):
    write(tmp_path / "README.md", GLUE_CARD)
    assert download_patterns(tmp_path, "mrpc", ()) == ["mrpc/train-*", "mrpc/validation-*"]
    assert download_patterns(tmp_path, "mrpc", ["train", "test"]) == ["mrpc/train-*"]
    assert download_patterns(tmp_path, "mrpc", ["test"]) == []
    (tmp_path / "README.md").unlink()
    assert "de/*.parquet" in download_patterns(tmp_path, "de", ["train"])
    assert "*.jsonl" in download_patterns(tmp_path, None, ())


def test_what_is_lacking(tmp_path):
    folder = write_glue(tmp_path, "mrpc")
    assert lacks(folder, "mrpc", ()) == []
    assert lacks(folder, "qnli", ()) == ["qnli/train-*"]
    assert choose(folder, "mrpc").patterns["train"] == ["mrpc/train-*"]
    (folder / "mrpc/train-00000-of-00001.parquet").rename(folder / "mrpc/train-00000-of-00002-9f3c.parquet")
    assert lacks(folder, "mrpc", ["validation"]) == []
    assert lacks(folder, "mrpc", ["train"]) == ["1 of 2 parts of train"]
