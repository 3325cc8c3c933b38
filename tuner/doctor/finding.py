"""What a check found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tuner.doctor.case import Case


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        wrong: what does not hold, in a sentence; empty where all does.
        worst: the greatest difference to the slow reference, where the check compares numbers.
        remark: what else a reader should know, such as that transformers itself cannot do this with the model.
    """

    wrong: str = ""
    worst: float | None = None
    remark: str = ""


Check = Callable[[Case], Finding]
