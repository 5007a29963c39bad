"""The config of a run as the command composes it, without running anything."""

from copy import deepcopy
from functools import cache
from typing import Any

import hydra
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from tl_run.config import check, messages

DOMAIN = ("mmd", "coral", "dann", "cdan", "instance_weighting", "self_training")
NEEDS = {"model=custom": ("model.path=.",), "task=classification": ("task.train=x.csv",)}
NEEDS |= {"task=regression": ("task.train=x.csv",), "task=images": ("task.train=photos",)}
NEEDS |= {"task=tagging": ("task.train=x.conll",), "task=srl": ("task.train=x.jsonl",)}
NEEDS |= {"task=qa": ("task.train=x.json",), "task=lm": ("task.train=x.txt",)}
NEEDS |= {"task=similarity": ("task.train=x.csv",)}
NEEDS |= {"task=regression": ("task.train=x.csv",), "task=relation": ("task.train=x.csv",)}
NEEDS |= {"task=generation": ("task.train=x.jsonl",)}
NEEDS |= {"task=image-text": ("task.train=x.csv",)}
NEEDS |= {"task=triples": ("task.train=x.tsv", "model=transe"), "model=transe": ("task=triples-demo",)}
NEEDS |= {"task=triples-demo": ("model=transe",), "task=triples-source": ("model=transe",)}
NEEDS |= {"task=episodes": ("task.train=x.csv",)}
NEEDS |= {"freeze=pattern": ("freeze.pattern=bias",)}
NEEDS |= {f"transfer={name}": ("task.domain.train=x.csv",) for name in DOMAIN}
NEEDS |= {f"transfer={name}": ("transfer.teacher=run",) for name in ("distill", "distill_relations")}
NEEDS |= {"augment=back_translation": ("augment.there=.", "augment.back=."), "augment=images": ("task=images-demo",)}
NEEDS |= {"transfer=features": ("model.head=logistic", "freeze=trunk", "transfer.select=anova")}
NEEDS |= {"transfer=multitask": ("transfer.tasks=[tagging-demo,relation-demo]",)}
NEEDS |= {f"transfer={name}": ("task=episodes-demo",) for name in ("protonet", "reptile", "maml")}
"""What a choice cannot do without."""


def compose(*overrides: str) -> dict[str, Any]:
    """The resolved config as plain data."""
    return deepcopy(_composed(overrides))


@cache
def _composed(overrides: tuple[str, ...]) -> dict[str, Any]:
    GlobalHydra.instance().clear()
    check.register_resolvers()
    with initialize_config_dir(str(messages.folder()), version_base="1.3"):
        return check.resolve(hydra.compose("run", [*overrides]))
