"""Settings, sides and what is said of them."""

import json
from pathlib import Path

import pytest

from run_folders import sides, write
from tl_run.report import gain, sentences, series
from tl_run.report.content import Part, parts
from tl_run.report.effort import Worth, worth
from tl_run.report.gain import Comparison
from tl_run.report.importance import importance
from tl_run.report.runs import find
from tl_run.report.settings import Task, tasks
from tl_run.report.tables import cell, of_mistakes, of_settings


def task(folder: Path) -> Task:
    (found,) = tasks(find([folder]).runs)
    return found


def part(folder: Path) -> Part:
    (found,) = parts(find([folder]))
    return found


def compared(folder: Path) -> dict[tuple[str, str, int | None], Comparison]:
    return {(c.first, c.second, c.labels): c for c in gain.comparisons(task(folder))[0]}


# -- settings


def test_runs_that_differ_in_their_seed_alone_are_one_row(tmp_path):
    for seed, score in enumerate((0.5, 0.6, 0.7)):
        write(tmp_path / f"a{seed}", validation=score, seed=seed)
        write(tmp_path / f"b{seed}", validation=score + 0.1, seed=seed, **{"optimizer.lr": 1e-3, "model.lr": 1e-3})
    table = of_settings(task(tmp_path))
    assert table.columns == ["#", "lr", "validation", "test", "n", "trainable", "seconds"]
    assert [[cell(value) for value in row] for row in table.rows] == [
        ["1", "0.001", "0.7000 ± 0.2484", "0.7500 ± 0.0000", "3", "1,000", "4.0"],
        ["2", "0.0005", "0.6000 ± 0.2484", "0.7500 ± 0.0000", "3", "1,000", "4.0"],
    ]


def test_columns_show_choices_and_leave_out_what_follows_from_them(tmp_path):
    write(tmp_path / "a")
    write(tmp_path / "b", **{"freeze.name": "bottom", "freeze.layers": 4})
    write(tmp_path / "c", **{"freeze.name": "bottom", "freeze.layers": 8, "adapter.name": "lora", "adapter.rank": 2})
    found = task(tmp_path).settings
    assert [*found[0].values] == ["freeze", "layers", "adapter"]
    assert [setting.words for setting in found] == [
        "freeze=none adapter=none",
        "freeze=bottom layers=4 adapter=none",
        "freeze=bottom layers=8 adapter=lora",
    ]


def test_one_lucky_seed_does_not_win(tmp_path):
    write(tmp_path / "lucky", validation=0.9, **{"optimizer.lr": 1.0})
    for seed in range(3):
        write(tmp_path / str(seed), validation=0.6, seed=seed)
    found = task(tmp_path)
    assert found.settings[0].words == "lr=1"
    assert found.best(found.settings).words == "lr=0.0005"
    assert sentences.best(found).startswith("Best of 2 settings by validation: lr=0.0005; test accuracy 0.7500")


def test_less_is_better_where_it_is(tmp_path):
    for name, score in (("a", 9.0), ("b", 4.0)):
        write(tmp_path / name, validation=score, metric="perplexity", higher_is_better=False, **{"optimizer.lr": score})
    assert [setting.words for setting in task(tmp_path).settings] == ["lr=4", "lr=9"]


def test_other_test_examples_make_another_task(tmp_path):
    for name in ("a", "b"):
        folder = write(tmp_path / name, **{"task.test": f"/data/{name}/test.csv"})
        environment = json.loads((folder / "environment.json").read_text())
        environment["data"]["test"] = name
        (folder / "environment.json").write_text(json.dumps(environment))
    found = tasks(find([tmp_path]).runs)
    assert [each.name for each in found] == ["films on a/test.csv", "films on b/test.csv"]


# -- sides


