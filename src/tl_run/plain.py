"""Text for a terminal that comes from data, folders or people: it does not steer the terminal, and tells no secret."""

from rich.text import Text

from tl_run.failures import printable
from tl_run.secrets import scrub


def plain(words: str, style: str = "") -> Text:
    """Without markup and secrets, and with control characters, but for the ends of lines, as Python writes them."""
    return Text("\n".join(map(printable, scrub(words).split("\n"))), style=style)
