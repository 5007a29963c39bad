"""SQLite's way: everything is interrupted at its first, second, ... n-th operation on the disk, for all n."""

import errno
import itertools
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy
import pytest
from safetensors.numpy import save_file

import durable_scenarios
from durable_scenarios import SCENARIOS, half_by_half, state, write_step
from tl_run import disk
from tl_run.durable import (
    HOST,
    append_line,
    claim,
    clean,
    make_folder,
    settle,
    sync,
    truncate,
    write_file,
    write_folder,
)
from tl_run.errors import BadCheckpoint, MachineFault
from tl_run.manifest import read_folder

HIDDEN = ".[!.]*"


@pytest.fixture
def operations(monkeypatch):
    """What is done to the disk, as (operation, name without process number)."""
    seen = []
    own = f"-{os.getpid()}-{HOST}"
    monkeypatch.setattr(disk, "hook", lambda operation, path: seen.append((operation, path.name.removesuffix(own))))
    return seen


@pytest.fixture
def dead_process():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def run(*arguments: object, **options) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(Path(disk.__file__).parents[1])}
    return subprocess.Popen([sys.executable, *map(str, arguments)], env=environment, text=True, **options)


@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_at_any_operation(name, tmp_path, monkeypatch):
    scenario = SCENARIOS[name]
    states = scenario.states(tmp_path / "undisturbed")
    for n in itertools.count(1):
        folder = tmp_path / f"{n}"
        folder.mkdir()
        scenario.prepare(folder)
        code = run(durable_scenarios.__file__, name, folder, n).wait()
        assert code in (0, 9)
        if scenario.exchange:  # whoever looks now sees it whole; with two renames, only after clean()
            assert state(folder) in states, n
        clean(folder)
        assert state(folder) in states, n
        assert not list(folder.glob(HIDDEN)), n
        scenario.run(folder)
        assert state(folder) == states[-1]
        if code == 0:
            break
    assert n > scenario.points


FULL = OSError(errno.ENOSPC, "No space left on device")
FAULTS = {"full once": (FULL, False), "full from then on": (FULL, True), "Ctrl-C": (KeyboardInterrupt(), False)}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_failing_at_any_operation(name, fault, tmp_path, monkeypatch):
    raised, lasting = FAULTS[fault]
    scenario = SCENARIOS[name]
    if not scenario.exchange:
        monkeypatch.setattr(disk, "exchange", lambda one, other: False)
    states = scenario.states(tmp_path / "undisturbed")
    for n in itertools.count(1):
        folder = tmp_path / f"{n}"
        folder.mkdir()
        scenario.prepare(folder)
        calls = itertools.count(1)

        def fail(operation, path, calls=calls, n=n):
            call = next(calls)
            if call == n or (lasting and call > n):
                raise raised

        monkeypatch.setattr(disk, "hook", fail)
        try:
            scenario.run(folder)
            failed = False
        except (MachineFault, KeyboardInterrupt):
            failed = True
        monkeypatch.setattr(disk, "hook", None)
        assert state(folder) in states, n
        clean(folder)
        assert state(folder) in states, n
        assert not list(folder.glob(HIDDEN)), n
        scenario.run(folder)
        assert state(folder) == states[-1]
        if not failed:
            break
    assert n > scenario.points


