"""What the audio encoder made of each utterance, run once and kept: prompts that any batch can be put together from."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from tuner.data.utterances import Utterance
from tuner.evaluate.answers import pad_of
from tuner.evaluate.forced import padded
from tuner.evaluate.keep import Keep
from tuner.evaluate.start import audio_placed, rows_of, seen_at, stopped_at
from tuner.loading import LoadedModel

Inputs = dict[str, Any]


class Heard:
    """Prompts as token ids, and what stood at their audio positions when they entered the decoder.

    Embeddings of audio are kept as the batches they were heard in made them: some encoders make something else of an
    utterance that is alone.
    """

    def __init__(self, loaded: LoadedModel, keep: Keep) -> None:
        self._loaded, self._keep = loaded, keep
        self.ids: dict[str, Tensor] = {}

    def hear(self, batch: Sequence[Utterance], inputs: Inputs) -> None:
        """Runs the model on a batch as far as the decoder's first layer."""
        real = inputs["attention_mask"].bool()
        audio = (inputs["input_ids"] == self._loaded.speech.audio_token_id) & real

        def keep(hidden: Tensor) -> None:
            for one, embedded, ids, kept in zip(batch, rows_of(hidden, audio), inputs["input_ids"], real, strict=True):
                self._keep.put(one.id, embedded)
                self.ids[one.id] = ids[kept].clone()

        speech = self._loaded.speech
        with torch.inference_mode(), stopped_at(speech, 0), seen_at(speech, 0, keep):
            self._loaded.model(**inputs, use_cache=False)

    @property
    def ends_with_audio(self) -> bool:
        """Whether the last token of a prompt is audio, which may merge only where something comes after it."""
        return any(int(ids[-1]) == self._loaded.speech.audio_token_id for ids in self.ids.values())

    def inputs(self, batch: Sequence[Utterance], answers: Sequence[Sequence[int]]) -> Inputs:
        """Left-padded prompts, each followed by an answer's token ids; without audio, which `placed` puts in."""
        rows = [
            torch.cat([self.ids[one.id], torch.tensor(answer, dtype=torch.long, device=self._loaded.device)])
            for one, answer in zip(batch, answers, strict=True)
        ]
        return padded(rows, pad_of(self._loaded.model))

    def placed(self, batch: Sequence[Utterance], inputs: Inputs) -> AbstractContextManager[None]:
        """Within it a pass over `inputs` of the batch hears its audio."""
        speech = self._loaded.speech
        places = (inputs["input_ids"] == speech.audio_token_id) & inputs["attention_mask"].bool()
        # An answer may hold the audio's token id too; it stays the word that it is.
        prompts = torch.tensor([len(self.ids[one.id]) for one in batch], device=places.device)
        begins = inputs["attention_mask"].argmax(1)
        places &= torch.arange(places.shape[1], device=places.device) < (begins + prompts)[:, None]
        return audio_placed(speech, torch.cat([self._keep.get(one.id) for one in batch], dim=-2), places)
