"""Kill it, starve it, corrupt it: the short form of each script in scripts/trust; docs/promises.md has the long one's
figures."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

import damage
import full
import kills
import nonfinite
import planted
import power
import power_loss
import same_bits
import signalled
import two_starts
from cases import JOBS, OTHERS, Bench, Tally
from cases import bench as on_a_bench


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with on_a_bench() as bench:
        yield bench


@pytest.fixture
def tally() -> Iterator[Tally]:
    """Every case that is noted must have gone well, and some must have been."""
    tally = Tally("")
    yield tally
    assert tally.tried
    assert not tally.problems, "\n".join(tally.problems)


@pytest.fixture
def rng() -> random.Random:
    return random.Random(0)


@pytest.mark.parametrize("name", [*JOBS, *OTHERS])
def test_killed_anywhere(name: str, bench: Bench, tally: Tally, rng: random.Random) -> None:
    kills.kill_in_forks(bench, name, 2 if name in JOBS else 1, rng, tally)


def test_a_save_is_found_among_the_operations(bench: Bench) -> None:
    operations = bench.job("classification").operations
    save = [operations[n - 1] for n in kills.save_of(operations, 6)]
    assert save[0] == "fsync run/metrics.jsonl"
    assert any(words.startswith("rename run/checkpoints/step-00000006") for words in save)
    assert save[-1].startswith("remove run/checkpoints/.del-step-")
    assert len(save) > 20


@pytest.mark.parametrize("name", ["classification", "stored activations"])
def test_power_cut(name: str, bench: Bench, tally: Tally, rng: random.Random) -> None:
    power.cut_power(bench, name, 5, rng, tally)


def test_what_a_power_cut_may_leave(tmp_path: Path) -> None:
    """By hand: a synced file stays, one that is not is torn or gone; a rename is whole, or did not happen."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "old").write_bytes(b"old")
    disk = power_loss.Disk(root)
    (root / "new").write_bytes(b"new")
    disk.look()
    with open(root / "new", "rb") as file:
        disk.synced(file.fileno())
    os.replace(root / "new", root / "old")
    (root / "log").write_bytes(b"abcd")
    disk.look()
    seen = set()
    for seed in range(200):
        target = tmp_path / f"{seed}"
        disk.after_a_power_cut(target, random.Random(seed))
        state = {path.name: path.read_bytes() for path in target.iterdir()}
        assert state["old"] in (b"old", b"new")
        assert "new" not in state or state["old"] == b"old"
        assert state.get("log", b"") in {b"abcd"[:n] + tail for n in range(5) for tail in (b"", bytes(4 - n))}
        seen |= set(state.items())
    assert {("old", b"old"), ("old", b"new"), ("log", b""), ("log", b"abcd"), ("log", bytes(4))} <= seen
    descriptor = os.open(root, os.O_RDONLY)
    disk.synced(descriptor)
    os.close(descriptor)
    disk.after_a_power_cut(tmp_path / "synced", random.Random(0))
    assert sorted(path.name for path in (tmp_path / "synced").iterdir()) == ["log", "old"]
    assert (tmp_path / "synced" / "old").read_bytes() == b"new"


def test_damaged(bench: Bench, tally: Tally, rng: random.Random) -> None:
    damage.read_damaged(bench, "classification", 60, rng, tally)
    damage.resume_damaged(bench, "classification", 2, rng, tally)


@pytest.mark.parametrize("error", ["ENOSPC", "EROFS"])
def test_the_disk_refuses(error: str, bench: Bench, tally: Tally) -> None:
    full.refused(bench, "classification", error, 3, tally)


def test_a_limit_on_the_size_of_files(bench: Bench, tally: Tally) -> None:
    for limit in (20_000, 40_000):  # of the event file, and of a checkpoint's
        full.limited(bench, "classification", limit, tally)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_small_and_read_only_disks(bench: Bench, tally: Tally) -> None:
    assert full.really_full(bench, "classification", 200, tally)
    full.read_only(bench, "classification", 60, tally)


def test_numbers_that_are_none(bench: Bench, tally: Tally) -> None:
    cases = [("loss", 4, "nan"), ("gradient", 5, "inf"), ("weights", 6, "-inf"), ("weights", 7, "nan")]
    nonfinite.spoil(bench, "classification", cases, tally)


def test_signals(bench: Bench, tally: Tally, rng: random.Random) -> None:
    signalled.stop(bench, "classification", 5, rng, tally)


def test_two_starts(bench: Bench, tally: Tally) -> None:
    two_starts.twice(bench, "classification", 0, tally)


def test_the_same_bits_in_a_sweep_and_beside_others(bench: Bench, tally: Tally) -> None:
    same_bits.compare(bench, "lora", tally, beside=2)


def test_planted_faults_are_still_where_they_were() -> None:
    """`planted.py` finds each by a test of the suite; that takes minutes, and here only that it can be planted."""
    assert len(planted.FAULTS) >= 11
    for name, fault in planted.FAULTS.items():
        path = planted.ROOT / "src" / "tl_run" / fault.file
        compile(fault.planted(path.read_text(encoding="utf-8")), name, "exec")
        assert (planted.ROOT / "tests" / fault.test).is_file()
