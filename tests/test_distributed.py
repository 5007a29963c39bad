"""Several processes, one run: the gradient of one, its scores, one folder; death, words, signals, and going on."""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import forkserver
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import several_processes
from composing import compose
from conftest import bert_folder
from finished_objects import toy
from several_processes import FROZEN, MICRO, STEPS
from tl_run import identity
from tl_run.distributed import ALONE, Group
from tl_run.errors import Interrupted, MachineFault
from tl_run.launch import launch
from tl_run.sweep.apart import server

TOLERANCE = 1e-5  # of sums of float32 in another order, relative to the largest entry
SEVERAL = "hardware.processes=2"
TWO = SimpleNamespace(processes=2, nodes=1, endpoint=None)


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with what ranks print: their standard output is that of the server that they are forked from."""
    path = tmp_path_factory.mktemp("printed") / "output"
    forkserver._forkserver._stop()  # type: ignore[attr-defined]
    kept, file = os.dup(1), os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    server()
    os.dup2(kept, 1)
    os.close(kept)
    os.close(file)
    return path


@pytest.fixture
def run(tl_run, capfd, printed, bert, table) -> Callable[..., tuple[int, str, str]]:
    """`tl-run ...` of 10 steps in the folder `run`: exit code, stdout, stderr."""

    def command(*arguments: str) -> tuple[int, str, str]:
        given = ["task=classification", f"task.train={table}", "task.max_length=16", "task.validation_share=0.2"]
        given += ["model=custom", f"model.path={bert}", "training.max_steps=10", "training.batch_size=8"]
        given += ["training.checkpoint_every=2", "training.log_every=1", "hydra.run.dir=run", "hardware.device=cpu"]
        before = printed.stat().st_size
        code = tl_run(*given, *arguments)
        out, err = capfd.readouterr()
        return code, out + printed.read_bytes()[before:].decode(), err

    return command


def weights(folder: str = "run") -> bytes:
    return Path(folder, "model", "model.safetensors").read_bytes()


def losses(folder: str = "run") -> list[float]:
    lines = map(json.loads, Path(folder, "metrics.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if line["kind"] == "train"]


# -- what they compute


@pytest.fixture(scope="module")
def found(printed: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The facts of one process, of two, and of two that hold a part of the model each."""
    folder = tmp_path_factory.mktemp("facts")
    model = bert_folder(folder / "plain", hidden_dropout_prob=0, attention_probs_dropout_prob=0)
    overrides = [*toy(folder), "model=custom", f"model.path={model}", "task.limit=33", "training.batch_size=16"]
    ranks = {str(shard): launch(TWO, "", several_processes.facts_of_ranks, overrides, shard) for shard in (False, True)}
    return {"one": several_processes.facts(overrides), **ranks}


@pytest.mark.parametrize("shard", ["False", "True"])
@pytest.mark.parametrize("micro", MICRO)
@pytest.mark.parametrize("step", STEPS)
def test_the_gradient_is_that_of_one_process(step: int, micro: int, shard: str, found: dict[str, Any]) -> None:
    """Of a short batch too, in which a rank has no example; what has none there has none here."""
    (expected, loss), (own, mean) = (found[which][step, micro] for which in ("one", shard))
    assert own.keys() == expected.keys()
    assert FROZEN not in own
    largest = max(np.abs(gradient).max() for gradient in expected.values())
    assert largest > 0.01
    for name, gradient in expected.items():
        np.testing.assert_allclose(own[name], gradient, rtol=TOLERANCE, atol=TOLERANCE * largest, err_msg=name)
    assert mean == pytest.approx(loss, rel=TOLERANCE)


def test_scores_are_those_of_one_process_to_the_bit(found: dict[str, Any]) -> None:
    """16 examples in 3 batches over 2 ranks: none is counted twice."""
    assert found["False"]["scores"] == found["one"]["scores"]
    assert found["True"]["scores"] == pytest.approx(found["one"]["scores"], rel=TOLERANCE)


