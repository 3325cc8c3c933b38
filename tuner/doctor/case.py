"""One model, a few utterances and one policy, with what the slow reference says of them: what every check works on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from tuner.data.utterances import Utterance
from tuner.doctor.reference import Inputs, Reference, reference
from tuner.doctor.running import apart, entering_decoder
from tuner.evaluate.answers import ends_of
from tuner.loading import LoadedModel
from tuner.policy import MergeSite, Policy
from tuner.runtime.affinity import Position
from tuner.runtime.models import SpeechModel
from tuner.tasks.known import get

NEW_TOKENS = 4
ENCODER = 1e-5  # differences in what enters the decoder that are rounding


@dataclass(frozen=True)
class Shape:
    """A policy in the terms of any model: sites as (share of the depth, window, largest group); thresholds are set by
    what is heard.

    `everything` merges each run of audio into one token, the way that no rounding can change; `proportional` is the
    policy's.
    """

    name: str
    sites: tuple[tuple[float, int, int], ...]
    position: Position = "first"
    everything: bool = False
    proportional: bool = False


SHAPES = (
    Shape("input", ((0.0, 1, 0),)),
    Shape("deep", ((0.5, 3, 0),), position="middle"),
    Shape("three sites", ((0.0, 1, 2), (0.4, 2, 3), (1.0, 3, 0)), position="last"),
    Shape("proportional", ((0.0, 1, 3), (0.5, 2, 0)), proportional=True),
    Shape("everything", ((0.3, 1, 0),), everything=True),
)


@dataclass(frozen=True)
class Speech:
    """A model and the utterances it is checked on.

    Attributes:
        alone: model inputs of each utterance.
        batch: of all of them, left-padded.
        heard: of each utterance, what enters the decoder [1, tokens, hidden] when it is encoded in the batch.
        encoder: how far that is from what enters it when the utterance is encoded alone; the model's own doing.
        continuation: tokens that the model is made to say.
    """

    loaded: LoadedModel
    alone: tuple[Inputs, ...]
    batch: Inputs
    heard: tuple[Tensor, ...]
    encoder: float
    continuation: tuple[int, ...]

    @classmethod
    def of(cls, loaded: LoadedModel, utterances: Sequence[Utterance], task: str = "asr") -> Speech:
        """Prepares the utterances through the model's own processor, as the task asks for them."""
        asked = get(task).for_model(loaded.speech.architecture)

        def prepared(some: Sequence[Utterance]) -> dict[str, Any]:
            return loaded.on_device(asked.prepare(loaded.processor, some))

        alone = tuple(prepared([one]) for one in utterances)
        unsaid = {loaded.speech.audio_token_id, *ends_of(loaded.model)}
        words = [token for token in alone[0]["input_ids"][0].tolist() if token not in unsaid]
        said = tuple(words[step % len(words)] for step in range(1, 3 * NEW_TOKENS, 3))
        batch = prepared(utterances)
        together = entering_decoder(loaded.speech, batch)
        apiece = [entering_decoder(loaded.speech, one) for one in alone]
        heard = tuple(together[row : row + 1, -one.shape[1] :].clone() for row, one in enumerate(apiece))
        encoder = max(apart(one, other) for one, other in zip(apiece, heard, strict=True))
        return cls(loaded, alone, batch, heard, encoder, said)

    @property
    def hears_alike(self) -> bool:
        """Whether the encoder makes the same of an utterance in a batch and alone, but for rounding."""
        return self.encoder <= ENCODER


class Case:
    """A policy on a model's speech. References are worked out when they are first asked for."""

    def __init__(self, speech: Speech, shape: Shape) -> None:
        self.speech, self.shape = speech, shape
        self.model: Any = speech.loaded.model
        self.parts: SpeechModel = speech.loaded.speech
        self.sites = _sites(speech, self.parts, shape)

    @cached_property
    def policy(self) -> Policy:
        shape = self.shape
        return Policy.for_model(self.model, self.sites, position=shape.position, proportional=shape.proportional)

    @cached_property
    def identity(self) -> Policy:
        return Policy.for_model(self.model, ())

    @cached_property
    def alone(self) -> list[Reference]:
        """Of every utterance by itself, with the continuation."""
        return [self.slowly(inputs, self.speech.continuation) for inputs in self.speech.alone]

    @cached_property
    def together(self) -> list[Reference]:
        """Of every utterance as it is encoded in the batch, with the continuation."""
        return self.alone if self.speech.hears_alike else self._together(self.sites)

    @cached_property
    def unmerged(self) -> list[Reference]:
        """The same without a policy: how far the slow and the fast way are apart by rounding alone."""
        return self._together(())

    def slowly(self, inputs: Inputs, continuation: Sequence[int] = (), labels: Tensor | None = None) -> Reference:
        """The slow reference's answer under the policy."""
        return self._reference(inputs, self.sites, continuation=continuation, labels=labels)

    def _together(self, sites: Sequence[MergeSite]) -> list[Reference]:
        return [
            self._reference(inputs, sites, continuation=self.speech.continuation, heard=heard)
            for inputs, heard in zip(self.speech.alone, self.speech.heard, strict=True)
        ]

    @property
    def _reference(self) -> Callable[..., Reference]:
        return partial(reference, self.model, position=self.shape.position, proportional=self.shape.proportional)


def _sites(speech: Speech, parts: SpeechModel, shape: Shape) -> tuple[MergeSite, ...]:
    """The shape's sites, each threshold where it merges about half and no rounding decides."""
    deepest = parts.num_layers - 1 if parts.first_donor is None else parts.first_donor
    sites: list[MergeSite] = []
    for depth, window, largest in shape.sites:
        layer = round(depth * deepest)
        if sites and layer <= sites[-1].layer:
            continue
        threshold = -1.0
        if not shape.everything:
            heard = [
                reference(speech.loaded.model, one, sites, shape.position, proportional=shape.proportional)
                for one in speech.alone
            ]
            threshold = _between([_similarities(one, layer, window) for one in heard])
        sites.append(MergeSite(layer=layer, threshold=threshold, window=window, largest=largest))
    return tuple(sites)


def _similarities(heard: Reference, layer: int, window: int) -> list[Tensor]:
    """Cosines of an utterance's audio entries to those 1 .. window before them."""
    audio = torch.tensor(heard.audio[layer], device=heard.hidden[layer].device)
    unit = torch.nn.functional.normalize(heard.hidden[layer].float(), dim=-1)
    lags = range(1, min(window, len(unit) - 1) + 1)
    return [(unit[lag:] * unit[:-lag]).sum(-1)[audio[lag:] & audio[:-lag]] for lag in lags]


def _between(similar: Sequence[Sequence[Tensor]]) -> float:
    """The middle of the widest gap between the similarities, near the median of those to the token before.

    Where next to no audio is left, all of it merges.
    """
    nearest = torch.cat([one[0] for one in similar])
    low, high = nearest.quantile(torch.tensor([0.35, 0.65], device=nearest.device)).tolist()
    values = torch.cat([lag for one in similar for lag in one]).sort().values
    if len(values) < 2:
        return -1.0
    middle = values[(values >= low) & (values <= high)]
    values = middle if len(middle) > 1 else values
    gap = int(values.diff().argmax())
    return float((values[gap] + values[gap + 1]) / 2)
