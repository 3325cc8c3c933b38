"""The audio encoder run once: what it said about each batch is kept and said again to every candidate."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Hashable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.utils import _pytree
from transformers import PreTrainedModel

from tuner.evaluate.start import standing_in
from tuner.runtime.models import SpeechModel

log = logging.getLogger(__name__)

LIMIT = 2 << 30  # bytes in the computer's memory; beyond it the encoder runs anew


class Encoded:
    """Remembers what the encoders of a speech LLM return, which no policy changes.

    An encoder is every transformers model inside the speech LLM that neither holds nor is held by the decoder. Results
    are kept on the CPU and are told apart by a key that names the inputs, and by the order of calls within it.
    """

    def __init__(self, speech: SpeechModel, limit: int = LIMIT) -> None:
        self.limit = limit
        self._encoders = _encoders(speech)
        self._device = speech.root.device
        self._kept: dict[tuple[Hashable, int], list[Any]] = {}
        self._bytes = 0

    def forget(self) -> None:
        """Lets go of all that is kept, whose batches will not come again."""
        self._kept.clear()
        self._bytes = 0

    @contextmanager
    def remembered(self, key: Hashable) -> Iterator[None]:
        """Within it the model must be given the inputs that `key` names; what was kept for them is not run again."""
        with ExitStack() as stack:
            for number, encoder in enumerate(self._encoders):
                stack.enter_context(self._standing_in(encoder, (key, number)))
            yield

    @contextmanager
    def _standing_in(self, encoder: Any, key: tuple[Hashable, int]) -> Iterator[None]:
        genuine = encoder.forward
        left = deque(self._kept.get(key, ()))
        said: list[Any] = []

        def forward(*args: Any, **options: Any) -> Any:
            if left:
                return _moved(left.popleft(), self._device)
            result = genuine(*args, **options)
            said.append(_moved(result, torch.device("cpu")))
            return result

        with standing_in(encoder, forward):
            yield
        if key not in self._kept:
            self._keep(key, said)

    def _keep(self, key: tuple[Hashable, int], said: list[Any]) -> None:
        size = sum(leaf.nbytes for leaf in _pytree.tree_leaves(said) if isinstance(leaf, torch.Tensor))
        if self._bytes + size <= self.limit:
            self._kept[key] = said
            self._bytes += size
        elif self._bytes <= self.limit:
            log.info("the audio encoder's results fill %.1f GB: it runs anew for the rest", self.limit / 1e9)
            self._bytes = self.limit + 1  # said once


def _encoders(speech: SpeechModel) -> list[Any]:
    """The outermost transformers models beside the decoder."""
    held = set(speech.decoder.modules())
    found: list[Any] = []
    for module in speech.root.modules():
        beside = module not in held and speech.decoder not in set(module.modules())
        inside = any(module in set(outer.modules()) for outer in found)
        if isinstance(module, PreTrainedModel) and beside and not inside:
            found.append(module)
    return found


def _moved(result: Any, device: torch.device) -> Any:
    """A copy, so that nobody who writes into it spoils what is kept."""
    return _pytree.tree_map_only(torch.Tensor, lambda tensor: tensor.detach().to(device, copy=True), result)
