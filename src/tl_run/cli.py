"""The command `tl-run`: Hydra composes, job.py runs, and every outcome has its exit code. No torch is imported here."""

import os
import re
import sys
from pathlib import Path

from tl_run import distributed, errors
from tl_run.config import check, messages, yaml_files
from tl_run.config.typed import check_typed, quoted
from tl_run.failures import outcome
from tl_run.folder import drop_if_empty

NO_NAME = re.compile(r"[-+]?[\d._]+(e[-+]?\d+)?|true|false|null|nan|[-+]?inf", re.IGNORECASE)
OWN = ("seed", "resume", "plan")
"""Options of a run that are in no group."""


def main() -> None:
    """Entry point of `tl-run`."""
    # OpenMP threads that spin make a job 18 times slower beside one busy neighbour; must be set before torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(outcome(lambda: _compose_and_run(sys.argv[1:])))


def _compose_and_run(arguments: list[str]) -> None:
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import ConfigCompositionException, HydraException
    from hydra.types import RunMode
    from omegaconf import DictConfig

    check.register_resolvers()
    failed: list[Exception] = []

    def run(config: DictConfig) -> float | None:
        try:
            from tl_run.job import job

            return job(config)
        except Exception as problem:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                raise  # the sweeper sees it
            failed.append(problem)  # Hydra would print a line of its own before passing it on
            return None

    sys.argv = [sys.argv[0], *translate(arguments)]
    yaml_files.check(sys.argv[1:])
    # With full errors Hydra raises instead of printing, and `explain` can find the nearest name.
    full = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        main = hydra.main(version_base="1.3", config_path=str(messages.folder()), config_name="run")(run)
        while True:
            try:
                main()
                break
            except ConfigCompositionException as problem:
                sys.argv = [sys.argv[0], *_for_each_job(sys.argv[1:], problem)]
    except OSError as problem:  # a job's own faults do not come this way: Hydra could not make its folder
        if isinstance(problem, HydraException):  # a choice that is not there counts as a missing file
            raise
        drop_if_empty(Path(problem.filename or ".").parent)  # it may have made those above
        raise errors.MachineFault(
            f"{problem.filename}: {problem.strerror}; type another hydra.run.dir or, in a sweep, hydra.sweep.dir"
        ) from problem
    finally:
        os.environ.pop("HYDRA_FULL_ERROR")
        if full is not None:
            os.environ["HYDRA_FULL_ERROR"] = full
    if failed:
        raise failed[0]


def _for_each_job(arguments: list[str], problem: Exception) -> list[str]:
    """In a sweep, an option that the first choice does not have is left to the jobs: Hydra would refuse them all.

    It composes one config for the sweep as a whole, and there only what has several values is left out.
    """
    key = getattr(problem.__cause__, "full_key", None)
    mine = [
        i for i, a in enumerate(arguments) if key and a.startswith(f"{key}=") and not a.startswith(f"{key}=choice(")
    ]
    if not mine or not {"-m", "--multirun"} & {*arguments}:
        raise problem
    left = list(arguments)
    for i in mine:
        left[i] = f"{key}=choice({arguments[i].partition('=')[2]})"
    return left


def translate(arguments: list[str]) -> list[str]:
    """What Hydra does not know: `--plan`, a run folder named by `resume=`, and a list as a group's choice (refused)."""
    check_typed(arguments, (*check.GROUPS, *OWN))
    arguments = [quoted(argument) for argument in arguments]
    multirun = [a for a in arguments if a in ("-m", "--multirun")]  # argparse wants it before or after all overrides
    known = multirun[:1] + [a for a in arguments if a not in ("--plan", "-m", "--multirun")]
    known += ["plan=true"] if "--plan" in arguments else []
    started = distributed.outside()
    if started and multirun:
        raise errors.BadOption("a sweep starts its processes itself: type tl-run -m hardware.processes=... alone")
    if started and started[0]:
        known.append("hydra.run.dir=.")  # the rank that leads names the folder
    for argument in known:
        typed, _, value = argument.partition("=")
        group = typed.lstrip("+~")
        if group in ("task.name", "model.name") and "$" not in value:  # before Hydra makes it
            check.check_name(group, value.strip("'\""))
        if group in check.GROUPS and group != "experiment" and (typed.startswith("~") or value == "null"):
            raise errors.BadOption(f"{argument}: every run has a {group}; tl-run --help lists them: type {group}=...")
        if (group in check.GROUPS or group.startswith("hydra/")) and NO_NAME.fullmatch(value):
            raise errors.BadOption(f"{argument}: a choice is a name, and tl-run --help lists them: type {group}=...")
        if group in check.GROUPS and value.startswith("["):
            choices = value.strip("[]").split(",")
            raise errors.BadOption(
                f"{group}={value}: one {group} a run, and Hydra would melt these into one without a word. Type\n"
                f"  tl-run {group}={choices[0].strip()}   or, for one run each:   tl-run -m {group}={','.join(choices)}"
            )
        if group in check.GROUPS and typed.startswith("+"):
            raise errors.BadOption(f"{argument}: a choice needs no '+': type {group}={value}")
        if group == "resume" and value not in ("", "null"):
            folder = value.strip("'\"").rstrip("/")
            if not (Path(folder) / "config.yaml").is_file():
                raise errors.BadOption(f"resume={folder}: no run lies there (a run folder holds config.yaml)")
            plain = re.sub(r"(['\\])", r"\\\1", folder)
            known = [f"resume='{plain}'" if a == argument else a for a in known] + [f"hydra.run.dir='{plain}'"]
            break
    return known
