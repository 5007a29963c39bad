"""NaN and infinity in loss, gradient and weights: exit 4 at that step, its examples named, no such checkpoint, and
without them the same command ends with the same bits.

Weights are looked at before they are scored or saved; where neither follows the step, the next one shows them.
"""

import itertools
import re
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file

from cases import Bench, Tally, bench, count
from finished_objects import assemble
from forked_runs import Command
from left_behind import left_behind, said
from tl_run.errors import NON_FINITE
from tl_run.manifest import read_folder

CASES = [*itertools.product(("loss", "gradient", "weights"), (1, 4, 6, 9, 12), ("nan", "inf", "-inf"))]
LOOKED_AT = {2, 3, 4, 6, 8, 9, 10, 12}  # steps that an evaluation or a save follows


def judge(place: Path, where: str, step: int, ids: list[list[str]], code: int) -> str | None:
    """What was wrong with how the command ended; `ids` are those of each step."""
    if code != NON_FINITE:
        return f"exit code {code}"
    at = step if where != "weights" or step in LOOKED_AT else step + 1
    what = re.search(r"^error: .+ (?:at|after) step (\d+) \(examples (.+?)\); the last", said(place), re.MULTILINE)
    if not what or int(what[1]) != at or what[2] != ", ".join(ids[at - 1]):
        return f"not said that it was step {at}, with its examples"
    for path in place.glob("run/checkpoints/step-*"):
        read_folder(path)
        tensors = [tensor for file in path.glob("*.safetensors") for tensor in load_file(file).values()]
        if not all(torch.isfinite(tensor).all() for tensor in tensors):
            return f"{path.name} holds such numbers"
    return "a result" if (place / "run" / "result.json").exists() else None


def spoil(bench: Bench, name: str, cases: list[tuple[str, int, str]], tally: Tally) -> None:
    """Each case in a folder of its own."""
    job, method = bench.job(name), assemble(*bench.command(name)).method
    ids = [method.ids(step) for step in range(12)]
    places = {bench.folder(name) / "-".join(map(str, case)): case for case in cases}
    chains = []
    for place, (where, step, value) in places.items():
        place.mkdir()
        given = {"where": where, "step": step, "value": value}
        chains.append([Command(str(place), job.command, meddle="faults:no_number", given=given)])
    for (place, case), [code] in zip(places.items(), bench.forks.run(chains), strict=True):
        problem = judge(place, case[0], case[1], ids, code)
        if not problem:
            [[code]] = bench.forks.run([[Command(str(place), job.command)]])
            problem = f"then exit code {code}" if code else None
            if not problem and left_behind(place / "run") != job.expected:
                problem = "then other bits"
        tally.note(f"{name}, {case}", problem, place)
        shutil.rmtree(place)


def main() -> None:
    number, tally = count(len(CASES), "cases"), Tally("stopped at the number that is none, and resumed exactly")
    with bench() as place:
        spoil(place, "classification", CASES[:number], tally)
    tally.end()


if __name__ == "__main__":
    main()
