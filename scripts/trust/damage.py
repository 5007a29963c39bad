"""A thousand damages to the newest checkpoint: each is told in one line, the one before is used, nothing is deleted.

All are read as a resumed run reads them; of a part the run itself goes on, and ends with the same bits.
"""

import random
import re
import shutil
from pathlib import Path

import torch

from cases import Bench, Tally, bench, count
from finished_objects import Parts, assemble
from forked_runs import Command
from left_behind import left_behind, said
from tl_run import checkpoint

OLDER, NEWEST = "step-00000010", "step-00000012"
FILES = ("weights.safetensors", "optimizer.safetensors", "best.safetensors", "state.json", "manifest.json")
WHOLE_RUNS = 20  # one of so many is the run itself


def flipped(data: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]


def torn(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data))
    return data[:start] + bytes(len(data) - start)


DAMAGES = {
    "deleted": lambda data, other, rng: None,
    "emptied": lambda data, other, rng: b"",
    "halved": lambda data, other, rng: data[: len(data) // 2],
    "one byte short": lambda data, other, rng: data[:-1],
    "zeros": lambda data, other, rng: bytes(len(data)),
    "torn tail": lambda data, other, rng: torn(data, rng),
    "junk": lambda data, other, rng: rng.randbytes(rng.choice((len(data), 100))),
    "of another step": lambda data, other, rng: other,
    "a bit flipped": lambda data, other, rng: flipped(data, rng),
}


def damage(checkpoints: Path, case: int, rng: random.Random) -> str:
    """Damages one file of the newest checkpoint; returns what was done."""
    kinds = [*DAMAGES]
    while True:
        name, kind = FILES[case % len(FILES)], kinds[case // len(FILES) % len(kinds)]
        path = checkpoints / NEWEST / name
        data = path.read_bytes()
        changed = DAMAGES[kind](data, (checkpoints / OLDER / name).read_bytes(), rng)
        if changed != data:  # a file may be the same at both steps, and a tail all zeros
            break
        case = rng.randrange(10**6)
    if changed is None:
        path.unlink()
    else:
        path.write_bytes(changed)
    return f"{name} {kind}"


def unfinished(bench: Bench, name: str) -> Path:
    """The folder of a run that has all its checkpoints and no result."""
    place = bench.folder(name) / "unfinished"
    if not place.exists():
        bench.job(name)
        shutil.copytree(bench.folder(name) / "undisturbed", place)
        (place / "output").unlink()
        (place / "run" / "result.json").unlink()
    return place


def saved(parts: Parts, checkpoints: Path) -> None:
    """Two checkpoints, of a run that is not written otherwise."""
    records = parts.train()
    for step in (10, 12):
        while parts.state.step < step:
            next(records)
        checkpoint.save(
            checkpoints,
            model=parts.model,
            ever=parts.freeze.ever,
            optimizer=parts.optimizer,
            state=parts.state,
            identity="mine",
            frozen="same",
            metrics_bytes=0,
            keep=2,
            ids=lambda step: [],
        )


def restored(parts: Parts, checkpoints: Path) -> tuple[dict[str, torch.Tensor], int, list[str]]:
    """All tensors after a restore, the step, and what was said."""
    parts.optimizer.state.clear()
    state, _, warnings = checkpoint.restore(
        checkpoints,
        model=parts.model,
        ever=parts.freeze.ever,
        optimizer=parts.optimizer,
        identity="mine",
        frozen="same",
    )
    found = {name: p.detach().clone() for name, p in parts.model.named_parameters()}
    for i, held in enumerate(parts.optimizer.state.values()):
        found |= {f"{i}/{key}": value.clone() for key, value in held.items()}
    return found | {f"best/{name}": tensor for name, tensor in state.best_weights.items()}, state.step, warnings


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def read_damaged(bench: Bench, name: str, number: int, rng: random.Random, tally: Tally) -> None:
    """Verification and loading alone."""
    parts = assemble(*bench.command(name))
    source, place = bench.folder(name) / "source", bench.folder(name) / "damaged"
    saved(parts, source)
    shutil.copytree(source / OLDER, place / OLDER)
    right, step, warnings = restored(parts, place)
    assert (step, warnings) == (10, [])
    for case in range(number):
        shutil.copytree(source / NEWEST, place / NEWEST)
        done = damage(place, case, rng)
        before = contents(place)
        found, step, warnings = restored(parts, place)
        problem = None
        if step != 10 or found.keys() != right.keys() or any(not torch.equal(found[n], right[n]) for n in right):
            problem = f"wrong tensors, of step {step}"
        elif len(warnings) != 1 or "\n" in warnings[0] or NEWEST not in warnings[0]:
            problem = f"said {warnings}"
        elif contents(place) != before:
            problem = "files are not as they were"
        tally.note(f"{name}, {done}", problem)
        shutil.rmtree(place / NEWEST)
    shutil.rmtree(place)


def resume_damaged(bench: Bench, name: str, number: int, rng: random.Random, tally: Tally) -> None:
    """The run itself, from the damaged checkpoint to its end."""
    job, source = bench.job(name), unfinished(bench, name)
    places = {}
    for case in range(number):
        place = bench.folder(name) / f"damaged-{case}"
        shutil.copytree(source, place)
        places[place] = damage(place / "run" / "checkpoints", case, rng)
    chains = [[Command(str(place), job.command)] for place in places]
    for (place, done), [code] in zip(places.items(), bench.forks.run(chains), strict=True):
        problem = f"exit code {code}" if code else None
        told = re.findall(rf"^warning: run/checkpoints/{NEWEST}\S*: .*", said(place), re.MULTILINE)
        if not problem and (len(told) != 1 or "going on from step 10" not in said(place)):
            problem = "not told, or not resumed from the one before"
        if not problem and left_behind(place / "run") != job.expected:
            problem = "other bits"
        tally.note(f"{name}, {done}", problem, place)
        shutil.rmtree(place)


def main() -> None:
    number, tally, rng = count(1000, "damages"), Tally("damages noticed, and the one before used"), random.Random(0)
    names = ("classification", "lora")
    with bench() as place:
        for name in names:
            whole = number // WHOLE_RUNS // len(names)
            resume_damaged(place, name, whole, rng, tally)
            read_damaged(place, name, number // len(names) - whole, rng, tally)
    tally.end()


if __name__ == "__main__":
    main()
