"""SIGINT, SIGTERM, SIGHUP and SIGUSR1 ask a run to stop; it stops at the next step, with a checkpoint."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Self

from tl_run.errors import Interrupted

ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


class Signals:
    """`with Signals() as signals:` in training a signal is noted in `asked`; else, and the second time, it ends us."""

    def __init__(self) -> None:
        self.asked: str | None = None
        self.training = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in ASKING}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)  # type: ignore[arg-type]

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = signal.Signals(number).name
        if not self.training:
            raise Interrupted(self.asked)
