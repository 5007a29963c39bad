"""Triples: reading, what is drawn, loss and ranks by hand, relation transfer, and what a run does with them."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import tl_run as package
from composing import compose
from finished_objects import assemble
from kind_runs import assert_any_cut_gives_the_same_gradient, lines, outcome
from tl_run import predict, task
from tl_run.config.check import check
from tl_run.data import triples
from tl_run.data.table import Table
from tl_run.errors import BadInput, BadOption, Interrupted
from tl_run.model.scratch.graph import Names, Origin
from tl_run.model.scratch.transe import TransEConfig, TransEModel
from tl_run.model.start import tensors
from tl_run.task import ranks

SHORT = ("hardware=cpu", "training.batch_size=64", "training.max_steps=12", "training.eval_every=4")


def kind(*overrides: str):
    return task.load(check(compose("task=triples", "model=transe", "task.train=x.csv", *overrides)).task)


def table(*rows: tuple, path="train.tsv") -> Table:
    names = ("head", "relation", "tail")
    found = [dict(zip(names, row, strict=True)) for row in rows]
    return Table(path, names, found, list(range(2, len(rows) + 2)), has_header=True)


def graph(folder: Path, *rows: str, name: str = "train.csv") -> str:
    path = folder / name
    path.write_text("\n".join(["head,relation,tail", *(row.replace(" ", ",") for row in rows)]) + "\n")
    return str(path)


# -- reading


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            [("a", "r", None), ("", "r", "b"), ("a", 3, "b"), ("a", "r", "")],
            [
                "train.tsv, line 2: 'tail' is missing, a name is needed (task.tail)",
                "train.tsv, line 3: 'head' is missing, a name is needed (task.head)",
                "... and 2 more problems like these",
            ],
        ),
        ([("a", "r", "a")], ["train.tsv: one entity alone, 'a': two are needed"]),
    ],
)
def test_problems_are_told_with_their_lines(rows, words):
    with pytest.raises(BadInput) as failure:
        kind().read({"train": table(*rows)})
    assert str(failure.value).splitlines() == words


def test_a_column_that_is_not_there_is_told():
    with pytest.raises(BadInput, match=r"task\.tail: train\.tsv has no column 'tial'.*did you mean 'tail'\?"):
        kind("task.tail=tial").read({"train": table(("a", "r", "b"))})


def test_names_are_those_of_the_whole_train_file_and_others_are_left_out_with_a_note():
    made = kind()
    train = table(("b", "r", "a"), ("c", "q", "a"))
    test = table(("a", "r", "b"), ("d", "r", "a"), ("a", "s", "d"), ("b", "r", "a"), path="test.tsv")
    found = made.read({"train": train, "test": test})
    assert (made.entities, made.relations) == (["a", "b", "c"], ["q", "r"])
    assert [each.head for each in found["test"]] == ["a", "b"]
    assert made.notes == [
        "test: 2 of 4 triples have names that train has not ('d', 's'), and are left out: a name's vector is learned "
        "from train",
    ]
    assert ("d", "r", "a") in made.true
    with pytest.raises(BadInput, match=r"test: 1 of 1 triples have names .* none is left to score"):
        kind().read({"train": train, "test": table(("z", "r", "a"))})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("task=triples-demo",), "task=triples-demo: model=tiny has no vectors of a graph: type model=transe"),
        (("model=transe",), "model=transe has vectors of a graph, no text or picture goes in: type task=triples"),
        (("task=triples-demo", "model=transe", "model.pretrained=true"), "type model.path=<source run>/model"),
        (("task=triples-demo", "model=transe", "model.dropout=0.1"), "model.dropout=0.1 does nothing"),
        (("task=triples-demo", "model=transe", "hardware=fsdp", "hardware.processes=2"), "type hardware.shard=false"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_read(options, words):
    with pytest.raises(BadOption) as failure:
        check(compose(*options))
    assert words in str(failure.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("freeze=trunk",), "freeze=trunk leaves nothing that learns: nothing in the model is new"),
        (("freeze=bottom",), "names look like entities.fresh.weight, relations.fresh.weight"),
        (("adapter=lora",), "type adapter=none"),
        (("features.mode=require",), "nothing can be stored: other triples are drawn in each epoch"),
    ],
)
def test_what_a_graph_has_not_is_refused(options, words):
    with pytest.raises(BadOption) as failure:
        assemble("task=triples-demo", "model=transe", "hardware=cpu", *options)
    assert words in str(failure.value)


# -- what is drawn


def test_what_is_drawn_differs_in_the_head_or_in_the_tail_alone():
    true = np.array([[0, 5, 1], [4, 5, 4]]).repeat(500, 0)
    tails, steps = triples.draw(1000, 3, 5, (1, 0, 0))
    found = triples.corrupted(true, tails, steps, 5)
    assert (found[:, 0] == true).all()
    drawn = found[:, 1:]
    changed = drawn != true[:, None]
    assert (changed.sum(-1) == 1).all()
    assert not changed[..., 1].any()
    assert changed[..., 0].mean() == pytest.approx(0.5, abs=0.05)
    for row, place in ((slice(0, 500), 0), (slice(500, 1000), 2)):
        own = true[row][0, place]
        counts = np.bincount(drawn[row, :, place][changed[row][..., place]], minlength=5)
        assert counts[own] == 0
        assert np.delete(counts, own) == pytest.approx(counts.sum() / 4, rel=0.2)


def test_what_is_drawn_is_a_function_of_seed_epoch_and_triple():
    parts = assemble("task=triples-demo", "model=transe", "hardware=cpu")
    made, data = parts.job.task, parts.encoded["train"]

    def drawn(*indices: int, seed: int = 0, epoch: int = 0) -> torch.Tensor:
        return made.collate_training(data, np.array(indices), {}, seed, epoch)["triples"]

    assert drawn(3, 7).shape == (2, 9, 3)
    assert torch.equal(drawn(3, 7)[1], drawn(7)[0])
    for other in (drawn(3, 7, seed=1), drawn(3, 7, epoch=1), made.collate(data, np.array([3, 7]), {})["triples"]):
        assert torch.equal(other[:, 0], drawn(3, 7)[:, 0])
        assert not torch.equal(other, drawn(3, 7))


# -- model, loss, ranks


def by_hand(norm: int) -> TransEModel:
    """Entities at (1, 0), (0, 1) and, before they are brought to length 1, (6, 8); a relation (-0.4, 0.8)."""
    model = TransEModel(TransEConfig(dimension=2, norm=norm, entities=[1, 2], relations=[0, 1])).requires_grad_(False)
    with torch.no_grad():
        model.entities.copied.weight.copy_(torch.tensor([[1.0, 0.0]]))
        model.entities.fresh.weight.copy_(torch.tensor([[0.0, 1.0], [6.0, 8.0]]))
        model.relations.fresh.weight.copy_(torch.tensor([[-0.4, 0.8]]))
    return model


@pytest.mark.parametrize("norm", [1, 2])
def test_distance_loss_and_ranks_by_hand(norm):
    """h + r = (0.6, 0.8): it lies on entity 2, and from entity 1 by (0.6, -0.2), from entity 0 by (-0.4, 0.8)."""
    length = {1: lambda x, y: abs(x) + abs(y), 2: math.hypot}[norm]
    outputs = by_hand(norm)(torch.tensor([[[0, 0, 1], [0, 0, 2], [0, 0, 0]]]))
    to_tails = [length(-0.4, 0.8), length(0.6, -0.2), 0.0]
    assert outputs.distances[0].tolist() == pytest.approx([to_tails[1], 0.0, to_tails[0]], abs=1e-6)
    assert outputs.candidates("tail")[0].tolist() == pytest.approx(to_tails, abs=1e-6)
    # t - r = (0.4, 0.2)
    to_heads = [length(0.6, -0.2), length(-0.4, 0.8), length(0.2, 0.6)]
    assert outputs.candidates("head")[0].tolist() == pytest.approx(to_heads, abs=1e-6)
    made = kind("task.margin=0.5")
    loss = made.loss(outputs, {})
    hinge = [max(0, 0.5 + to_tails[1] - drawn) for drawn in (0.0, to_tails[0])]
    assert loss.item() == pytest.approx(sum(hinge) / 2)


def test_ranks_are_filtered_and_ties_count_half():
    distances = np.array([0.5, 0.2, 0.5, 0.1, 0.5])
    assert [ranks.rank(distances, gold) for gold in range(5)] == [4, 2, 4, 1, 4]
    assert ranks.rank(ranks.without(distances, {3, 1}), 0) == 2
    assert ranks.rank(ranks.without(distances, ()), 1) == 2
    assert ranks.rank(np.zeros(9), 4) == 5
    assert ranks.nearest(ranks.without(distances, {3}), 3) == [1, 0, 2]
    assert ranks.nearest(ranks.without(distances, {3, 4}), 10) == [1, 0, 2]


def test_scores_by_hand():
    predictions = [{"rank_head": 1.0, "rank_tail": 4.0}, {"rank_head": 2.5, "rank_tail": 20.0}]
    assert kind().metrics(predictions, SimpleNamespace()) == pytest.approx(
        {
            "mrr": (1 + 1 / 4 + 1 / 2.5 + 1 / 20) / 4,
            "hits_at_1": 1 / 4,
            "hits_at_3": 2 / 4,
            "hits_at_10": 3 / 4,
            "mean_rank": 27.5 / 4,
        }
    )
    assert kind("task.metric=mean_rank").higher_is_better is False
    assert kind().metric == "mrr"


def test_what_other_splits_call_true_is_no_mistake():
    """b + r = (-0.4, 1.8): from it b, c, a; a - r = (1.4, -0.8): from it a, c, b, by 0.89, 1.79, 2.28."""
    made = kind()
    train = table(("b", "r", "a"), ("a", "r", "a"), ("c", "r", "b"))
    found = made.read({"train": train, "test": table(("b", "r", "c"), ("c", "r", "a"), path="test.tsv")})
    names = Names({"entities": Origin(["a"], ["b", "c"]), "relations": Origin([], ["r"])})
    encoded = made.encode(found["train"], names)
    assert encoded.columns["triples"].tolist() == [[1, 0, 0], [0, 0, 0], [2, 0, 1]]
    batch = made.collate(encoded, np.array([0]), {})
    (line,) = made.decode(by_hand(2)(batch["triples"]), batch, None)
    assert (line["rank_tail"], line["rank_head"], line["tails"]) == (2, 1, [1, 0])
    made.true = {("b", "r", "a")}
    made.encode(found["train"], Names({**names.origins}))
    (line,) = made.decode(by_hand(2)(batch["triples"]), batch, None)
    assert (line["rank_tail"], line["rank_head"], line["tails"]) == (3, 3, [1, 2, 0])


def test_ranks_do_not_depend_on_the_batch():
    parts = assemble("task=triples-demo", "model=transe", "hardware=cpu")
    first, second = (parts.score("test", batch_size=size) for size in (64, 3))
    assert first.predictions == second.predictions
    assert {*first.scores} == {"mrr", "hits_at_1", "hits_at_3", "hits_at_10", "mean_rank", "loss"}


def test_any_cut_gives_the_same_gradient():
    assert_any_cut_gives_the_same_gradient("task=triples-demo", "model=transe", "hardware=cpu")


# -- relation transfer


@pytest.fixture
def source(tl_run, tmp_path) -> Path:
    """A run on a graph that shares the relations likes and knows, and the entity x, with that of `target`."""
    rows = ("x likes y", "y likes z", "x knows z", "z hates x", "y knows x", "z likes w", "w knows y")
    files = (f"task.train={graph(tmp_path, *rows)}", f"task.validation={graph(tmp_path, *rows[:2], name='v.csv')}")
    options = ("model.dimension=4", "hardware=cpu", "training.max_steps=3", "hydra.run.dir=source")
    assert tl_run("task=triples", "model=transe", *files, *options) == 0
    return tmp_path / "source" / "model"


def target(folder: Path, path: Path, *more: str) -> list[str]:
    rows = ("a likes b", "b likes x", "a knows x", "b sees a", "c likes a", "x sees c")
    data = graph(folder, *rows, name="target.csv")
    held = graph(folder, "c knows b", "a likes x", name="held.csv")
    options = [f"task.train={data}", f"task.validation={held}", f"task.test={held}", f"model.path={path}"]
    return [
        "task=triples",
        "model=transe",
        "model.dimension=4",
        "hardware=cpu",
        "training.max_steps=2",
        *options,
        *more,
    ]


def vectors(model, names) -> dict[str, torch.Tensor]:
    found = [*zip(names.entities, model.entities(), strict=True), *zip(names.relations, model.relations(), strict=True)]
    return {name: vector.detach().clone() for name, vector in found}


def test_vectors_of_shared_names_are_copied_and_the_others_are_fresh(source, tmp_path):
    before = vectors(*package.load_model(source))
    parts = assemble(*target(tmp_path, source))
    after = vectors(parts.model, parts.found.tokenizer)
    assert {*after} == {"a", "b", "c", "x", "likes", "knows", "sees"}
    assert all(torch.equal(after[name], before[name]) for name in ("x", "likes", "knows"))
    fresh = torch.stack([after[name] for name in ("a", "b", "c", "sees")])
    assert torch.allclose(fresh.norm(dim=1), torch.ones(4))
    assert parts.found.start.words() == (
        "relations: 2 copied, 1 fresh, 1 left behind; entities: 1 copied, 3 fresh, 3 left behind"
    )
    assert parts.found.start.as_data() == {
        "copied": ["relations (2): knows, likes", "entities (1): x"],
        "fresh": ["relations (1): sees", "entities (3): a, b, c"],
        "left_behind": ["relations (1): hates", "entities (3): w, y, z"],
    }
    assert parts.anatomy.head == ("entities.fresh.weight", "relations.fresh.weight")
    other = assemble(*target(tmp_path, source, "seed=1"))
    again = vectors(other.model, other.found.tokenizer)
    assert torch.equal(again["likes"], after["likes"])
    assert not torch.equal(again["a"], after["a"])


def test_of_the_source_only_relations_or_entities(source, tmp_path, capsys, tl_run):
    before = vectors(*package.load_model(source))
    for pattern, copied in (
        ("relation", {"likes", "knows"}),
        ("entities", {"x"}),
        ("relations|entities", {"likes", "knows", "x"}),
    ):
        parts = assemble(*target(tmp_path, source, f"model.copy={pattern}"))
        after = vectors(parts.model, parts.found.tokenizer)
        assert {name for name in after.keys() & before.keys() if torch.equal(after[name], before[name])} == copied
    assert tl_run(*target(tmp_path, source, "model.copy=words")) == 2
    assert "model.copy: 'words' matches no tensor; they are entities and relations" in capsys.readouterr().err


def test_the_twin_from_random_vectors(source, tmp_path):
    before = vectors(*package.load_model(source))
    parts = assemble(*target(tmp_path, source, "model.pretrained=false"))
    after = vectors(parts.model, parts.found.tokenizer)
    assert not any(torch.equal(after[name], before[name]) for name in ("x", "likes", "knows"))
    assert parts.found.start.words() == "relations: 3 fresh; entities: 4 fresh"


@pytest.mark.parametrize(
    ("freeze", "moved"),
    [
        (("freeze=none",), {"entities.copied", "entities.fresh", "relations.copied", "relations.fresh"}),
        (("freeze=trunk",), {"entities.fresh", "relations.fresh"}),
        (
            ("freeze=pattern", "freeze.pattern=relations.copied"),
            {"entities.copied", "entities.fresh", "relations.fresh"},
        ),
        (("freeze=pattern", "freeze.pattern=relations"), {"entities.copied", "entities.fresh"}),
    ],
)
def test_what_is_frozen_stays(freeze, moved, source, tmp_path):
    parts = assemble(*target(tmp_path, source, "optimizer.lr=0.1", *freeze))
    before = {name: tensor.detach().clone() for name, tensor in tensors(parts.model).items()}
    for _ in parts.train():
        pass
    after = tensors(parts.model)
    assert {name for name in before if not torch.equal(before[name], after[name])} == {f"{n}.weight" for n in moved}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("model.dimension=5", "model.dimension=5, but the vectors of {path} have 4: type model.dimension=4"),
        ("model.copy=entities", "shares no name with the task: its entities are named like w, x, those of the task"),
    ],
)
def test_a_source_that_does_not_fit(spoil, words, source, tmp_path, tl_run, capsys):
    data = graph(tmp_path, "p likes q", "q likes p", name="other.csv")
    command = target(tmp_path, source, spoil, f"task.train={data}", f"task.validation={data}", f"task.test={data}")
    assert tl_run(*command) == 2
    assert words.format(path=source) in " ".join(capsys.readouterr().err.split())


def test_a_damaged_source(source, tmp_path, tl_run, capsys):
    names = json.loads((source / "names.json").read_text())
    for spoiled, words in (
        ({"entities": names["entities"]}, "names.json holds no names of entities and relations ('relations')"),
        (names | {"relations": {"fresh": ["likes"]}}, "names.json and weights have not the same number of relations"),
    ):
        (source / "names.json").write_text(json.dumps(spoiled))
        assert tl_run(*target(tmp_path, source)) == 2
        assert words in " ".join(capsys.readouterr().err.split())


def test_the_vectors_of_the_source_are_part_of_the_identity(source, tmp_path):
    from tl_run.prepare import prepare

    found = {prepare(compose(*target(tmp_path, source)), []).identity for _ in range(2)}
    assert len(found) == 1
    weights = load_file(source / "model.safetensors")
    weights["relations.fresh.weight"][1] += 1
    from safetensors.torch import save_file

    save_file(weights, source / "model.safetensors", {"format": "pt"})
    assert prepare(compose(*target(tmp_path, source)), []).identity not in found


# -- runs


def test_the_demo_finds_what_follows_and_its_model_answers(tl_run, capsys, tmp_path):
    assert tl_run("task=triples-source", "model=transe", *SHORT, "training.max_steps=160", "hydra.run.dir=run") == 0
    capsys.readouterr()
    result = json.loads(Path("run/result.json").read_text())
    chance = sum(1 / n for n in range(1, 177)) / 176
    assert result["test"]["mrr"] > 10 * chance
    assert result["metric"]["name"] == "mrr"
    first = lines(Path("run/predictions-test.jsonl"))[0]
    assert {*first} == {
        *("id", "head", "relation", "gold", "prediction", "rank_head", "rank_tail", "tails", "distances")
    }
    found = [
        1 / line[rank] for line in lines(Path("run/predictions-test.jsonl")) for rank in ("rank_head", "rank_tail")
    ]
    assert np.mean(found) == pytest.approx(result["test"]["mrr"])
    model, names = package.load_model("run/model")
    before = [(kind, [*getattr(names, kind)]) for kind in ("entities", "relations")]
    assert [len(own) for _, own in before] == [176, 9]
    assert model.config.model_type == "tl_run_transe"

    new = tmp_path / "new.csv"
    new.write_text(f'head,relation\n"{first["head"]}",{first["relation"]}\n')
    predict.predict(["run", str(new), "--format", "jsonl"])
    (line,) = [json.loads(each) for each in capsys.readouterr().out.splitlines()]
    assert {*line} == {"id", "prediction", "tails", "distances"}
    assert len(line["tails"]) == 10
    assert line["distances"] == sorted(line["distances"])
    new.write_text("head,relation\nNobody,in_country\n")
    with pytest.raises(BadInput, match=r"new\.csv, line 2: the model knows no head 'Nobody'"):
        predict.predict(["run", str(new)])


def test_a_run_that_is_stopped_and_resumed_ends_with_the_same_bits(tl_run, monkeypatch):
    from tl_run.run import Session

    command = ["task=triples-demo", "model=transe", *SHORT]
    assert tl_run(*command, "hydra.run.dir=whole") == 0
    evaluate, calls = Session._score, []

    def stopped(self, split):
        calls.append(split)
        if len(calls) == 2:
            raise Interrupted("SIGINT at step 8")
        return evaluate(self, split)

    monkeypatch.setattr(Session, "_score", stopped)
    assert tl_run(*command, "hydra.run.dir=halted") == 75
    monkeypatch.setattr(Session, "_score", evaluate)
    assert tl_run("resume=halted") == 0
    for whole, halted in zip(outcome(Path("whole")), outcome(Path("halted")), strict=True):
        assert str(whole) == str(halted)
    assert tl_run(*command, "seed=1", "hydra.run.dir=other") == 0
    assert str(outcome(Path("other"))[1]) != str(outcome(Path("whole"))[1])


def test_a_limit_leaves_candidates_and_the_test_as_they_are(tl_run):
    options = ("task=triples-demo", "model=transe", "task.limit=40", *SHORT)
    assert tl_run(*options, "hydra.run.dir=few") == 0
    result = json.loads(Path("few/result.json").read_text())
    assert result["splits"] == {"train": 40, "validation": 64, "test": 130}
    assert len(json.loads(Path("few/model/names.json").read_text())["entities"]["fresh"]) == 105
