"""The name that was probably meant."""

import pytest

from composing import compose
from tl_run.config.names import ALIASES, did_you_mean


@pytest.mark.parametrize(
    ("typed", "known", "meant"),
    [
        ("sentimnt", ["topic", "sentiment"], "sentiment"),
        ("LION", ["cat", "lion"], "lion"),
        ("v1.0x", ["v1.0", "v2.0"], "v1.0"),  # a label is no option: its dots part nothing
        ("reviews", [], None),
        ("xyz", ["topic", "sentiment"], None),
    ],
)
def test_choices_and_labels(typed, known, meant):
    assert did_you_mean(typed, known) == (f" Did you mean '{meant}'?" if meant else "")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("optimizer.lrr", "optimizer.lr"),
        ("optimizer.weight_deca", "optimizer.weight_decay"),
        ("optimizer.learning_rate", "optimizer.lr"),
        ("optimizer.num_train_epochs", "training.epochs"),
        ("freeze.layer", "freeze.layers (with freeze=bottom)"),
        ("optimizer.zzz", None),
    ],
)
def test_options(typed, meant):
    known = ["optimizer.name", "optimizer.lr", "optimizer.weight_decay"]
    assert did_you_mean(typed, known, options=True) == (f" Did you mean '{meant}'?" if meant else "")


def test_what_a_name_from_elsewhere_leads_to_exists():
    config, writes = (
        compose(f"task={task}", "freeze=bottom", "adapter=lora") for task in ("reviews", "generation-demo")
    )
    config["task"] |= writes["task"]
    for target in ALIASES.values():
        place = config | {"hydra": {"run": {"dir": ""}}}
        for part in target.partition(" ")[0].partition("=")[0].split("."):
            assert part in place, target
            place = place[part]
