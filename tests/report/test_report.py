"""The command: what it prints and writes, and what it says of bad input."""

import csv
import html.parser
import importlib
import io
import json
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from run_folders import sides, write
from tl_run.failures import outcome
from tl_run.report.command import report
from tl_run.report.content import parts
from tl_run.report.runs import find
from tl_run.report.terminal import show


@pytest.fixture
def tl_report(capsys) -> Callable[..., tuple[int, str, str]]:
    """`tl-report ...`: exit code, stdout, stderr."""

    def command(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = outcome(lambda: report([str(argument) for argument in arguments]))
        return code, *capsys.readouterr()

    return command


class Page(html.parser.HTMLParser):
    """A page as a browser takes it apart."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.words = Counter[str](), list[tuple[str, str]](), ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data):
        self.words += data


@pytest.fixture
def sweep(tmp_path) -> Path:
    for amount, ours in ((100, "1111110000"), (400, "1111111100")):
        sides(tmp_path / "s", [ours] * 6, ["1111000000"] * 6, trained_on=amount, **{"task.limit": amount})
    return tmp_path / "s"


def test_the_answer_comes_first_everywhere(sweep, tl_report):
    code, out, err = tl_report(sweep)
    assert (code, err) == (0, "")
    headline = (
        "The pretrained model beats training from scratch with 400 labels (test accuracy +0.400); no difference "
        "between the pretrained model and training from scratch can be claimed with 100 labels (test accuracy +0.200)."
    )
    assert out.splitlines()[:2] == ["films: accuracy", headline]
    assert "0.7500 ± 0.0000" in out
    written = [sweep / name for name in ("report.html", "report.md", "report.csv", "report-transfer.csv")]
    assert out.split()[-4:] == [str(path) for path in written]
    words = Page(written[0].read_text()).words
    assert words.index("claimed") < words.index("validation ") < words.index("Learning curves")
    assert headline in written[1].read_text()


def test_in_a_narrow_terminal_columns_are_left_out_and_none_is_cut(sweep):
    found = find([sweep])
    text = io.StringIO()
    show(parts(found), found, [], Console(file=text, force_terminal=True, width=50, soft_wrap=True, color_system=None))
    tables = [line for line in text.getvalue().splitlines() if line.startswith((" 1", "1 ", "#", "labels  "))]
    assert tables
    assert max(map(len, tables)) <= 50
    assert "in the page besides: test, n, trainable, seconds" in text.getvalue()
    assert "…" not in text.getvalue()


def test_csv_has_all_digits_and_is_a_table(sweep, tl_report):
    assert tl_report(sweep, "--csv", "mine/all.csv")[0] == 0
    rows = list(csv.DictReader(io.StringIO(Path("mine/all.csv").read_text())))
    assert len(rows) == 4
    assert rows[0]["task"] == "films"
    assert {(row["limit"], row["pretrained"]) for row in rows} == {
        (n, p) for n in ("100", "400") for p in ("True", "False")
    }
    (row,) = [row for row in rows if (row["limit"], row["pretrained"]) == ("400", "True")]
    assert (float(row["test"]), float(row["test ±"]), row["n"]) == (0.8, 0, "6")
    gains = list(csv.DictReader(io.StringIO(Path("mine/all-transfer.csv").read_text())))
    assert [float(gain["difference"]) for gain in gains] == pytest.approx([0.2, 0.4])
    assert float(gains[1]["difference low"]) < 0.4 < float(gains[1]["difference high"])


def test_the_page_needs_nothing_else_and_fits_light_and_dark(sweep, tl_report):
    tl_report(sweep, "--html", "page.html")
    text = Path("page.html").read_text()
    page = Page(text)
    assert page.tags["script"] == page.tags["link"] == page.tags["img"] == page.tags["iframe"] == 0
    assert page.tags["svg"] == 5
    links = [value for name, value in page.attributes if name in ("href", "src", "xlink:href") and value[:1] != "#"]
    assert links == []
    assert not re.findall(r"url\((?!#)|@import", text)
    ids = Counter(value for name, value in page.attributes if name == "id")
    assert max(ids.values()) == 1
    targets = {value[1:] for name, value in page.attributes if name in ("href", "xlink:href")}
    assert targets <= ids.keys()
    assert "prefers-color-scheme:dark" in text
    assert "currentColor" in text
    assert "#000000" not in text.lower(), "black is lost on dark"
    assert 'name="viewport"' in text


HOSTILE = "<script>alert(1)</script>|`$\\frac{a}$ \x1b[31m中文\n&amp;"


def test_names_from_data_are_shown_and_do_nothing_else(tmp_path, tl_report):
    for seed in range(3):
        folder = write(tmp_path / "s" / str(seed), seed=seed, **{"task.name": HOSTILE, "model.head": HOSTILE})
        for name in ("result.json", "predictions-test.jsonl"):
            path = folder / name
            path.write_text(path.read_text().replace('"yes"', '"<script>\\u001b[31m|$x_1$\\n中文"'))
    write(tmp_path / "s" / "other", **{"task.name": HOSTILE, "model.head": "b"})
    code, out, err = tl_report(tmp_path)
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    assert "\\x1b[31m中文\\n" in out
    page = Page((tmp_path / "report.html").read_text())
    assert page.tags["script"] == 0
    assert "<script>alert(1)</script>" in page.words
    assert "<script>\\x1b[31m|$x_1$\\n中文" in page.words
    lines = (tmp_path / "report.md").read_text().splitlines()
    assert all("<script" not in line for line in lines)
    rows = [line for line in lines if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows[:4]} == {8}


def test_runs_that_do_not_count_are_named(tmp_path, tl_report):
    write(tmp_path / "fine")
    (write(tmp_path / "odd<b>", seed=1) / "result.json").unlink()
    code, out, _ = tl_report(tmp_path)
    assert code == 0
    assert "1 runs count, 1 are left out:" in out
    assert "odd<b>: not finished" in out
    page = Page((tmp_path / "report.html").read_text())
    assert page.tags["b"] == 0
    assert "odd<b>" in page.words


def test_a_single_run_is_a_report_too(tmp_path, tl_report):
    write(tmp_path / "run", curve=(0.5, 0.6, 0.75))
    code, out, err = tl_report(tmp_path / "run")
    assert (code, err) == (0, "")
    assert "Best of 1 setting by validation: as typed; test accuracy 0.7500 (1 seed, too few for an interval)." in out
    assert tl_report(tmp_path / "run")[0] == 0, "its own files are in no way"


def test_bad_input(tmp_path, tl_report):
    (tmp_path / "empty").mkdir()
    code, _, err = tl_report(tmp_path / "empty")
    assert (code, err) == (2, f"error: no finished run lies in {tmp_path / 'empty'}\n")
    (write(tmp_path / "s" / "a") / "result.json").unlink()
    code, _, err = tl_report(tmp_path / "s")
    assert (code, err.splitlines()[1]) == (2, f"  {tmp_path / 's' / 'a'}: not finished")
    code, _, err = tl_report(tmp_path / "nix")
    assert (code, err[:7]) == (2, "error: ")
    assert "there is no such folder" in err
    write(tmp_path / "t" / "a")
    (tmp_path / "file").touch()
    code, _, err = tl_report(tmp_path / "t", "--html", tmp_path / "file" / "page.html")
    assert code == 5
    assert str(tmp_path / "file") in err
    assert tl_report()[0] == 2


def test_what_runs_leave_is_what_the_report_reads(tl_run, tl_report, bert, table):
    given = ["task=classification", f"task.train={table}", f"task.test={table}", "task.max_length=16"]
    given += ["model=custom", f"model.path={bert}", "training.max_steps=4", "training.log_every=1"]
    for number, pretrained in ((number, pretrained) for number in range(3) for pretrained in ("true", "false")):
        own = (f"model.pretrained={pretrained}", f"seed={number}", f"hydra.run.dir=sweep/{pretrained}{number}")
        assert tl_run(*given, *own) == 0
    code, out, err = tl_report("sweep")
    assert (code, err) == (0, "")
    assert "Best of 2 settings by validation: pretrained=" in out
    assert "With 44 labels, the pretrained model has test accuracy 0." in out
    assert "interval is over seeds alone" not in out, "the interval is over examples too"
    page = Page(Path("sweep/report.html").read_text())
    assert "Training loss" in page.words
    assert "Confusion, all seeds together" in page.words
    result = json.loads(Path("sweep/true0/result.json").read_text())
    assert result["splits"] == {"train": 44, "validation": 4, "test": 48}
    assert result["metric"]["higher_is_better"] is True


def test_the_command_is_installed():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    module, _, name = project["scripts"]["tl-report"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))
    assert {"scipy", "matplotlib"} <= {re.split("[<>=]", need)[0] for need in project["dependencies"]}


def test_it_needs_no_torch(tmp_path):
    sides(tmp_path / "s", ["1110"] * 6, ["1100"] * 6)
    code = (
        "import sys; from tl_run.report.command import report; report([sys.argv[1]]); "
        "sys.exit(bool({'torch', 'transformers', 'datasets'} & {*sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.DEVNULL).returncode == 0
