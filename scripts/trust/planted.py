"""Faults planted in our own source, one at a time, in a copy: the suite must find each. It says which test does.

A fault is a piece of text that is there exactly once, and what stands in its place.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Fault:
    """What is planted, and where the suite is expected to find it: a file, and perhaps a part of a name."""

    file: str
    right: str
    wrong: str
    test: str
    named: str = ""

    def plant(self, root: Path) -> None:
        """Change the source under `root`."""
        path = root / "src" / "tl_run" / self.file
        path.write_text(self.planted(path.read_text(encoding="utf-8")), encoding="utf-8")

    def planted(self, text: str) -> str:
        """The source with the fault. Raises: ValueError when it is not there exactly once."""
        if text.count(self.right) != 1:
            raise ValueError(f"{self.file}: {self.right!r} is there {text.count(self.right)} times")
        return text.replace(self.right, self.wrong)


MANIFEST_LAST = """        _fill(temporary / MANIFEST, render(facts, sums))
        for folder in inside:
            disk.sync_folder(folder)
        disk.sync_folder(temporary)
        if not os.path.lexists(target):
            disk.rename(temporary, target)
        elif not disk.exchange(temporary, target):
            _swap(temporary, target)
"""
MANIFEST = "        _fill(temporary / MANIFEST, render(facts, sums))\n"
AFTER_THE_RENAME = MANIFEST_LAST.replace(MANIFEST, "") + MANIFEST.replace("temporary", "target")

FAULTS = {
    "no fsync of files": Fault("disk.py", "os.fsync(file)", "file.flush()", "test_durable.py", "synced"),
    "no fsync of folders": Fault(
        "disk.py", "os.fsync(descriptor)", "os.fstat(descriptor)", "test_durable.py", "synced"
    ),
    "rename before the manifest": Fault("durable.py", MANIFEST_LAST, AFTER_THE_RENAME, "test_durable.py"),
    "a generator is not stored": Fault(
        "training.py",
        "seed_by(seed, state.step,",
        "state.step or seed_by(seed, state.step,",
        "trust/test_trust.py",
        "classification",
    ),
    "the loss sum is not stored": Fault(
        "checkpoint.py",
        'if name != "best_weights"}',
        'if name not in ("best_weights", "loss_sum", "loss_steps")}',
        "test_checkpoint.py",
    ),
    "the checksum is not checked": Fault("manifest.py", "if not same:", "if same is None:", "test_manifest.py"),
    "lenient load": Fault(
        "checkpoint.py",
        "            _match(path, weights, moves(model, ever))",
        "            weights = moves(model, ever) | weights",
        "test_checkpoint.py",
    ),
    "masks by the order of calls": Fault(
        "data/blocks.py",
        "generator = np.random.default_rng([*draw])",
        'generator = mask.__dict__.setdefault("kept", np.random.default_rng([*draw]))',
        "task/test_lm.py",
    ),
    "the lock is not taken": Fault(
        "lock.py",
        "fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "os.fstat(descriptor)",
        "test_lock.py",
    ),
    "a frozen layer in train mode": Fault(
        "freeze.py",
        "any(p.requires_grad for p in parameters) if parameters else parent",
        "parent",
        "test_freeze.py",
    ),
    "a cache key without precision": Fault(
        "features/key.py",
        '            "precision": self.hardware.precision,\n',
        "",
        "features/test_reuse.py",
    ),
    # Two that were there, and were found by the tests of this folder.
    "a run's folder may vanish": Fault("folder.py", "durable.settle(mine)", "pass", "trust/test_trust.py", "power"),
    "weights are not looked at": Fault(
        "training.py", "if not whole(weights[name]).isfinite().all()", "if False", "test_training.py", "no_numbers"
    ),
}


def find(fault: Fault) -> str:
    """The name of the first test that fails with the fault planted, or nothing."""
    with tempfile.TemporaryDirectory(prefix="planted-") as folder:
        copy = Path(folder) / "copy"
        for part in ("src", "configs", "tests", "scripts", "pyproject.toml", "README.md"):
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                copy.mkdir(exist_ok=True)
                shutil.copy(source, copy / part)
        fault.plant(copy)
        chosen = ["-k", fault.named] if fault.named else []
        ran = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", f"tests/{fault.test}", *chosen],
            cwd=copy,
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": str(copy / "src"), "TL_RUN_CACHE": f"{folder}/cache"},
        )
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", ran.stdout, re.MULTILINE)
    if not found:
        print(ran.stdout[-2000:], ran.stderr[-2000:])
    return found[1] if ran.returncode == 1 and found else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=FAULTS, help="a fault; may be typed several times")
    names = parser.parse_args().only or [*FAULTS]
    found = {}
    for name in names:
        found[name] = find(FAULTS[name])
        print(f"{name}: {found[name] or 'NOT FOUND'}", flush=True)
    print(f"planted faults found: {sum(map(bool, found.values()))} of {len(names)}")
    sys.exit(not all(found.values()))


if __name__ == "__main__":
    main()
