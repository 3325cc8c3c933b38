"""Every family of speech LLMs that audio tokens can be merged in: a tiny random model and a processor of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from tests.conformance.rows import (
    audioflamingo3,
    fun_asr_nano,
    gemma3n,
    gemma4,
    glmasr,
    granite_speech,
    moss_transcribe_diarize,
    musicflamingo,
    nemotron3_5_transcribe,
    phi4_multimodal,
    qwen2_5_omni,
    qwen2_audio,
    qwen3_asr,
    qwen3_omni_moe,
    vibevoice_asr,
    voxtral,
)
from tuner.loading import LoadedModel
from tuner.runtime.models import describe


@dataclass(frozen=True)
class Family:
    """How to build one family's model and processor; the same at every call."""

    name: str
    model: Callable[[], Any]
    processor: Callable[[], Any]


_ROWS = (
    Family("qwen2_audio", qwen2_audio.model, qwen2_audio.processor),
    Family(
        "qwen2_audio_sliding",
        partial(qwen2_audio.model, model_type="mistral", sliding_window=8),
        qwen2_audio.processor,
    ),
    Family(
        "qwen2_audio_mixed",
        partial(
            qwen2_audio.model,
            use_sliding_window=True,
            sliding_window=8,
            layer_types=["full_attention", "sliding_attention"] * 2,
        ),
        qwen2_audio.processor,
    ),
    Family("qwen2_5_omni", qwen2_5_omni.model, qwen2_5_omni.processor),
    Family("qwen3_omni_moe", qwen3_omni_moe.model, qwen3_omni_moe.processor),
    Family("qwen3_asr", qwen3_asr.model, qwen3_asr.processor),
    Family("voxtral", voxtral.model, voxtral.processor),
    Family("audioflamingo3", audioflamingo3.model, audioflamingo3.processor),
    Family("musicflamingo", musicflamingo.model, musicflamingo.processor),
    Family("glmasr", glmasr.model, glmasr.processor),
    Family("granite_speech", granite_speech.model, granite_speech.processor),
    Family("granite_speech_plus", granite_speech.plus, granite_speech.processor),
    Family("phi4_multimodal", phi4_multimodal.model, phi4_multimodal.processor),
    Family("fun_asr_nano", fun_asr_nano.model, fun_asr_nano.processor),
    Family("moss_transcribe_diarize", moss_transcribe_diarize.model, moss_transcribe_diarize.processor),
    Family("vibevoice_asr", vibevoice_asr.model, vibevoice_asr.processor),
    Family("nemotron3_5_transcribe", nemotron3_5_transcribe.model, nemotron3_5_transcribe.processor),
    Family("gemma3n", gemma3n.model, gemma3n.processor),
    Family("gemma4", gemma4.model, gemma4.processor),
)

FAMILIES = {family.name: family for family in _ROWS}


def load(name: str, attention: str = "sdpa") -> LoadedModel:
    """A family's model on the CPU in float32, its decoder with `attention` (sdpa or eager), and its processor."""
    family = FAMILIES[name]
    model = family.model()
    speech = describe(model)
    speech.decoder.set_attn_implementation(attention)
    return LoadedModel(name, model, family.processor(), speech, torch.device("cpu"))