def test_six_seeds_that_all_gain(tmp_path):
    sides(tmp_path, ["1111111110"] * 6, ["1111100000", "1110000000", "1111000000"] * 2)
    (only,) = compared(tmp_path).values()
    assert (only.first, only.second, only.labels, only.split) == ("pretrained", "from scratch", 100, "test")
    assert only.difference.value == pytest.approx(0.5)
    assert (only.difference.seeds, only.difference.p, only.difference.over_examples) == (6, 2 / 64, True)
    assert only.disagreement is not None
    assert (only.disagreement.first, only.disagreement.second) == (6, 0), "two even, and one that nobody has right"
    assert sentences.verdict(only.difference) == sentences.HELPED
    found = part(tmp_path)
    assert found.headline == (
        "The pretrained model beats training from scratch with 100 labels (test accuracy +0.500)."
    )
    assert "0.500 better (95 % interval of the difference +" in found.sentences[0]
    assert any("neither side was tuned" in words for words in found.cautions)
    assert any("training from scratch is no better than always saying the largest class" in w for w in found.cautions)


def test_negative_transfer_is_called_that(tmp_path):
    sides(tmp_path, ["1110000000", "1111000000"] * 3, ["1111111110"] * 6)
    found = part(tmp_path)
    assert found.headline.startswith("Negative transfer: the pretrained model is worse than training from scratch with")
    assert found.sentences[0].endswith("This is negative transfer.")
    assert "0.550 worse" in found.sentences[0]
    assert found.gains is not None
    assert "negative transfer" in found.gains.rows[0]


def test_worse_than_a_probe_is_no_negative_transfer(tmp_path):
    for seed in range(6):
        write(tmp_path / f"p{seed}", right="1110000000", seed=seed)
        write(tmp_path / f"f{seed}", right="1111111110", seed=seed, **{"freeze.name": "trunk"})
    found = part(tmp_path)
    assert found.headline.startswith("The pretrained model is worse than the frozen probe with 100 labels")
    assert "negative" not in found.sentences[0]
    assert found.gains is not None
    assert "worse" in found.gains.rows[0]


def test_each_model_has_its_answer(tmp_path):
    for name, ours, score in (("tiny", "1111111110", 0.9), ("bert", "1111000000", 0.8)):
        own = {"model.name": "custom", "model.path": f"/a/{name}", "validation": score}
        sides(tmp_path / name, [ours] * 6, ["1111000000"] * 6, **own)
    assert part(tmp_path).headline == (
        "a/tiny: the pretrained model beats training from scratch with 100 labels (test accuracy +0.500). "
        "a/bert: no difference between the pretrained model and training from scratch can be claimed with 100 labels "
        "(test accuracy +0.000)."
    )


def test_five_seeds_claim_nothing_and_it_is_said_why(tmp_path):
    sides(tmp_path, ["1111111110"] * 5, ["1111100000"] * 5)
    (only,) = compared(tmp_path).values()
    assert only.difference.p is None
    assert "With 5 pairs of seeds nothing can be significant at 5 %: that takes 6." in part(tmp_path).sentences[0]


def test_two_seeds_have_no_interval(tmp_path):
    sides(tmp_path, ["1110"] * 2, ["1100"] * 2)
    assert "0.250 better (with 2 seeds no interval)." in part(tmp_path).sentences[0]
    assert "no setting has 3 seeds: there no interval is shown" in part(tmp_path).cautions


def test_equal_sides_are_not_told_apart(tmp_path):
    sides(tmp_path, ["1110", "0111", "1010"] * 2, ["0111", "1110", "0101"] * 2)
    assert part(tmp_path).headline.startswith(
        "No difference between the pretrained model and training from scratch can"
    )


def test_a_difference_is_in_favour_of_the_first_also_where_less_is_better(tmp_path):
    sides(tmp_path, ["1000"] * 3, ["1110"] * 3, metric="perplexity", higher_is_better=False)
    (only,) = compared(tmp_path).values()
    assert only.difference.value == pytest.approx(0.5)
    sides(tmp_path / "more", ["1000"] * 3, ["1110"] * 3, metric="rmse", higher_is_better=False, **{"task.limit": 2})
    for path in (tmp_path / "more").glob("*/predictions-test.jsonl"):
        off = 0.25 if path.parent.name.startswith("p") else 0.75
        path.write_text("".join(f'{{"id": "{i}", "gold": {i}, "prediction": {i + off}}}\n' for i in range(4)))
    found = tasks(find([tmp_path / "more"]).runs)
    (only,) = gain.comparisons(found[0])[0]
    assert (only.difference.value, only.difference.over_examples) == (pytest.approx(0.5), True)


