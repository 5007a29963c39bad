"""No store: the model is run as a whole, whatever is frozen."""

from typing import Any

from tl_run.evaluation import whole


class Nothing:
    """What `Reuse` is to a run, for a model of which no states are kept."""

    stored_mb = 0.0
    __call__ = staticmethod(whole)

    def __init__(self, why: str) -> None:
        self.why = why

    def words(self) -> str:
        """For the plan."""
        return f"nothing: {self.why}"

    def enter(self, phase: Any, **others: Any) -> str:
        """There is nothing to fill, and nothing to warn of."""
        return ""

    def leave(self) -> None:
        """There is nothing to leave."""
