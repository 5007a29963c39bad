"""Pairs and triplets: losses against formulas, scores against counting, runs to a folder that others load."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

import tl_run as package
from composing import compose
from finished_objects import assemble
from tl_run import cli, embedded, predict, task
from tl_run.config.check import check
from tl_run.data.encoded import Encoded
from tl_run.data.table import Table
from tl_run.data.tuples import Tuples
from tl_run.errors import BadInput, BadOption
from tl_run.task import pair_losses
from tl_run.task.pair_scores import best_threshold, clusters, partner_ranks
from tl_run.task.pairs import Example

PAIRS, TRIPLETS = ["task.label=null"], ["task.label=null", "task.negative=negative"]
TEXTS = ["task.label=null", "task.text_pair=null", "task.clusters=label"]
FORMS = {
    "scores": [],
    "binary": [],
    "pairs": PAIRS,
    "triplets": TRIPLETS,
    "texts": TEXTS,
    "classes": ["task.loss=classifier"],
}
LABELS = {
    "scores": lambda i: f"{(i * 7) % 5}.5",
    "binary": lambda i: str(i % 2),
    "classes": lambda i: ("entails", "neutral", "denies")[i % 3],
    "texts": lambda i: ("films", "plots", "poems")[i % 3],
}


def kind(*overrides: str):
    return task.load(check(compose("task=similarity", "task.train=x.csv", *overrides)).task)


def table(*labels, path="train.csv", **more) -> Table:
    rows = [{"text": f"one {i}", "text_pair": f"two {i}", "label": label} for i, label in enumerate(labels)]
    return Table(path, ("text", "text_pair", "label"), rows, list(range(2, len(rows) + 2)), **more)


def data(folder: Path, form: str) -> list[str]:
    """Overrides for three files of pairs in which a text stands more than once. 18, 12 and 9 rows."""
    words = ["film", "plot", "story", "ending", "dull", "great", "very", "poor", "loved"]
    overrides = ["task=similarity", "task.max_length=16", "hardware=cpu", "optimizer.lr=1e-2", *FORMS[form]]
    for split, rows in (("train", 18), ("validation", 12), ("test", 9)):
        with (folder / f"{split}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "text_pair", "negative", "label"])
            for i in range(rows):
                one, two, three = (words[(i * k + len(split)) % 9] for k in (1, 2, 4))
                label = LABELS.get(form, str)(i)
                writer.writerow([f"the {one} was {two}", f"a {one} " * (1 + i % 3), f"{three} not {two} {i}", label])
        overrides.append(f"task.{split}={folder / split}.csv")
    return overrides


# -- losses


@pytest.fixture
def vectors() -> torch.Tensor:
    """(sides, examples, hidden)"""
    return torch.randn(3, 6, 5, generator=torch.Generator().manual_seed(0))


def cos(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.sqrt((one @ one) * (other @ other)))


def test_losses_are_their_formulas_summed(vectors):
    options = kind("task.margin=0.4", "task.scale=3").options
    scores = torch.tensor([0, 0.25, 0.5, 1, 0.75, 0])
    a, p, n = vectors.double().numpy()
    distance = [1 - cos(x, y) for x, y in zip(a, p, strict=True)]
    gaps = [cos(x, z) - cos(x, y) for x, y, z in zip(a, p, n, strict=True)]
    lengths = np.linalg.norm(a - p, axis=1) - np.linalg.norm(a - n, axis=1)
    ones = [0, 1, 1, 0, 0, 1]
    rows = [[3 * cos(x, y) for y in [*p, *n]] for x in a]
    expected = {
        "cosine": sum((1 - d - s) ** 2 for d, s in zip(distance, scores.tolist(), strict=True)),
        "contrastive": sum(d**2 / 2 if y else max(0, 0.4 - d) ** 2 / 2 for d, y in zip(distance, ones, strict=True)),
        "in_batch": sum(np.log(np.exp(row).sum()) - row[i] for i, row in enumerate(rows)),
        "triplet_hinge": np.maximum(0, lengths + 0.4).sum(),
        "triplet_softmax": sum(np.log(1 + np.exp(3 * gap)) for gap in gaps),
        "triplet_ranking": sum(max(0, gap + 0.4) for gap in gaps),
    }
    labels = {"cosine": scores, "contrastive": torch.tensor(ones), "in_batch": torch.arange(18).view(3, 6).T}
    assert expected.keys() == pair_losses.LOSSES.keys()
    for name, value in expected.items():
        assert pair_losses.LOSSES[name](vectors, labels.get(name), options).item() == pytest.approx(value, rel=1e-4)


def test_the_same_text_is_no_negative_of_itself(vectors):
    options = kind(*PAIRS, "task.scale=2").options
    numbers = torch.arange(12).view(2, 6).T.contiguous()
    plain = pair_losses.in_batch(vectors[:2], numbers, options)
    doubled = torch.cat([vectors[:2], vectors[:2, :1]], 1)  # the first pair stands in the batch twice
    twice = pair_losses.in_batch(doubled, torch.cat([numbers, numbers[:1]]), options)
    cosines = np.array([[2 * cos(x, y) for y in vectors[1].numpy()] for x in vectors[0].numpy()])
    own = np.log(np.exp(cosines[0]).sum()) - cosines[0, 0]
    more = [np.log(np.exp(row).sum() + np.exp(row[0])) - np.log(np.exp(row).sum()) for row in cosines[1:]]
    assert twice.item() == pytest.approx(plain.item() + own + sum(more), rel=1e-4)


def test_equal_texts_give_a_gradient():
    vectors = torch.ones(3, 2, 4, requires_grad=True)
    for name, loss in pair_losses.LOSSES.items():
        labels = torch.arange(6).view(2, 3) if name == "in_batch" else torch.zeros(2)
        (gradient,) = torch.autograd.grad(loss(vectors * 1, labels, kind().options), vectors)
        assert gradient.isfinite().all(), name


@pytest.mark.parametrize("form", ["scores", "binary", "triplets", "classes"])
def test_every_cut_of_a_batch_gives_the_same_gradient(form, bert, tmp_path):
    given = [*data(tmp_path, form), "model=custom", f"model.path={bert}", "training.batch_size=12", "freeze=none"]
    parts = assemble(*given)
    assert parts.method.divisible
    parts.model.eval()  # no dropout
    gradients = []
    for size in (12, 5, 1):
        parts.model.zero_grad()
        batch = {"train": np.arange(12)}
        parts.method.gradient(
            parts.model, batch, step=0, progress=0, micro_batch_size=size, backward=lambda loss: loss.backward()
        )
        gradients.append(parts.gradients())
    for name, whole in gradients[0].items():
        for other in gradients[1:]:
            torch.testing.assert_close(other[name], whole, rtol=1e-3, atol=1e-5)


def test_a_batch_of_pairs_alone_is_not_cut(bert, tmp_path):
    parts = assemble(*data(tmp_path, "pairs"), "model=custom", f"model.path={bert}")
    assert not parts.method.divisible


# -- scores


def test_the_best_threshold_by_counting():
    generator = np.random.default_rng(0)
    for _ in range(50):
        cosines, gold = generator.integers(-4, 5, 9) / 4, generator.integers(0, 2, 9)
        found = best_threshold(cosines, gold)
        tried = [((cosines >= t) == gold).mean() for t in np.linspace(-1.2, 1.2, 97)]
        assert ((cosines >= found) == gold).mean() == max(tried)


def test_ranks_by_counting():
    generator = np.random.default_rng(1)
    texts = generator.normal(size=(20, 4))
    members = np.array([[i, (i * 3) % 20] for i in range(1, 20)] + [[3, 11], [3, 2]])
    expected = []
    for first, partner in members:
        own = {int(other) for one, other in members if one == first}
        others = {int(other) for other in members[:, 1]} - own - {int(first)}
        reached = cos(texts[first], texts[partner])
        expected.append(1 + sum(cos(texts[first], texts[other]) > reached for other in others))
    assert partner_ranks(texts[members], members).tolist() == expected


def test_equal_vectors_find_nothing():
    members = np.arange(24).reshape(12, 2)
    assert partner_ranks(np.ones((12, 2, 3)), members).tolist() == [12] * 12


def test_clusters_are_found_whatever_they_are_called():
    generator = np.random.default_rng(2)
    centres, gold = np.eye(4, 8), generator.integers(0, 4, 60)
    vectors = centres[gold] + 0.05 * generator.normal(size=(60, 8))
    found = clusters(vectors, 4)
    assert (clusters(vectors, 4) == found).all()
    made = kind(*TEXTS)
    made.form = "texts"
    examples = [Example(str(i), ("a", "a"), 1.0, ["news", "sport", "law", "art"][g]) for i, g in enumerate(gold)]
    encoded = Tuples(Encoded(*[np.zeros(0)] * 4), np.zeros((60, 2), int), [], np.zeros((60, 2), int), examples)
    sides = [*np.stack([vectors, vectors], 1).astype(np.float32)]
    assert made.metrics(made.gather(sides, encoded), encoded) == {"nmi": pytest.approx(1)}
    mixed = made.metrics(made.gather([sides[i] for i in generator.permutation(60)], encoded), encoded)
    counts = np.array([[((found == c) & (gold == g)).sum() for g in range(4)] for c in range(4)])
    assert (counts > 0).sum() == 4  # each cluster is one label
    assert mixed["nmi"] < 0.3


# -- reading


@pytest.mark.parametrize(
    ("labels", "options", "form", "loss", "metric"),
    [
        (("0", "5", "2.5"), (), "scores", "cosine", "spearman"),
        (("0", "1", "1"), (), "binary", "contrastive", "accuracy"),
        ((0, 1, 1), ("task.loss=cosine", "task.metric=f1"), "binary", "cosine", "f1"),
        (("b", "a", "b"), ("task.loss=classifier",), "classes", "classifier", "accuracy"),
        (("x", None, ""), PAIRS, "pairs", "in_batch", "recall_at_1"),
    ],
)
def test_what_the_labels_say(labels, options, form, loss, metric):
    made = kind(*options)
    examples = made.read({"train": table(*labels), "test": table(None, None, path="test.csv")})
    assert (made.form, made.loss_name, made.metric) == (form, loss, metric)
    assert [made.stratum(e) for e in examples["test"]] == ([0, 0] if form == "pairs" else [None, None])
    if form == "scores":
        assert "0 to 5 (of train) is 0 to 1" in made.notes[0]
        assert made._label_array(examples["train"], np.zeros((3, 2))).tolist() == [0, 1, 0.5]


def test_class_numbers_of_the_hub():
    names = {"label": ["different", "same"]}
    made = kind()
    examples = made.read({"train": table(0, 1, None, class_names=names)})
    assert [made.inputs(e)["gold"] for e in examples["train"][:2]] == [0, 1]
    assert made.stratum(examples["train"][2]) is None
    made = kind("task.loss=classifier")
    made.read({"train": table(0, 1, class_names=names)})
    assert made.labels == ["different", "same"]


@pytest.mark.parametrize(
    ("tables", "options", "words"),
    [
        (
            {"train": table("0", "yes", "", None, "x", "2")},
            (),
            [
                "train.csv, line 3: 'label' is 'yes', a score, 0 or 1 (for classes: task.loss=classifier) is needed",
                "train.csv, line 4: 'label' is missing",
                "... and 2 more",
            ],
        ),
        ({"train": table("1", "1")}, (), ["train.csv: 'label' holds 1 value, two or more are needed (task.label)"]),
        (
            {"train": table("1", "0"), "validation": table("0", "0.5", path="dev.csv")},
            (),
            ["dev.csv, line 3: 'label' is 0.5, which does not occur in train"],
        ),
        (
            {"train": table("1", "3", "0")},
            ("task.loss=contrastive",),
            ["train.csv, line 3: 'label' is neither 0 nor 1: type task.loss=cosine for scores"],
        ),
        ({"train": table("1", "3")}, ("task.metric=f1",), ["task.metric=f1: scores have spearman, pearson: type one"]),
        (
            {"train": table("a", "b"), "validation": table("a", "", "a", path="dev.csv")},
            TEXTS,
            ["dev.csv, line 3: 'label' is missing, a label is needed (task.clusters)"],
        ),
        ({"train": table("a", "a")}, TEXTS, ["train.csv: every 'label' is a: two labels or more make clusters"]),
        ({"train": table("1", "3")}, ("task.label=score",), ["task.label: train.csv has no column 'score'"]),
        (
            {"train": table("1", "0")},
            TRIPLETS,
            ["task.negative: train.csv has no column 'negative'; its columns are 'text', 'text_pair', 'label'"],
        ),
    ],
)
def test_problems_are_told_with_their_lines(tables, options, words):
    with pytest.raises(BadInput) as failure:
        kind(*options).read(tables)
    lines = str(failure.value).splitlines()
    assert len(lines) == len(words)
    for line, start in zip(lines, words, strict=True):
        assert line.startswith(start)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["task.negative=n"], "task.negative and task.label exclude each other"),
        (["task.loss=triplet_hinge"], "needs triplets: type task.negative=<column> and task.label=null"),
        (["task.loss=cosine", "task.label=null"], "task.loss=cosine needs labels: type task.label=<column>"),
        (["task.loss=in_batch"], "reads pairs that belong together"),
        ([*PAIRS, "training.micro_batch_size=4"], "cannot be cut: type training.micro_batch_size=auto"),
        (["task.loss=in_batch", *TRIPLETS, "training.micro_batch_size=4"], "cannot be cut"),
        (["model.pooling=attention"], "type mean, cls or max"),
        (["model.dropout=0.1"], "does nothing with task=similarity"),
        (["model.head=linear"], "task=similarity has a head of its own"),
        (["task.text_pair=text"], "must be different columns"),
        (["task.text_pair=null"], "texts alone have the loss in_batch, and no label: type task.label=null, or"),
        ([*TEXTS, "task.negative=n"], "texts alone have the loss in_batch"),
        ([*TEXTS, "task.loss=triplet_hinge"], "texts alone have the loss in_batch"),
        ([*PAIRS, "task.text_pair=null"], "judged by their clusters: type task.clusters=<column of labels>"),
        (["task.clusters=topic"], "task.clusters and task.label exclude each other"),
        ([*PAIRS, "task.metric=nmi"], "task.metric=nmi compares clusters with labels: type task.clusters=<column>"),
    ],
)
def test_options_that_contradict_each_other(options, words):
    with pytest.raises(BadOption) as failure:
        kind(*options)
    assert words in str(failure.value)


@pytest.mark.parametrize(
    ("options", "divisible"),
    [
        ([*PAIRS, "training.micro_batch_size=16"], False),
        ([*TRIPLETS, "training.micro_batch_size=4"], True),
        (["model.pooling=cls", "training.micro_batch_size=4"], True),
    ],
)
def test_options_that_do_not(options, divisible):
    assert kind(*options).options.divisible is divisible


# -- whole runs


def scored(folder: str) -> tuple[dict, list[dict]]:
    lines = (Path(folder) / "predictions-test.jsonl").read_text().splitlines()
    return json.loads((Path(folder) / "result.json").read_text()), [json.loads(line) for line in lines]


SAID = {
    "scores": {"gold", "cosine"},
    "binary": {"gold", "prediction", "cosine"},
    "pairs": {"cosine", "rank"},
    "triplets": {"negative", "cosine", "cosine_negative", "rank"},
    "texts": {"gold", "cluster"},
    "classes": {"gold", "prediction", "probability", "probabilities"},
}


@pytest.mark.parametrize(
    ("form", "more"),
    [
        ("scores", ["freeze=bottom", "freeze.layers=1", "task.normalize=true"]),
        ("binary", ["model.pooling=max"]),
        ("pairs", ["freeze=all_but_bias"]),
        ("triplets", ["freeze=bottom", "freeze.layers=1", "model.pooling=cls"]),
        ("texts", ["freeze=bottom", "freeze.layers=1"]),
        ("classes", ["freeze=trunk"]),
    ],
)
def test_a_run_and_what_it_leaves(form, more, tl_run, bert, tmp_path, capsys):
    given = [*data(tmp_path, form), "model=custom", f"model.path={bert}", "training.epochs=2", *more]
    for folder, mode in (("cold", "auto"), ("warm", "auto"), ("off", "off")):
        assert tl_run(*given, f"features.mode={mode}", f"hydra.run.dir={folder}") == 0
    result, lines = scored("cold")
    assert (result["stored_mb"] > 0) == ("freeze" in more[0] and "bias" not in more[0])
    for other in ("warm", "off"):  # the same bits with the store and without
        assert scored(other)[1] == lines
        assert {**scored(other)[0]["test"]} == result["test"]
    pair = {"text_pair"} if form != "texts" else set()
    assert all(line.keys() == {"id", "text", *pair, *SAID[form]} for line in lines)

    capsys.readouterr()
    arguments = ["cold", "test.csv", "--format", "jsonl", "--batch-size", "2"]
    assert cli.outcome(lambda: predict.predict(arguments)) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["id"] for line in told] == [line["id"] for line in lines]
    for line, again in zip(lines, told, strict=True):
        assert again.get("prediction") == line.get("prediction")
        if "cosine" in line:
            assert again["cosine"] == pytest.approx(line["cosine"], abs=1e-5)
    assert cli.outcome(lambda: predict.predict(["cold", "test.csv"])) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(lines) + 1


def test_texts_alone_are_read_twice_with_different_dropout(bert, tmp_path):
    parts = assemble(*data(tmp_path, "texts"), "model=custom", f"model.path={bert}")
    batch = parts.job.task.collate_training(parts.encoded["train"], np.arange(6), parts.found.pad, 0, 0)
    one, other = parts.model.train()(**{k: v for k, v in batch.items() if k != "labels"}).vectors.unflatten(0, (2, 6))
    assert not torch.isclose(one, other).all(1).any()
    one, other = parts.model.eval()(**{k: v for k, v in batch.items() if k != "labels"}).vectors.unflatten(0, (2, 6))
    assert torch.equal(one, other)


@pytest.mark.parametrize("form", ["texts", "pairs", "classes"])
def test_vectors_of_texts_alone_by_a_model_that_was_not_trained(form, tl_run, bert, tmp_path, capsys):
    given = [*data(tmp_path, form), "model=custom", f"model.path={bert}", "training.epochs=0", "hydra.run.dir=run"]
    assert tl_run(*given) == 0
    result, _ = scored("run")
    assert (result["steps"], result["best_step"], result["audit"]["learning_moved"]) == (0, 0, 0)
    texts = ["the film was good", "a very dull plot and a poor ending " * 5, "i"]
    Path("new.csv").write_text("text\n" + "\n".join(texts))
    capsys.readouterr()
    assert cli.outcome(lambda: predict.predict(["run", "new.csv", "--format", "jsonl"])) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    model = transformers.AutoModel.from_pretrained(bert)
    tokenizer = transformers.AutoTokenizer.from_pretrained(bert)
    inputs = tokenizer(texts, padding=True, truncation=True, max_length=16, return_tensors="pt")
    mask = inputs["attention_mask"][..., None]
    with torch.inference_mode():
        expected = (model(**inputs).last_hidden_state * mask).sum(1) / mask.sum(1)
    assert [{*line} for line in told] == [{"id", "vector"}] * 3
    torch.testing.assert_close(torch.tensor([line["vector"] for line in told]), expected)
    assert cli.outcome(lambda: predict.predict(["run", "new.csv"])) == 0
    assert json.loads(next(csv.DictReader(capsys.readouterr().out.splitlines()))["vector"]) == told[0]["vector"]


def test_clusters_of_the_first_texts_of_pairs(tl_run, bert, tmp_path):
    given = [*data(tmp_path, "pairs"), "model=custom", f"model.path={bert}", "training.max_steps=2"]
    assert tl_run(*given, "task.clusters=negative", "task.metric=nmi", "hydra.run.dir=run") == 0
    result, lines = scored("run")
    assert {"nmi", "recall_at_1", "loss"} <= {*result["test"]}
    assert {*lines[0]} == {"id", "text", "text_pair", "gold", "cosine", "rank", "cluster"}


def test_the_threshold_is_chosen_on_validation_and_only_used_on_test(tl_run, bert, tmp_path):
    given = [*data(tmp_path, "binary"), "model=custom", f"model.path={bert}", "training.epochs=3", "hydra.run.dir=run"]
    assert tl_run(*given) == 0
    result, lines = scored("run")
    threshold = result["validation"]["threshold"]
    assert result["test"]["threshold"] == threshold
    assert json.loads(Path("run/model/config.json").read_text())["similarity"]["threshold"] == threshold
    right = [(line["cosine"] >= threshold) == line["gold"] for line in lines]
    assert [line["prediction"] for line in lines] == [int(line["cosine"] >= threshold) for line in lines]
    assert result["test"]["accuracy"] == pytest.approx(np.mean(right))


def test_without_a_test_split_and_with_held_out_validation(tl_run, bert, tmp_path):
    train = [o for o in data(tmp_path, "binary") if not o.startswith(("task.test", "task.validation"))]
    assert tl_run(*train, "model=custom", f"model.path={bert}", "training.max_steps=2", "hydra.run.dir=run") == 0
    result = json.loads(Path("run/result.json").read_text())
    assert result["test"] is None
    assert result["metric"]["split"] == "validation"
    assert 0 <= result["metric"]["value"] <= 1


def test_mixed_precision_and_random_weights(tl_run, bert, tmp_path):
    given = [*data(tmp_path, "pairs"), "model=custom", f"model.path={bert}", "training.max_steps=2"]
    assert tl_run(*given, "hardware.precision=bf16", "model.pretrained=false", "hydra.run.dir=run") == 0
    assert set(scored("run")[0]["test"]) == {"recall_at_1", "recall_at_5", "recall_at_10", "loss"}


def test_the_demonstration(tl_run):
    seen: dict[str, str] = {}
    for split in ("train", "validation", "test"):
        with embedded.locate(f"embedded:remarks/{split}.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert sum(row["label"] == "1" for row in rows) * 2 == len(rows)
        assert all(seen.setdefault(row[side], split) == split for row in rows for side in ("text", "text_pair"))
    assert tl_run("task=similarity-demo", "training.max_steps=2", "hydra.run.dir=run") == 0
    assert scored("run")[0]["metric"]["name"] == "accuracy"


# -- the saved folder


@pytest.mark.parametrize(("pooling", "normalize"), [("mean", "true"), ("cls", "false"), ("max", "false")])
def test_the_model_folder(pooling, normalize, tl_run, bert, tmp_path):
    given = [*data(tmp_path, "scores"), "model=custom", f"model.path={bert}", "training.max_steps=2"]
    given += [f"model.pooling={pooling}", f"task.normalize={normalize}", "hydra.run.dir=run"]
    assert tl_run(*given) == 0
    model, tokenizer = package.load_model("run/model")
    texts = ["the film was good", "a very dull plot and a poor ending " * 5, "i"]
    inputs = tokenizer(texts, padding=True, truncation=True, max_length=16, return_tensors="pt")
    with torch.inference_mode():
        vectors = model(**inputs).vectors
        trunk = transformers.AutoModel.from_pretrained("run/model", add_pooling_layer=False).eval()
        states = trunk(**inputs).last_hidden_state
    mask = inputs["attention_mask"][..., None].bool()
    expected = {
        "mean": (states * mask).sum(1) / mask.sum(1),
        "cls": states[:, 0],
        "max": states.masked_fill(~mask, -1e9).amax(1),
    }[pooling]
    if normalize == "true":
        expected = expected / expected.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(vectors, expected)
    modules = json.loads(Path("run/model/modules.json").read_text())
    assert [m["path"] for m in modules] == ["", "1_Pooling", "2_Normalize"][: 2 + (normalize == "true")]
    assert json.loads(Path("run/model/sentence_bert_config.json").read_text())["max_seq_length"] == 16

    second = [*data(tmp_path, "scores"), "model=custom", "model.path=run/model", "training.max_steps=1"]
    assert assemble(*second).model.pooling == pooling  # what a folder of sentence-transformers asks for

    sentence_transformers = pytest.importorskip("sentence_transformers")
    encoder = sentence_transformers.SentenceTransformer("run/model", device="cpu")
    np.testing.assert_allclose(encoder.encode(texts), vectors.numpy(), atol=1e-5)


def test_a_pooling_that_is_not_known_here_is_not_replaced_in_silence(bert, tmp_path):
    folder = tmp_path / "other"
    (folder / "1_Pooling").mkdir(parents=True)
    for file in bert.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_weightedmean_tokens": true}')
    given = [*data(tmp_path, "scores"), "model=custom", f"model.path={folder}"]
    with pytest.raises(BadOption, match=r"asks for the pooling weightedmean_tokens: type model\.pooling="):
        assemble(*given)
    assert assemble(*given, "model.pooling=mean").model.pooling == "mean"
