"""What was computed before: safe to delete, checked when read, bounded."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tl_run import cache

ARRAYS = {"offsets": np.arange(5), "ids": np.arange(12, dtype=np.int32).reshape(3, 4), "none": np.zeros(0, np.int64)}


def never() -> dict[str, np.ndarray]:
    pytest.fail("computed again")


def same(found: dict[str, np.ndarray]) -> bool:
    return found.keys() == ARRAYS.keys() and all(
        found[name].dtype == ARRAYS[name].dtype and np.array_equal(found[name], ARRAYS[name]) for name in found
    )


def test_a_hit_equals_a_miss():
    assert same(cache.arrays("kind", "key", lambda: dict(ARRAYS)))
    assert same(cache.arrays("kind", "key", never))
    assert not cache.arrays("kind", "other", dict)
    assert not cache.arrays("other", "key", dict)


def test_what_is_returned_may_be_written_to():
    for _ in range(2):
        found = cache.arrays("kind", "key", lambda: {"a": np.arange(3)})
        found["a"][0] = 9
    assert cache.arrays("kind", "key", never)["a"][0] == 0


DAMAGES = {
    "cut": lambda path: os.truncate(path, 20),
    "one bit": lambda path: path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1])),
    "gone": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
@pytest.mark.parametrize("name", ["arrays.safetensors", "manifest.json"])
def test_a_damaged_entry_is_made_anew(name, damage):
    cache.arrays("kind", "key", lambda: dict(ARRAYS))
    damage(cache.folder() / "kind" / "key" / name)
    made = []
    assert same(cache.arrays("kind", "key", lambda: made.append(1) or dict(ARRAYS)))
    assert made
    assert same(cache.arrays("kind", "key", never))


def test_a_cache_that_cannot_be_written_is_done_without(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TL_RUN_CACHE", str(tmp_path / "file" / "cache"))
    assert same(cache.arrays("kind", "key", lambda: dict(ARRAYS)))


def test_it_is_bounded_and_what_was_used_last_stays(monkeypatch):
    def entry(key: str, at: int) -> None:
        cache.arrays("kind", key, lambda: {"a": np.zeros(1000)})
        os.utime(cache.folder() / "kind" / key, (at, at))

    for at, key in enumerate("abc"):
        entry(key, at)
    cache.arrays("kind", "a", never)  # used: now the newest
    monkeypatch.setattr(cache, "MAX_BYTES", 3 * 8500)
    entry("d", 4)
    assert sorted(path.name for path in (cache.folder() / "kind").iterdir() if path.name[0] != ".") == ["a", "c", "d"]


def test_its_folder(monkeypatch, tmp_path):
    assert cache.folder() == tmp_path / "cache"
    monkeypatch.delenv("TL_RUN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache.folder() == Path("/somewhere/tl-run")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert cache.folder() == Path("/home/someone/.cache/tl-run")


MANY = """
from contextlib import suppress
import numpy as np
from tl_run import cache
for i in range(60):
    found = cache.arrays("kind", f"key-{i % 3}", lambda: {"a": np.full(2000, i % 3)})
    assert (found["a"] == i % 3).all() and len(found["a"]) == 2000
    if i % 7 == 0:
        with suppress(OSError):  # the other process was faster
            cache.durable.remove_folder(cache.folder() / "kind" / f"key-{i % 3}")
print("good")
"""


def test_two_processes_at_a_time():
    environment = {**os.environ, "PYTHONPATH": str(Path(cache.__file__).parents[1])}
    writers = [
        subprocess.Popen([sys.executable, "-c", MANY], env=environment, text=True, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    assert [writer.communicate()[0] for writer in writers] == ["good\n"] * 2