def test_what_they_tell_each_other(found: dict[str, Any]) -> None:
    two = found["False"]
    assert two["ranks"] == [(0, 2, True), (1, 2, False)]
    assert two["first"] == "made by 0"
    assert two["any"] == [True, False]


@pytest.mark.parametrize("lockstep", [False, True])
@pytest.mark.parametrize("micro", [1, 2, 3, 16])
@pytest.mark.parametrize("count", [1, 2, 5, 16])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_a_batch_is_shared_without_rest(size: int, count: int, micro: int, lockstep: bool) -> None:
    indices = np.arange(100, 100 + count)
    shares = [Group(rank, size, lockstep=lockstep).parts(indices, micro) for rank in range(size)]
    counted = [part for share in shares for part, counts in share if counts]
    assert sorted(np.concatenate(counted)) == [*indices]
    assert max(map(len, counted)) <= micro
    if lockstep:
        assert len({len(share) for share in shares}) == 1
        assert all(len(part) for share in shares for part, _ in share)


def test_each_rank_has_dropout_of_its_own_and_one_alone_what_it_always_had() -> None:
    assert [Group(rank, 2).place for rank in (0, 1)] == [(0,), (1,)]
    assert ALONE.place == ()


def test_alone_a_batch_is_cut_as_it_always_was() -> None:
    assert [part.tolist() for part, _ in ALONE.parts(np.arange(5), 2)] == [[0, 1], [2, 3], [4]]


# -- what they leave


def test_one_folder_one_log_and_nearly_the_same_losses(run, tmp_path: Path) -> None:
    """Also where more begins to learn on the way, and what stays is read from the store before that."""
    plain = bert_folder(tmp_path / "plain", hidden_dropout_prob=0, attention_probs_dropout_prob=0)
    phases = ("freeze=schedule", "freeze.phases=[{until_steps:4,learns:head},{learns:all}]")
    given = (f"model.path={plain}", "optimizer=sgd", "optimizer.lr=0.1", *phases)
    assert run(*given, "hydra.run.dir=alone")[0] == 0
    code, out, err = run(*given, SEVERAL)
    assert (code, err) == (0, "")
    assert out.count("folder      run\n") == 2, "the plan and the result are printed once"
    assert "; 2 processes\n" in out
    assert losses("run") == pytest.approx(losses("alone"), rel=1e-3)
    assert losses("run") != losses("alone")
    assert {p.name.partition(".")[0] for p in Path("run").iterdir()} == {
        p.name.partition(".")[0] for p in Path("alone").iterdir()
    }
    assert len([*Path("run").glob("events.*")]) == 1
    assert json.loads(Path("run/result.json").read_text())["processes"] == {"0": 2}
    assert "processes" not in json.loads(Path("alone/result.json").read_text())


ENDS = {
    "SIGTERM": (75, 6, "warning: interrupted by SIGTERM at step 6; to go on: tl-run resume=run\n"),
    "SIGKILL": (
        5,
        4,
        "error: rank 1: its process was ended by SIGKILL: perhaps by the system, for want of memory; "
        "to go on: tl-run resume=run\n",
    ),
}
"""Exit code, step of the last checkpoint, and words, when it happens to one rank in the sixth step."""


@pytest.mark.parametrize(("hardware", "end"), [(SEVERAL, "SIGKILL"), ("hardware=fsdp", "SIGTERM")])
def test_after_its_end_on_one_rank_the_same_command_goes_on_to_the_same_bits(
    run, hardware: str, end: str, monkeypatch
) -> None:
    """With dropout: each rank draws its own, from seed, step and rank."""
    given, (code, step, words) = (hardware, "hardware.device=cpu"), ENDS[end]
    assert run(*given, "hydra.run.dir=undisturbed")[0] == 0
    with monkeypatch.context() as patch:
        patch.setattr("tl_run.start._rank", partial(several_processes.at_step, 5, end))
        assert run(*given)[::2] == (code, words)
    code, out, _ = run(*given)
    assert code == 0
    assert f"note: going on from step {step}\n" in out
    assert weights() == weights("undisturbed")
    assert losses() == losses("undisturbed")


