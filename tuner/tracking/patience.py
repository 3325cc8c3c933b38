"""Calls that are given up when they take too long."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYetError
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, call: Callable[[], T]) -> T:
    """Calls in a thread that is left behind when it takes too long: not every database driver has a time limit."""
    result: Future[T] = Future()

    def work() -> None:
        try:
            result.set_result(call())
        except BaseException as error:
            result.set_exception(error)

    Thread(target=work, daemon=True, name="mlflow").start()
    try:
        return result.result(timeout=seconds)
    except NotYetError:
        if result.done():  # the call itself ran into a time limit
            raise
        raise TimeoutError(f"no answer within {seconds:.0f} s") from None
