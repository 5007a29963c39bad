"""The ledger: what has failed is what ended so, and not an attempt that was followed by another."""

from pathlib import Path

import pytest

from tl_run.sweep import ledger
from tl_run.sweep.ledger import BEGUN, DONE, FAILED, RUNNING, Reader


@pytest.mark.parametrize(
    ("rows", "failed"),
    [
        ([(RUNNING, "seed=0"), (FAILED, "seed=0"), (RUNNING, "seed=0"), (DONE, "seed=0")], False),
        ([(RUNNING, "seed=0"), (FAILED, "seed=0"), (RUNNING, "seed=1"), (DONE, "seed=1")], True),
        ([(FAILED, "seed=0"), (BEGUN, "seed=0,1"), (RUNNING, "seed=1")], False),
    ],
)
def test_a_job_that_was_tried_again_has_not_failed(rows: list[tuple[str, str]], failed: bool, tmp_path: Path) -> None:
    for state, override in rows:
        ledger.note(tmp_path, state, [override])
    assert ledger.has_failed(tmp_path) == failed


def test_a_line_that_is_not_whole_is_read_when_it_is(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    ledger.note(tmp_path, RUNNING, ["seed=0"])
    with (tmp_path / ledger.LEDGER).open("a") as file:
        file.write('{"state": "do')
        file.flush()
        assert [row["state"] for row in reader.new()] == [RUNNING]
        file.write('ne"}\n')
    assert [row["state"] for row in reader.new()] == [DONE]
