"""Every YAML file composes, passes the check, and names only what the program knows."""

import dataclasses
import types
from typing import Annotated, Literal, Union, get_args, get_origin, get_type_hints

import pytest
import yaml

from composing import NEEDS, compose
from tl_run import adapter, augment, freeze, optimizer, task, transfer
from tl_run.config import check, messages, options

CHOICES = {
    "task": "acceptability banking77 cats-vs-dogs classification classification-demo cmrc2018 dialogue episodes "
    "episodes-demo generation generation-demo image-text image-text-demo images images-demo intents intents-episodes "
    "lm lm-demo mnli ner ner-zh nli paraphrase qa qa-demo qnli qqp regression regression-demo relation relation-demo "
    "reviews reviews-zh rte samsum semeval-relations sentiment similarity similarity-demo similarity-score spam "
    "squad squad_v2 srl srl-demo stsb summarization tagging tagging-demo topic translation translation-fr triples "
    "triples-demo triples-source wikitext-2",
    "model": "bert-base bert-base-chinese custom distilbert electra-small gpt2 minilm mobilenet resnet rnn "
    "roberta-base separable-cnn seq2seq-small tiny transe transformer-small vit xlm-roberta-base",
    "freeze": "all_but_bias all_but_norms bottom embeddings gradual none pattern schedule trunk",
    "adapter": "lora none",
    "transfer": "cdan coral dann distill distill_relations features fedavg fedprox finetune instance_weighting l2sp "
    "maml mixout mmd multitask protonet rdrop reptile self_training",
    "augment": "back_translation eda images mixup none token_dropout",
    "optimizer": "adam adamw sgd",
    "hardware": "auto cpu fsdp gpu mps",
    "experiment": "fedavg gain reviews-from-scratch reviews-transfer",
}
MEMBERS = [f"{group}={choice}" for group, choices in CHOICES.items() for choice in choices.split()]


def test_each_group_has_exactly_these_choices():
    found = {path.name: path for path in messages.folder().iterdir() if path.is_dir() and path.name != "hydra"}
    found = {group: sorted(file.stem for file in folder.iterdir()) for group, folder in found.items()}
    assert found == {group: choices.split() for group, choices in CHOICES.items()}
    assert set(check.GROUPS) == set(CHOICES)


@pytest.mark.parametrize("member", MEMBERS)
def test_every_choice_composes_and_passes_the_check(member):
    group, _, choice = member.partition("=")
    run = check.check(compose(member, *NEEDS.get(member, ())))
    if group != "experiment":
        assert getattr(run, group).name == choice


@pytest.mark.parametrize("member", NEEDS)
def test_what_a_choice_needs_is_asked_for(member):
    with pytest.raises(check.BadOption) as failure:
        check.check(compose(member))
    assert f"type {NEEDS[member][0].partition('=')[0]}=" in str(failure.value)


def test_names_are_known_to_the_program():
    assert sorted(freeze.STRATEGIES) == CHOICES["freeze"].split()
    assert sorted(adapter.ADAPTERS) == CHOICES["adapter"].split()
    assert sorted(optimizer.OPTIMIZERS) == CHOICES["optimizer"].split()
    assert sorted(transfer.METHODS) == CHOICES["transfer"].split()
    assert sorted(augment.AUGMENTATIONS) == CHOICES["augment"].split()
    kinds = {compose(f"task={choice}")["task"]["kind"] for choice in CHOICES["task"].split()}
    assert kinds == set(task.KINDS) - {"several"}  # which nobody types


@pytest.mark.parametrize("method", transfer.METHODS.values())
@pytest.mark.parametrize("kind", task.KINDS.values())
def test_names_lead_to_something(method, kind):
    for target in (method, kind):
        module, name = target.split(":")
        assert isinstance(getattr(__import__(module, fromlist=[name]), name), type)


def unwrapped(hint):
    """The dataclasses in a type hint."""
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    members = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return [member for member in members if dataclasses.is_dataclass(member)]


def field_names(kind, data, path=""):
    """Every option of the dataclass that `data` is for, at any depth."""
    names = set()
    for name, hint in get_type_hints(kind, include_extras=True).items():
        kinds = unwrapped(hint)
        if len(kinds) > 1:
            tag = "kind" if "kind" in data[name] else "name"
            kinds = [each for each in kinds if data[name][tag] in get_args(get_type_hints(each)[tag])]
        names |= field_names(kinds[0], data[name], f"{path}{name}.") if kinds else {path + name}
    return names


