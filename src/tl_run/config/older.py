"""The config of a run that an older version has begun: options that came later are filled in.

An option is only ever added with a default under which a run gives what it gave before (else the results version is
raised, identity.py). So the default of today is what the older run has done. It is that of the generic choice of its
kind, not of a named task or model, whose YAML may have set the new option to something else since. Options that are
there no more, or that a newer version has added, are refused as unknown.
"""

from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from tl_run.config.check import register_resolvers
from tl_run.config.messages import folder


def complete(config: dict[str, Any]) -> dict[str, Any]:
    """A stored config with all options of today. What it holds stays as it is."""
    register_resolvers()
    run = _read(folder() / "run.yaml")
    choices = dict(entry.popitem() for entry in run.pop("defaults") if isinstance(entry, dict))
    del run["hydra"]
    every = {group: run.pop(group, {}) for group in choices}
    whole = _filled(_inert(config), run)
    for group, choice in choices.items():
        if (folder() / group).is_dir() and group != "experiment":
            own = whole[group] if isinstance(whole.get(group), dict) else {}
            whole[group] = _completed(own, every[group], folder() / group, choice)
    made: Any = OmegaConf.to_container(OmegaConf.create(whole), resolve=True)
    return _filled(config, made)


def _completed(stored: dict[str, Any], every: dict[str, Any], group: Path, choice: str) -> dict[str, Any]:
    """The options of a group, of which `every` choice has some; of several tasks those of each."""
    if isinstance(tasks := stored.get("tasks"), dict) and group.name == "task":
        return stored | {"tasks": {name: _completed(own, every, group, choice) for name, own in tasks.items()}}
    return _filled(_filled(stored, _defaults(group, stored, choice)), every)


def _inert(value: Any) -> Any:
    """Without text that OmegaConf would evaluate: what was stored has no interpolations, and may come from anyone."""
    if isinstance(value, dict):
        return {key: _inert(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_inert(each) for each in value]
    return "" if isinstance(value, str) and "${" in value else value


def _defaults(group: Path, stored: dict[str, Any], choice: str) -> dict[str, Any]:
    """The YAML of the generic choice of a stored choice's kind, or of its name; without either of today's default."""
    every = {path.stem: _read(path) for path in sorted(group.glob("*.yaml"))}
    kind = stored.get("kind")
    generic = [name for name, own in every.items() if kind is not None and own.get("kind") == kind]
    name = next(iter([*sorted(generic, key=lambda name: "defaults" in every[name]), stored.get("name"), choice]))
    found: dict[str, Any] = {}
    waiting = [name if name in every else choice]
    while waiting:
        own = every[waiting.pop()]
        waiting += own.pop("defaults", [])
        found = own | found
    return found


def _filled(stored: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """Stored values, and of the defaults those of names that are not stored, at any depth."""
    both = {
        key: _filled(stored[key], value)
        for key, value in defaults.items()
        if isinstance(value, dict) and isinstance(stored.get(key), dict)
    }
    return defaults | stored | both


def _read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))
