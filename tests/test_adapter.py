"""LoRA: the same roles in every family, only what was put in learns, and what is saved gives the same logits."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file

from conftest import bert_folder
from finished_objects import Parts, assemble, compose, toy
from tiny_models import FAMILIES, SIZES
from tl_run import adapter, freeze
from tl_run.config import check
from tl_run.errors import BadOption
from tl_run.model.anatomy import anatomy
from tl_run.plan import hyperparameters

# PeftModel of peft 0.21 asks transformers 5.23 by a name that the latter is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

ROLES = ("query", "key", "value", "output", "feed_forward")
BERT = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense output.dense",
)
LLAMA = (*(f"self_attn.{letter}_proj" for letter in "qkvo"), "mlp.gate_proj mlp.up_proj mlp.down_proj")

# Family: the modules of a layer for each of ROLES.
EXPECTED = {
    "bert": BERT,
    "roberta": BERT,
    "electra": BERT,
    "xlm-roberta": BERT,
    "distilbert": (*(f"attention.{letter}_lin" for letter in ("q", "k", "v", "out")), "ffn.lin1 ffn.lin2"),
    "deberta-v2": (*(f"attention.self.{role}_proj" for role in ROLES[:3]), *BERT[3:]),
    "modernbert": (*["attn.Wqkv"] * 3, "attn.Wo", "mlp.Wi mlp.Wo"),
    "gpt2": (*["attn.c_attn"] * 3, "attn.c_proj", "mlp.c_fc mlp.c_proj"),
    "llama": LLAMA,
    "t5": (
        *(f"layer.0.SelfAttention.{letter}" for letter in "qkvo"),
        "layer.1.DenseReluDense.wi layer.1.DenseReluDense.wo",
    ),
}
HEADS = {"distilbert": ["pre_classifier", "classifier"], "gpt2": ["score"], "llama": ["score"]}
HEADS |= {"t5": ["classification_head"], "modernbert": ["head", "classifier"], "deberta-v2": ["pooler", "classifier"]}


def bare(kind: Any, **settings: Any) -> Callable[[Path], Path]:
    """A family without a tokenizer."""

    def save(folder: Path) -> Path:
        torch.manual_seed(0)
        transformers.AutoModel.from_config(kind(vocab_size=60, pad_token_id=0, **settings)).save_pretrained(folder)
        return folder

    return save


IDS = {"bos_token_id": 1, "eos_token_id": 1}
OTHERS = {
    "deberta-v2": bare(transformers.DebertaV2Config, **SIZES),
    "modernbert": bare(transformers.ModernBertConfig, cls_token_id=1, sep_token_id=1, **IDS, **SIZES),
    "t5": bare(
        transformers.T5Config,
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=3,
        num_heads=2,
        eos_token_id=1,
        decoder_start_token_id=0,
    ),
}


def options(**changes: Any) -> SimpleNamespace:
    values = {"name": "lora", "rank": 4, "alpha": 8.0, "dropout": 0.0, "targets": ["query", "value"]}
    return SimpleNamespace(**(values | changes))


def fresh(folder: Path) -> Any:
    """The base with a head for three labels, random but the same at each call."""
    torch.manual_seed(1)
    auto = transformers.AutoModelForSequenceClassification
    return auto.from_pretrained(folder, num_labels=3, pad_token_id=0).eval()


def adapted(model: Any, **changes: Any) -> adapter.Adapted:
    parts = anatomy(model)  # without new names: a pooler, as new as it may be, is trunk
    found = adapter.put_in(model, parts, {*parts.trunk, *parts.head}, options(**changes), seed=0)
    assert found is not None
    return found


def shaken(model: Any, found: adapter.Adapted) -> torch.Tensor:
    """Logits after LoRA and the head have moved, as in training."""
    torch.manual_seed(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name not in found.base:
                parameter += torch.randn_like(parameter) * 0.3
    return logits(model)


def logits(model: Any) -> torch.Tensor:
    ids = torch.tensor([[5, 9, 7, 12, 30, 1], [6, 22, 17, 40, 8, 1]])
    with torch.no_grad():
        return model.eval()(input_ids=ids).logits


@pytest.fixture(scope="module", params=EXPECTED)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    name = request.param
    return name, (FAMILIES | OTHERS)[name](tmp_path_factory.mktemp("models") / name)


def test_roles_lead_to_these_modules(family: tuple[str, Path]) -> None:
    name, folder = family
    assert tuple(adapter.ROLES) == ROLES
    for role, expected in zip(ROLES, EXPECTED[name], strict=True):
        found = adapted(fresh(folder), targets=[role]).modules
        depth = 6 if name == "t5" else 3  # an encoder's layers, and then a decoder's
        assert set(found.values()) == {*range(depth)}
        for number in range(3):
            inside = {module.partition(f".{number}.")[2] for module, layer in found.items() if layer == number}
            assert inside == {*expected.split()}


def test_merged_is_unmerged(family: tuple[str, Path]) -> None:
    _, folder = family
    model = fresh(folder)
    plain, before, kind = logits(model), [*model.state_dict()], type(model)
    found = adapted(model, targets=[*ROLES])
    assert torch.equal(logits(model), plain)  # B is zero at first
    expected = shaken(model, found)
    assert (expected - plain).abs().max() > 0.01
    found.merge(model)
    assert torch.allclose(logits(model), expected, atol=1e-5)
    assert ([*model.state_dict()], type(model)) == (before, kind)
    assert not hasattr(model, "peft_config")
    assert not any(isinstance(module, peft.tuners.lora.LoraLayer) for module in model.modules())


def test_peft_loads_the_adapter_folder(family: tuple[str, Path], tmp_path: Path) -> None:
    name, folder = family
    model = fresh(folder)
    found = adapted(model, targets=[*ROLES])
    expected = shaken(model, found)
    write(found.files(model, str(folder), None), tmp_path)
    loaded = peft.PeftModel.from_pretrained(fresh(folder), str(tmp_path))
    assert torch.allclose(logits(loaded), expected, atol=1e-6)
    stored = load_file(tmp_path / "adapter_model.safetensors")
    assert not any("base_layer" in key for key in stored)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["modules_to_save"] == HEADS.get(name, ["classifier"])


def write(files: dict[str, Any], folder: Path) -> None:
    for name, content in files.items():
        content(folder / name) if callable(content) else (folder / name).write_bytes(content)


def test_gpt2_says_that_one_weight_holds_all_three(tmp_path: Path) -> None:
    found = adapted(fresh(FAMILIES["gpt2"](tmp_path)), targets=["value"])
    assert found.notes == ["c_attn holds query, key and value in one: LoRA adapts all three"]
    assert found.config.fan_in_fan_out


def test_the_seed_draws_what_is_put_in(bert: Path) -> None:
    def drawn(seed: int) -> torch.Tensor:
        model, parts = fresh(bert), anatomy(fresh(bert))
        adapter.put_in(model, parts, parts.trunk, options(), seed)
        return model.bert.encoder.layer[1].attention.self.value.lora_A["default"].weight

    assert torch.equal(drawn(3), drawn(3))
    assert not torch.equal(drawn(3), drawn(4))


def test_what_the_checkpoint_did_not_bring_is_not_adapted(bert: Path) -> None:
    """It is head, so it learns as it is, and is saved with the head."""
    model = fresh(bert)
    new = {f"bert.encoder.layer.1.attention.self.value.{kind}" for kind in ("weight", "bias")}
    parts = anatomy(model, new)
    found = adapter.put_in(model, parts, {*parts.trunk, *parts.head}, options(), seed=0)
    assert found is not None
    assert not new & found.base
    assert [name.rpartition(".")[2] for name, layer in found.modules.items() if layer == 1] == ["query"]
    stored = json.loads(found.files(model, "x", None)["adapter_config.json"])  # type: ignore[arg-type]
    assert stored["modules_to_save"] == ["bert.encoder.layer.1.attention.self.value", "classifier"]


def test_a_role_that_is_not_there(bert: Path) -> None:
    model = fresh(bert)
    for layer in model.bert.encoder.layer:
        layer.attention.self.zaubern = layer.attention.self.query
        del layer.attention.self.query
    with pytest.raises(BadOption) as failure:
        adapted(model)
    assert "adapter.targets: no query is known in a BertForSequenceClassification" in str(failure.value)
    assert "its layers have attention.self.key, attention.self.value, attention.self.zaubern" in str(failure.value)
    assert "type 'adapter.targets=[key,value,output,feed_forward]'" in str(failure.value)


def test_a_model_without_layers() -> None:
    model = torch.nn.Sequential(torch.nn.Embedding(3, 2), torch.nn.Linear(2, 2))
    with pytest.raises(BadOption, match="its layers have no linear modules: type adapter=none"):
        adapted(model)


# -- in a run


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bert_folder(tmp_path_factory.mktemp("models") / "deep", num_hidden_layers=4)


@pytest.fixture
def arguments(deep: Path, tmp_path: Path) -> list[str]:
    more = ["training.max_steps=4", "training.batch_size=8", "optimizer.lr=0.01", "optimizer.weight_decay=0.1"]
    return [*toy(tmp_path), "model=custom", f"model.path={deep}", "adapter=lora", "adapter.rank=2", *more]


def put(parts: Parts) -> set[str]:
    return {name for name, _ in parts.model.named_parameters() if ".lora_" in name}


def test_only_what_was_put_in_and_the_head_learn(arguments: list[str]) -> None:
    parts = assemble(*arguments, "adapter.dropout=0.1")
    before = {name: p.detach().clone() for name, p in parts.model.named_parameters()}
    expected = put(parts) | {"classifier.weight", "classifier.bias"}
    assert len(put(parts)) == 4 * 2 * 2
    assert parts.freeze.ever == expected
    gradients: set[str] = set()
    parts.optimizer.register_step_pre_hook(
        lambda *_: gradients.update(name for name, p in parts.model.named_parameters() if p.grad is not None)
    )
    assert len(list(parts.train())) > 4
    assert gradients == expected
    assert {name for name, p in parts.model.named_parameters() if not torch.equal(p, before[name])} == expected
    assert set(freeze.moves(parts.model, parts.freeze.ever)) == expected  # what a checkpoint holds


def test_below_the_frozen_layers_nothing_is_put_in(arguments: list[str], deep: Path) -> None:
    parts = assemble(*arguments, "freeze=bottom", "freeze.layers=2")
    plain = fresh(deep).bert.encoder.layer
    for number, layer in enumerate(parts.model.bert.encoder.layer):
        same = [*layer.state_dict()] == [*plain[number].state_dict()]
        pairs = zip(layer.modules(), plain[number].modules(), strict=False)
        types = all(isinstance(own, type(other)) for own, other in pairs)  # a dropout is one of ours
        assert (same, types) == ((True, True) if number < 2 else (False, False))
    assert "layers 2-3: 256 parameters" in parts.adapted.words  # type: ignore[union-attr]
    learns = parts.freeze.ever & set(parts.anatomy.trunk)
    assert learns == put(parts)
    freeze.apply(parts.model, parts.freeze.phases[0])
    modes = [layer.training for layer in parts.model.bert.encoder.layer]
    assert modes == [False, False, True, True]


@pytest.mark.parametrize(("numbers", "words"), [([3, 3], "layer 3"), ([1, 0, 2, 5, 1], "layers 0-2, 5")])
def test_layers_in_words(numbers: list[int], words: str) -> None:
    assert adapter._layers(numbers) == words


def test_a_pattern_says_where(arguments: list[str]) -> None:
    parts = assemble(*arguments, "freeze=pattern", r"freeze.pattern='layer\.[12]\.|classifier.bias'")
    assert parts.adapted is not None
    assert set(parts.adapted.modules.values()) == {0, 3}
    assert "of layers 0, 3:" in parts.adapted.words
    assert parts.freeze.ever == put(parts) | {"classifier.weight"}


def test_columns_to_compare_by() -> None:
    columns = hyperparameters(check.check(compose("adapter=lora", "adapter.rank=4")))
    found = {name: value for name, value in columns.items() if name.startswith("adapter")}
    assert found == {
        "adapter": "lora",
        "adapter.rank": 4,
        "adapter.alpha": 16.0,
        "adapter.dropout": 0.0,
        "adapter.targets": ["query", "value"],
    }


def test_no_place_is_left(arguments: list[str]) -> None:
    with pytest.raises(BadOption, match="adapter=lora: freeze keeps every query and value of the model as it is"):
        assemble(*arguments, "freeze=bottom", "freeze.layers=4")


@pytest.fixture(scope="module")
def run(deep: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run; the tests only read it."""
    from hydra.core.global_hydra import GlobalHydra

    from tl_run import cli

    parent = tmp_path_factory.mktemp("finished")
    command = [*toy(parent), "model=custom", f"model.path={deep}", "optimizer.lr=0.1", "adapter=lora"]
    command += ["training.epochs=3", "training.batch_size=8", f"hydra.run.dir={parent}/run", "freeze=bottom"]
    GlobalHydra.instance().clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["tl-run", *command])
        patch.setenv("TL_RUN_CACHE", str(parent / "cache"))
        assert cli.outcome(lambda: cli._compose_and_run(command)) == 0
    return parent / "run"


