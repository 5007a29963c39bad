import pytest

from tl_run.arguments import Arguments
from tl_run.errors import BadOption
from tl_run.explain.command import parser as of_explain
from tl_run.predict import parser as of_predict
from tl_run.report.command import parser as of_report
from tl_run.shift.command import parser as of_shift


@pytest.mark.parametrize(
    ("parser", "typed", "told"),
    [
        (of_predict, "run new.csv --pertrub typos", "--pertrub typos. Did you mean '--perturb'?\n  tl-predict --help"),
        (of_predict, "", "required: run, input.\n  tl-predict --help"),
        (of_predict, "run new.csv --batch-size many", "--batch-size: invalid int value: 'many'.\n  tl-predict --help"),
        (of_report, "sweep --cvs out.csv", "--cvs out.csv. Did you mean '--csv'?\n  tl-report --help"),
        (of_explain, "run", "required: file.\n  tl-explain --help"),
        (of_shift, "a.csv b.csv --device gpu", "--device: invalid choice: 'gpu'"),
    ],
)
def test_a_mistake_is_told_in_a_line_and_where_to_look(parser, typed, told):
    with pytest.raises(BadOption) as failure:
        parser().parse_args(typed.split())
    words = str(failure.value)
    assert told in words
    assert words.count("\n") == 1


def test_help_is_argparses_own(capsys):
    with pytest.raises(SystemExit) as end:
        Arguments(prog="tl-x", description="What it does.").parse_args(["--help"])
    assert end.value.code == 0
    assert "What it does." in capsys.readouterr().out
