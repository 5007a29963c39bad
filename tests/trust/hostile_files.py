"""What someone may have put into a folder: bytes by name. Whatever would run leaves the file RAN where we are."""

import os
import pickle
from pathlib import Path


class Runs:
    """Unpickled, it makes the file RAN."""

    def __reduce__(self):
        return (os.mkdir, ("RAN",))


PICKLE = pickle.dumps(Runs())
CODE = b"import os\nos.mkdir('RAN')\n\n\nclass Evil:\n    pass\n"
TAG = b"task: !!python/object/apply:os.mkdir [RAN]\n"
DEEP_JSON = b"[" * 200_000 + b"]" * 200_000
DEEP_OBJECT = b'{"a":' * 200_000 + b"1" + b"}" * 200_000
DEEP_YAML = b"task: " + b"[" * 20_000 + b"]" * 20_000 + b"\n"
BOMB = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    f"{now}: &{now} [{','.join(f'*{before}' for _ in range(9))}]\n".encode()
    for before, now in zip("abcdefgh", "bcdefghi", strict=True)
)
ITSELF = b"task: &a [*a]\nmodel: {}\n"
HUGE_HEADER = (2**62).to_bytes(8, "little") + b"{}"
LONG_HEADER = (2**40).to_bytes(8, "little") + b'{"x":'


def put(folder: Path, files: dict[str, bytes | None]) -> None:
    """Write these, or with None remove them."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).unlink(missing_ok=True)
        if content is not None:
            (folder / name).write_bytes(content)