def test_without_a_test_split_validation_is_compared_and_that_is_said(tmp_path):
    sides(tmp_path, ["1110"] * 3, ["1100"] * 3)
    for folder in tmp_path.iterdir():
        result = json.loads((folder / "result.json").read_text())
        result |= {"validation": result["test"], "test": None}
        (folder / "result.json").write_text(json.dumps(result))
        (folder / "predictions-test.jsonl").rename(folder / "predictions-validation.jsonl")
    (only,) = compared(tmp_path).values()
    assert (only.split, only.difference.value) == ("validation", pytest.approx(0.25))
    assert only.difference.over_examples
    assert "without a test split the scores are those that chose the models: somewhat too good" in only.caveats
    assert "has validation accuracy 0.750" in part(tmp_path).sentences[0]


def test_only_common_seeds_are_paired(tmp_path):
    sides(tmp_path, ["1110"] * 3, ["1100"] * 3)
    write(tmp_path / "more", right="0000", seed=7)
    (only,) = compared(tmp_path).values()
    assert (only.difference.seeds, only.difference.value) == (3, pytest.approx(0.25))
    assert "seeds that were run on one side alone are left out: 7" in only.caveats


def test_sides_without_a_common_seed_are_not_compared_and_that_is_said(tmp_path):
    write(tmp_path / "a", seed=0)
    write(tmp_path / "b", seed=1, **{"model.pretrained": False})
    found = part(tmp_path)
    assert found.comparisons == []
    words = "with 100 labels, pretrained and from scratch have no seed in common: they are not compared"
    assert words in found.cautions


def test_each_side_is_chosen_on_validation_and_unequal_budgets_are_told(tmp_path):
    """From scratch the better test score belongs to the worse validation score: it is not taken."""
    write(tmp_path / "p", right="1111")
    write(tmp_path / "s1", right="1110", validation=0.5, **{"model.pretrained": False, "optimizer.lr": 1e-3})
    write(tmp_path / "s2", right="1000", validation=0.6, **{"model.pretrained": False, "optimizer.lr": 1e-2})
    (only,) = compared(tmp_path).values()
    assert only.chosen[1].runs[0].config["optimizer.lr"] == 1e-2
    assert only.tried == (1, 2)
    assert only.caveats == ["pretrained was chosen from 1 setting, from scratch from 2: pretrained was tuned less"]


def test_the_probe_is_a_side_of_its_own(tmp_path):
    sides(tmp_path, ["1110"], ["1100"])
    write(tmp_path / "probe", right="1000", **{"freeze.name": "trunk"})
    write(tmp_path / "lora", right="1111", validation=0.9, **{"freeze.name": "trunk", "adapter.name": "lora"})
    write(tmp_path / "random", right="1111", **{"freeze.name": "trunk", "model.pretrained": False})
    found = compared(tmp_path)
    assert [*found] == [("pretrained", "from scratch", 100), ("pretrained", "frozen probe", 100)]
    assert found["pretrained", "frozen probe", 100].chosen[0].runs[0].config["adapter.name"] == "lora"
    assert found["pretrained", "from scratch", 100].tried == (2, 1), "a frozen trunk of random weights is no baseline"
    for name in ("p0-all", "lora"):
        (tmp_path / name / "result.json").unlink()
    assert [*compared(tmp_path)] == [("frozen probe", "from scratch", 100)]


def test_twins_have_the_same_model_and_data(tmp_path):
    write(tmp_path / "a")
    write(tmp_path / "b", **{"model.pretrained": False, "model.name": "bert", "model.path": "bert"})
    write(tmp_path / "c", **{"model.pretrained": False, "task.max_length": 8})
    assert compared(tmp_path) == {}
    assert part(tmp_path).gains is None


def test_predictions_of_other_examples_leave_the_seeds(tmp_path):
    sides(tmp_path, ["1110", "1111", "1110"], ["1100"] * 3)
    (tmp_path / "p0-all" / "predictions-test.jsonl").write_text('{"id": "other"}\n')
    (only,) = compared(tmp_path).values()
    assert not only.difference.over_examples
    assert only.difference.value == pytest.approx(1 / 3)
    assert only.disagreement is None
    assert any("the interval is over seeds alone" in caveat for caveat in only.caveats)


# -- labels, steps


