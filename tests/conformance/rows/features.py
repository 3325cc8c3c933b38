"""Feature extractors without torchaudio or librosa: their families' framing and lengths over Whisper's mel filters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import BatchFeature, SequenceFeatureExtractor, WhisperFeatureExtractor

from tests.conformance.rows.parts import MEL_BINS

HOP = 160


class _Mel(SequenceFeatureExtractor):  # type: ignore[misc]
    """Log-mel frames of 10 ms, `[batch, frames, bins]`, zero where a clip has ended."""

    model_input_names: ClassVar = ["input_features"]

    def __init__(self) -> None:
        super().__init__(feature_size=MEL_BINS, sampling_rate=16_000, padding_value=0.0)
        self.whisper = WhisperFeatureExtractor(feature_size=MEL_BINS)

    def mel(self, clips: Sequence[Any], frames: Sequence[int]) -> list[Tensor]:
        def one(clip: Any, count: int) -> Tensor:
            heard = self.whisper(clip, sampling_rate=16_000, max_length=HOP * count, return_tensors="pt")
            features: Tensor = heard["input_features"][0].T
            return features

        return [one(clip, count) for clip, count in zip(clips, frames, strict=True)]


class GraniteFeatures(_Mel):
    """Pairs of frames, and three tokens for every 15 of them."""

    def __call__(self, audios: Sequence[Any], device: str = "cpu") -> BatchFeature:
        frames = [len(clip) // HOP + 1 for clip in audios]
        pairs = [
            mel[: count // 2 * 2].reshape(-1, 2 * MEL_BINS)
            for mel, count in zip(self.mel(audios, frames), frames, strict=True)
        ]
        sizes = [-(-len(clip) // 15) * 3 for clip in pairs]
        mask = torch.arange(max(sizes)) < torch.tensor(sizes)[:, None]
        padded = pad_sequence(pairs, batch_first=True)
        return BatchFeature({"input_features": padded, "audio_embed_sizes": sizes, "input_features_mask": mask})


class StackedFeatures(_Mel):
    """Seven frames side by side, at every sixth."""

    def __call__(self, raw_speech: Sequence[Any], **_: Any) -> BatchFeature:
        stacked = []
        for mel in self.mel(raw_speech, [len(clip) // HOP for clip in raw_speech]):
            around = torch.cat([mel[:1].expand(3, -1), mel, mel[-1:].expand(8, -1)])
            windows = around.unfold(0, 7, 6)[: -(-len(mel) // 6)]
            stacked.append(windows.transpose(1, 2).reshape(len(windows), -1))
        mask = torch.arange(max(map(len, stacked))) < torch.tensor([len(clip) for clip in stacked])[:, None]
        padded = pad_sequence(stacked, batch_first=True)
        return BatchFeature({"input_features": padded, "input_features_mask": mask.long()})


class PlainFeatures(_Mel):
    """The frames as they are, with their mask."""

    hop_length = HOP

    def __call__(self, raw_speech: Sequence[Any], **_: Any) -> BatchFeature:
        frames = [len(clip) // HOP for clip in raw_speech]
        padded = pad_sequence(self.mel(raw_speech, frames), batch_first=True)
        mask = torch.arange(max(frames)) < torch.tensor(frames)[:, None]
        return BatchFeature({"input_features": padded, "attention_mask": mask.long()})