def test_memory_that_runs_out_on_one_rank_halves_the_micro_batch_of_all(run, monkeypatch) -> None:
    """The result, dropout and all, is that of a run that began so."""
    given = (SEVERAL, "training.max_steps=2")
    assert run(*given, "training.micro_batch_size=2", "hydra.run.dir=expected")[0] == 0
    monkeypatch.setattr("tl_run.start._rank", partial(several_processes.with_little_memory, 3))
    assert run(*given)[::2] == (0, "")
    assert weights() == weights("expected")


def test_a_rank_that_fails_is_told_in_its_own_words(run, monkeypatch) -> None:
    monkeypatch.setattr("tl_run.start._rank", partial(several_processes.at_step, 3, "refuses"))
    assert run(SEVERAL)[::2] == (2, "error: in its own words\n")


def test_bad_input_is_told_before_anything_is_started(run, monkeypatch) -> None:
    monkeypatch.setattr("tl_run.launch.launch", lambda *_: pytest.fail("it starts"))
    code, _, err = run(SEVERAL, "task.text=nix")
    assert code == 2
    assert "has no column 'nix'" in err
    assert not Path("run").exists()


def test_a_start_that_is_interrupted_leaves_nothing(tl_run, monkeypatch, tmp_path: Path) -> None:
    def interrupted(*_: Any) -> None:
        assert [*tmp_path.glob("outputs/reviews/tiny/*/.lock")], "the folder is claimed by then"
        raise Interrupted("SIGINT")

    monkeypatch.setattr("tl_run.launch.launch", interrupted)
    assert tl_run(SEVERAL) == 75
    assert not Path("outputs").exists()


def test_who_asks_twice_ends_all_ranks_at_once(printed, tmp_path: Path) -> None:
    def ask() -> None:
        while len([*tmp_path.glob("[0-9]*")]) < 2:
            time.sleep(0.01)
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.3)

    threading.Thread(target=ask).start()
    with pytest.raises(KeyboardInterrupt):
        launch(TWO, "", several_processes.never_ends, str(tmp_path))
    for path in tmp_path.glob("[0-9]*"):
        with pytest.raises(ProcessLookupError):
            os.kill(int(path.name), 0)


def test_a_meeting_place_that_does_not_exist_is_told(monkeypatch) -> None:
    def unknown(*_: Any) -> None:
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", unknown)
    options = SimpleNamespace(processes=1, nodes=2, endpoint="nowhere:29400")
    with pytest.raises(MachineFault, match=r"hardware\.endpoint=nowhere:29400: there is no machine named 'nowhere'"):
        launch(options, "", several_processes.never_ends, "")


