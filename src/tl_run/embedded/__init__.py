"""What ships inside the package: a small model and small data sets, written and trained for tl-run."""

from pathlib import Path

PREFIX = "embedded:"


def locate(reference: str) -> Path:
    """`embedded:reviews/train.csv` is a file of this package; anything else is a path as it stands."""
    if reference.startswith(PREFIX):
        return Path(__file__).parent / reference.removeprefix(PREFIX)
    return Path(reference).expanduser()