def leaves(data, path=""):
    """Every option that the YAML files hold."""
    if not isinstance(data, dict):
        return {path[:-1]}
    return {leaf for key, value in data.items() for leaf in leaves(value, f"{path}{key}.")}


@pytest.mark.parametrize("member", MEMBERS)
def test_every_option_has_its_default_in_yaml_and_the_other_way_round(member):
    data = compose(member, *NEEDS.get(member, ()))
    of_tasks = {"task.tasks" if leaf.startswith("task.tasks.") else leaf for leaf in leaves(data)}  # each is one `task`
    assert of_tasks == field_names(options.Run, data)


def test_a_default_has_one_home():
    kinds = [
        kind
        for kind in vars(options).values()
        if dataclasses.is_dataclass(kind) and kind.__module__.startswith(options.__name__)
    ]
    assert len(kinds) > 10
    for kind in kinds:
        for field in dataclasses.fields(kind):
            assert field.default is field.default_factory is dataclasses.MISSING, f"{kind.__name__}.{field.name}"


def test_the_members_of_a_union_are_told_apart_by_their_name():
    for union in (options.Task, options.Model, options.Freeze, options.Adapter, options.Optimizer):
        tag = "kind" if union in (options.Task, options.Model) else "name"
        names = [name for member in get_args(union) for name in get_args(get_type_hints(member)[tag])]
        assert len(names) == len(set(names))
    assert get_origin(get_type_hints(options.FreezeTrunk)["name"]) is Literal


@pytest.mark.parametrize("choice", CHOICES["freeze"].split())
def test_the_rate_follows_the_model_and_what_is_frozen(choice):
    data = compose(f"freeze={choice}", *NEEDS.get(f"freeze={choice}", ()))
    assert data["optimizer"]["lr"] == pytest.approx(data["model"]["lr"] * data["freeze"]["lr_factor"], rel=1e-9)


@pytest.mark.parametrize("optimizer", CHOICES["optimizer"].split())
def test_the_rate_follows_what_is_put_in(optimizer):
    plain, data = (compose(f"optimizer={optimizer}", f"adapter={name}") for name in ("none", "lora"))
    assert data["adapter"]["lr_factor"] > plain["adapter"]["lr_factor"] == 1
    assert data["optimizer"]["lr"] == pytest.approx(plain["optimizer"]["lr"] * data["adapter"]["lr_factor"], rel=1e-9)


def test_the_rate_in_figures():
    assert compose("model=bert-base", "freeze=trunk")["optimizer"]["lr"] == 0.001  # 50 times 2e-5, and no 0.00100...02
    assert compose("model=bert-base", "freeze=trunk", "optimizer.lr=3e-4")["optimizer"]["lr"] == 0.0003
    assert compose("model=bert-base", "model.lr=1e-5", "freeze=trunk")["optimizer"]["lr"] == 0.0005
    assert compose("model=bert-base", "optimizer=sgd")["optimizer"]["lr"] == 0.01


def test_epochs_follow_the_task_until_they_are_given():
    assert compose("task=rte")["training"]["epochs"] == 5
    assert compose("task=rte", "training.epochs=2")["training"]["epochs"] == 2


def test_the_whole_config_is_shown(tl_run, capsys, tmp_path):
    assert tl_run("--cfg", "job", "--resolve", "freeze=trunk") == 0
    assert yaml.safe_load(capsys.readouterr().out) == compose("freeze=trunk")
    assert not any(tmp_path.iterdir())


def test_a_folder_of_ones_own_adds_choices(tl_run, capsys, tmp_path):
    own = tmp_path / "mine"
    (own / "model").mkdir(parents=True)
    (own / "experiment").mkdir()
    (own / "model" / "house.yaml").write_text("defaults: [custom]\nname: house\npath: ./house\nlr: 1e-3\n")
    (own / "experiment" / "probe.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /freeze: trunk\ntraining: {epochs: 9}\n"
    )
    assert tl_run("--config-dir", str(own), "--cfg", "job", "--resolve", "model=house", "experiment=probe") == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert (shown["model"]["path"], shown["freeze"]["name"], shown["training"]["epochs"]) == ("./house", "trunk", 9)
    assert shown["optimizer"]["lr"] == 0.05
    check.check(shown)