def test_another_number_of_processes_goes_on_when_told_to(run, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("tl_run.start._rank", partial(several_processes.at_step, 5, "SIGTERM"))
        assert run(SEVERAL)[0] == 75
    code, _, err = run()
    assert code == 3
    assert "Different: hardware.processes was 2, now 1\n" in err
    assert err.endswith("type hardware.elastic=true too\n")
    code, out, _ = run("hardware.elastic=true")
    assert code == 0
    assert "note: going on from step 6 with 1 process instead of 2: the same data order, not the same bits\n" in out
    assert json.loads(Path("run/result.json").read_text())["processes"] == {"0": 2, "6": 1}
    assert run(SEVERAL)[0] == 0, "it is done, and its result is told"


def test_what_stays_frozen_is_stored_by_one_and_read_by_all(run) -> None:
    """The store changes no bit, with several processes either."""
    given = (SEVERAL, "freeze=bottom", "freeze.layers=1", "training.max_steps=6")
    assert run(*given)[0] == 0
    assert json.loads(Path("run/result.json").read_text())["stored_mb"] > 0
    assert run(*given, "hydra.run.dir=off", "features.mode=off")[0] == 0
    assert weights() == weights("off")


def test_within_a_sweep(run) -> None:
    code, out, err = run("-m", "seed=0,1", SEVERAL, "training.max_steps=2")
    assert (code, err) == (0, "")
    assert "classification: accuracy  runs" in out
    results = [json.loads(path.read_text()) for path in Path("outputs/sweeps/classification").glob("*/result.json")]
    assert [(r["steps"], r["processes"]) for r in results] == [(2, {"0": 2})] * 2


# -- started from outside, and on several nodes


def together(tmp_path: Path, environments: list[dict[str, str]], arguments: list[str]) -> list[tuple[int, str]]:
    """`tl-run` once for each environment, in folders `0`, `1`, ...; exit codes, and what was printed."""
    processes = []
    for number, environment in enumerate(environments):
        given = (str(tmp_path / str(number)), environment, arguments)
        processes.append(server().Process(target=several_processes.command, args=given))
        processes[-1].start()
    for process in processes:
        process.join()
    return [(p.exitcode, (tmp_path / str(n) / "output").read_text()) for n, p in enumerate(processes)]


@pytest.fixture
def port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


@pytest.fixture
def given(bert, table, tmp_path) -> list[str]:
    where = f"hydra.run.dir={tmp_path}/runs/${{now:%f}}"  # another for each process
    short = ["training.max_steps=2", "hardware.device=cpu", "task.max_length=16", where]
    return ["task=classification", f"task.train={table}", "model=custom", f"model.path={bert}", *short]


def test_torchrun_makes_one_run_in_one_folder(tmp_path, port, given) -> None:
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "LOCAL_WORLD_SIZE": "2"}
    ranks = [{**shared, "RANK": rank, "LOCAL_RANK": rank} for rank in "01"]
    (code, out), second = together(tmp_path, ranks, given)
    assert (code, *second) == (0, 0, "")
    (folder,) = (tmp_path / "runs").iterdir()
    assert f"folder      {folder}\n" in out
    assert json.loads((folder / "result.json").read_text())["processes"] == {"0": 2}
    refused = together(tmp_path, ranks[:1], [*given, "hardware.processes=3"])
    assert refused == [(2, "error: hardware.processes=3: 2 processes were started from outside: leave it out\n")]


def test_two_nodes_make_one_run_in_one_folder(tmp_path, port, given, printed) -> None:
    before, several = printed.stat().st_size, ["hardware.nodes=2", f"hardware.endpoint=127.0.0.1:{port}"]
    found = together(tmp_path, [{}, {}], [*given, *several])
    assert found == [(0, ""), (0, "")]
    assert printed.read_bytes()[before:].decode().count("\ncurves ") == 1, "one of them prints"
    (folder,) = (tmp_path / "runs").iterdir()
    assert json.loads((folder / "result.json").read_text())["processes"] == {"0": 2}


# -- what can be asked for


def test_one_process_is_the_run_that_it_was_before_there_could_be_more() -> None:
    config = compose()
    before = json.loads(json.dumps(config))
    for key in ("processes", "nodes", "endpoint", "shard", "elastic"):
        del before["hardware"][key]
    assert identity.identity(config, {}, {}) == identity.identity(before, {}, {})
    assert not {*identity.essence(config)["hardware"]} & {"processes", "nodes", "endpoint", "shard", "elastic"}


def test_processes_are_counted_wherever_they_run() -> None:
    ways = (("hardware.processes=4",), ("hardware.nodes=2", "hardware.processes=2", "hardware.endpoint=a:1"))
    assert len({identity.identity(compose(*way), {}, {}) for way in ways}) == 1
    assert len({identity.identity(compose(f"hardware.processes={n}"), {}, {}) for n in (1, 2, 3)}) == 3


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
@pytest.mark.parametrize("hardware", ["hardware=gpu", "hardware=fsdp"])
def test_over_nccl(run, hardware: str) -> None:
    assert run(hardware, "hardware.device=cuda", SEVERAL)[0] == 0
    assert run(hardware, "hardware.device=cuda", SEVERAL, "hydra.run.dir=again")[0] == 0
    assert weights() == weights("again")