def test_a_failed_write_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(operation, path):
        if operation == "write" and path.name == "optimizer":
            raise OSError(errno.EDQUOT, "Disk quota exceeded")

    write_step(1, "old")(tmp_path)
    monkeypatch.setattr(disk, "hook", fail)
    with pytest.raises(
        MachineFault,
        match=r"cannot write .*/step-1: Disk quota exceeded \(at least 5,000 bytes needed, [\d,]+ bytes free\)",
    ):
        write_step(1, "new")(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["step-1"]


def test_order_of_a_file(tmp_path, operations):
    write_file(tmp_path / "result.json", b"{}")
    assert operations == [
        ("create", ".tmp-result.json"),
        ("write", "result.json"),
        ("fsync", "result.json"),
        ("rename", "result.json"),
        ("fsync_dir", tmp_path.name),
        ("remove", ".tmp-result.json"),
    ]


@pytest.mark.parametrize("exchange", [True, False])
def test_order_of_a_folder(exchange, tmp_path, operations, monkeypatch):
    if not exchange:
        monkeypatch.setattr(disk, "exchange", lambda one, other: False)
    parent = tmp_path / "checkpoints"
    files = {"weights": b"w", "optimizer": b"o"}
    write_folder(parent / "best", files, {})
    written = [
        ("create", ".tmp-best"),
        ("write", "weights"),
        ("fsync", "weights"),
        ("write", "optimizer"),
        ("fsync", "optimizer"),
        ("write", "manifest.json"),
        ("fsync", "manifest.json"),
        ("fsync_dir", ".tmp-best"),
    ]
    there = ("fsync_dir", "checkpoints")
    assert operations == [("create", "checkpoints"), ("fsync_dir", tmp_path.name), *written, ("rename", "best"), there]
    operations.clear()
    write_folder(parent / "best", files, {})
    swapped = [("rename", "best")]
    if not exchange:
        swapped = [("rename", ".old-best"), ("rename", "best"), there, ("rename", ".tmp-best")]
    assert operations == [*written, *swapped, there, ("remove", ".tmp-best")]


def test_what_is_told_to_be_synced_is(tmp_path, operations, monkeypatch):
    real, synced = os.fsync, []

    def fsync(file):
        synced.append(os.fstat(file if isinstance(file, int) else file.fileno()).st_ino)
        real(file)

    monkeypatch.setattr(os, "fsync", fsync)
    write_folder(tmp_path / "step-1", {"weights": b"w", "optimizer": half_by_half("o")}, {})
    append_line(tmp_path / "log", "line")
    sync(tmp_path / "log")
    assert len(synced) == sum(operation.startswith("fsync") for operation, _ in operations)
    paths = [tmp_path, tmp_path / "log", tmp_path / "step-1", *(tmp_path / "step-1").iterdir()]
    assert {*synced} == {path.stat().st_ino for path in paths}


def test_facts_and_files_come_back(tmp_path):
    facts = {"step": 7, "best": 0.1 + 0.2, "names": ["ä", "b"], "none": None}
    write_folder(tmp_path / "a/b/step-7", {"x.bin": b"\0" * 10}, facts)
    assert read_folder(tmp_path / "a/b/step-7") == facts
    assert (tmp_path / "a/b/step-7/x.bin").read_bytes() == b"\0" * 10


@pytest.mark.parametrize("facts", [{"loss": float("nan")}, {"best": float("-inf")}, {"shape": (1, 2)}, {1: "one"}])
def test_facts_that_json_would_change_are_refused_before_the_writing(facts, tmp_path, operations):
    with pytest.raises(ValueError, match="JSON"):
        write_folder(tmp_path / "step-1", {}, facts)
    assert not operations


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_umask_decides_who_may_read(umask, tmp_path):
    before = os.umask(umask)
    try:
        files = {"bytes": b"", "safetensors": lambda path: save_file({}, path)}
        write_folder(tmp_path / "folder", files, {})
        write_file(tmp_path / "file", lambda path: save_file({}, path))
    finally:
        os.umask(before)
    for path in [*(tmp_path / "folder").iterdir(), tmp_path / "file"]:
        assert path.stat().st_mode & 0o777 == 0o666 & ~umask, path


def test_no_room_is_known_before_the_writing(tmp_path, operations):
    with pytest.raises(
        MachineFault, match=r"step-1: No space left on device \(at least 1,152,921,504,606,846,976 bytes needed"
    ):
        write_folder(tmp_path / "step-1", {"weights": half_by_half("w")}, {}, expect_bytes=1 << 60)
    assert not operations
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["bytes", "safetensors"])
def test_file_size_limit_of_the_system(kind, tmp_path):
    zeros = numpy.zeros(1 << 21, dtype=numpy.uint8)
    content = zeros.tobytes() if kind == "bytes" else lambda path: save_file({"zeros": zeros}, path)
    write_file(tmp_path / "weights", b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        need = r"at least 2,097,152 bytes needed, " if kind == "bytes" else ""
        with pytest.raises(MachineFault, match=rf"cannot write .*/weights: File too large \({need}[\d,]+ bytes free\)"):
            write_file(tmp_path / "weights", content)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert state(tmp_path) == {"weights": b"old"}
    assert not list(tmp_path.glob(HIDDEN))


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO])
def test_what_the_system_refuses_is_said(number, tmp_path, monkeypatch):
    def refuse(operation, path):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(disk, "hook", refuse)
    path = tmp_path / "new" / "result.json"
    with pytest.raises(MachineFault, match=f"cannot make the folder {path.parent}: {os.strerror(number)}$"):
        write_file(path, b"")


