"""The same utterances under other conditions: spoken faster or slower, or with noise."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, fields, replace

import numpy as np
import soxr

from tuner.data.audio import Samples
from tuner.data.utterances import Utterance, UtteranceSet
from tuner.errors import DataError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Condition:
    """What is done to speech before a model hears it; nothing where both are None.

    Attributes:
        speed: 1.1 is spoken in 10 % less time. It is resampled, so the pitch moves along, as of a tape.
        noise: white noise so many dB below the utterance's mean power; the same for an utterance each time.
    """

    speed: float | None = None
    noise: float | None = None

    def __post_init__(self) -> None:
        if self.speed is not None and not 0.25 <= self.speed <= 4:
            raise DataError(f"speed {self.speed:g}: expected a factor such as 0.9 or 1.1, between 0.25 and 4")

    @property
    def name(self) -> str:
        """As tables have it."""
        parts = [f"speed {self.speed:g}"] if self.speed is not None else []
        parts += [f"noise {self.noise:g} dB"] if self.noise is not None else []
        return ", ".join(parts) or "as it is"

    def alter(self, samples: Samples, rate: int, seed: str) -> Samples:
        """Samples [n] at `rate` Hz as [n / speed], with noise drawn from `seed`."""
        if self.speed is not None:
            samples = soxr.resample(samples, rate * self.speed, rate)
        if self.noise is not None:
            digest = hashlib.blake2b(f"{seed} {self.noise:g}".encode(), digest_size=8).digest()
            drawn = np.random.default_rng(int.from_bytes(digest, "big")).standard_normal(len(samples))
            power = float(np.mean(np.square(samples, dtype=np.float64)))
            samples = (samples + drawn * np.sqrt(power * 10 ** (-self.noise / 10))).astype(np.float32)
        return samples


@dataclass(frozen=True)
class Altered(Utterance):
    """An utterance that is heard under a condition."""

    condition: Condition = Condition()

    def samples(self, rate: int = 16_000) -> Samples:
        return self.condition.alter(super().samples(rate), rate, self.id)


def under(data: UtteranceSet, condition: Condition, max_seconds: float | None = None) -> UtteranceSet:
    """The same utterances, ids and references under a condition; those that are then longer than the model hears are
    left out, which is logged.

    Raises:
        DataError: all of them are.
    """
    if condition == Condition():
        return data
    altered = tuple(_altered(one, condition) for one in data.utterances)
    kept = tuple(one for one in altered if max_seconds is None or one.seconds <= max_seconds)
    where = f"{data.name}, {data.split}, {condition.name}"
    if not kept:
        raise DataError(f"{where}: all {len(data)} utterances are longer than the {max_seconds} s that the model hears")
    if len(kept) < len(altered):
        log.warning("%s: %d utterances are too long for the model and left out", where, len(altered) - len(kept))
    return replace(data, utterances=kept)


def _altered(one: Utterance, condition: Condition) -> Altered:
    values = {field.name: getattr(one, field.name) for field in fields(Utterance)}
    seconds = one.seconds / (condition.speed or 1.0)
    return Altered(**{**values, "seconds": seconds, "words": None, "condition": condition})
