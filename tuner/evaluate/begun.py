"""Passes that stopped before a layer, to learn what a site there would save, and that can go on from it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from tuner.evaluate.evaluator import ids_of
from tuner.evaluate.halving import Batch
from tuner.evaluate.retention import Retention
from tuner.evaluate.start import begun_at
from tuner.runtime.apply import Entered, Handle
from tuner.runtime.models import SpeechModel


@dataclass(frozen=True)
class Begun:
    """Passes under a policy that stopped before a layer.

    Attributes:
        layer: which one.
        retention: what a site there would keep.
        states: by the ids of a batch, what entered the layer and the pass up to there.
    """

    layer: int
    retention: Retention
    states: dict[tuple[str, ...], Entered] = field(repr=False)

    def go_on(self, speech: SpeechModel, handle: Handle, batch: Batch) -> AbstractContextManager[None] | None:
        """Within it the model, with `handle`'s policy, goes on with the pass of that batch; None where its states are
        not kept, because memory ran out."""
        entered = self.states.get(ids_of(batch))
        if entered is None:
            return None
        handle.go_on(self.layer, entered.begun)
        return begun_at(speech, self.layer, entered.hidden)
