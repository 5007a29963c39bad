"""With the store cold, warm, full, broken or switched off a run ends with the same bits; only the work differs."""

import errno
import itertools
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from conftest import bert_folder
from finished_objects import Parts, assemble, toy
from forked_runs import DIED, Command, Forks
from tiny_models import FAMILIES
from tl_run import disk, features
from tl_run.audit import fingerprints
from tl_run.evaluation import Evaluation
from tl_run.features import examples as examples_module
from tl_run.features.cut import Cut, Trunk
from tl_run.features.key import Keys
from tl_run.features.reuse import Reuse
from tl_run.features.states import States
from tl_run.hardware import Hardware

TlRun = Callable[..., int]

CLOCK = {"time", "seconds", "examples_per_second", "peak_memory_mb", "stored_mb"}
FREEZES = {
    "trunk": ["freeze=trunk"],
    "bottom": ["freeze=bottom", "freeze.layers=2"],
    "pattern": ["freeze=pattern", r"freeze.pattern='emb|layers?\.0\.'"],
}
ROWS = 48 + 16 + 20  # of the toy data


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    parent = tmp_path_factory.mktemp("families")
    # So wide that a row's bits depend on the shape of the batch, as they do in real models.
    bert_folder(parent / "wide", hidden_size=96, intermediate_size=200, num_hidden_layers=3)

    def model(family: str) -> Path:
        folder = parent / family
        return folder if folder.exists() else FAMILIES[family](folder)

    return model


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return toy(tmp_path_factory.mktemp("toy"))


