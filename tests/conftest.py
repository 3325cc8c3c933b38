"""What every test gets: the logging that it found, whatever the command line set up, and a Ctrl-C that works."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c() -> None:
    """Shells start what runs in the background with Ctrl-C ignored, which every child process would inherit."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