def probabilities(run: Path) -> tuple[list[str], torch.Tensor]:
    lines = [json.loads(line) for line in (run / "predictions-test.jsonl").read_text().splitlines()]
    return [line["text"] for line in lines], torch.tensor([[*line["probabilities"].values()] for line in lines])


def predicted(model: Any, texts: list[str], folder: Path) -> torch.Tensor:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        return model.eval()(**tokenizer(texts, padding=True, return_tensors="pt")).logits.softmax(-1)


def test_a_run_says_that_it_had_an_adapter_and_that_the_base_stayed(run: Path) -> None:
    result = json.loads((run / "result.json").read_text())
    assert result["adapter"] == "lora"
    assert result["audit"]["frozen_moved"] == []
    assert result["audit"]["frozen"] == 5 + 4 * 16 + 2  # every parameter of the base model: embeddings, layers, pooler
    assert result["audit"]["learning_moved"] == result["audit"]["learning"] == 2 * 2 * 2 + 2
    assert result["parameters"]["trainable"] == 2 * 2 * 2 * 8 * 16 + 34


def test_checkpoints_hold_only_what_was_put_in_and_the_head(run: Path) -> None:
    newest = max(run.glob("checkpoints/step-*"))
    for file in ("weights", "best"):
        names = set(load_file(newest / f"{file}.safetensors"))
        assert len(names) == 10
        assert all(".lora_" in name or name.startswith("classifier.") for name in names)


