"""The language of ``--shape``: where to merge and how much should be left, for models whose thresholds are unknown."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tuner.errors import PolicyError

_SITE = re.compile(r"(?P<layer>\d+)=(?P<retention>[\d.]+)(:(?P<window>\d+))?")
_HELP = (
    "expected LAYER=RETENTION[:WINDOW] for every site (0=0.8,29=0.5:3), or layers and the share of the prefill FLOPs "
    "that should be left (0,10@0.7); +proportional behind either"
)


@dataclass(frozen=True)
class ShapeSite:
    """A merge site by what it keeps: `retention` of the audio tokens that enter it, unless a ratio decides."""

    layer: int
    retention: float = 1.0
    window: int = 1


@dataclass(frozen=True)
class Shape:
    """Merge sites without thresholds. With `ratio` all keep the same share, so that the prefill costs that much;
    `proportional` is the policy's."""

    text: str
    sites: tuple[ShapeSite, ...]
    ratio: float | None = None
    proportional: bool = False

    @classmethod
    def parse(cls, text: str) -> Shape:
        """Reads ``0=0.8,29=0.5:3`` or ``0,10@0.7``, with or without ``+proportional`` behind it.

        Raises:
            PolicyError: it is neither, a share is not between 0 and 1, or the layers do not increase.
        """
        said, plus, rule = text.replace(" ", "").partition("+")
        where, at, share = said.partition("@")
        try:
            if plus + rule not in ("", "+proportional"):
                raise ValueError(rule)
            sites = tuple(ShapeSite(int(part)) if at else _site(part) for part in where.split(","))
            shape = cls(text, sites, float(share) if at else None, proportional=bool(plus))
        except ValueError as error:
            raise PolicyError(f"shape {text!r}: {_HELP}") from error
        shape._check()
        return shape

    def _check(self) -> None:
        layers = [site.layer for site in self.sites]
        if layers != sorted(set(layers)):
            raise PolicyError(f"shape {self.text!r}: the layers must increase, got {layers}")
        shares = [site.retention for site in self.sites] if self.ratio is None else [self.ratio]
        if not all(0 < share <= 1 for share in shares):
            raise PolicyError(f"shape {self.text!r}: shares lie above 0 and at most at 1, got {shares}")
        if any(site.window < 1 for site in self.sites):
            raise PolicyError(f"shape {self.text!r}: a window is at least 1")


def _site(text: str) -> ShapeSite:
    found = _SITE.fullmatch(text)
    if found is None:
        raise ValueError(text)
    return ShapeSite(int(found["layer"]), float(found["retention"]), int(found["window"] or 1))
