"""All checks on one model, one policy shape after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from tuner.data.sources import REFERENCE_MANIFEST
from tuner.doctor.case import SHAPES, Case, Shape, Speech
from tuner.doctor.checks import CHECKS
from tuner.doctor.finding import Finding

SHIPPED = [REFERENCE_MANIFEST.parent / "selection" / name for name in ("001.flac", "002.flac", "005.flac")]
LIMIT = 1e-4  # of the difference between logits in float32
ROUNDING = 10.0  # so many times what the bare model's own rounding makes of it, where that is more


@dataclass(frozen=True)
class Examined:
    """One check under one policy; `limit` is what `finding.worst` may be."""

    shape: Shape
    check: str
    finding: Finding
    limit: float

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong and the numbers are close enough."""
        return not self.reason

    @property
    def reason(self) -> str:
        """What does not hold, in a sentence."""
        worst = self.finding.worst or 0.0
        too_far = f"{worst:.1e} from the slow reference, more than {self.limit:.1e}" if worst > self.limit else ""
        return self.finding.wrong or too_far


def shapes_for(dtype: torch.dtype) -> tuple[Shape, ...]:
    """The policies that can be compared in that precision: below float32, rounding decides which tokens are alike."""
    return tuple(shape for shape in SHAPES if shape.everything or dtype == torch.float32)


def examine(speech: Speech, shapes: Sequence[Shape], checks: Sequence[str] = tuple(CHECKS)) -> Iterator[Examined]:
    """Runs the checks, which come one by one as they are done."""
    rounding: Finding | None = None
    for shape in shapes:
        case = Case(speech, shape)
        if rounding is None:  # of the bare model, so the same under every policy
            rounding = CHECKS["rounding"](case)
        limit = max(LIMIT, ROUNDING * (rounding.worst or 0.0))
        for name in checks:
            finding = rounding if name == "rounding" else CHECKS[name](case)
            yield Examined(shape, name, finding, limit)
