"""Text for a terminal that comes from data, folders or people: it does not steer the terminal."""

from rich.text import Text

from tl_run.failures import printable


def plain(words: str, style: str = "") -> Text:
    """Without markup, and with control characters, but for the ends of lines, as Python writes them."""
    return Text("\n".join(map(printable, words.split("\n"))), style=style)