def test_worth_is_read_off_the_learning_curve():
    """Half way between 100 and 400 over log(labels) is 200."""
    curve = [(100.0, 0.5), (400.0, 0.7), (1600.0, 0.8)]
    assert worth(0.6, curve) == Worth(pytest.approx(200))
    assert worth(0.7, curve) == Worth(pytest.approx(400))
    assert worth(0.75, curve) == Worth(pytest.approx(800))
    assert worth(0.85, curve) == Worth(1600, beyond=True)
    assert worth(0.5, curve) == Worth(100, within=True)
    assert worth(0.5, curve[:1]) is None


def test_worth_in_the_report(tmp_path):
    for amount, ours, theirs in ((100, "1111110000", "1111000000"), (400, "1111111100", "1111111000")):
        sides(tmp_path, [ours * 10] * 6, [theirs * 10] * 6, trained_on=amount, **{"task.limit": amount})
    found = compared(tmp_path)
    assert found["pretrained", "from scratch", 100].worth == Worth(pytest.approx(100 * 4 ** (2 / 3)))
    assert found["pretrained", "from scratch", 400].worth == Worth(400, beyond=True)
    said = part(tmp_path).sentences
    assert "Training from scratch gets there with about 252 labels" in said[0]
    assert "does not get there with 400 labels, the most that were tried" in said[1]
    assert part(tmp_path).headline.endswith("with 100 and 400 labels (test accuracy +0.200 and +0.100).")


def test_when_the_best_of_the_other_side_is_reached(tmp_path):
    """From scratch has its best, 0.6, at step 40; pretrained passes it at steps 10 and 20, and once never."""
    curves = [(0.6, 0.9), (0.5, 0.7), (0.4, 0.5)]
    for seed, curve in enumerate(curves):
        write(tmp_path / f"p{seed}", seed=seed, validation=max(curve), curve=curve)
        own = {"seed": seed, "validation": 0.6, "curve": (0.1, 0.2, 0.3, 0.6)}
        write(tmp_path / f"s{seed}", **own, **{"model.pretrained": False})
    (only,) = compared(tmp_path).values()
    assert only.reach is not None
    assert (only.reach.pairs, only.reach.reached) == (3, 2)
    assert only.reach.steps == (15, 40)
    assert only.reach.examples == (240, 640)
    gains = part(tmp_path).gains
    assert gains is not None
    assert gains.rows[0][-3:] == ["15 : 40", "240 : 640", "1.5 : 2"]
    assert only.reach.seconds == (pytest.approx((0.5 * 2 + 1 * 2) / 2), 2)


def test_solved_heads_take_no_steps(tmp_path):
    sides(tmp_path, ["1110"], ["1100"])
    (tmp_path / "p0-all" / "metrics.jsonl").write_text('{"kind": "validation", "step": 1, "C": 0.1, "accuracy": 0.9}\n')
    (only,) = compared(tmp_path).values()
    assert only.reach is None


def test_curves_have_the_steps_that_all_seeds_have(tmp_path):
    write(tmp_path / "0", curve=(0.1, 0.2, 0.3))
    write(tmp_path / "1", curve=(0.3, 0.4), seed=1)
    (curve,) = series.over_steps(task(tmp_path).settings, "validation", "accuracy")
    assert [(point.x, point.scores) for point in curve.points] == [(10, [0.1, 0.3]), (20, [0.2, 0.4])]


# -- which options mattered


def test_shares_of_variance_in_a_grid(tmp_path):
    """Scores 0.5 and 0.7 by rate, nothing by freeze: R^2 is 1 and 0."""
    for lr, frozen, seed in (
        (lr, frozen, seed) for lr in (1e-4, 1e-3) for frozen in ("none", "bottom") for seed in (0, 1)
    ):
        score = 0.7 if lr == 1e-3 else 0.5
        write(
            tmp_path / f"{lr}{frozen}{seed}", validation=score, seed=seed, **{"optimizer.lr": lr, "freeze.name": frozen}
        )
    found = importance(task(tmp_path))
    assert found is not None
    assert found.grid
    assert found.shares == {"lr": pytest.approx(1), "freeze": 0, "seed": 0}


