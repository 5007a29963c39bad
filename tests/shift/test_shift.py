"""The command `tl-shift`: what it prints and writes, and what it says of bad input."""

import json
import random
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from conftest import WORDS
from tl_run.failures import outcome
from tl_run.shift.command import shift


@pytest.fixture
def tl_shift(capsys, bert) -> Callable[..., tuple[int, str, str]]:
    """`tl-shift ...` with a small model: exit code, stdout, stderr."""

    def command(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        own = [] if "--model" in arguments else ["--model", bert]
        code = outcome(lambda: shift([str(argument) for argument in (*arguments, *own)]))
        return code, *capsys.readouterr()

    return command


def domain(path: Path, words: list[str], *, positive: float, seed: int, count: int = 120) -> Path:
    """Texts of six of these words, some of them positive."""
    draw = random.Random(seed)
    rows = [f"{' '.join(draw.choices(words, k=6))},{'yes' if i < positive * count else 'no'}" for i in range(count)]
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    return path


@pytest.fixture
def source(tmp_path) -> Path:
    return domain(tmp_path / "source.csv", WORDS[:11], positive=0.5, seed=0)


def test_two_domains_beside_two_halves_of_one(tmp_path, source, tl_shift):
    target = domain(tmp_path / "target.csv", WORDS[8:], positive=0.8, seed=1)
    code, out, err = tl_shift(source, target, "--json", "shift.json")
    assert (code, err) == (0, "")
    found = json.loads(Path("shift.json").read_text())
    own, halves = found["shift"], found["yardstick"]
    assert found["texts"] == 60
    assert own["a_distance"] > 1.5
    assert halves["a_distance"] < 0.5
    assert own["a_distance"] == 2 * (1 - 2 * own["domain_error"])
    assert own["mmd_p"] == 0.001
    assert (own["differ"], halves["differ"]) == (True, False)
    assert halves["out_of_vocabulary"] == 0
    assert own["out_of_vocabulary"] == pytest.approx(11 / 14, abs=0.1), "11 of its 14 words are new"
    assert own["vocabulary_overlap"] == pytest.approx(3 / 22)
    assert own["label_total_variation"] > 0.15
    assert found["target"]["words_per_text"] == 6
    assert found["target"]["tokens_per_word"] == 1
    lines = out.splitlines()
    assert lines[0] == f"source  {source}: 60 of 120 texts, and 60 others as its other half"
    assert lines[-1] == found["sentence"]
    assert found["sentence"].startswith("Source and target differ to this model: a linear classifier tells them apart")
    assert f"{own['out_of_vocabulary']:.1%} of the target's words do not occur in the source (0.0%)" in lines[-1]
    again = tl_shift(source, target)
    assert again == (0, out, "")


def test_halves_of_one_domain_do_not_differ(tmp_path, source, tl_shift):
    target = domain(tmp_path / "target.csv", WORDS[:11], positive=0.5, seed=2)
    code, out, _ = tl_shift(source, target)
    assert code == 0
    assert "This shows no shift to this model:" in out


def test_a_target_without_labels_and_labels_that_one_has_alone(tmp_path, source, tl_shift):
    bare = tmp_path / "bare.txt"
    bare.write_text("\n".join(line.partition(",")[0] for line in source.read_text().splitlines()[1:]))
    code, out, _ = tl_shift(source, bare, "--json", "shift.json")
    assert code == 0
    assert "note: the target has no labels: label shift is not told" in out
    assert "texts are in the source's sample too" in out
    assert json.loads(Path("shift.json").read_text())["shift"]["label_total_variation"] is None
    renamed = tmp_path / "renamed.csv"
    renamed.write_text(source.read_text().replace("text,label", "review,stars").replace(",yes", ",good"))
    code, out, _ = tl_shift(source, renamed, "--target-text", "review", "--target-label", "stars")
    assert code == 0
    assert "note: labels of the source alone: yes" in out
    assert "note: labels of the target alone: good" in out
    assert "are unknown to the model" not in out


def test_a_language_that_the_model_cannot_read(tmp_path, source, tl_shift):
    target = domain(tmp_path / "target.csv", ["好", "坏", "书", "人"], positive=0.5, seed=1)
    code, out, _ = tl_shift(source, target)
    assert code == 0
    assert "note: 100% of the target's tokens are unknown to the model: it cannot read them" in out


def test_runs_are_source_target_and_what_was_observed(tmp_path, source, tl_shift, tl_run, bert):
    target = domain(tmp_path / "target.csv", WORDS[8:], positive=0.5, seed=3)
    given = ["task=classification", f"task.test={target}", "task.max_length=16", "model=custom", f"model.path={bert}"]
    given += ["training.max_steps=2"]
    assert tl_run(*given, f"task.train={source}", "hydra.run.dir=runs/source") == 0
    assert tl_run(*given, f"task.train={target}", "hydra.run.dir=runs/target") == 0
    code, out, err = tl_shift("runs/source", "runs/target", "--runs", "runs", "--model", bert, "--json", "shift.json")
    assert (code, err) == (0, "")
    found = json.loads(Path("shift.json").read_text())
    assert [row["role"] for row in found["runs"][0]["rows"]] == ["source only", "trained on target"]
    scores = [
        json.loads(Path(f"runs/{name}/result.json").read_text())["test"]["accuracy"] for name in ("source", "target")
    ]
    assert [row["test"] for row in found["runs"][0]["rows"]] == [[score] for score in scores]
    assert found["runs"][0]["rows"][0]["to_ceiling"]["value"] == pytest.approx(scores[0] - scores[1])
    assert f"source only is {scores[0] - scores[1]:+.4f} from the ceiling" in out
    files = tl_shift(source, target, "--json", "files.json")
    assert files[0] == 0
    assert json.loads(Path("files.json").read_text())["shift"] == found["shift"], "the runs say where the data is"


def test_bad_input(tmp_path, source, tl_shift):
    for arguments, words in (
        ((source, "nix.csv"), "nix.csv: not found"),
        ((source, source, "--limit", 3), "--limit 3: must be 20 to 5,000"),
        ((source, source, "--batch-size", 0), "--batch-size 0: must be at least 1"),
        ((source, source, "--text", "review"), "--text: "),
        ((source, source, "--target-label", "stars"), "--target-label: "),
        ((source, source, "--model", "./nix"), "--model=./nix: no such folder"),
        ((source, source, "--runs", "nix"), "nix: there is no such folder"),
        ((source, source, "--runs", tmp_path), "--runs: no finished run with a test split lies there"),
    ):
        code, out, err = tl_shift(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith("error: ")
        assert words in err
        assert len(err.splitlines()) <= 3
    assert tl_shift()[0] == 2


def test_the_command_is_installed():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    module, _, name = project["scripts"]["tl-shift"].partition(":")
    assert callable(getattr(import_module(module), name))


def test_mistakes_are_told_without_torch(source):
    code = (
        "import sys; from tl_run.failures import outcome; from tl_run.shift.command import shift; "
        "done = outcome(lambda: shift([sys.argv[1], sys.argv[1], '--text', 'x'])); "
        "sys.exit(done if not {'torch', 'transformers', 'sklearn', 'scipy'} & {*sys.modules} else 99)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(source)], stderr=subprocess.DEVNULL).returncode == 2