@pytest.fixture
def command(models: Callable[[str], Path], data: list[str]) -> Callable[..., list[str]]:
    """Arguments of a run of two epochs; later ones replace earlier ones."""

    def command(*more: str, family: str = "bert") -> list[str]:
        common = [*data, "model=custom", f"model.path={models(family)}", "optimizer.lr=0.01", "training.epochs=2"]
        common += ["training.batch_size=8", "training.log_every=1", "hydra.run.dir=run"]
        names = {override.split("=")[0] for override in more}
        return [*(each for each in common if each.split("=")[0] not in names), *more]

    return command


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows whose states were computed."""
    found: list[int] = []
    compute = States.compute

    def spy(self: States, cuts: list[Cut], rows: list[int]) -> dict[Cut, list[torch.Tensor]]:
        found.extend(rows)
        return compute(self, cuts, rows)

    monkeypatch.setattr(States, "compute", spy)
    return found


@pytest.fixture
def beginnings(monkeypatch: pytest.MonkeyPatch) -> set[Cut | None]:
    """The cuts from whose stored states others were computed; None: from the texts."""
    found: set[Cut | None] = set()
    run = Trunk.run

    def spy(self: Trunk, inputs: Any, cuts: Any, below: Cut | None = None, states: Any = None) -> Any:
        found.add(below)
        return run(self, inputs, cuts, below, states)

    monkeypatch.setattr(Trunk, "run", spy)
    return found


def without_clock(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_clock(inner) for key, inner in value.items() if key not in CLOCK}
    return value


def left(run: Path | str) -> dict[str, Any]:
    """All that must not depend on the store."""
    run = Path(run)
    found: dict[str, Any] = {path.name: path.read_bytes() for path in (run / "model").iterdir()}
    found["metrics"] = [without_clock(json.loads(line)) for line in (run / "metrics.jsonl").read_text().splitlines()]
    found["result"] = without_clock(json.loads((run / "result.json").read_text()))
    found["predictions"] = (run / "predictions-test.jsonl").read_text()
    return found


def stored() -> list[Path]:
    return sorted(Path("cache/states").rglob("states.safetensors"))


MATRIX = [
    *(("bert", name, "fp32") for name in FREEZES),
    *((family, name, "fp32") for family in ("distilbert", "llama") for name in ("trunk", "bottom")),
    ("gpt2", "trunk", "fp32"),  # its embeddings' dropout lies in the trunk itself, which learns otherwise
    ("wide", "bottom", "fp32"),
    ("bert", "bottom", "bf16"),
    ("gpt2", "trunk", "bf16"),
    ("bert", "trunk", "fp16"),
]


@pytest.mark.parametrize(("family", "frozen", "precision"), MATRIX)
def test_off_cold_and_warm_are_the_same_run(family, frozen, precision, command, tl_run, computed):
    arguments = command(*FREEZES[frozen], f"hardware.precision={precision}", family=family)
    assert tl_run(*arguments, "features.mode=off", "hydra.run.dir=off") == 0
    assert not stored()
    assert len(computed) >= 2 * (48 + 16) + 20
    computed.clear()
    assert tl_run(*arguments, "features.mode=require", "hydra.run.dir=cold") == 0
    assert 20 < len(computed) == len({*computed}) <= ROWS  # a text that is there twice is computed once
    computed.clear()
    assert tl_run(*arguments, "hydra.run.dir=warm") == 0
    assert not computed
    assert left("off") == left("cold") == left("warm")
    assert json.loads(Path("warm/result.json").read_text())["stored_mb"] > 0


def test_another_seed_rate_or_batch_hits_the_store(command, tl_run, computed):
    assert tl_run(*command(*FREEZES["bottom"], "training.epochs=1")) == 0
    assert computed
    computed.clear()
    for number, other in enumerate(
        ["seed=7", "optimizer.lr=0.003", "training.batch_size=5", "task.limit=20", "task.max_length=20"]
    ):
        more = ["training.epochs=1", other, f"hydra.run.dir=other-{number}"]
        assert tl_run(*command(*FREEZES["bottom"], *more)) == 0
        assert not computed, other


@pytest.mark.parametrize(
    "other",
    ["hardware.precision=bf16", "freeze.layers=1", "model.path=finer", "hardware.threads=2", "task.max_length=6"],
)
def test_what_decides_the_bits_is_computed_anew(other, command, tl_run, computed):
    weights = load_file(bert_folder(Path("finer"), num_hidden_layers=3) / "model.safetensors")
    weights["encoder.layer.0.output.dense.bias"][3] += 1e-3
    save_file(weights, "finer/model.safetensors", {"format": "pt"})
    first = command(*FREEZES["bottom"], "training.epochs=1")
    assert tl_run(*first) == 0
    computed.clear()
    assert tl_run(*command(*FREEZES["bottom"], "training.epochs=1", "hydra.run.dir=again")) == 0
    assert not computed
    rest = [each for each in FREEZES["bottom"] if each.split("=")[0] != other.split("=")[0]]
    assert tl_run(*command(*rest, "training.epochs=1", other, "hydra.run.dir=other")) == 0
    assert computed


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_deeper_cut_starts_from_a_shallower_one(precision, command, tl_run, beginnings):
    """In fp32: rounded states as a beginning would give other bits."""

    def run(*more: str) -> int:
        return tl_run(*command("training.epochs=1", f"hardware.precision={precision}", *more, family="wide"))

    def begun() -> set[Cut | None]:
        found = {*beginnings} - {None}  # the proof of a cut begins with the texts
        beginnings.clear()
        return found

    assert run("freeze=trunk", "hydra.run.dir=off", "features.mode=off") == 0
    assert run("freeze=bottom", "freeze.layers=1", "hydra.run.dir=1") == 0
    assert begun() == set()
    assert run("freeze=bottom", "freeze.layers=2", "hydra.run.dir=2") == 0
    assert begun() == ({Cut(1)} if precision == "fp32" else set())
    assert run("freeze=trunk", "hydra.run.dir=3") == 0
    assert begun() == ({Cut(2)} if precision == "fp32" else set())
    assert left("off") == left("3")


def test_every_layers_states_do_not_start_from_a_cut_above_some_of_them(command, tl_run):
    """Below such a cut the stored state stands in for what each layer gives, which a head of ours may read."""
    head = ["model.head=linear", "model.pooling=mean", "training.epochs=1"]
    assert tl_run(*command(*head, "freeze=bottom", "freeze.layers=2", "hydra.run.dir=below")) == 0
    probe = ["model.head=layer", "model.head_layer=1", "model.pooling=mean", "freeze=trunk", "training.epochs=1"]
    for mode in ("off", "auto"):
        assert tl_run(*command(*probe, f"features.mode={mode}", f"hydra.run.dir={mode}")) == 0
    assert left("off") == left("auto")


def test_token_states_are_shared_between_heads(command, tl_run, computed):
    frozen = ["freeze=bottom", "freeze.layers=2", "training.epochs=1"]
    assert tl_run(*command("model.head=linear", "model.pooling=mean", *frozen, "hydra.run.dir=mean")) == 0
    computed.clear()
    assert tl_run(*command("model.head=mlp", "model.pooling=max", *frozen, "hydra.run.dir=max")) == 0
    assert tl_run(*command(*frozen, "hydra.run.dir=stock")) == 0
    assert computed == []


@pytest.mark.parametrize("mode", ["auto", "off"])
def test_a_batch_may_hold_an_example_twice(mode, tmp_path):
    found = reuse(assembled(tmp_path), tmp_path / "states", mode)
    found.enter(found.learning.phases[0])
    assert found._cut
    one, other, again = found.states.take(found._cut, [3, 4, 3])
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_whatever_decides_the_bits_is_in_the_key(tmp_path):
    parts = assembled(tmp_path)
    found = reuse(parts, tmp_path / "states").states
    cuts = [Cut(1), Cut(2), *(Cut(2, reading) for reading in ("first", "last", "pooled", "layers"))]

    def keys() -> list[str]:
        return [Keys(found.trunk, found.hardware, found.examples.tokens, {}).of(cut) for cut in cuts]

    before = keys()
    with torch.no_grad():
        parts.model.classifier.weight += 1
    assert keys() == before
    config = parts.model.bert.config
    config.id2label = {0: "other", 1: "names"}
    assert keys() == before
    seen = {*before}
    config.pad_token_id = 3
    seen |= {*keys()}
    config._attn_implementation = "eager"
    seen |= {*keys()}
    found.hardware = Hardware(torch.device("cpu"), "bf16")
    seen |= {*keys()}
    found.examples.tokens = 64
    seen |= {*keys()}
    assert len(seen) == 5 * len(cuts)


# -- room


@pytest.mark.parametrize("frozen", ["trunk", "bottom"])
def test_a_part_fits(frozen, command, tl_run, computed, capsys):
    arguments = command(*FREEZES[frozen])
    assert tl_run(*arguments, "hydra.run.dir=whole") == 0
    size = sum(path.stat().st_size for path in stored())
    capsys.readouterr()
    small = f"features.max_gb={size / 2 / 2**30}"
    for name in ("cold", "warm"):
        assert tl_run(*arguments, small, f"hydra.run.dir={name}", "features.path=small") == 0
        said = " ".join(capsys.readouterr().out.split())
        assert said.count("warning: features.max_gb") == 1
        assert "computed anew each time" in said
        kept = sum(path.stat().st_size for path in Path("small").rglob("*.safetensors"))
        assert 0.8 * size / 2 < kept < size / 2 + 500  # a piece's header is not counted
    assert left("whole") == left("cold") == left("warm")


def test_the_numbers_of_what_does_not_fit_are_those_of_the_option(monkeypatch, tmp_path):
    found = reuse(assembled(tmp_path), tmp_path / "states", max_gb=2.0)
    monkeypatch.setattr(States, "size", lambda self, cut, rows: len(rows) * 2**30 // 4)
    warning = found.states._that_fits([Cut(1)], torch.arange(40).numpy())[1]
    assert warning.startswith(
        "features.max_gb: 10.00 GB are needed and 2.00 are free, so 8 of 40 examples are stored"
    ), warning


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_store_that_cannot_be_written_is_done_without(code, command, tl_run, monkeypatch, capsys):
    assert tl_run(*command("freeze=trunk"), "features.mode=off", "hydra.run.dir=off") == 0
    capsys.readouterr()

    def refuse(operation: str, path: Path) -> None:
        if "states" in str(path):
            raise OSError(code, os.strerror(code))

    monkeypatch.setattr(disk, "hook", refuse)
    assert tl_run(*command("freeze=trunk"), "hydra.run.dir=refused") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("warning:") == 1
    assert os.strerror(code) in said
    assert "computed anew each time" in said
    assert not stored()
    assert left("off") == left("refused")


def test_the_disk_fills_up_in_the_middle(command, tl_run, monkeypatch, capsys):
    monkeypatch.setattr(examples_module, "PIECE", 1)
    monkeypatch.setitem(examples_module.TOKENS, "cpu", 64)
    assert tl_run(*command("freeze=trunk"), "features.mode=off", "hydra.run.dir=off") == 0
    capsys.readouterr()
    writes = itertools.count(1)

    def fill_up(operation: str, path: Path) -> None:
        if "states" in str(path) and operation == "write" and next(writes) > 8:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(disk, "hook", fill_up)
    assert tl_run(*command("freeze=trunk"), "hydra.run.dir=full") == 0
    assert " ".join(capsys.readouterr().out.split()).count("warning:") == 1
    assert len(stored()) == 4
    assert left("off") == left("full")


def test_features_path_may_be_a_file(command, tl_run, capsys):
    Path("states").write_text("mine")
    assert tl_run(*command("freeze=trunk"), "features.path=states") == 0
    assert capsys.readouterr().out.count("warning:") == 1
    assert Path("states").read_text() == "mine"


def test_a_damaged_store_costs_work_only(command, tl_run, computed):
    assert tl_run(*command("freeze=trunk"), "hydra.run.dir=whole") == 0
    (path,) = stored()
    data = bytearray(path.read_bytes())
    data[-7] ^= 16
    path.write_bytes(data)
    computed.clear()
    assert tl_run(*command("freeze=trunk"), "hydra.run.dir=damaged") == 0
    assert computed
    assert left("whole") == left("damaged")
    computed.clear()
    assert tl_run(*command("freeze=trunk"), "hydra.run.dir=again") == 0
    assert not computed


# -- what it says


def test_require_is_refused_where_nothing_is_frozen(command, tl_run, capsys):
    assert tl_run(*command("features.mode=require")) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "features.mode=require, but nothing can be stored: the embeddings learn" in said
    assert "freeze (trunk, bottom)" in said
    assert not Path("run/result.json").exists()


def test_the_plan_writes_nothing(command, tl_run, capsys):
    assert tl_run(*command("freeze=trunk"), "plan=true") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "the pooler's output: 0.0 MB, 0 of 84 examples stored already" in said
    assert not Path("cache/states").exists()


def test_the_plan_counts_what_is_there(command, tl_run, capsys):
    assert tl_run(*command("freeze=trunk")) == 0
    capsys.readouterr()
    assert tl_run(*command("freeze=trunk"), "plan=true", "hydra.run.dir=plan") == 0
    assert "84 of 84 examples stored already" in " ".join(capsys.readouterr().out.split())


def test_another_mode_is_the_same_run(command, tl_run, capsys, computed):
    assert tl_run(*command("freeze=trunk")) == 0
    computed.clear()
    for other in ("features.mode=off", "features.max_gb=1", "features.path=elsewhere"):
        assert tl_run(*command("freeze=trunk"), other) == 0
        assert "is done" in capsys.readouterr().out
    assert not computed


# -- killed and resumed


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    forks = Forks()
    yield forks
    forks.close()


def place(name: object) -> str:
    Path(str(name)).mkdir()
    return str(Path(str(name)).resolve())


def said(name: str) -> str:
    return Path(name, "output").read_text()


def test_killed_while_it_fills_or_trains(command, forks):
    arguments = command("freeze=trunk", "training.checkpoint_every=2")
    assert forks.run([[Command(place("whole"), arguments, cache=True)]]) == [[0]], said("whole")
    operations = Path("whole/operations").read_text().splitlines()
    filling = [n for n, words in enumerate(operations, 1) if "/states/" in words]
    later = [n for n, words in enumerate(operations, 1) if words == "write run/metrics.jsonl"]
    points = [*filling[1 :: len(filling) // 3], later[3]]
    chains = [
        [Command(place(n), arguments, at=n, cache=True), Command(str(Path(str(n)).resolve()), arguments)]
        for n in points
    ]
    chains[1][0].signals = ["SIGTERM"]  # heard before the next batch
    for n, codes in zip(points, forks.run(chains), strict=True):
        assert codes == [75 if n == points[1] else DIED, 0], said(str(n))
        assert left(f"{n}/run") == left("whole/run"), n
        assert not [path for path in Path(f"{n}/cache/states").rglob(".*") if path.name[:5] in (".tmp-", ".del-")]


def test_an_evaluation_that_is_due_when_it_resumes_has_the_same_bits(command, forks):
    arguments = command("freeze=trunk", "training.checkpoint_every=100", family="wide")
    assert forks.run([[Command(place("whole"), arguments)]]) == [[0]], said("whole")
    operations = Path("whole/operations").read_text().splitlines()
    last_of_epoch = [n for n, words in enumerate(operations, 1) if words == "write run/metrics.jsonl"][5]
    stopped = Command(place("stopped"), arguments, at=last_of_epoch, signals=["SIGTERM"])
    assert forks.run([[stopped, Command(stopped.folder, ["resume=run"])]]) == [[75, 0]], said("stopped")
    assert "going on from step 6" in said("stopped")
    assert left("stopped/run") == left("whole/run")


def test_an_evaluation_that_is_due_when_it_resumes_goes_through_the_store(tmp_path):
    parts, events = assembled(tmp_path), []
    parts.state.step = 3  # of 3 in an epoch: the checkpoint was made between the step and its evaluation

    def score() -> Evaluation:
        events.append("score")
        return parts.score()

    next(parts.train(enter=events.append, evaluate=score))
    assert events == [parts.freeze.phases[0], "score"]


# -- two processes


def assembled(folder: Path) -> Parts:
    return assemble(*toy(folder), "model=custom", f"model.path={bert_folder(folder / 'bert')}", "freeze=trunk")


def reuse(parts: Parts, folder: Path, mode: str = "auto", max_gb: float = 1.0) -> Reuse:
    return features.make(
        SimpleNamespace(mode=mode, path=str(folder), max_gb=max_gb),
        parts.model,
        parts.anatomy,
        parts.freeze,
        parts.encoded,
        fingerprints(dict(parts.model.named_parameters())),
        pad=parts.found.pad,
        max_length=32,
        hardware=parts.hardware,
        required_by="",
        taken_by="",
    )


@pytest.fixture
def many_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples_module, "PIECE", 1)
    monkeypatch.setitem(examples_module.TOKENS, "cpu", 32)


def fill_in_a_child(found: Reuse, log: Path, dies_after: int = 0) -> int:
    """A process that fills the store; what it computes goes to the log, a batch a line."""
    if child := os.fork():
        return child
    code, compute, count = 1, found.states.compute, itertools.count(1)

    def logged(cuts: list[Cut], rows: list[int]) -> dict[Cut, list[torch.Tensor]]:
        with open(log, "a") as file:
            file.write(f"{rows}\n")
        if next(count) == dies_after:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.01)
        return compute(cuts, rows)

    try:
        found.states.compute = logged  # type: ignore[method-assign]
        code = 0 if found.enter(found.learning.phases[0]) == "" else 2
    finally:
        os._exit(code)


@pytest.mark.usefixtures("many_pieces")
def test_two_processes_fill_one_shelf_together(tmp_path):
    parts, log = assembled(tmp_path), tmp_path / "log"
    found = reuse(parts, tmp_path / "states")
    children = [fill_in_a_child(found, log) for _ in range(2)]
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    lines = log.read_text().splitlines()
    assert len(lines) == len({*lines}) > 10  # each piece once
    shelf = reuse(parts, tmp_path / "states").states.shelf(found.cuts[found.learning.phases[0]])
    assert all(example in shelf for example in found.states.examples.hashes)
    alone = reuse(parts, tmp_path / "alone")
    alone.enter(alone.learning.phases[0])
    for example in found.states.examples.hashes:
        assert torch.equal(shelf[example], alone.states.shelf(alone._cut)[example])


@pytest.mark.usefixtures("many_pieces")
def test_a_killed_process_blocks_no_other(tmp_path):
    parts, log = assembled(tmp_path), tmp_path / "log"
    found = reuse(parts, tmp_path / "states")
    killed = fill_in_a_child(found, log, dies_after=1)
    while not log.exists():
        time.sleep(0.001)
    other = fill_in_a_child(found, log)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in (killed, other)]
    assert codes == [-signal.SIGKILL, 0]
    lines = log.read_text().splitlines()
    assert len(lines) - len({*lines}) <= 1  # at most what it was at, when it died
    shelf = reuse(parts, tmp_path / "states").states.shelf(found.cuts[found.learning.phases[0]])
    assert all(example in shelf for example in found.states.examples.hashes)
