"""The command `tl-report`: what came of the runs in these folders, as tables here and as a page, CSV and Markdown."""

import argparse
import sys
from pathlib import Path

from tl_run import durable
from tl_run.errors import BadOption
from tl_run.failures import outcome
from tl_run.report import files, runs, settings, tables


def main() -> None:
    """Entry point of `tl-report`."""
    sys.exit(outcome(lambda: report(sys.argv[1:])))


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(prog="tl-report", description=__doc__)
    made.add_argument("folders", nargs="+", type=Path, metavar="folder", help="a run, a sweep, or a tree of them")
    for form in ("html", "csv", "markdown"):
        suffix = {"markdown": "md"}.get(form, form)
        made.add_argument(f"--{form}", type=Path, metavar="FILE", help=f"default: report.{suffix} in the first folder")
    return made


def report(arguments: list[str]) -> None:
    """Read, count, show and write. Raises: Failure."""
    options = parser().parse_args(arguments)
    found = runs.find(options.folders)
    if not found.runs:
        reasons = "".join(f"\n  {name}: {why}" for name, why in found.left_out[:3])
        raise BadOption(f"no finished run lies in {', '.join(map(str, options.folders))}{reasons}")
    every = settings.tasks(found.runs)
    made = [tables.of_settings(task) for task in every]
    first = options.folders[0]
    csv, markdown = (options.csv or first / "report.csv"), (options.markdown or first / "report.md")
    durable.write_file(csv, files.csv_of(made).encode())
    durable.write_file(markdown, files.markdown_of(made).encode())
