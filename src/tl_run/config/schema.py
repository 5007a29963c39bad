"""Plain data into dataclasses: the type hint says what is allowed, and every problem is reported by its option."""

import dataclasses
import math
import re
import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from tl_run.config.names import did_you_mean
from tl_run.errors import BadOption


@dataclasses.dataclass(frozen=True)
class Range:
    """Bounds of a number; `above` and `below` are exclusive, the others inclusive."""

    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    below: float | None = None

    def problem(self, number: float) -> str | None:
        """What is wrong with `number`, or None."""
        if not math.isfinite(number):  # no comparison below refuses nan
            return "must be a finite number"
        if self.at_least is not None and number < self.at_least:
            return f"must be at least {self.at_least:g}"
        if self.at_most is not None and number > self.at_most:
            return f"must be at most {self.at_most:.10g}"
        if self.above is not None and number <= self.above:
            return f"must be above {self.above:g}"
        if self.below is not None and number >= self.below:
            return f"must be below {self.below:g}"
        return None


def build(kind: Any, data: Any, path: str = "") -> Any:
    """Make the dataclass `kind` from `data`, what YAML holds at `path`.

    Raises: BadOption naming the first three problems.
    """
    problems: list[str] = []
    made = _convert(kind, data, path, problems)
    if problems:
        rest = len(problems) - 3
        raise BadOption("\n".join(problems[:3] + ([f"... and {rest} more"] if rest > 0 else [])))
    return made


def _convert(kind: Any, value: Any, path: str, problems: list[str]) -> Any:
    if get_origin(kind) is Annotated:
        inner, *checks = get_args(kind)
        made = _convert(inner, value, path, problems)
        if isinstance(made, int | float) and not isinstance(made, bool):
            problems += [f"{path}: {value} {wrong}" for check in checks if (wrong := check.problem(made))]
        return made
    if value == "???":
        problems.append(f"{path} is required: type {path}=...")
        return None
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, path, problems)
    if get_origin(kind) in (Union, types.UnionType):
        return _union(get_args(kind), value, path, problems)
    if get_origin(kind) is Literal:
        allowed = get_args(kind)
        if value not in allowed:
            near = did_you_mean(str(value), [str(a) for a in allowed])
            problems.append(f"{path}: '{value}' is not one of {', '.join(map(str, allowed))}.{near}")
        return value
    return _plain(kind, value, path, problems)


def _union(members: tuple[Any, ...], value: Any, path: str, problems: list[str]) -> Any:
    if value is None and type(None) in members:
        return None
    members = tuple(member for member in members if member is not type(None))
    if dataclasses.is_dataclass(members[0]) and isinstance(value, Mapping):
        return _dataclass(_chosen(members, value), value, path, problems)
    trials: list[list[str]] = []
    for member in members:
        trials.append([])
        made = _convert(member, value, path, trials[-1])
        if not trials[-1]:
            return made
    problems += trials[-1] if len(members) == 1 else [" / ".join(dict.fromkeys(t[0] for t in trials))]
    return None


def _chosen(members: tuple[Any, ...], value: Mapping[str, Any]) -> Any:
    """The member whose Literal field (`kind` or `name`) says the same as the data."""
    for member in members:
        hints = get_type_hints(member)
        tag = next(name for name in ("kind", "name") if get_origin(hints.get(name)) is Literal)
        if value.get(tag) in get_args(hints[tag]):
            return member
    return members[0]


def _dataclass(kind: Any, value: Any, path: str, problems: list[str]) -> Any:
    if not isinstance(value, Mapping):
        names = [*get_type_hints(kind)]
        shown = f": type {path}.{names[0]}={value}" if isinstance(value, bool | int | float | str) else ""
        problems.append(f"{path}: expected options ({', '.join(names)}), found {value!r}{shown}")
        return None
    hints = get_type_hints(kind, include_extras=True)
    for key in value:
        if key not in hints:
            name = f"{path}.{key}" if path else str(key)
            known = [f"{path}.{hint}" if path else hint for hint in hints]
            near = did_you_mean(name, known, options=True)
            problems.append(f"there is no option '{name}'{_choice(path, value)}.{near}")
    missing = object()
    fields = {}
    for name, hint in hints.items():
        given = value.get(name, missing)
        full = f"{path}.{name}" if path else name
        if given is missing:
            listed = path.endswith("]")
            why = "each entry of the list needs it" if listed else "every option has its default in a YAML file"
            problems.append(f"{full} is missing: {why}")
        else:
            fields[name] = _convert(hint, given, full, problems)
    return kind(**fields) if len(fields) == len(hints) else None


def _complete(kind: Any, value: Any) -> Any:
    """An entry of a list has no YAML file to hold its defaults: what may be null may be left out."""
    if not (dataclasses.is_dataclass(kind) and isinstance(value, Mapping)):
        return value
    hints = get_type_hints(kind)
    return {name: None for name, hint in hints.items() if type(None) in get_args(hint)} | dict(value)


def _choice(path: str, value: Mapping[str, Any]) -> str:
    return f" under {path}={value['name']}" if path and "name" in value else ""


def _plain(kind: Any, value: Any, path: str, problems: list[str]) -> Any:
    """bool, int, float, str, list and dict; a whole number is a float too, and a number typed for a name is a name."""
    origin: Any = get_origin(kind) or kind
    if isinstance(value, float) and not math.isfinite(value):  # nan is neither below nor above any bound
        problems.append(f"{path}: {value} is not a finite number")
        return None
    if origin is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if origin is str and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if origin is list and isinstance(value, list):
        (inner,) = get_args(kind)
        return [_convert(inner, _complete(inner, item), f"{path}[{i}]", problems) for i, item in enumerate(value)]
    if origin is dict and isinstance(value, Mapping):
        key, inner = get_args(kind)
        names = [_convert(key, name, path, problems) for name in value]
        return dict(zip(names, (_convert(inner, v, f"{path}.{k}", problems) for k, v in value.items()), strict=True))
    if isinstance(value, origin) and not (origin in (int, float) and isinstance(value, bool)):
        return value
    words = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "text",
        list: "a list",
        dict: "a map",
    }
    shown = "null" if value is None else f"'{value}'"
    problems.append(f"{path}: {shown} is not {words.get(origin, origin.__name__)}{_hint(origin, value)}")
    return None


def _hint(wanted: Any, value: Any) -> str:
    """What was probably meant by a value of another type."""
    if wanted is str and isinstance(value, bool):
        return ": in YAML yes, no, on and off are true and false: put the word in quotes"
    if wanted is float and isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?\s*%", value):
        return f": type {float(value.rstrip('% ')) / 100:g}"
    return ""
