"""What test_durable interrupts at every operation. As a program (scenario, folder, n) it dies at the n-th."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tl_run import disk
from tl_run.durable import remove_folder, write_file, write_folder
from tl_run.manifest import read_folder

Act = Callable[[Path], None]


@dataclass(frozen=True)
class Scenario:
    prepare: Act
    acts: tuple[Act, ...]  # a crash leaves what is there before, between or after these
    points: int  # operations at which it can die, at least
    exchange: bool = True  # False: as on a file system that cannot swap two names

    def run(self, folder: Path) -> None:
        for act in self.acts:
            act(folder)

    def states(self, folder: Path) -> list[dict]:
        folder.mkdir()
        self.prepare(folder)
        states = [state(folder)]
        for act in self.acts:
            act(folder)
            states.append(state(folder))
        return states


def state(folder: Path) -> dict:
    """All content under a name of its own; folders are verified."""
    found = {}
    for path in sorted(folder.glob("[!.]*")):
        if path.is_dir():
            read_folder(path)
            found[path.name] = {file.name: file.read_bytes() for file in path.iterdir()}
        else:
            found[path.name] = path.read_bytes()
    return found


def half_by_half(text: str) -> Callable[[Path], None]:
    """Content that is written like safetensors does it, through a file of its own, and that can stop in the middle."""

    def write(path: Path) -> None:
        own = path.with_name(".tmpAbCdEf")
        with open(own, "w") as file:
            file.write(text * 1000)
            file.flush()
            disk.before("write", own)
            file.write(text * 1000)
        own.rename(path)

    return write


def write_old_file(folder: Path) -> None:
    write_file(folder / "result.json", b"old" * 1000)


def write_new_file(folder: Path) -> None:
    write_file(folder / "result.json", half_by_half("new"))


def write_step(number: int, text: str) -> Act:
    files = {"weights": half_by_half(f"w {text}"), "optimizer": f"o {text}".encode() * 1000}
    return lambda folder: write_folder(folder / f"step-{number}", files, {"step": number, "text": text})


def remove_step(folder: Path) -> None:
    remove_folder(folder / "step-1")


def prepare_nothing(folder: Path) -> None:
    pass


SCENARIOS = {
    "file": Scenario(prepare_nothing, (write_new_file,), points=7),
    "file replaced": Scenario(write_old_file, (write_new_file,), points=7),
    "folder": Scenario(prepare_nothing, (write_step(1, "new"),), points=11),
    "folder replaced": Scenario(write_step(1, "old"), (write_step(1, "new"),), points=12),
    "folder replaced by two renames": Scenario(
        write_step(1, "old"), (write_step(1, "new"),), points=15, exchange=False
    ),
    "folder removed": Scenario(write_step(1, "old"), (remove_step,), points=3),
    "rotation": Scenario(write_step(1, "old"), (write_step(2, "new"), remove_step), points=14),
}


if __name__ == "__main__":
    scenario, target, n = SCENARIOS[sys.argv[1]], Path(sys.argv[2]), int(sys.argv[3])
    calls = 0

    def die(operation: str, path: Path) -> None:
        global calls
        calls += 1
        if calls == n:
            os._exit(9)

    if not scenario.exchange:
        disk.exchange = lambda one, other: False
    disk.hook = die
    scenario.run(target)
