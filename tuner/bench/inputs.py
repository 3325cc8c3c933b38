"""What is heard in a benchmark: speech of any length for a model with its processor, noise for one without."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from tuner.bench.families import FRAMES, HEARING
from tuner.bench.prefill import Inputs
from tuner.data.audio import decode, resample
from tuner.data.folder import audio_files
from tuner.data.sources import REFERENCE_MANIFEST
from tuner.data.utterances import Utterance
from tuner.errors import DataError
from tuner.loading import LoadedModel
from tuner.tasks.known import get

Maker = Callable[[float, int], Inputs]
"""From seconds of audio and a batch size to a model's inputs; a DataError if the model cannot hear that much."""

_RATE = 16_000  # Hz, in which recordings are strung together
_RECORDINGS = REFERENCE_MANIFEST.parent / "test"
_ENOUGH = 40  # recordings, three minutes; then they come again
_TEXT = 16  # tokens before the audio, and after it


def speech(loaded: LoadedModel, recording: Path | None = None) -> Maker:
    """Inputs through the model's processor, from a recording, or from the shipped ones, over and over.

    Raises:
        DataError: the recording cannot be decoded.
    """
    files = audio_files(_RECORDINGS)[:_ENOUGH] if recording is None else [recording]
    samples = np.concatenate([resample(*decode(file), _RATE) for file in files])
    task = get("asr").for_model(loaded.speech.architecture)

    def make(seconds: float, batch_size: int) -> Inputs:
        wanted = round(seconds * _RATE)
        whole = np.resize(samples, wanted * batch_size).reshape(batch_size, wanted)
        utterances = [Utterance(f"prompt {row}", None, None, seconds, _encoded(part)) for row, part in enumerate(whole)]
        return loaded.on_device(task.prepare(loaded.processor, utterances))

    return make


def noise(loaded: LoadedModel) -> Maker:
    """Inputs as a processor would make them, of random features, for a model whose family is in `HEARING`."""
    config = loaded.model.config
    hearing, audio = HEARING[config.model_type], config.audio_config
    window, longest = hearing.window(audio), hearing.longest(config.audio_config)

    def make(seconds: float, batch_size: int) -> Inputs:
        if seconds > longest:
            raise DataError(f"{seconds:g} s of audio, but {loaded.id} hears only {longest:g} s")
        frames = round(seconds * FRAMES)
        windows = -(-frames // window)
        generator = torch.Generator().manual_seed(frames)
        heard = torch.arange(windows * window) < frames
        features = torch.randn(batch_size, audio.num_mel_bins, windows * window, generator=generator) * heard
        mask = heard.long().expand(batch_size, -1)
        if hearing.side_by_side:
            features = features.view(batch_size, -1, windows, window).transpose(1, 2).flatten(0, 1)
            mask = mask.reshape(-1, window)
        tokens = sum(hearing.tokens(audio, int(real)) for real in heard.view(windows, window).sum(1))
        ids = _ids(config, tokens, generator).expand(batch_size, -1)
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "input_features": features}
        if hearing.mask is not None:
            inputs[hearing.mask] = mask
        return loaded.on_device(inputs)

    return make


def _ids(config: Any, audio_tokens: int, generator: torch.Generator) -> torch.Tensor:
    """[1, tokens]: some text, the audio, some text."""
    audio_id, vocabulary = config.audio_token_id, config.get_text_config().vocab_size
    text = torch.randint(vocabulary - 1, (2, _TEXT), generator=generator)
    text += text >= audio_id  # any but the audio's
    return torch.cat([text[0], torch.full((audio_tokens,), audio_id), text[1]])[None]


def _encoded(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, _RATE, format="WAV", subtype="FLOAT")
    return file.getvalue()
