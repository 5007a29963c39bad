"""JSON and YAML that a run folder or a model folder holds, read as data: bounded in size, and never more than data.

A folder may come from anyone. Nothing in it is imported, called or unpickled, and reading it ends soon.
"""

import json
from pathlib import Path
from typing import Any

import yaml

LARGEST = 64 * 2**20
"""Bytes of one file; result.json of a task with thousands of classes has some."""
MOST = 100_000
"""Nodes of a YAML file, each alias counted as what it stands for."""
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a thousand configs in one second instead of seven


class Damaged(ValueError):
    """A file that does not hold what was written there; its text says why, without the path."""


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file. Raises: OSError when it is not there, Damaged when it is not such a file."""
    try:
        found = json.loads(_bytes(path))
    except RecursionError:
        raise Damaged("too deeply nested") from None
    except ValueError as problem:
        raise Damaged(str(problem)) from problem
    if not isinstance(found, dict):
        raise Damaged("no JSON object")
    return found


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a file. Raises: OSError when it is not there, Damaged when it is not such a file."""
    try:
        loader = LOADER(_bytes(path).decode("utf-8"))
        try:
            root = loader.get_single_node()
            if not isinstance(root, yaml.MappingNode) or not all(key.value for key, _ in root.value):
                raise Damaged("no options")
            if size(root) > MOST:
                raise Damaged(f"more than {MOST:,} values")
            found = loader.construct_document(root)
        finally:
            loader.dispose()
    except RecursionError:
        raise Damaged("too deeply nested") from None
    except (UnicodeDecodeError, yaml.YAMLError, ValueError, TypeError) as problem:
        raise Damaged(" ".join(str(problem).split())[:200]) from problem
    return {str(key): value for key, value in found.items()}


def size(node: yaml.Node, known: dict[int, int] | None = None) -> int:
    """How many nodes there are once aliases are written out. Raises: RecursionError for what contains itself."""
    known = {} if known is None else known
    if id(node) in known:
        if not known[id(node)]:
            raise RecursionError
        return known[id(node)]
    known[id(node)] = 0
    below = [each for pair in node.value for each in pair] if isinstance(node, yaml.MappingNode) else node.value
    known[id(node)] = 1 + (0 if isinstance(node, yaml.ScalarNode) else sum(size(each, known) for each in below))
    return known[id(node)]


def _bytes(path: Path) -> bytes:
    if (found := path.stat().st_size) > LARGEST:
        raise Damaged(f"has {found:,} bytes, more than any that was written")
    if not path.is_file():  # a pipe or a device would be read for ever
        raise Damaged("no plain file")
    return path.read_bytes()
