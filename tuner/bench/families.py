"""How the audio encoders of the families that can be built from a config alone take audio, and what they make of it.

A processor prepares this for a checkpoint; a config comes without one. All take log-mel features, 100 frames a second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

FRAMES = 100
"""Log-mel frames in a second."""


@dataclass(frozen=True)
class Hearing:
    """One family's encoder. `audio` below is the model's audio config.

    Attributes:
        window: from `audio` to the frames that one window holds; audio is padded to full windows.
        tokens: from `audio` and the frames of a window that hold audio to the decoder tokens they become.
        side_by_side: whether further windows are further rows of the features, rather than one long row.
        mask: the argument that tells frames of audio from padding, None where the encoder takes none.
        seconds: the longest audio that the family is made for, None for a single window.
    """

    window: Callable[[Any], int]
    tokens: Callable[[Any, int], int]
    side_by_side: bool
    mask: str | None
    seconds: float | None

    def longest(self, audio: Any) -> float:
        """Seconds of audio that it takes at most."""
        return self.window(audio) / FRAMES if self.seconds is None else self.seconds


def _whisper_window(audio: Any) -> int:
    return 2 * int(audio.max_source_positions)


def _halved(frames: int) -> int:
    return (frames - 1) // 2 + 1


def _pooled(_: Any, frames: int) -> int:
    """A convolution of stride 2, then the mean of every two."""
    return _halved(frames) // 2


def _stacked(audio: Any, _: int) -> int:
    """Neighbours side by side until they are as wide as the projector; padding is heard as silence."""
    return int(audio.max_source_positions * audio.hidden_size // audio.intermediate_size)


def _eighth(_: Any, frames: int) -> int:
    """Three convolutions of stride 2."""
    return _halved(_halved(_halved(frames)))


HEARING: Mapping[str, Hearing] = {
    "qwen2_audio": Hearing(_whisper_window, _pooled, True, "feature_attention_mask", seconds=None),
    # Ten minutes: max_audio_len of transformers' AudioFlamingo3Processor.
    "audioflamingo3": Hearing(_whisper_window, _pooled, True, "input_features_mask", seconds=600),
    # 40 minutes: https://huggingface.co/mistralai/Voxtral-Mini-3B-2507 (32k tokens).
    "voxtral": Hearing(_whisper_window, _stacked, True, None, seconds=2400),
    # 20 minutes: https://arxiv.org/abs/2601.21337.
    "qwen3_asr": Hearing(lambda audio: 2 * int(audio.n_window), _eighth, False, "input_features_mask", seconds=1200),
}
"""By the config's ``model_type``."""
