"""One label for a text or a pair of texts; or several, which is a kind of its own."""

from typing import Any

from tl_run.task.classes import Classes
from tl_run.task.kind import Kind
from tl_run.task.texts import Texts


class Classification(Classes, Texts):
    """Texts into the classes of the training file."""

    @classmethod
    def of(cls, options: Any) -> Kind:
        if not getattr(options, "multi_label", False):
            return cls(options)
        from tl_run.task.multi_label import MultiLabel

        return MultiLabel(options)