def test_a_mistake_of_ours_is_no_fault_of_the_machine(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_file(tmp_path / "weights", lambda path: save_file({}, path / "no" / "such"))
    with pytest.raises(ZeroDivisionError):
        write_file(tmp_path / "weights", lambda path: 1 / 0)


def leftovers(folder: Path, pid: int, host: str = HOST) -> list[Path]:
    paths = [folder / f".{kind}-step-7-{pid}-{host}" for kind in ("tmp", "del", "old")]
    for path in paths:
        path.mkdir()
        (path / "weights").touch()
    (folder / "step-7").mkdir(exist_ok=True)
    return paths


def test_clean_knows_the_dead_from_the_living(tmp_path, dead_process):
    dead, own = leftovers(tmp_path, dead_process), leftovers(tmp_path, os.getpid())
    living = leftovers(tmp_path, os.getppid())
    other = tmp_path / ".tmp-notes"
    other.touch()
    assert sorted(clean(tmp_path)) == sorted([*dead, *own])
    assert sorted(tmp_path.glob(HIDDEN)) == sorted([*living, other])
    assert sorted(clean(tmp_path, locked=True)) == sorted(living)
    assert clean(tmp_path / "missing") == []


def test_clean_leaves_another_host_a_day(tmp_path, dead_process):
    paths = leftovers(tmp_path, dead_process, "elsewhere.org")
    assert clean(tmp_path) == []
    os.utime(paths[0], (0, time.time() - 23 * 3600))
    os.utime(paths[1], (0, time.time() - 25 * 3600))
    assert clean(tmp_path) == [paths[1]]


def test_clean_leaves_what_is_under_way(tmp_path):
    def content(path):
        assert clean(tmp_path) == clean(tmp_path, locked=True) == []
        path.write_bytes(b"w")

    write_folder(tmp_path / "step-1", {"weights": content}, {})
    assert read_folder(tmp_path / "step-1") == {}


def test_an_earlier_process_of_the_same_number_is_no_obstacle(tmp_path):
    leftovers(tmp_path, os.getpid())
    write_step(7, "new")(tmp_path)
    assert read_folder(tmp_path / "step-7")["text"] == "new"


def test_claims_at_once_get_folders_of_their_own(tmp_path):
    folder = tmp_path / "outputs" / "12-00-00"
    code = (
        "import sys; from pathlib import Path; from tl_run.durable import claim\n"
        "print('ready', flush=True); sys.stdin.readline(); print(claim(Path(sys.argv[1])))"
    )
    claimants = [run("-c", code, folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(8)]
    for claimant in claimants:
        claimant.stdout.readline()
    for claimant in claimants:
        claimant.stdin.write("go\n")
        claimant.stdin.flush()
    names = {Path(claimant.communicate()[0].strip()).name for claimant in claimants}
    assert names == {"12-00-00"} | {f"12-00-00-{number}" for number in range(2, 9)}
    assert claim(folder).name == "12-00-00-9"


def test_new_folders_outlive_a_power_cut(tmp_path, operations):
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert operations == [("create", "a"), ("fsync_dir", tmp_path.name), ("create", "b"), ("fsync_dir", "a")]


def test_folders_that_others_made_outlive_a_power_cut(tmp_path, operations):
    (tmp_path / "outputs" / "12-00-00").mkdir(parents=True)
    settle(Path("outputs/12-00-00"))  # where we work, folders are as they were
    assert operations == [("fsync_dir", "outputs"), ("fsync_dir", tmp_path.name)]
    operations.clear()
    settle(tmp_path.parent)
    assert operations[-1] == ("fsync_dir", "")


def test_log_is_cut_back_to_what_a_checkpoint_knew(tmp_path, operations):
    log = tmp_path / "metrics.jsonl"
    append_line(log, '{"step": 1}')
    size = sync(log)
    assert operations == [("write", log.name), ("fsync", log.name), ("fsync_dir", tmp_path.name)]
    append_line(log, '{"step": 2}')
    operations.clear()
    truncate(log, size)
    truncate(log, size)
    assert operations == [("truncate", log.name), ("fsync", log.name)]
    assert log.read_text() == '{"step": 1}\n'
    with pytest.raises(BadCheckpoint, match=r"metrics.jsonl: has 12 bytes, but had 13"):
        truncate(log, 13)
    truncate(tmp_path / "none.jsonl", 0)
    assert not (tmp_path / "none.jsonl").exists()
