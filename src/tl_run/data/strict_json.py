"""JSON values, without what Python's json lets pass: repeated keys, NaN, infinity, half characters, endless nesting."""

import json
import math
import re
from typing import Any

from tl_run.data.table import quoted

_SPACE = re.compile(r"[ \t\r\n]*")
_HALF_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")
_MAX_DEPTH = 50
_TOO_DEEP = f"nested deeper than {_MAX_DEPTH} levels; flatten it"


class StrictDecoder:
    """json's own decoder; what that one lets pass is left in `faults`: one bad row then hides no other."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        """What is wrong with the last value, each with its remedy."""
        self._decoder = json.JSONDecoder(
            object_pairs_hook=self._object, parse_constant=self._constant, parse_float=self._float
        )

    def value(self, text: str, start: int) -> tuple[Any, int]:
        """The value at `start`, and where it ends. Raises json.JSONDecodeError where it cannot be read at all."""
        self.faults = []
        try:
            value, end = self._decoder.raw_decode(text, start)
        except RecursionError:
            raise json.JSONDecodeError(_TOO_DEEP, text, start) from None
        except json.JSONDecodeError:
            raise
        except ValueError:  # int() of Python reads at most 4300 digits
            raise json.JSONDecodeError("a number of thousands of digits", text, start) from None
        brackets = text.count("[", start, end) + text.count("{", start, end)  # quick: few rows have that many
        if brackets > _MAX_DEPTH and _is_too_deep(value):
            self.faults.append(_TOO_DEEP)
        elif _HALF_CHARACTER.search(text, start, end):
            try:
                json.dumps(value, ensure_ascii=False).encode()
            except UnicodeEncodeError as error:
                half = f"\\u{ord(error.object[error.start]):04x}"
                self.faults.append(f"{half} is half a character (a lone surrogate); write both halves, or none")
        return value, end

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):
            seen: set[str] = set()
            repeated = next(key for key, _ in pairs if key in seen or seen.add(key))
            self.faults.append(f"the key {quoted(repeated)} appears twice; keep one")
        return value

    def _constant(self, text: str) -> None:
        self.faults.append(f"{text} is not JSON; write null, or leave the key out")

    def _float(self, text: str) -> float:
        value = float(text)
        if math.isinf(value):
            self.faults.append(f"the number {quoted(text)} is too large; write a finite one")
        return value


def skip_space(text: str, at: int) -> int:
    """The position of the first character from `at` on that is not JSON's white space."""
    space = _SPACE.match(text, at)
    return space.end() if space else at


def nothing_after(text: str, end: int) -> None:
    """Raises json.JSONDecodeError if another value follows the one that ends here."""
    if (rest := skip_space(text, end)) < len(text):
        raise json.JSONDecodeError("Extra data", text, rest)


def _is_too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_MAX_DEPTH):
        parts = (part for outer in level for part in (outer.values() if isinstance(outer, dict) else outer))
        level = [part for part in parts if isinstance(part, dict | list)]
    return bool(level)
