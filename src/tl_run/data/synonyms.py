"""A list of synonyms: on each line a group of words that may stand for each other."""

import re
from pathlib import Path

from tl_run.data.decoding import decode
from tl_run.errors import BadInput, MachineFault

Synonyms = dict[str, tuple[str, ...]]
"""For each word, in small letters, the others of its groups."""


def read(path: str | Path) -> Synonyms:
    """Words stand between spaces or commas; lines without any are left out.

    Raises: BadInput where there is no such file, or no words in it, or one that stands alone on its line; MachineFault
    when the machine does not let us read it.
    """
    if not Path(path).is_file():
        raise BadInput(f"{path}: there is no such file; type one with a group of words on each line (augment.synonyms)")
    try:
        text = decode(str(path), Path(path).read_bytes())
    except OSError as problem:
        raise MachineFault(f"{path}: cannot be read ({problem.strerror or problem})") from None
    found: dict[str, dict[str, None]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = [*dict.fromkeys(re.split(r"[\s,]+", line.strip(" ,\t").lower()))]
        if words == [""]:
            continue
        if len(words) == 1:
            raise BadInput(
                f"{path}:{number}: '{words[0]}' stands alone; a group is two words or more (augment.synonyms)"
            )
        for word in words:
            found.setdefault(word, {}).update(dict.fromkeys(other for other in words if other != word))
    if not found:
        raise BadInput(f"{path}: holds no words; each line is a group such as 'film movie picture' (augment.synonyms)")
    return {word: tuple(others) for word, others in found.items()}
