"""One label for a text or a pair of texts."""

from tl_run.task.classes import Classes
from tl_run.task.texts import Texts


class Classification(Classes, Texts):
    """Texts into the classes of the training file."""
