"""Ctrl-C during a search: heard while a candidate is judged, held back while the study is being written."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self


class CtrlC:
    """Within it, Ctrl-C raises `KeyboardInterrupt` only inside `heard()`; elsewhere it waits for the next `heard()`.

    Optuna writes a trial's end in several steps and breaks when one of them is interrupted. A second Ctrl-C is never
    held back. Outside the main thread, or where the caller handles SIGINT already, nothing changes.
    """

    def __init__(self) -> None:
        self._pressed = self._hearing = self._installed = False

    def __enter__(self) -> Self:
        here = threading.current_thread() is threading.main_thread()
        if here and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._on_signal)
            self._installed = True
        return self

    def __exit__(self, *_: object) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Ctrl-C interrupts what runs here, and at once if it was pressed before."""
        try:
            self._hearing = True
            if self._pressed:
                raise KeyboardInterrupt
            yield
        finally:
            self._hearing = False

    def _on_signal(self, _signal: int, _frame: FrameType | None) -> None:
        if self._hearing or self._pressed:
            self._hearing = False
            raise KeyboardInterrupt
        self._pressed = True
