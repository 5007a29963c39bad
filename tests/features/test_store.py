"""What is put on a shelf comes back whole or not at all, whoever dies, writes beside us, or makes room."""

import errno
import itertools
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tl_run import disk, durable
from tl_run.errors import MachineFault
from tl_run.features.store import FILE, Shelf, Store
from tl_run.lock import Lock

KEY, OTHER, THIRD = "a" * 64, "b" * 64, "c" * 64
EXAMPLES = [bytes([i]) * 16 for i in range(6)]


def made(examples: list[bytes] = EXAMPLES, dtype: torch.dtype = torch.float32, hidden: int = 8) -> dict:
    """Ragged states, a function of the example alone; the first has one row."""
    generator = torch.Generator()
    return {e: torch.randn(e[0] + 1, hidden, generator=generator.manual_seed(e[0])).to(dtype) for e in examples}


def filled(folder: Path, key: str = KEY, parts: int = 2) -> Shelf:
    """A shelf with all examples in so many pieces."""
    shelf = Shelf(folder / key, key)
    for part in range(parts):
        shelf.put(made(EXAMPLES[part::parts]))
    return shelf


def holds_all(shelf: Shelf, dtype: torch.dtype = torch.float32) -> bool:
    return all(e in shelf and torch.equal(shelf[e], states) for e, states in made(dtype=dtype).items())


