"""Pictures from folders, tables and bytes; the numbers of transformers' own processor; runs with every part of them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file
from transformers.image_utils import load_image

from composing import compose
from finished_objects import assemble
from tiny_models import IMAGE_FAMILIES, resnet
from tl_run import cli, embedded, identity, predict, task
from tl_run.config.check import check
from tl_run.data import augmentation
from tl_run.data.pictures import Pictures
from tl_run.data.table import Table
from tl_run.errors import BadInput, BadOption
from tl_run.features.reuse import Reuse

DEMO = embedded.locate("embedded:patterns")
ONE_STEP = ["task=images-demo", "hardware=cpu", "training.max_steps=3", "training.batch_size=12"]


def kind(*overrides: str):
    return task.load(check(compose("task=images", "task.train=x.csv", *overrides)).task)


def picture(path: Path, size: tuple[int, int] = (40, 30), seed: int = 0, mode: str = "RGB", **how) -> Path:
    """A picture of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(path, **how)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with three cats and three dogs, of several formats and sizes, and what is to be passed over."""
    for i in range(3):
        picture(tmp_path / f"photos/cats/{i}.jpg", (40 + i, 30), i)
        picture(tmp_path / f"photos/dogs/deeper/{i}.png", (30, 50 + i), 10 + i, mode="P" if i else "L")
    lying = Image.Exif()
    lying[0x0112] = 6  # the camera was held upright
    picture(tmp_path / "photos/cats/2.jpg", (42, 30), 2, exif=lying)
    (tmp_path / "photos/cats/.hidden").write_text("not a picture")
    (tmp_path / "photos/.cache").mkdir()
    return tmp_path / "photos"


def processor(folder: Path):
    return transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")


# -- reading


def test_the_same_pictures_from_a_folder_a_table_and_bytes(photos, tmp_path):
    named = [(f"cats/{i}.jpg", "cats") for i in range(3)] + [(f"dogs/deeper/{i}.png", "dogs") for i in range(3)]
    lines = ["what,pet,key", *(f"{path},{label},k{i}" for i, (path, label) in enumerate(named))]
    (photos.parent / "photos/list.csv").write_text("\n".join(lines) + "\n")
    columns = ("task.image=what", "task.label=pet")
    by_table = kind(*columns, "task.id=key")
    rows = by_table.open(photos / "list.csv")
    (photos / "list.csv").unlink()
    by_folder, by_bytes = kind(*columns), kind(*columns)
    from_folder = by_folder.open(photos)
    data = [{"bytes": (photos / path).read_bytes(), "path": None} for path, _ in named]
    cells = [{"what": cell, "pet": int(label == "dogs")} for cell, (_, label) in zip(data, named, strict=True)]
    from_bytes = Table("set train", ("what", "pet"), cells, list(range(6)), class_names={"pet": ["cats", "dogs"]})
    read = [each.read({"train": t})["train"] for each, t in ((by_table, rows), (by_folder, from_folder))]
    read.append(by_bytes.read({"train": from_bytes})["train"])
    assert by_table.labels == by_folder.labels == by_bytes.labels == ["cats", "dogs"]
    for examples in read:
        assert [example.label for example in examples] == [0, 0, 0, 1, 1, 1]
        assert [example.picture.sha256 for example in examples] == [e.picture.sha256 for e in read[0]]
    assert [[example.id for example in examples] for examples in read] == [
        [f"k{i}" for i in range(6)],
        [path for path, _ in named],
        [str(i) for i in range(6)],
    ]
    assert by_table.inputs(read[0][3]) == {"id": "k3", "image": "dogs/deeper/0.png", "gold": "dogs"}
    prints = {
        identity.of_tables({"train": each.content(rows, examples)})["train"]
        for each in (by_folder,)
        for rows, examples in ((from_folder, read[1]), (by_folder.open(f"{photos}/."), read[1]))
    }
    assert len(prints) == 1


def test_the_identity_follows_the_bytes_of_a_picture_and_not_its_name(photos):
    def fingerprint(folder: Path) -> str:
        made = kind()
        rows = made.open(folder)
        return identity.of_tables({"train": made.content(rows, made.read({"train": rows})["train"])})["train"]

    before = fingerprint(photos)
    assert fingerprint(photos.rename(photos.with_name("moved"))) == before
    picture(photos.with_name("moved") / "cats/1.jpg", seed=99)
    assert fingerprint(photos.with_name("moved")) != before


def test_pictures_without_a_class_are_read_for_predictions_alone(photos):
    made = kind()
    assert [e.id for e in made.read_unlabelled(made.open(photos / "cats"))] == ["0.jpg", "1.jpg", "2.jpg"]
    assert len(made.read_unlabelled(made.open(photos))) == 6
    with pytest.raises(BadInput, match=r"cats: its pictures lie in no folder of a class; put them into .*<class>"):
        made.read({"train": made.open(photos / "cats")})


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda p: (p / "cats/notes.txt").write_text("x"), "cats/notes.txt: '.txt' is no picture's suffix; move the"),
        (lambda p: (p / "cats/notes").write_text("x"), "cats/notes: without a suffix this is no picture's suffix"),
        (lambda p: (p / "birds").mkdir(), "birds: a class without a picture; remove the folder"),
        (lambda p: picture(p / "loose.png"), "loose.png: lies beside the folders of the classes; move it into one"),
        (lambda p: [f.unlink() for f in p.rglob("*.*g")], "photos: holds no picture; put them into a folder for each"),
    ],
)
def test_what_is_wrong_with_a_folder(spoil, words, photos):
    spoil(photos)
    with pytest.raises(BadInput) as failure:
        kind().open(photos)
    assert words in str(failure.value)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("gone.jpg", "t.csv, line 2: the picture gone.jpg cannot be read (No such file or directory)"),
        ("", "t.csv, line 2: 'image' is missing, a path or bytes are needed (task.image)"),
        (5, "t.csv, line 2: 'image' is a number, a path or bytes are needed (task.image)"),
        ({"bytes": None, "path": None}, "t.csv, line 2: 'image' is an object without bytes or path, a path or bytes"),
    ],
)
def test_a_cell_that_is_no_picture_is_told_with_its_line(cell, words):
    with pytest.raises(BadInput) as failure:
        kind().read_unlabelled(Table("t.csv", ("image",), [{"image": cell}], [2]))
    assert str(failure.value).startswith(words)


def test_broken_pictures_are_named_before_training_three_at_most(photos, tl_run, capsys):
    whole = (photos / "cats/0.jpg").read_bytes()
    (photos / "cats/0.jpg").write_bytes(whole[: len(whole) // 2])
    for name in ("cats/1.jpg", "cats/2.jpg", "dogs/deeper/0.png"):
        (photos / name).write_bytes(b"not a picture")
    assert tl_run("task=images", f"task.train={photos}", "task.validation_share=0.4", "hydra.run.dir=run") == 2
    lines = capsys.readouterr().err.splitlines()
    assert [f"{photos / 'cats/0.jpg'}: the picture cannot be read (OSError: " in lines[0], len(lines)] == [True, 3]
    assert all("; replace or remove it" in line for line in lines)
    assert not (Path("run") / "metrics.jsonl").exists()


# -- what the model reads


@pytest.mark.parametrize("settings", ["shortest edge", "square", "bare"])
def test_the_numbers_are_those_of_transformers_processor_cold_and_from_the_cache(settings, photos, tmp_path):
    folder = tmp_path / "model"
    made = {
        "shortest edge": lambda: transformers.MobileNetV1ImageProcessorPil(
            size={"shortest_edge": 36}, crop_size={"height": 32, "width": 28}
        ),
        "square": lambda: transformers.ViTImageProcessorPil(
            size={"height": 20, "width": 24}, image_mean=[0.1, 0.2, 0.3]
        ),
        "bare": lambda: transformers.ViTImageProcessorPil(size={"height": 8, "width": 8}, do_normalize=False),
    }
    made[settings]().save_pretrained(folder)
    images = kind()
    examples = images.read({"train": images.open(photos)})["train"]
    own = processor(folder)
    as_pipelines_do = [load_image(str(example.picture.source)) for example in examples]
    expected = own(as_pipelines_do, return_tensors="pt")["pixel_values"]
    for _ in range(2):
        encoded = images.encode(examples, processor(folder))
        batch = images.collate(encoded, np.array([5, 0, 3]), {})
        assert torch.equal(batch["pixel_values"], expected[[5, 0, 3]])
        assert batch["labels"].tolist() == [1, 0, 1]
        for example in examples[:1]:
            example.picture.source.touch()  # the cache goes by the bytes
    both = Pictures.joined([encoded, images.encode(examples[1:5], own)])
    again = torch.from_numpy(both.padded(np.array([9, 2, 6]), {})["pixel_values"])
    assert torch.equal(again, expected[[4, 2, 1]])


def test_a_processor_that_gives_no_one_size_is_refused(photos, tmp_path):
    transformers.MobileNetV1ImageProcessorPil(size={"shortest_edge": 36}, do_center_crop=False).save_pretrained(
        tmp_path
    )
    images = kind()
    with pytest.raises(BadInput, match=r"pictures of different sizes.*add do_center_crop and crop_size"):
        images.encode(images.read({"train": images.open(photos)})["train"], processor(tmp_path))


# -- augmentation


def test_a_crop_is_a_part_at_full_size_and_a_flip_its_mirror_image():
    across = torch.arange(32.0).expand(1, 3, 32, 32)
    keep, half = np.array([[1, 0.5, 0.5, 0.9]], np.float32), np.array([[0, 0, 1, 0.9]], np.float32)
    mirrored = keep - np.array([[0, 0, 0, 0.9]], np.float32)
    assert torch.equal(augmentation.augment(across, keep, smallest=1, flip=True), across)
    assert torch.equal(augmentation.augment(across, mirrored, smallest=1, flip=True), across.flip(-1))
    torch.testing.assert_close(augmentation.augment(across, keep, smallest=0.5, flip=False), across)
    left = augmentation.augment(across, half, smallest=0.5, flip=False)[0, 0]
    torch.testing.assert_close(left[:, 1:-1], (torch.arange(32.0)[1:-1] / 2 - 0.25).expand(32, 30))
    down = augmentation.augment(across.mT, half, smallest=0.5, flip=False)[0, 0]
    torch.testing.assert_close(down[1:-1, 0], torch.arange(32.0)[1:-1] / 2 + 15.75)


def test_a_picture_is_changed_by_seed_epoch_and_its_own_number_alone():
    made = assemble(*ONE_STEP, "task.flip=true", "task.crop=0.5").job.task
    parts = assemble(*ONE_STEP, "task.flip=true", "task.crop=0.5")
    train, rows = parts.encoded["train"], np.arange(20)

    def pixels(indices: np.ndarray, seed: int = 0, epoch: int = 0) -> torch.Tensor:
        return made.collate_training(train, indices, {}, seed, epoch)["pixel_values"]

    whole = pixels(rows)
    assert torch.equal(torch.cat([pixels(rows[:7]), pixels(rows[7:])]), whole)
    assert torch.equal(pixels(rows[::-1].copy()), whole.flip(0))
    plain = made.collate(train, rows, {})["pixel_values"]
    for other in (pixels(rows, epoch=1), pixels(rows, seed=1), plain):
        assert not any(torch.equal(a, b) for a, b in zip(whole, other, strict=True))


@pytest.mark.parametrize("size", [1, 5, 8])
def test_any_cut_gives_the_same_gradient_where_statistics_are_fixed(size):
    found = []
    for micro in (12, size):
        parts = assemble(*ONE_STEP, "model.statistics=fixed", "task.flip=true", "task.crop=0.6")
        assert parts.method.divisible
        batches = {"train": parts.method.stream.batch(5)}
        parts.method.gradient(
            parts.model, batches, step=5, progress=0.5, micro_batch_size=micro, backward=lambda loss: loss.backward()
        )
        found.append(parts.gradients())
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-4, atol=1e-6, msg=name)


# -- what moves


@pytest.mark.parametrize(
    ("options", "move", "stay"),
    [
        (["freeze=none"], ["embedder", "stages.0", "stages.3"], []),
        (["freeze=trunk"], [], ["embedder", "stages.0", "stages.3"]),
        (["freeze=bottom", "freeze.layers=2"], ["stages.2", "stages.3"], ["embedder", "stages.0", "stages.1"]),
        (["freeze=none", "model.statistics=fixed"], [], ["embedder", "stages.0", "stages.3"]),
        (["freeze=all_but_bias"], ["embedder", "stages.3"], []),
    ],
)
def test_statistics_move_where_something_learns_and_nowhere_else(options, move, stay):
    parts = assemble(*ONE_STEP, *options)
    before = {name: buffer.clone() for name, buffer in parts.model.named_buffers()}
    list(parts.train())
    moved = {name for name, buffer in parts.model.named_buffers() if not torch.equal(buffer, before[name])}
    for block in move:
        assert any(block in name and "running" in name for name in moved), block
    for block in stay:
        assert not [name for name in moved if block in name]
    assert parts.method.divisible == (not moved)
    learn = {name for name, p in parts.model.named_parameters() if name in parts.freeze.ever}
    assert learn == {name for name, p in parts.model.named_parameters() if p.requires_grad}


def test_statistics_are_fixed_only_where_there_are_some(tmp_path):
    with pytest.raises(BadOption, match="has no batch normalization"):
        assemble("task=reviews", "model.statistics=fixed")
    with pytest.raises(BadOption, match="random weights have no statistics to keep"):
        assemble("task=images-demo", "model.statistics=fixed", "model.pretrained=false")


# -- the store


@pytest.mark.parametrize("family", IMAGE_FAMILIES)
@pytest.mark.parametrize("mode", ["auto", "off"])
def test_a_frozen_trunk_is_computed_once_with_the_same_outputs(family, mode, tmp_path):
    folder = IMAGE_FAMILIES[family](tmp_path / "model")
    options = ["model=custom", f"model.path={folder}", "freeze=trunk", f"features.mode={mode}"]
    for _ in range(2):  # cold, then warm
        parts = assemble(*ONE_STEP, *options)
        reuse: Reuse = parts.method.forward
        reuse.enter(parts.freeze.phases[0])
        rows = np.arange(10)
        parts.model.eval()
        for split in ("train", "test"):
            batch = parts.job.task.collate(parts.encoded[split], rows, {})
            with torch.no_grad():
                stored = reuse(parts.model, parts.encoded[split], rows, batch).logits
                plain = parts.model(pixel_values=batch["pixel_values"]).logits
            torch.testing.assert_close(stored, plain, rtol=1e-4, atol=1e-5)
            assert stored.std() > 1e-3  # or all is alike, and equal to anything
    assert (reuse.stored_mb > 0) == (mode == "auto")


def test_statistics_are_part_of_what_stored_states_are_called_by():
    parts = assemble(*ONE_STEP, "freeze=trunk")
    states = parts.method.forward.states
    (cut,) = {*parts.method.forward.cuts.values()}
    before = states.keys.of(cut)
    assert states.keys.of(cut) == before
    next(buffer for name, buffer in parts.model.named_buffers() if "running_mean" in name).add_(1e-3)
    assert states.keys.of(cut) != before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["freeze=trunk", "task.flip=true"], "nothing: training pictures change with every epoch (task.flip)"),
        (["freeze=trunk", "task.crop=0.5"], "nothing: training pictures change with every epoch (task.crop)"),
        (["freeze=bottom", "freeze.layers=2"], "nothing: of pictures only the whole trunk's state is kept"),
    ],
)
def test_why_nothing_is_stored(options, words):
    assert assemble(*ONE_STEP, *options).method.forward.words().startswith(words)


# -- runs


def trained(folder: str) -> dict[str, torch.Tensor]:
    return load_file(Path(folder) / "model" / "model.safetensors")


def test_stored_or_not_cold_or_warm_the_weights_have_the_same_bits(tl_run):
    command = ["task=images-demo", "hardware=cpu", "training.epochs=2", "freeze=trunk"]
    for mode, folder in (("off", "off"), ("require", "cold"), ("require", "warm")):
        assert tl_run(*command, f"features.mode={mode}", f"hydra.run.dir={folder}") == 0
    off, cold, warm = (trained(folder) for folder in ("off", "cold", "warm"))
    assert all(torch.equal(off[name], cold[name]) and torch.equal(off[name], warm[name]) for name in off)


@pytest.mark.parametrize("options", [["task.flip=true", "task.crop=0.7"], ["freeze=trunk"]])
def test_a_run_that_is_stopped_and_resumed_ends_with_the_same_bits(options, tl_run, monkeypatch):
    command = ["task=images-demo", "hardware=cpu", "training.epochs=2", *options]
    assert tl_run(*command, "hydra.run.dir=whole") == 0
    from tl_run.transfer.finetune import FineTune

    terms, calls = FineTune.terms, []

    def terms_then_fail(self, *arguments):
        calls.append(1)
        if len(calls) == 5:
            raise RuntimeError("power cut")
        return terms(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(FineTune, "terms", terms_then_fail)
        assert tl_run(*command, "hydra.run.dir=broken") == 70
    assert tl_run("resume=broken") == 0
    whole, resumed = trained("whole"), trained("broken")
    assert whole.keys() == resumed.keys()
    assert any("num_batches_tracked" in name for name in whole)
    assert [name for name in whole if not torch.equal(whole[name], resumed[name])] == []


def test_the_demo_learns_and_what_it_leaves_is_loaded_by_others(tl_run, capsys, tmp_path):
    assert tl_run("task=images-demo", "freeze=trunk", "hardware=cpu", "hydra.run.dir=run") == 0
    result = json.loads(Path("run/result.json").read_text())
    assert result["metric"]["name"] == "accuracy"
    assert result["test"]["accuracy"] > 0.75
    assert [*result["tables"]["per_class"]] == ["checks", "discs", "stripes"]
    lines = [json.loads(line) for line in Path("run/predictions-test.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == sorted(str(p.relative_to(DEMO / "test")) for p in DEMO.glob("test/*/*"))
    assert 'pipeline("image-classification", model=' in Path("run/model/README.md").read_text()
    pipe = transformers.pipeline("image-classification", model="run/model")
    for line in lines[::17]:
        scores = {each["label"]: each["score"] for each in pipe(str(DEMO / "test" / line["image"]))}
        assert scores == pytest.approx(line["probabilities"], abs=1e-5)
    capsys.readouterr()
    (tmp_path / "new.csv").write_text("image\n" + "".join(f"{DEMO / 'test' / line['id']}\n" for line in lines[:3]))
    for source in (DEMO / "test", tmp_path / "new.csv"):
        assert cli.outcome(lambda source=source: predict.predict(["run", str(source), "-f", "jsonl"])) == 0
        told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [line["prediction"] for line in told] == [line["prediction"] for line in lines[: len(told)]]
    assert len(told) == 3


@pytest.mark.parametrize("family", IMAGE_FAMILIES)
def test_every_family_runs(family, tl_run: Callable[..., int], tmp_path, capsys):
    folder = IMAGE_FAMILIES[family](tmp_path / "model")
    options = ["model=custom", f"model.path={folder}", "freeze=bottom", "freeze.layers=1", "hardware.precision=bf16"]
    assert tl_run(*ONE_STEP, *options, "hydra.run.dir=run") == 0
    assert "test        accuracy" in capsys.readouterr().out


def test_other_heads_and_a_length_are_refused_and_a_folder_without_processor_is_told(tl_run, capsys, bert, tmp_path):
    assert tl_run("task=images-demo", "model.head=linear") == 2
    assert "task=images-demo has a head of its own: type model.head=stock" in capsys.readouterr().err
    assert tl_run("task=images-demo", "task.max_length=64") == 2
    assert "task.max_length" in capsys.readouterr().err
    assert tl_run("task=images-demo", "model=custom", f"model.path={bert}") == 2
    assert "lacks image processor (preprocessor_config.json)" in capsys.readouterr().err


def test_a_random_model_of_the_same_architecture(tl_run, tmp_path):
    folder = resnet(tmp_path / "model")
    options = ["model=custom", f"model.path={folder}", "model.pretrained=false"]
    assert tl_run(*ONE_STEP, *options, "hydra.run.dir=run") == 0
