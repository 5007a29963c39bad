"""What every augmentation keeps: any cut and order, evaluation as without, a run's identity, every method."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from composing import compose
from conftest import bert_folder
from finished_objects import assemble, toy
from kind_runs import assert_any_cut_gives_the_same_gradient, outcome
from tl_run import identity
from tl_run.build import build
from tl_run.config import check
from tl_run.errors import BadOption
from tl_run.finished import open_run
from tl_run.plan import rows
from tl_run.prepare import prepare

TINY = "embedded:tiny-generation"
AUGMENTED = {
    "eda": ("augment=eda",),
    "token_dropout": ("augment=token_dropout", "augment.rate=0.3"),
    "dropped": ("augment=token_dropout", "augment.how=drop", "augment.rate=0.3"),
    "mixup": ("augment=mixup",),
    "back_translation": (
        *("augment=back_translation", f"augment.there={TINY}", f"augment.back={TINY}"),
        *("augment.max_length=12", "augment.beams=1"),
    ),
}
each = pytest.mark.parametrize("name", AUGMENTED)


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    folder = bert_folder(tmp_path / "plain", hidden_dropout_prob=0, attention_probs_dropout_prob=0)
    return [*toy(tmp_path), "optimizer.lr=0.01", "model=custom", f"model.path={folder}"]


@each
def test_an_example_is_changed_by_seed_epoch_and_its_own_number_alone(name, options):
    parts = assemble(*options[:-2], *AUGMENTED[name])  # with weights for which no text is like another
    train, task = parts.encoded["train"], parts.method.task
    with torch.no_grad():
        parts.model.classifier.weight.mul_(10)

    def logits(indices, seed=0, epoch=0):
        batch = task.collate_training(train, np.array(indices), parts.found.pad, seed, epoch)
        with torch.no_grad():
            return parts.method.forward(parts.model.eval(), train, np.array(indices), batch).logits

    numbers = list(range(12))
    whole = logits(numbers)
    logits(numbers, epoch=1)  # another epoch in between changes nothing
    torch.testing.assert_close(logits(numbers[::-1]), whole.flip(0), rtol=1e-4, atol=1e-4)
    parted = torch.cat([logits(numbers[:5]), logits(numbers[5:])])
    torch.testing.assert_close(parted, whole, rtol=1e-4, atol=1e-4)
    for other in (logits(numbers, epoch=1), logits(numbers, seed=1)):
        assert (other - whole).abs().max() > 0.1


@each
def test_any_cut_gives_the_same_gradient(name, options):
    assert_any_cut_gives_the_same_gradient(*options, *AUGMENTED[name])


@each
def test_a_run_is_the_same_however_it_is_cut_and_evaluation_sees_texts_as_they_are(name, options, tl_run):
    command = [*options, *AUGMENTED[name], "training.epochs=1", "training.log_every=1"]
    for size in (16, 3):
        assert tl_run(*command, f"training.micro_batch_size={size}", f"hydra.run.dir=in-{size}") == 0
    (one, weights, _), (other, again, _) = (outcome(Path(f"in-{size}")) for size in (16, 3))
    losses = [[line["loss"] for line in records if line["kind"] == "train"] for records in (one, other)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert all(torch.allclose(weights[key], again[key], atol=1e-2) for key in weights)
    parts = assemble(*options, *AUGMENTED[name])
    plain = assemble(*options)
    assert parts.score("test").scores == plain.score("test").scores
    assert type(parts.job.task) is type(plain.job.task)


@each
def test_every_option_of_it_makes_another_run(name, options):
    changed = {"eda": "augment.swap=0.2", "mixup": "augment.alpha=0.5"}.get(name, "augment.rate=0.4")
    changed = "augment.share=0.1" if name == "back_translation" else changed
    commands = [(), AUGMENTED[name], (*AUGMENTED[name], changed)]
    found = [prepare(compose(*options, *more), []).identity for more in commands]
    assert len({*found}) == 3


def test_a_run_from_before_there_were_augmentations_is_the_same_run(options, tl_run):
    config = compose("task=reviews")
    without = {key: value for key, value in config.items() if key != "augment"}
    assert identity.essence(config) == identity.essence(without)
    assert identity.essence(compose("augment=eda"))["augment"]["swap"] == 0.1
    assert tl_run(*options, "training.max_steps=1", "hydra.run.dir=run") == 0
    stored = yaml.safe_load(Path("run/config.yaml").read_text())
    assert stored.pop("augment") == {"name": "none"}
    Path("run/config.yaml").write_text(yaml.safe_dump(stored))
    assert open_run(Path("run")).result["augment"] == open_run(Path("run")).options.augment.name == "none"
    assert tl_run("resume=run") == 0


@each
def test_the_plan_says_it(name, options):
    built = build(prepare(compose(*options, *AUGMENTED[name], "freeze=trunk"), []))
    said = dict(rows(built, Path("run")))
    assert said["augment"].startswith({"dropped": "token_dropout"}.get(name, name))
    stored = "the pooler's output" if name == "mixup" else "nothing: training texts change with every epoch (augment="
    assert said["reused"].startswith(stored)
    assert "augment" not in dict(rows(build(prepare(compose(*options), [])), Path("run")))


METHODS = {
    "l2sp": (),
    "mixout": (),
    "rdrop": ("model.dropout=0.1",),
    "fedavg": ("transfer.clients=4",),
    "fedprox": ("transfer.clients=4",),
    "distill": ("transfer.teacher=teacher",),
    "distill_relations": ("transfer.teacher=teacher",),
    **dict.fromkeys(("mmd", "coral", "dann", "cdan", "instance_weighting"), ("task.domain.train={data}/test.csv",)),
    "self_training": ("task.domain.train={data}/test.csv", "transfer.warmup=0.2", "transfer.threshold=0.5"),
}


def test_every_method_gets_it(options, tmp_path, tl_run):
    assert tl_run(*options, "training.max_steps=2", "hydra.run.dir=teacher") == 0
    for method, needs in METHODS.items():
        more = [each.replace("{data}", str(tmp_path)) for each in needs]
        losses = []
        for augment in ("none", "token_dropout"):
            parts = assemble(*options, f"transfer={method}", *more, f"augment={augment}", "training.batch_size=16")
            batches = {name: stream.batch(0) for name, stream in parts.method.streams().items()}
            parts.method.prepare(parts.model, 0, 0.5)
            parts.model.eval()
            how = {"step": 0, "progress": 0.5, "micro_batch_size": 16, "backward": lambda loss: loss.backward()}
            losses.append(parts.method.gradient(parts.model, batches, **how)["loss"].item())
        assert losses[0] != losses[1], method


# -- pictures


def test_images_is_what_flip_and_crop_of_the_task_are():
    by_group = prepare(compose("task=images-demo", "augment=images", "augment.crop=0.5"), [])
    by_task = prepare(compose("task=images-demo", "task.flip=true", "task.crop=0.5"), [])
    assert by_group.identity == by_task.identity
    assert (by_group.options.task.flip, by_group.options.task.crop) == (True, 0.5)  # type: ignore[union-attr]
    plain = compose("task=images-demo")["task"]
    assert (plain["flip"], plain["crop"]) == (False, 1.0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("task=reviews",), "with task=reviews there are no pictures of a class; it goes with images"),
        (("task=image-text-demo",), "it goes with images: type task=images, or augment=none"),
        (("task=images-demo", "task.crop=0.3"), "augment.crop=0.7 and task.crop=0.3 contradict each other: type one"),
        (("task=images-demo", "task.flip=false"), "augment.flip=true and task.flip=false contradict each other"),
    ],
)
def test_what_cannot_be_is_said(options, said):
    with pytest.raises(BadOption) as failure:
        check.check(compose("augment=images", *options))
    assert said in str(failure.value)
