"""The preflight against caches and folders built by hand; the hub itself is played by a function."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
import torch
from huggingface_hub import HfApi, constants, errors
from safetensors.torch import load_file

from tl_run.errors import BadInput, MachineFault
from tl_run.hub import Wanted, find

SHA = "86b5e0934494bd15c9632b12f734a8a67f723594"
BERT = Wanted("model", "google-bert/bert-base-uncased", "model.path", "model=tiny")
SST2 = Wanted("dataset", "stanfordnlp/sst2", "task.dataset", "task=reviews")
MODEL_FILES = ("config.json", "model.safetensors", "tokenizer.json")
MRPC_CARD = """---
configs:
- config_name: ax
  data_files: [{split: test, path: ax/test-*}]
- config_name: mrpc
  data_files: [{split: train, path: mrpc/train-*}, {split: validation, path: mrpc/validation-*}]
---
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache, and a hub that must not be asked."""
    folder = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    play_hub(monkeypatch, lambda *_: pytest.fail("asked the hub"))
    return folder


def play_hub(monkeypatch, answer):
    """answer(id, revision) gives the names of the files there, or raises."""

    def info(self, repo_id, *, revision=None, **_):
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=name) for name in answer(repo_id, revision)])

    monkeypatch.setattr(HfApi, "model_info", info)
    monkeypatch.setattr(HfApi, "dataset_info", info)


def play_download(monkeypatch, cache, folders):
    """snapshot_download as the real one, but what it would fetch comes from `folders`: id -> (name in cache, files)."""
    real, fetched = huggingface_hub.snapshot_download, []

    def download(repo_id, *, allow_patterns, ignore_patterns=None, local_files_only=False, **where):
        if not local_files_only:
            name, files = folders[repo_id]
            patterns = {"allow_patterns": allow_patterns, "ignore_patterns": ignore_patterns}
            names = list(huggingface_hub.utils.filter_repo_objects(files, **patterns))
            put(cache / name / "snapshots" / SHA, *names, texts=files)
            put(cache / name / "refs", "main", texts={"main": SHA})
            fetched.append((repo_id, names))
        return real(repo_id, allow_patterns=allow_patterns, local_files_only=True, **where)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return fetched


def put(folder: Path, *names: str, texts: dict[str, str] | None = None) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text((texts or {}).get(name, "{}"), encoding="utf-8")
    return folder


def put_cached(cache: Path, name: str, *files: str, texts: dict[str, str] | None = None) -> Path:
    put(cache / name / "refs", "main", texts={"main": SHA})
    return put(cache / name / "snapshots" / SHA, *files, texts=texts)


def http_error(kind, status):
    """Without httpx: which of its versions there is depends on the version of huggingface_hub."""
    return kind("no", response=SimpleNamespace(status_code=status, headers={}, request=None))


def test_model_and_data_from_the_cache(cache):
    model = put_cached(cache, "models--google-bert--bert-base-uncased", *MODEL_FILES)
    data = put_cached(cache, "datasets--stanfordnlp--sst2", "README.md", "data/train-00000-of-00001.parquet")
    found = find([BERT, SST2, BERT])
    assert [each.folder for each in found] == [model, data, model]
    assert {each.commit for each in found} == {SHA}


def test_the_cache_holds_a_revision_only_if_it_was_fetched(cache, monkeypatch):
    put_cached(cache, "models--google-bert--bert-base-uncased", *MODEL_FILES)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    pinned = Wanted("model", BERT.path, "model.path", "model=tiny", revision=SHA)
    assert find([pinned])[0].commit == SHA
    other = Wanted("model", BERT.path, "model.path", "model=tiny", revision="v2")
    with pytest.raises(MachineFault, match=r"\(revision v2\): offline(.|\n)*--revision v2"):
        find([other])


@pytest.mark.parametrize("absent", MODEL_FILES)
def test_half_a_model_in_the_cache_is_none(cache, monkeypatch, absent):
    put_cached(cache, "models--google-bert--bert-base-uncased", *[name for name in MODEL_FILES if name != absent])
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(MachineFault, match="has not all its files"):
        find([BERT])


def test_weights_are_not_needed_for_a_new_start(cache):
    put_cached(cache, "models--google-bert--bert-base-uncased", "config.json", "vocab.txt")
    bare = Wanted("model", BERT.path, "model.path", "model=tiny", files=("config", "tokenizer"))
    assert find([bare])[0].commit == SHA


def test_all_parts_of_the_weights_must_be_there(tmp_path):
    index = json.dumps({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}})
    name = "model.safetensors.index.json"
    put(tmp_path / "m", "config.json", "vocab.txt", "model-1.safetensors", name, texts={name: index})
    here = Wanted("model", str(tmp_path / "m"), "model.path", "model=tiny")
    with pytest.raises(BadInput, match=r"lacks model-2.safetensors$"):
        find([here])
    put(tmp_path / "m", "model-2.safetensors")
    assert find([here])[0].commit is None
    put(tmp_path / "m", name, texts={name: "{"})
    with pytest.raises(BadInput, match=r"a readable model\.safetensors\.index\.json"):
        find([here])


def test_everything_missing_is_named_at_once(cache, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(MachineFault) as caught:
        find([BERT, SST2])
    assert caught.value.code == 5
    assert str(caught.value).splitlines() == [
        "model.path=google-bert/bert-base-uncased: offline mode (HF_HUB_OFFLINE)",
        "task.dataset=stanfordnlp/sst2: offline mode (HF_HUB_OFFLINE)",
        f"The cache {cache} has not all its files either.",
        "Type instead: model=tiny task=reviews",
        "Or on a connected machine: "
        "hf download google-bert/bert-base-uncased && hf download stanfordnlp/sst2 --repo-type dataset",
    ]


def test_only_what_is_missing_is_named(cache, monkeypatch):
    put_cached(cache, "models--google-bert--bert-base-uncased", *MODEL_FILES)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(MachineFault) as caught:
        find([BERT, SST2])
    assert "bert" not in str(caught.value)


def test_a_hub_that_hangs_holds_neither_the_answer_nor_the_exit(tmp_path):
    """Two questions that never end, in a program of its own: at its end it must not wait for them."""
    program = (
        "import time\n"
        "from huggingface_hub import HfApi\n"
        "from tests_wanted import BERT, SST2\n"
        "from tl_run.hub import find\n"
        "HfApi.model_info = HfApi.dataset_info = lambda *a, **k: time.sleep(60)\n"
        "try:\n    find([BERT, SST2])\nexcept Exception as problem:\n    print(problem)\n"
    )
    wanted = f"from tl_run.hub import Wanted\nBERT = {BERT!r}\nSST2 = {SST2!r}\n"
    put(tmp_path, "tests_wanted.py", texts={"tests_wanted.py": wanted})
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0", "PYTHONPATH": paths}
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert time.monotonic() - start < 4.5
    assert done.stdout.count("no answer from https://huggingface.co in 3 s") == 2
    assert done.stderr == ""


def test_one_answer_in_time_is_not_lost(monkeypatch):
    def answer(repo_id, _):
        if repo_id == SST2.path:
            time.sleep(5)
        return ["model.safetensors"]

    play_hub(monkeypatch, answer)
    start = time.monotonic()
    with pytest.raises(MachineFault) as caught:
        find([BERT, SST2], deadline=0.3)
    assert time.monotonic() - start < 2
    assert "bert" not in str(caught.value)
    assert "task.dataset=stanfordnlp/sst2: no answer" in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        (errors.RepositoryNotFoundError, 404, "no such model on the hub, or a private one: `hf auth login`"),
        (errors.GatedRepoError, 403, "gated: ask for access at https://huggingface.co/google-bert/bert-base-uncased"),
        (errors.RevisionNotFoundError, 404, "no such revision"),
        (errors.HfHubHTTPError, 503, "hub out of reach .*HfHubHTTPError: no"),
    ],
)
def test_why_the_hub_says_no(monkeypatch, kind, status, words):
    def answer(*_):
        raise http_error(kind, status)

    play_hub(monkeypatch, answer)
    with pytest.raises(MachineFault, match=words) as caught:
        find([BERT])
    assert ("hf download" in str(caught.value)) == (not words.startswith("no such"))


def test_no_network_at_all(monkeypatch):
    def answer(*_):
        raise OSError("[Errno -2] Name or service not known")

    play_hub(monkeypatch, answer)
    with pytest.raises(MachineFault, match=r"hub out of reach .*Name or service not known"):
        find([BERT])


def test_what_the_hub_has_but_we_do_not_read(monkeypatch):
    play_hub(monkeypatch, lambda *_: ["pytorch_model.bin", "sst2.py"])
    with pytest.raises(MachineFault) as caught:
        find([BERT, SST2])
    assert "no pickle (.bin) is read; https://huggingface.co/spaces/safetensors/convert" in str(caught.value)
    assert "no loading script is run" in str(caught.value)


def test_download(cache, monkeypatch):
    model = dict.fromkeys([*MODEL_FILES, "pytorch_model.bin", "onnx/model.json", "consolidated.safetensors"], "{}")
    model |= {"1_Pooling/config.json": "{}", "2_Dense/model.safetensors": ""}
    glue = {f"{subset}/{split}-00000-of-00001.parquet": "" for subset in ("ax", "mrpc") for split in ("train", "test")}
    glue |= {"mrpc/validation-00000-of-00001.parquet": "", "README.md": MRPC_CARD}
    play_hub(monkeypatch, lambda repo_id, _: model if repo_id == BERT.path else glue)
    folders = {
        BERT.path: ("models--google-bert--bert-base-uncased", model),
        "nyu-mll/glue": ("datasets--nyu-mll--glue", glue),
    }
    fetched = play_download(monkeypatch, cache, folders)
    mrpc = Wanted("dataset", "nyu-mll/glue", "task.dataset", "task=reviews", subset="mrpc", splits=("train",))
    found = find([BERT, mrpc])
    assert [each.commit for each in found] == [SHA, SHA]
    assert dict(fetched) == {
        BERT.path: [*MODEL_FILES, "1_Pooling/config.json"],
        "nyu-mll/glue": ["mrpc/train-00000-of-00001.parquet", "README.md"],
    }
    fetched.clear()
    assert find([BERT, mrpc]) == found  # the second time from the cache
    assert fetched == []
    both = Wanted("dataset", "nyu-mll/glue", "task.dataset", "task=reviews", subset="mrpc")
    find([both])  # the cache has one of its splits: the other is fetched
    assert fetched[-1][1][-1] == "README.md"
    assert "mrpc/validation-00000-of-00001.parquet" in fetched[-1][1]


def test_nothing_is_downloaded_unless_all_can_be(cache, monkeypatch):
    def answer(repo_id, _):
        if repo_id == SST2.path:
            raise http_error(errors.RepositoryNotFoundError, 404)
        return MODEL_FILES

    play_hub(monkeypatch, answer)
    fetched = play_download(monkeypatch, cache, {})
    with pytest.raises(MachineFault, match="no such dataset"):
        find([BERT, SST2])
    assert fetched == []


def test_a_download_that_breaks_off(cache, monkeypatch):
    def broken(*_, local_files_only=False, **__):
        raise errors.LocalEntryNotFoundError("not here") if local_files_only else OSError("No space left on device")

    play_hub(monkeypatch, lambda *_: MODEL_FILES)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", broken)
    with pytest.raises(MachineFault, match=r"model.path=.*broke off.*OSError: No space left on device"):
        find([BERT])


def model_at(path: str) -> Wanted:
    return Wanted("model", path, "model.path", "model=tiny")


def test_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = put(tmp_path / "my-checkpoint", *MODEL_FILES)
    for path in ("my-checkpoint", "./my-checkpoint", "~/my-checkpoint", str(folder)):
        found = find([model_at(path)])[0]
        assert (found.folder, found.commit) == (folder, None)
    data = put(tmp_path / "data", "train.csv")
    assert find([Wanted("dataset", "./data", "task.dataset", "task=reviews")])[0].folder == data


def test_folders_that_will_not_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "my-checkpoint", "config.json")
    with pytest.raises(BadInput, match=r"^model.path=./my-chekpoint: no such folder, did you mean the folder ./my-che"):
        find([model_at("./my-chekpoint")])
    with pytest.raises(BadInput, match=r"my-checkpoint: this folder lacks weights \(\*.safetensors\), tokenizer \(tok"):
        find([model_at("my-checkpoint")])
    with pytest.raises(BadInput, match=r"a file, not a folder"):
        find([model_at("my-checkpoint/config.json")])
    with pytest.raises(BadInput, match=r"lacks data files \(csv, jsonl, json, parquet\)"):
        find([Wanted("dataset", "my-checkpoint", "task.dataset", "task=reviews")])
    with pytest.raises(BadInput) as caught:
        find([model_at("./nowhere"), model_at("not a name"), model_at("")])
    assert [line.split(": ")[1][:12] for line in str(caught.value).splitlines()] == [
        "no such fold",
        "neither a fo",
        "neither a fo",
    ]


def test_a_misspelt_folder_looks_like_a_hub_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "my-checkpoint", *MODEL_FILES)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(MachineFault, match=r"^model.path=my-chekpoint: .*did you mean the folder my-checkpoint\?"):
        find([model_at("my-chekpoint")])


def test_no_pickle_is_read_and_the_way_out_works(tmp_path):
    folder = put(tmp_path / "m", "config.json", "vocab.txt")
    shared = torch.arange(6.0).reshape(2, 3)
    torch.save({"a": shared, "b": shared, "c": shared.T}, folder / "pytorch_model.bin")
    with pytest.raises(BadInput, match=r"no pickle \(.bin\) is read; if you trust it, convert it once:\n") as caught:
        find([model_at(str(folder))])
    command = str(caught.value).splitlines()[1].replace("python", sys.executable, 1)
    subprocess.run(["bash", "-c", command], check=True)
    assert torch.equal(load_file(folder / "model.safetensors")["c"], shared.T)
    assert find([model_at(str(folder))])[0].folder == folder


def test_offline_mode_and_cache_folder_from_the_environment(tmp_path):
    put_cached(tmp_path / "hub", "models--google-bert--bert-base-uncased", *MODEL_FILES)
    program = "import sys\nfrom tl_run.hub import Wanted, find\nassert 'huggingface_hub' not in sys.modules\n"
    program += f"print(find([{BERT!r}])[0].commit)\ntry:\n    find([{SST2!r}])\nexcept Exception as e:\n    print(e)\n"
    environment = {
        **os.environ,
        "HF_HOME": str(tmp_path),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout.splitlines()[0] == SHA
    assert f"The cache {tmp_path / 'hub'} has not" in done.stdout
