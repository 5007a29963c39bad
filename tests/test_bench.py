"""The benchmark's scripts: their commands compose, and their arithmetic is right."""

import resource
import shlex
from pathlib import Path

import pytest
import torch
from hydra.errors import ConfigCompositionException
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, BertModel

from composing import compose
from tl_run.config import check

SCRIPTS = Path(__file__).parents[1] / "scripts" / "bench"


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))


def commands(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> list[list[str]]:
    """The words of each command that a dry run prints."""
    import bench

    monkeypatch.setattr("sys.argv", ["bench.py", "--model", "M", "--data", "D", "--dry-run", *arguments])
    bench.main()
    return [shlex.split(line, comments=True) for line in capsys.readouterr().out.splitlines() if line[0] != "#"]


def test_every_command_of_ours_composes_and_passes_the_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = commands(monkeypatch, capsys, "--pairs", "all")
    ours = [words[3:] for words in found if words[1:3] == ["-m", "tl_run"] and words[3] != "--help"]
    assert len(ours) >= 13
    *right, misspelt = ours
    for words in right:
        check.check(compose(*(word.split(",")[0] for word in words if word != "-m" and not word.startswith("hydra."))))
    with pytest.raises(ConfigCompositionException):
        compose(*misspelt)


def test_both_sides_of_a_pair_are_told_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = commands(monkeypatch, capsys, "--pairs", "frozen-trunk", "--threads", "3")
    ours, *peers = [" ".join(words) for words in found]
    for words in ("training.epochs=10", "optimizer.lr=0.001", "hardware.threads=3", "task.max_length=128"):
        assert words in ours
    assert len(peers) == 3
    for peer in peers:
        for words in ("--epochs 10", "--lr 0.001", "--threads 3", "--max-length 128", "--freeze-trunk"):
            assert words in peer


def test_an_unknown_pair_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        commands(monkeypatch, capsys, "--pairs", "help,speed")
    assert "no pair is called speed; there are: full-finetune" in capsys.readouterr().err


def test_a_measurement_is_of_the_process_and_a_failure_is_told() -> None:
    from measure import Job, Plain, Setting, measure

    setting = Setting(Path("M"), Path("D"))
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024  # a child's peak begins with this
    small = measure(Plain(("-c", "import time; time.sleep(0.5)")), Job(), setting)
    large = measure(Plain(("-c", f"x = b'1' * ({own + 200} << 20); sum(range(10_000_000))")), Job(), setting)
    assert small.peak_mb < own + 100
    assert own + 200 < large.peak_mb < own + 300
    assert small.wall > 0.5 > small.cpu
    assert large.cpu > small.cpu
    assert measure(Plain(("-c", "raise SystemExit(2)"), code=2), Job(), setting).results == []
    with pytest.raises(RuntimeError, match=r"exit code 1: .*(?s:.*)ValueError: no such thing"):
        measure(Plain(("-c", "raise ValueError('no such thing')")), Job(), setting)


def test_ratios_are_taken_within_a_round_and_a_run_that_stands_for_many_counts_as_many() -> None:
    from bench import Other, Pair, line_of, table
    from measure import Measured, Ours, Peer

    result = {"seconds": {"train": 2.0}, "examples": 100, "validation": {"accuracy": 0.5}}
    pair = Pair("a test", Ours(), (Other("eight", Peer("max", times=8)),))
    lines = {
        "ours": [line_of(Measured(wall, 1.0, 10.0, [result]), pair.ours, "process") for wall in (1.0, 10.0, 2.0)],
        "eight": [line_of(Measured(3.0, 1.0, 10.0, [result]), Peer("max", times=8), "process") for _ in range(3)],
    }
    assert [line["seconds"] for line in lines["eight"]] == [24.0] * 3
    assert lines["ours"][0]["examples_per_second"] == 50
    cells = [list(column.cells) for column in table("test", pair, lines).columns]
    assert cells[7] == ["", "2.40 / 12.00 / 24.00"]
    assert cells[8] == ["", "8.00 / 8.00 / 8.00"]


def test_a_sample_is_the_same_rows_each_time(table: Path, tmp_path: Path) -> None:
    from measure import sample

    (tmp_path / "dev.csv").write_text("text,label\na film,yes\n")
    folders = [sample(tmp_path, tmp_path / name, 10) for name in ("a", "b")]
    first, second = ((folder / "train.csv").read_text().splitlines() for folder in folders)
    assert first == second
    assert len(first) == 11
    assert sample(tmp_path, tmp_path / "c", None) == tmp_path


def test_the_work_of_a_forward_pass_is_what_torch_counts(tmp_path: Path) -> None:
    from flops import forward

    config = BertConfig(vocab_size=9, hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=24)
    config.save_pretrained(tmp_path)
    model = BertModel(config, add_pooling_layer=False)
    with FlopCounterMode(display=False) as counter:
        for tokens in (5, 11):
            model(torch.ones(1, tokens, dtype=torch.long))
    assert forward(tmp_path, [5, 11]) == counter.get_total_flops()


def test_the_slope_of_a_power_law_is_its_exponent() -> None:
    from growth import slope

    assert slope([1, 3, 10], [5.0, 5.0 * 3**1.5, 5.0 * 10**1.5]) == pytest.approx(1.5)