def test_the_merged_folder_is_a_plain_model(run: Path) -> None:
    assert {path.name for path in (run / "model").iterdir()} == {
        *("README.md", "config.json", "manifest.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
    }
    assert not any("lora" in name or "base_layer" in name for name in load_file(run / "model/model.safetensors"))
    texts, expected = probabilities(run)
    classify = transformers.pipeline("text-classification", model=str(run / "model"), top_k=None)
    found = [{each["label"]: each["score"] for each in answer} for answer in classify(texts)]
    assert torch.allclose(torch.tensor([[each["no"], each["yes"]] for each in found]), expected, atol=1e-5)


def test_the_adapter_folder_goes_onto_the_base(run: Path, deep: Path) -> None:
    texts, expected = probabilities(run)
    base = transformers.AutoModelForSequenceClassification.from_pretrained(deep, num_labels=2)
    assert (predicted(base, texts, deep) - expected).abs().max() > 0.01
    loaded = peft.PeftModel.from_pretrained(base, str(run / "adapter"))
    assert torch.allclose(predicted(loaded, texts, deep), expected, atol=1e-5)
    itself = peft.AutoPeftModelForSequenceClassification.from_pretrained(str(run / "adapter"), num_labels=2)
    assert torch.allclose(predicted(itself, texts, deep), expected, atol=1e-5)


def test_from_random_weights_there_is_no_base_to_put_it_on(tl_run: Callable[..., int], arguments: list[str]) -> None:
    assert tl_run(*arguments, "model.pretrained=false", "hydra.run.dir=run") == 0
    assert Path("run/model/model.safetensors").is_file()
    assert not Path("run/adapter").exists()
