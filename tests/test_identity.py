"""What makes two runs the same run: everything that decides the result, and nothing else."""

import json
import shutil

import pytest

from composing import compose
from tl_run import identity, job

PLACES = {
    "task.name",
    "task.train",
    "task.validation",
    "task.test",
    "task.dataset",
    "task.domain.train",
    "task.domain.test",
    "task.revision",
    "task.epochs",
    "model.name",
    "model.path",
    "model.vision",
    "model.from_run",
    "model.revision",
    "model.lr",
    "freeze.lr_factor",
    "adapter.lr_factor",
    "features.mode",
    "features.path",
    "features.max_gb",
    "hardware.name",
    "hardware.threads",
    "hardware.endpoint",
    "hardware.shard",  # of one process there is nothing to split
    "hardware.elastic",
    "training.checkpoint_every",
    "training.keep_checkpoints",
    "sweep.name",
    "sweep.study",
    "sweep.trial",
    "sweep.fail_fast",
    "sweep.retries",
    "sweep.timeout",
    "resume",
    "plan",
}
"""Where things lie, what they are called, how often it is saved; and what other options are computed from."""


def leaves(tree: dict, path: str = "") -> list[str]:
    found = []
    for key, value in tree.items():
        found += leaves(value, f"{path}{key}.") if isinstance(value, dict) else [path + key]
    return found


@pytest.mark.parametrize("member", ["freeze=bottom", "adapter=lora", "optimizer=sgd"])
def test_every_option_counts_but_for_these(member):
    config = compose(member)
    original = identity.identity(config, {}, {})
    without_effect = set()
    for option in leaves(config):
        changed = json.loads(json.dumps(config))
        *path, last = option.split(".")
        node = changed
        for part in path:
            node = node[part]
        node[last] = "something else"
        if identity.identity(changed, {}, {}) == original:
            without_effect.add(option)
    assert without_effect == PLACES


@pytest.fixture
def of(bert, table):
    """The identity of a run with further overrides, as the command computes it."""

    def run(*overrides: str) -> str:
        given = ["task=classification", f"task.train={table}", "model=custom", f"model.path={bert}"]
        return job.prepare(compose(*given, "task.max_length=16", *overrides), []).identity

    return run


@pytest.mark.parametrize(
    "overrides",
    [
        ("sweep.name=other", "sweep.retries=2", "sweep.timeout=60", "sweep.fail_fast=true"),
        ("training.checkpoint_every=5", "training.keep_checkpoints=1", "hardware.threads=2", "plan=true"),
        ("task.epochs=9", "training.epochs=3"),
        ("model.lr=1", "optimizer.lr=2e-5"),
        ("task.validation=null",),
    ],
)
def test_the_same_run(of, overrides):
    assert of(*overrides) == of()


@pytest.mark.parametrize(
    "overrides",
    [("seed=1",), ("optimizer.lr=1e-3",), ("model.pretrained=false",), ("task.limit=20",), ("freeze=trunk",)],
)
def test_another_run(of, overrides):
    assert of(*overrides) != of()


def test_names_and_places_of_files_do_not_matter(of, bert, table, tmp_path):
    shutil.copytree(bert, tmp_path / "model")
    (tmp_path / "model" / "README.md").write_text("something about it")
    shutil.copy(table, tmp_path / "other.csv")
    assert of(f"task.train={tmp_path / 'other.csv'}", "model.path=./model") == of()


def test_the_content_of_the_data_matters(of, table):
    before, text = of(), table.read_text()
    table.write_text(text.replace("film", "plot", 1))
    assert of() != before
    table.write_text(text)
    assert of() == before
    lines = text.splitlines()
    table.write_text("\n".join([lines[0], lines[2], lines[1], *lines[3:]]) + "\n")
    assert of() != before, "the order of rows decides what is held out"


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_weights_and_tokenizer_matter(of, bert, tmp_path, name):
    changed = shutil.copytree(bert, tmp_path / "model")
    data = (changed / name).read_bytes()
    (changed / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert of(f"model.path={changed}") != of()


def test_the_same_rows_from_another_format_are_the_same_data(of, table, tmp_path):
    header, *rows = [line.split(",") for line in table.read_text().splitlines()]
    (tmp_path / "rows.jsonl").write_text(
        "".join(json.dumps(dict(zip(header, row, strict=True))) + "\n" for row in rows)
    )
    turned = [",".join(reversed(cells)) for cells in (header, *rows)]
    (tmp_path / "turned.csv").write_text("\ufeff" + "\r\n".join(turned) + "\r\n")
    assert of(f"task.train={tmp_path / 'rows.jsonl'}") == of(f"task.train={tmp_path / 'turned.csv'}") == of()


def test_results_of_an_older_version_are_not_taken_for_new_ones(of, monkeypatch):
    before = of()
    monkeypatch.setattr(identity, "RESULTS_VERSION", identity.RESULTS_VERSION + 1)
    assert of() != before


def test_it_is_hex_and_does_not_depend_on_the_process(of):
    assert len(of()) == 64
    assert int(of(), 16)
    assert identity.identity({"b": 1, "a": {"é": 2}}, {"x": "1", "y": "2"}, {}) == identity.identity(
        {"a": {"é": 2}, "b": 1}, {"y": "2", "x": "1"}, {}
    )
