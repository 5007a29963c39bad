"""What was observed after training, by what each run was trained on."""

import json
from pathlib import Path
from typing import Any

import pytest

from run_folders import write
from tl_run.shift.gains import ADAPTED, CEILING, OTHER, SOURCE_ONLY, Gains, gains
from tl_run.shift.sides import Side
from tl_run.shift.terminal import observed_in_words

SOURCE, TARGET = (Side(name, [], None, checksum) for name, checksum in (("source.csv", "a"), ("target.csv", "t")))


def run(folder: Path, right: str, *, trained: str = "a", tested: str = "b", **changes: Any) -> None:
    write(folder, right=right, **changes)
    path = folder / "environment.json"
    data = {"train": trained, "test": tested} | ({"domain": "u"} if "transfer.name" in changes else {})
    facts = json.loads(path.read_text()) | {"data": data}
    path.write_text(json.dumps(facts))


def tell(root: Path) -> tuple[Gains, list[tuple[str, str]]]:
    (found,), left_out = gains([root], SOURCE, TARGET)
    return found, left_out


def test_each_setting_beside_source_only_and_ceiling(tmp_path):
    for seed, (base, dann, top) in enumerate([("1100", "1110", "1111"), ("1000", "1110", "1111"), ("1110",) * 3]):
        run(tmp_path / f"s{seed}", base, seed=seed)
        run(tmp_path / f"d{seed}", dann, seed=seed, **{"transfer.name": "dann", "task.domain": {"test": "/d/dvd.csv"}})
        run(tmp_path / f"t{seed}", top, seed=seed, trained="t")
    found, left_out = tell(tmp_path)
    assert (found.metric, left_out) == ("accuracy", [])
    base, adapted, top = found.rows
    assert [row.role for row in found.rows] == [SOURCE_ONLY, ADAPTED, CEILING]
    assert adapted.words == "transfer=dann", "where the files lie decides nothing"
    assert (base.test, adapted.test, top.test) == ([0.5, 0.25, 0.75], [0.75] * 3, [1, 1, 0.75])
    assert base.to_source_only is None
    assert top.to_ceiling is None
    assert base.to_ceiling is not None
    assert base.to_ceiling.value == pytest.approx((-0.5 - 0.75 + 0) / 3), "paired by seed"
    assert adapted.to_source_only is not None
    assert adapted.to_source_only.value == pytest.approx((0.25 + 0.5 + 0) / 3)
    assert adapted.to_source_only.high is not None, "of three seeds there is an interval"
    assert adapted.to_ceiling is not None
    assert adapted.to_ceiling.value == pytest.approx(-0.5 / 3)
    words = observed_in_words(found)
    assert words.startswith("Observed accuracy: source only is -0.4167 ± ")
    assert "dann +0.2500 ± " in words


def test_less_is_better_turns_the_sign(tmp_path):
    run(tmp_path / "s", "1110", higher_is_better=False)
    run(tmp_path / "t", "1100", trained="t", higher_is_better=False)
    (base, _), _ = tell(tmp_path)[0].rows, None
    assert base.to_ceiling is not None
    assert base.to_ceiling.value == pytest.approx(-0.25)


def test_the_source_only_run_is_chosen_by_validation_not_by_test(tmp_path):
    run(tmp_path / "good", "1111", validation=0.6, **{"optimizer.lr": 1e-3})
    run(tmp_path / "bad", "1000", validation=0.9)
    run(tmp_path / "t", "1100", trained="t")
    beside = {row.test[0]: row.to_source_only and row.to_source_only.value for row in tell(tmp_path)[0].rows}
    assert beside == {0.25: None, 1.0: 0.75, 0.5: 0.25}


def test_seeds_that_nobody_shares(tmp_path):
    run(tmp_path / "s", "1000", seed=0)
    run(tmp_path / "t", "1100", seed=1, trained="t")
    difference = tell(tmp_path)[0].rows[0].to_ceiling
    assert difference is not None
    assert (difference.value, difference.high) == (-0.25, None)


def test_a_test_in_the_source_domain_is_left_out(tmp_path):
    run(tmp_path / "in-domain", "1111", tested="c")
    run(tmp_path / "s", "1100")
    run(tmp_path / "t", "1110", trained="t")
    found, left_out = tell(tmp_path)
    assert [row.test for row in found.rows] == [[0.5], [0.75]]
    assert left_out == [(str(tmp_path / "in-domain"), "not tested on the target")]


def test_other_data_is_no_ceiling(tmp_path):
    run(tmp_path / "s", "1100")
    run(tmp_path / "o", "1110", trained="x", **{"task.train": "/d/other.csv"})
    base, other = tell(tmp_path)[0].rows
    assert (base.role, other.role, base.to_ceiling) == (SOURCE_ONLY, OTHER, None)
    assert other.to_source_only is not None
    assert other.to_source_only.value == 0.25
    assert observed_in_words(tell(tmp_path)[0]) == ""


def test_without_a_test_split_a_run_does_not_count(tmp_path):
    run(tmp_path / "s", "1100")
    path = tmp_path / "s" / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"test": None}))
    assert gains([tmp_path], SOURCE, TARGET) == ([], [(str(tmp_path / "s"), "without a test split")])
