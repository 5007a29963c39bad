"""Models of a few thousand random weights in the hub's layout, small tables, and the command in this process."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # as launch.py does, where processes are not forked from tests

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import transformers

from tl_run import cli

WORDS = [
    "the",
    "a",
    "film",
    "plot",
    "was",
    "is",
    "good",
    "bad",
    "fine",
    "dull",
    "not",
    "very",
    "and",
    "but",
    "i",
    "it",
    "loved",
    "hated",
    "story",
    "ending",
    "great",
    "poor",
]


def bert_folder(folder: Path, **changes: int) -> Path:
    """A BERT with two layers of width 16 and a WordPiece tokenizer of a few words."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *"abcdefghijklmnopqrstuvwxyz0123456789.,!'"]
    vocabulary += [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz0123456789"]
    names = {word: i for i, word in enumerate(dict.fromkeys(vocabulary))}
    settings = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    settings |= {"max_position_embeddings": 64, **changes}
    config = transformers.BertConfig(vocab_size=len(names), **settings)
    torch.manual_seed(0)
    transformers.BertModel(config).save_pretrained(folder)
    transformers.BertTokenizer(vocab=names, model_max_length=settings["max_position_embeddings"]).save_pretrained(
        folder
    )
    return folder


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small random BERT."""
    return bert_folder(tmp_path_factory.mktemp("models") / "bert")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """48 labelled texts that a model can learn: the word good or bad decides."""
    lines = ["text,label"]
    for i in range(48):
        word, label = ("good", "yes") if i % 2 else ("bad", "no")
        lines.append(f"the {WORDS[i % 7]} film was {word} and {WORDS[(i * 5) % 11]},{label}")
    path = tmp_path / "train.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test works in its own folder, with its own caches, and never asks the hub."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TL_RUN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def tl_run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """`tl-run ...` in this process; returns the exit code."""

    def command(*arguments: str) -> int:
        from hydra.core.global_hydra import GlobalHydra

        GlobalHydra.instance().clear()
        monkeypatch.setattr("sys.argv", ["tl-run", *arguments])
        return cli.outcome(lambda: cli._compose_and_run(list(arguments)))

    return command
