"""What must not be written: values of options and environment that look like tokens are masked."""

import os
import re
from typing import Any

# `tokens` is a column of a task and `tokenizers` a package: neither is a secret.
KEY = re.compile(r"token(?![a-z])|secret|password|passwd|api_?key|credential", re.IGNORECASE)
# Of a URL as a path only one slash is left.
TOKEN = re.compile(r"hf_[A-Za-z0-9]{16,}|(?:(?<=://)|(?<=:/))[^/\s:@]+:[^/\s]+(?=@)")
MASK = "***"


def mask(value: Any, key: str = "") -> Any:
    """The same value with secrets replaced, at any depth."""
    if isinstance(value, dict):
        return {k: mask(v, str(k)) for k, v in value.items()}
    if isinstance(value, list):
        return [mask(item, key) for item in value]
    if value is not None and KEY.search(key):
        return MASK
    if isinstance(value, str):
        name, equals, _ = value.partition("=")  # an override: key=value
        if equals and KEY.search(name):
            return f"{name}={MASK}"
        return scrub(value)
    return value


def scrub(text: str) -> str:
    """Text without whatever looks like a token or is the value of a secret in the environment."""
    for secret in _known():
        text = text.replace(secret, MASK)
    return TOKEN.sub(MASK, text)


def _known() -> list[str]:
    found = [v for k, v in os.environ.items() if KEY.search(k) and len(v) >= 8]
    return sorted(found, key=len, reverse=True)
