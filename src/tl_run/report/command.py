"""The command `tl-report`: what came of the runs in these folders, as tables here and as a page, CSV and Markdown."""

import sys
from pathlib import Path

from rich.console import Console

from tl_run import durable
from tl_run.arguments import Arguments
from tl_run.errors import BadOption
from tl_run.failures import outcome
from tl_run.report import content, files, runs, terminal


def main() -> None:
    """Entry point of `tl-report`."""
    sys.exit(outcome(lambda: report(sys.argv[1:])))


def parser() -> Arguments:
    """The command's arguments."""
    made = Arguments(prog="tl-report", description=__doc__)
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
    from tl_run.report import page  # it brings matplotlib, which telling a mistake does not need

    parts = content.parts(found)
    first = options.folders[0]
    html = options.html or first / "report.html"
    csv, markdown = (options.csv or first / "report.csv"), (options.markdown or first / "report.md")
    content_of = {
        html: page.page(parts, found, [str(folder) for folder in options.folders]),
        markdown: files.markdown_of(parts, found.left_out),
        csv: files.csv_of([(part, part.settings) for part in parts]),
    }
    if gains := [(part, part.gains) for part in parts if part.gains]:
        content_of[csv.with_name(f"{csv.stem}-transfer{csv.suffix}")] = files.csv_of(gains)
    for path, text in content_of.items():
        durable.write_file(path, text.encode())
    terminal.show(parts, found, [*content_of], Console(highlight=False, soft_wrap=True))
