"""The YAML files of a --config-dir, looked at before Hydra reads them: what is wrong is told with file and line.

They are the user's own and trusted; but aliases within aliases can make a file of a few lines larger than any memory.
"""

from collections.abc import Hashable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import yaml

from tl_run.config.check import GROUPS
from tl_run.errors import BadInput
from tl_run.stored_files import MOST, size

LARGEST = 2**20  # bytes


def check(arguments: Sequence[str]) -> None:
    """All files of the folders that these arguments name. Raises: BadInput."""
    for folder in _named(arguments):
        for group in (*GROUPS, "hydra"):
            for path in sorted((folder / group).rglob("*.yaml")):
                if problem := _problem(path):
                    raise BadInput(f"{path}{problem}")


def _named(arguments: Sequence[str]) -> Iterator[Path]:
    for argument, following in pairwise([*arguments, ""]):
        flag, equals, value = argument.partition("=")
        if flag in ("--config-dir", "-cd"):
            yield Path(value if equals else following)


def _problem(path: Path) -> str | None:
    """What is wrong, with the line where there is one."""
    try:
        if path.stat().st_size > LARGEST:
            return f": larger than {LARGEST:,} bytes, this is no file of options"
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is None:
            return None
        if not isinstance(root, yaml.MappingNode):
            return ", line 1: options are written as 'name: value', one a line"
        if size(root) > MOST:
            return f": aliases (*name) within aliases stand for more than {MOST:,} values: write them out"
        return _repeated(root)
    except UnicodeDecodeError as problem:
        return f": not UTF-8 (byte {problem.start}): save it as UTF-8"
    except RecursionError:
        return ": too deeply nested"
    except OSError as problem:
        return f": cannot be read: {problem.strerror}"
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        words = (problem.problem or "cannot be read").replace("'\\t'", "a tab")
        tab = ": YAML wants blanks" if "a tab" in words else ""
        began = problem.context_mark
        since = f" (begun in line {began.line + 1})" if began and mark and began.line != mark.line else ""
        return f"{f', line {mark.line + 1}' if mark else ''}: {words}{tab}{since}"
    except yaml.YAMLError as problem:  # a control character
        return f": {str(problem).splitlines()[0]}"


def _repeated(node: yaml.Node) -> str | None:
    """The first name that a mapping has twice, or value with a tag that stands for code."""
    stack, seen = [node], set[int]()
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        line = f", line {node.start_mark.line + 1}"
        if not node.tag.startswith("tag:yaml.org,2002:") or node.tag.startswith("tag:yaml.org,2002:python/"):
            return f"{line}: the tag {node.tag.removeprefix('tag:yaml.org,2002:')} is not read: options are plain data"
        if isinstance(node, yaml.MappingNode):
            names = set[Hashable]()
            for name, _ in node.value:
                if name.value in names and isinstance(name, yaml.ScalarNode):
                    return f", line {name.start_mark.line + 1}: {name.value} is there twice"
                names.add(name.value if isinstance(name, yaml.ScalarNode) else id(name))
            stack += [each for pair in reversed(node.value) for each in reversed(pair)]
        elif isinstance(node, yaml.SequenceNode):
            stack += reversed(node.value)
    return None
