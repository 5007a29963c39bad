"""The architecture is a star: imports go one way, and what must be told at once needs no torch."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

import tl_run

SRC = Path(tl_run.__file__).parents[1]
HEAVY = {
    "torch",
    "transformers",
    "datasets",
    "sklearn",
    "tensorboard",
    "safetensors",
    "peft",
    "scipy",
    "huggingface_hub",
    "matplotlib",
    "rouge_score",
    "sacrebleu",
    "optuna",
}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path): path for path in [*SRC.glob("tl_run/**/*.py"), *SRC.glob("hydra_plugins/*.py")]}


@functools.cache
def imports(module: str, *, late: bool) -> frozenset[str]:
    """What a module imports when it is imported, and with `late` also what its functions do."""

    def walk(node: ast.AST) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for_types = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            if (function or for_types) and not late:
                continue
            if isinstance(child, ast.Import):
                yield from (alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0
                assert child.module
                for alias in child.names:
                    full = f"{child.module}.{alias.name}"
                    yield full if full in MODULES else child.module
            else:
                yield from walk(child)

    return frozenset(walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))))


def own(module: str, *, late: bool = True) -> set[str]:
    """The modules of ours that it imports."""
    return {name.removeprefix("tl_run.") for name in imports(module, late=late) if name in MODULES} - {"tl_run"}


def importers(module: str) -> set[str]:
    return {name.removeprefix("tl_run.") for name in MODULES if module in own(name)}


CENTRE = {
    "__main__",
    "cli",
    "predict",
    "shift.command",
    "job",
    "start",
    "run",
    "build",
    "outcome",
    "plan",
    "doubts",
    "environment",
}
PARTS = sorted({name.removeprefix("tl_run.") for name in MODULES} - CENTRE - {"tl_run", "hydra_plugins.tl_run_sweeper"})


def test_the_modules_are_found():
    assert set(MODULES) > {"tl_run", "tl_run.cli", "tl_run.task", "tl_run.data.table", "hydra_plugins.tl_run_sweeper"}
    assert own("tl_run.start", late=False) < own("tl_run.start")
    assert "torch" in imports("tl_run.task.classes", late=True)


def test_the_centre_of_the_star():
    assert importers("cli") == {"__main__"}
    assert importers("job") == {"cli"}
    assert importers("start") == {"job"}
    assert importers("prepare") == {"job", "start", "run", "build", "environment", "sweep.plan"}
    assert importers("run") == {"start"}
    assert importers("build") == {"run", "outcome", "plan", "doubts"}
    for satellite in ("outcome", "plan", "doubts", "environment"):
        assert importers(satellite) == {"run"}
    assert importers("predict") == importers("shift.command") == importers("__main__") == set()


@pytest.mark.parametrize("part", PARTS)
def test_a_part_knows_nothing_of_the_centre(part):
    assert not own(f"tl_run.{part}") & CENTRE


STRANGERS = {
    "config": {"data", "model", "task", "transfer", "training", "optimizer", "freeze", "hardware", "folder", "hub"},
    "data": {"model", "task", "transfer", "training", "optimizer", "freeze", "hardware", "checkpoint", "folder"},
    "model": {"config", "data", "task", "transfer", "training", "optimizer", "freeze", "hardware", "checkpoint"},
    "task": {"model", "transfer", "training", "optimizer", "freeze", "hardware", "checkpoint", "hub"},
    "transfer": {"config", "model", "task", "training", "optimizer", "freeze", "checkpoint"},
    "training": {"config", "console", "tensorboard", "writers", "folder", "checkpoint", "durable", "task", "model"},
    "solve": {"config", "console", "tensorboard", "writers", "folder", "checkpoint", "durable", "task", "transfer"},
    "freeze": {"config", "data", "task", "transfer", "training", "optimizer"},
    "strategies": {"config", "data", "task", "transfer", "training", "optimizer", "freeze"},
    "audit": {"config", "data", "model", "task", "transfer", "training", "optimizer", "freeze"},
    "adapter": {"config", "data", "task", "transfer", "training", "optimizer", "freeze", "checkpoint", "durable"},
    "optimizer": {"config", "data", "task", "transfer", "training", "freeze"},
    "hardware": {"config", "data", "model", "task", "transfer", "training"},
    "checkpoint": {"config", "data", "task", "transfer", "folder"},
    "durable": {"config", "data", "model", "task", "training", "checkpoint", "folder", "lock"},
    "errors": {name.partition(".")[0] for name in PARTS},
}
"""Who must not know whom: a part, or a package of parts, and the others by their first name."""


@pytest.mark.parametrize("part", STRANGERS)
def test_parts_do_not_know_each_other_more_than_they_must(part):
    members = [name for name in MODULES if name.removeprefix("tl_run.").partition(".")[0] == part]
    assert members
    for member in members:
        known = {name.partition(".")[0] for name in own(member)} - ({part} if len(members) > 1 else set())
        assert not known & STRANGERS[part], member


def test_only_these_parts_see_options_at_all():
    users = {name for name in PARTS if any(each.startswith("config") for each in own(f"tl_run.{name}"))}
    users = {"task.*" if name.startswith("task.") else name for name in users}
    assert {name for name in users if not name.startswith("config")} == {
        "arguments",
        "data.sources",
        "explain.command",
        "failures",
        "finished",
        "prepare",
        "sweep.plan",
        "sweep.study",
        "task.*",
    }


def test_nothing_imports_itself_round_a_corner():
    done: set[str] = set()  # all that they reach has been walked: without it there are a hundred thousand ways

    def reach(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path, module])
        if module in done:
            return
        for name in own(f"tl_run.{module}", late=False):
            reach(name, (*path, module))
        done.add(module)

    for module in MODULES:
        if module.startswith("tl_run."):
            reach(module.removeprefix("tl_run."), ())


LIGHT = [name for name in PARTS if name.partition(".")[0] in ("config", "folder", "hub")]
LIGHT += ["cli", "predict", "finished", "job", "report.command", "shift.command", "explain.command"]


@pytest.mark.parametrize("module", ["hydra_plugins.tl_run_sweeper", *(f"tl_run.{name}" for name in LIGHT)])
def test_what_tells_mistakes_imports_nothing_heavy(module):
    seen, waiting = set(), [module]
    while waiting:
        at = waiting.pop()
        heavy = {name.partition(".")[0] for name in imports(at, late=False)} & HEAVY
        assert not heavy, f"{module} imports {at}, which imports {heavy}"
        parents = [at.rpartition(".")[0]] if "." in at else []
        waiting += [name for name in {*imports(at, late=False), *parents} if name in MODULES and name not in seen]
        seen |= set(waiting)


def test_peft_is_imported_only_when_it_is_asked_for():
    assert {name for name in MODULES if "peft" in imports(name, late=True)} == {"tl_run.adapter"}
    assert "peft" not in imports("tl_run.adapter", late=False)


def test_hydra_imports_our_plugin_at_every_start_so_it_is_light():
    assert own("hydra_plugins.tl_run_sweeper", late=False) == set()
    text = MODULES["hydra_plugins.tl_run_sweeper"].read_text(encoding="utf-8")
    assert "from __future__" not in text, "Hydra does not put it into sys.modules, which postponed annotations need"


def test_no_file_is_called_what_anything_could_be():
    names = {name.rpartition(".")[2] for name in MODULES}
    assert not names & {"utils", "common", "base", "helpers", "misc", "core"}


def test_every_module_says_what_it_is_for():
    silent = [
        name for name, path in MODULES.items() if (text := path.read_text()) and not ast.get_docstring(ast.parse(text))
    ]
    assert not silent