def pieces(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def forked(work: Callable[[], None]) -> int:
    """A child that does this and ends; its process number."""
    if child := os.fork():
        return child
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


def code_of(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


# -- put and read back


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_what_is_put_comes_back(dtype, tmp_path):
    shelf = Shelf(tmp_path / KEY, KEY)
    assert EXAMPLES[0] not in shelf
    shelf.put(made(EXAMPLES[:4], dtype))
    shelf.put(made(EXAMPLES[4:], dtype))
    for each in (shelf, Shelf(tmp_path / KEY, KEY)):
        assert holds_all(each, dtype)
        assert each[EXAMPLES[0]].dtype == dtype
        assert each[EXAMPLES[0]].shape == (1, 8)
        assert each.bytes == 21 * 8 * dtype.itemsize
        assert b"x" * 16 not in each


def test_an_open_shelf_takes_no_memory(tmp_path):
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    example, size = b"e" * 16, 64 * 2**20
    Shelf(tmp_path / KEY, KEY).put({example: torch.ones(size // 1024, 256)})
    before = resident()
    shelf = Shelf(tmp_path / KEY, KEY)
    assert shelf[example][12345].eq(1).all()
    assert shelf.bytes == size
    assert resident() - before < size / 4


def test_states_outlive_the_removal_of_their_shelf(tmp_path):
    shelf = filled(tmp_path)
    shutil.rmtree(tmp_path / KEY)  # another process has made room
    shelf.refresh()
    assert holds_all(shelf)


# -- damage


def cut_short(piece: Path) -> None:
    os.truncate(piece / FILE, (piece / FILE).stat().st_size - 1)


def flip_a_bit(piece: Path) -> None:
    data = bytearray((piece / FILE).read_bytes())
    data[-3] ^= 4
    (piece / FILE).write_bytes(data)


def lose_the_manifest(piece: Path) -> None:
    (piece / "manifest.json").unlink()


def lose_the_states(piece: Path) -> None:
    (piece / FILE).unlink()


def take_from_another_shelf(piece: Path) -> None:
    shutil.rmtree(piece)
    other = filled(piece.parent.parent, OTHER)
    shutil.copytree(other.folder / piece.name, piece)


def be_no_safetensors(piece: Path) -> None:
    shutil.rmtree(piece)
    durable.write_folder(piece, {FILE: b"nonsense"}, {"key": KEY})


def be_a_file(piece: Path) -> None:
    shutil.rmtree(piece)
    piece.write_text("what is this?")


@pytest.mark.parametrize(
    "damage",
    [
        cut_short,
        flip_a_bit,
        lose_the_manifest,
        lose_the_states,
        take_from_another_shelf,
        be_no_safetensors,
        be_a_file,
    ],
)
def test_a_damaged_piece_is_removed_and_made_again(damage, tmp_path):
    filled(tmp_path)
    whole, broken = pieces(tmp_path / KEY)
    damage(broken)
    shelf = Shelf(tmp_path / KEY, KEY)
    missing = [e for e in EXAMPLES if e not in shelf]
    assert len(missing) == 3
    assert pieces(tmp_path / KEY) == [whole]
    shelf.put(made(missing))
    assert pieces(tmp_path / KEY) == [whole, broken]
    assert holds_all(shelf)
    assert holds_all(Shelf(tmp_path / KEY, KEY))


# -- death and full disks


def test_killed_at_any_operation_of_a_put(tmp_path):
    for n in itertools.count(1):
        store = Store(tmp_path / str(n), 2**30)
        store.shelf(KEY).put(made(EXAMPLES[:3]))

        def put(store: Store = store, n: int = n) -> None:
            count = itertools.count(1)
            disk.hook = lambda operation, path: os._exit(9) if next(count) == n else None
            store.shelf(KEY).put(made(EXAMPLES[3:]))

        code = code_of(forked(put))
        assert code in (0, 9)
        shelf = Store(store.folder, 2**30).shelf(KEY)
        assert all(torch.equal(shelf[e], states) for e, states in made(EXAMPLES[:3]).items())
        assert len([e for e in EXAMPLES if e in shelf]) in (3, 6)
        assert not list(shelf.folder.glob(".*")), n
        shelf.put(made(EXAMPLES[3:]))
        assert holds_all(shelf)
        if code == 0:
            break
    assert n > 8


def test_a_full_disk_is_said_at_any_operation(tmp_path, monkeypatch):
    def full(operation: str, path: Path) -> None:
        if next(count) == n:
            raise OSError(errno.ENOSPC, "No space left on device")

    said: list[str] = []
    for n in itertools.count(1):
        count = itertools.count(1)
        shelf = Shelf(tmp_path / str(n), KEY)
        monkeypatch.setattr(disk, "hook", full)
        try:
            shelf.put(made())
        except MachineFault as fault:
            said.append(str(fault))
        else:
            break
        finally:
            monkeypatch.setattr(disk, "hook", None)
        shelf.refresh()
        shelf.put(made())
        assert holds_all(shelf)
    assert n > 8
    assert all("No space left on device" in words for words in said)


# -- room


def aged(folder: Path, *keys: str) -> int:
    """Shelves of one size, the first one unused for longest; returns the bytes of one."""
    for age, key in enumerate(reversed(keys)):
        filled(folder, key)
        os.utime(folder / key, (1e9 - age, 1e9 - age))
    return sum(path.stat().st_size for path in (folder / keys[0]).rglob("*") if path.is_file())


def test_what_was_unused_for_longest_goes_first(tmp_path):
    size = aged(tmp_path, OTHER, KEY, THIRD)
    store = Store(tmp_path, size * 3 + 100)
    assert store.room(100) == 100
    assert {path.name for path in pieces(tmp_path)} == {OTHER, KEY, THIRD}
    assert 101 <= store.room(101) <= size
    assert {path.name for path in pieces(tmp_path)} == {KEY, THIRD}


def test_opening_a_shelf_is_using_it(tmp_path):
    size = aged(tmp_path, OTHER, KEY, THIRD)
    Store(tmp_path, size).shelf(OTHER)  # another run
    Store(tmp_path, size * 3).room(1)
    assert {path.name for path in pieces(tmp_path)} == {OTHER, THIRD}


def test_a_shelf_in_use_stays(tmp_path):
    aged(tmp_path, OTHER, KEY, THIRD)
    store = Store(tmp_path, 1)
    shelf = store.shelf(OTHER)
    assert store.room(10**6) == 0
    assert [path.name for path in pieces(tmp_path)] == [OTHER]
    assert holds_all(shelf)


def test_what_is_not_ours_is_never_removed(tmp_path):
    """features.path may name a folder that holds other things."""
    for name in ("runs", "photos", KEY[:63], KEY + "0", KEY.upper()):
        (tmp_path / name).mkdir()
        (tmp_path / name / "precious").write_text("x" * 10_000)
        os.utime(tmp_path / name, (0, 0))
    filled(tmp_path, OTHER)
    Store(tmp_path, 1).room(10**6)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["runs", "photos", KEY[:63], KEY + "0", "A" * 64])


def test_a_removal_that_was_killed_is_ended(tmp_path):
    filled(tmp_path)

    def make_room() -> None:
        removals = itertools.count(1)
        disk.hook = lambda operation, path: os._exit(9) if operation == "remove" and next(removals) == 1 else None
        Store(tmp_path, 1).room(100)

    assert code_of(forked(make_room)) == 9
    assert [path.name[:5] for path in tmp_path.iterdir()] == [".del-"]
    Store(tmp_path, 1).room(100)
    assert not [*tmp_path.iterdir()]


def test_a_shelf_may_go_while_room_is_made(tmp_path, monkeypatch):
    aged(tmp_path, OTHER, KEY, THIRD)
    store = Store(tmp_path, 1)
    iterdir = Path.iterdir

    def late(folder: Path) -> Iterator[Path]:
        for path in iterdir(folder):
            if path.name == KEY:
                shutil.rmtree(path)
            yield path

    monkeypatch.setattr(Path, "iterdir", late)
    store.room(10)
    assert not pieces(tmp_path)


# -- two processes


def test_a_piece_that_another_process_has_made_meanwhile_is_taken(tmp_path, monkeypatch):
    shelf, other = Shelf(tmp_path / KEY, KEY), Shelf(tmp_path / KEY, KEY)
    rename = disk.rename

    def late(source: Path, target: Path) -> None:
        monkeypatch.setattr(disk, "rename", rename)
        other.put(made())
        rename(source, target)

    monkeypatch.setattr(disk, "rename", late)
    shelf.put(made())
    assert holds_all(shelf)
    assert not list(shelf.folder.glob(".*"))


def test_a_shelf_that_is_removed_under_a_put_is_no_fault(tmp_path, monkeypatch):
    shelf = Shelf(tmp_path / KEY, KEY)

    def remove(operation: str, path: Path) -> None:
        if operation == "write":
            monkeypatch.setattr(disk, "hook", None)
            shutil.rmtree(tmp_path / KEY)

    monkeypatch.setattr(disk, "hook", remove)
    shelf.put(made())
    assert not [e for e in EXAMPLES if e in shelf]
    shelf.put(made())
    assert holds_all(shelf)


def test_a_claim_is_held_by_one_and_leaves_nothing(tmp_path):
    shelf = Shelf(tmp_path / KEY, KEY)
    log = tmp_path / "log"

    def work() -> None:
        for _ in range(40):
            with shelf.making(EXAMPLES, lambda: None):
                for line in (b"in\n", b"out\n"):
                    with open(log, "ab") as file:
                        file.write(line)
                    time.sleep(0.0005)

    children = [forked(work) for _ in range(3)]
    assert [code_of(child) for child in children] == [0, 0, 0]
    assert log.read_text() == "in\nout\n" * 120
    assert not [*(tmp_path / ".claims").iterdir()]


@pytest.mark.parametrize("race", ["the claim goes before it is locked", "the next one is in it before it goes"])
def test_who_lets_a_claim_go_and_who_takes_it_may_meet(race, tmp_path, monkeypatch):
    shelf = Shelf(tmp_path / KEY, KEY)
    enter, done = Lock.__enter__, []

    def late(lock: Lock) -> Lock:
        monkeypatch.setattr(Lock, "__enter__", enter)
        shutil.rmtree(lock.path.parent)
        return enter(lock)

    if race.startswith("the claim"):
        monkeypatch.setattr(Lock, "__enter__", late)
        with shelf.making(EXAMPLES, lambda: None):
            done.append(1)
    else:
        with shelf.making(EXAMPLES, lambda: None):
            done.append(1)
            (claim,) = (tmp_path / ".claims").iterdir()
            (claim / "another").touch()
    assert done == [1]


def test_who_waits_for_a_claim_may_be_interrupted(tmp_path):
    shelf = Shelf(tmp_path / KEY, KEY)

    def stop() -> None:
        raise InterruptedError

    with shelf.making(EXAMPLES, lambda: None), pytest.raises(InterruptedError), shelf.making(EXAMPLES, stop):
        raise AssertionError("two hold it")


def test_a_killed_maker_blocks_nobody(tmp_path):
    shelf, ready = Shelf(tmp_path / KEY, KEY), multiprocessing.Event()

    def hold() -> None:
        with shelf.making(EXAMPLES, lambda: None):
            ready.set()
            time.sleep(60)

    child = forked(hold)
    assert ready.wait(10)
    waits = itertools.count()
    with pytest.raises(InterruptedError), shelf.making(EXAMPLES, lambda: _until(3, waits)):
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with shelf.making(EXAMPLES, lambda: _until(3, waits)):
        shelf.put(made())
    assert holds_all(shelf)


def _until(most: int, count: itertools.count) -> None:
    if next(count) >= most:
        raise InterruptedError
