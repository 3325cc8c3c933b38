"""Voxtral: 12.5 tokens a second, in chunks that are always full, and a tokenizer that also reads the audio."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any, ClassVar

import soundfile
from transformers import (
    BatchFeature,
    PreTrainedTokenizerFast,
    VoxtralConfig,
    VoxtralForConditionalGeneration,
    VoxtralProcessor,
    WhisperFeatureExtractor,
)

from tests.conformance.rows.parts import MEL_BINS, TEXT, settled
from tests.conformance.tokens import tokenizer

AUDIO = 24
"""The processor's own constant."""

CHUNK_POSITIONS, CHUNK_TOKENS = 32, 8
CHUNK_SAMPLES = 320 * CHUNK_POSITIONS

SPECIAL = {"audio_token": "[AUDIO]", "transcribe_token": "[TRANSCRIBE]"}


class _Tokenizer(PreTrainedTokenizerFast):  # type: ignore[misc]
    """What mistral-common does for Voxtral: prompts around audio, and conversations whose audio is read from base64."""

    def around(self, clips: Sequence[Any], after: str) -> dict[str, Any]:
        texts = [self.audio_token * (CHUNK_TOKENS * -(-len(clip) // CHUNK_SAMPLES)) + after for clip in clips]
        return dict(self(texts, padding=True, padding_side="left"))

    def apply_chat_template(self, conversations: Any, **_: Any) -> dict[str, Any]:
        contents = [turns[0]["content"] for turns in conversations]
        files = [io.BytesIO(base64.b64decode(audio["base64"])) for audio, _text in contents]
        clips = [soundfile.read(file, dtype="float32")[0] for file in files]
        return {**self.around(clips, contents[0][1]["text"]), "audio": clips}


class _Processor(VoxtralProcessor):  # type: ignore[misc]
    """Chunks of 0.64 s instead of 30 s, and a transcription request that does without mistral-common."""

    audio_kwargs: ClassVar = {
        **VoxtralProcessor.audio_kwargs,
        "pad_to_multiple_of": CHUNK_SAMPLES,
        "max_source_positions": 2 * CHUNK_POSITIONS,
    }

    def apply_transcription_request(
        self,
        audio: Sequence[Any],
        model_id: str,
        language: str | None = None,
        sampling_rate: int | None = None,
        format: str | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        options = self._merge_kwargs(**kwargs)["audio_kwargs"]
        if format is None or sampling_rate != options["sampling_rate"]:
            raise ValueError("arrays need a format and the rate of the processor")
        positions = options.pop("max_source_positions")
        features = self._retrieve_input_features(audio, positions, **options)
        return BatchFeature({**self.tokenizer.around(audio, "[TRANSCRIBE]"), "input_features": features}, "pt")


def model() -> Any:
    config = VoxtralConfig(
        audio_config={
            "num_mel_bins": MEL_BINS,
            "hidden_size": 32,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_source_positions": CHUNK_POSITIONS,
        },
        text_config={"model_type": "llama", **TEXT},
        audio_token_id=AUDIO,
    )
    return settled(VoxtralForConditionalGeneration(config))


def processor() -> Any:
    return _Processor(
        WhisperFeatureExtractor(feature_size=MEL_BINS), tokenizer(SPECIAL, {"audio_token": AUDIO}, _Tokenizer)
    )