def test_shares_are_corrected_for_chance(tmp_path):
    """Four values, eight runs: between 0.05, within 0.03, so 1 - (3/8) (7/4)."""
    offsets = {1.0: -0.05, 2.0: -0.05, 3.0: 0.05, 4.0: 0.15}
    for lr, level in offsets.items():
        for seed in (0, 1):
            jitter = 0.05 if seed else -0.05
            write(tmp_path / f"{lr}{seed}", validation=0.5 + level + jitter, seed=seed, **{"optimizer.lr": lr})
    found = importance(task(tmp_path))
    assert found is not None
    total = 2 * sum((level - 0.025) ** 2 for level in offsets.values()) + 8 * 0.05**2
    assert found.shares["lr"] == pytest.approx(1 - (8 * 0.05**2 / total) * (7 / 4))


def test_of_many_classes_the_most_frequent_mistakes_are_told():
    table = of_mistakes(["a", "b", "c"], [[5, 2, 0], [7, 1, 3], [0, 0, 9]])
    assert table.rows == [["b", "a", 7], ["b", "c", 3], ["a", "b", 2]]


def test_of_few_runs_or_equal_scores_nothing_is_told(tmp_path):
    for seed in range(7):
        write(tmp_path / str(seed), validation=0.1 * seed, seed=seed, **{"optimizer.lr": seed % 2})
    assert importance(task(tmp_path)) is None
    assert "not told of 7 runs; it takes 8" in part(tmp_path).importance_words
    for path in tmp_path.glob("*/result.json"):
        result = json.loads(path.read_text())
        path.write_text(json.dumps(result | {"validation": {"accuracy": 0.5}}))
    write(tmp_path / "7", validation=0.5, seed=7)
    assert importance(task(tmp_path)) is None


# -- ways of transferring


def ways(folder: Path, name: str, seeds: int, *, right: str, domain: bool = True, **changes: object) -> None:
    group, _, way = name.partition("=")
    given = {f"{group}.name": way, **({"task.domain.train": "/d/new.csv"} if domain else {}), **changes}
    for seed in range(seeds):
        write(folder / f"{way}{seed}", right=right, seed=seed, **given)


def test_each_way_is_compared_with_plain_fine_tuning(tmp_path):
    ways(tmp_path, "transfer=finetune", 6, right="11110000" * 20, domain=False)
    ways(tmp_path, "transfer=mmd", 6, right="11111100" * 20)
    ways(tmp_path, "transfer=dann", 6, right="11000000" * 20)
    ways(tmp_path, "augment=eda", 6, right="11110000" * 20, domain=False)
    found = compared(tmp_path)
    assert {(a, b): round(c.difference.value, 3) for (a, b, _), c in found.items()} == {
        ("transfer=mmd", "plain fine-tuning"): 0.25,
        ("transfer=dann", "plain fine-tuning"): -0.25,
        ("augment=eda", "plain fine-tuning"): 0,
    }
    assert {c.first: sentences.word(c) for c in found.values()} == {
        "transfer=mmd": "helps",
        "transfer=dann": "negative transfer",
        "augment=eda": "no difference claimed",
    }
    assert part(tmp_path).headline == (
        "In test accuracy plain fine-tuning is beaten by transfer=mmd (+0.250); plain fine-tuning beats transfer=dann "
        "(-0.250); no difference between plain fine-tuning and augment=eda (+0.000) can be claimed."
    )


def test_ways_from_another_start_or_over_other_data_are_not_compared(tmp_path):
    ways(tmp_path, "transfer=finetune", 6, right="1100")
    ways(tmp_path, "transfer=l2sp", 6, right="1110", **{"model.path": "elsewhere"})
    ways(tmp_path, "transfer=rdrop", 6, right="1110", **{"task.max_length": 9})
    assert compared(tmp_path) == {}


def test_a_start_and_a_way_are_told_apart(tmp_path):
    for name, start in (("scratch", False), ("kept", True)):
        for way, right in (("finetune", "1100"), ("mixout", "1110")):
            ways(tmp_path / name, f"transfer={way}", 6, right=right, domain=False, **{"model.pretrained": start})
    assert sorted({(a, b) for a, b, _ in compared(tmp_path)}) == [
        ("pretrained", "from scratch"),
        ("transfer=mixout", "plain fine-tuning"),
    ]
