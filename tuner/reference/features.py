"""Batches of augmented speech as log-mel features, the way WhisperFeatureExtractor makes them but at true length."""

from __future__ import annotations

import math
import random

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import WhisperFeatureExtractor

RATE = 16_000
HOP, WINDOW = 160, 400
TEMPO = (0.8, 1.35)  # how much faster a clip is spoken
STATURE = (0.85, 1.18)  # how much higher all its frequencies lie, as with a shorter vocal tract


class Features:
    """Turns 16-bit clips into `[batch, mel bins, frames]` plus the frame count of each."""

    def __init__(self, extractor: WhisperFeatureExtractor, device: torch.device) -> None:
        self.filters = torch.from_numpy(np.asarray(extractor.mel_filters)).float().to(device)  # [bins, mel]
        self.hann = torch.hann_window(WINDOW, device=device)
        self.device = device

    def __call__(
        self, clips: list[NDArray[np.int16]], rng: random.Random, augment: bool = True
    ) -> tuple[torch.Tensor, torch.Tensor]:
        waves = [torch.from_numpy(np.array(clip)).to(self.device).float() / 32768 for clip in clips]
        scales = torch.ones(len(waves), device=self.device)
        if augment:
            tempos = [max(_between(TEMPO, rng), len(wave) / (9.9 * RATE)) for wave in waves]
            waves = [_change_speed(wave, tempo) for wave, tempo in zip(waves, tempos, strict=True)]
            scales = torch.tensor([_between(STATURE, rng) / tempo for tempo in tempos], device=self.device)
        lengths = torch.tensor([len(wave) for wave in waves], device=self.device)
        samples = -(-int(lengths.max()) // (4 * HOP)) * 4 * HOP  # whole audio tokens
        batch = torch.zeros(len(waves), samples, device=self.device)
        for row, wave in zip(batch, waves, strict=True):
            row[: len(wave)] = wave
        if augment:
            batch = _room_and_noise(batch, lengths, rng)
        mel = self._log_mel(batch, scales)
        frames = -(-lengths // HOP)
        return (_mask_bands(mel, frames, rng) if augment else mel), frames

    def _log_mel(self, batch: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
        spectrum = torch.stft(batch, WINDOW, HOP, window=self.hann, return_complex=True)[..., :-1].abs() ** 2
        log = torch.clamp(self._filters(scales).mT @ spectrum, min=1e-10).log10()
        return (torch.maximum(log, log.amax(dim=(1, 2), keepdim=True) - 8) + 4) / 4

    def _filters(self, scales: torch.Tensor) -> torch.Tensor:
        """Filters `[batch, bins, mel]` that hear every frequency of utterance i `scales[i]` times higher.

        Vocal tract length perturbation (Jaitly and Hinton, 2013), which also undoes the pitch of a changed speed.
        """
        bins = len(self.filters)
        places = torch.arange(bins, device=self.device) * scales[:, None]
        below = places.long().clamp(max=bins - 2)
        share = (places - below)[..., None]
        filters = self.filters[below] * (1 - share) + self.filters[below + 1] * share
        return filters * (places <= bins - 1)[..., None]


def _between(bounds: tuple[float, float], rng: random.Random) -> float:
    """Log-uniform, so that twice and half are as likely."""
    return math.exp(rng.uniform(math.log(bounds[0]), math.log(bounds[1])))


def _change_speed(wave: torch.Tensor, speed: float) -> torch.Tensor:
    """Speed and every frequency together, by linear interpolation."""
    size = int(len(wave) / speed)
    changed: torch.Tensor = torch.nn.functional.interpolate(wave[None, None], size=size, mode="linear").flatten()
    return changed


def _room_and_noise(batch: torch.Tensor, lengths: torch.Tensor, rng: random.Random) -> torch.Tensor:
    """For each a random microphone (equaliser, telephone band), room (reverberation, echo), noise and gain."""
    rows, samples = batch.shape
    generator = torch.Generator(device=batch.device).manual_seed(rng.getrandbits(31))
    size = samples + 3 * RATE // 2  # room for the longest echo, so that none comes back at the start
    spectrum = torch.fft.rfft(batch, n=size)
    bins = spectrum.shape[1]
    for row in range(rows):
        if rng.random() < 0.6:
            curve = torch.tensor([rng.gauss(0, 5) for _ in range(8)], device=batch.device)  # dB at 8 even frequencies
            decibels = torch.nn.functional.interpolate(curve[None, None], size=bins, mode="linear")[0, 0]
            spectrum[row] *= 10 ** (decibels / 20)
        if rng.random() < 0.25:
            spectrum[row, int(bins * rng.uniform(0.4, 0.7)) :] *= 0.01
        if rng.random() < 0.35:
            spectrum[row] *= torch.fft.rfft(_reverberation(rng, generator, batch.device), n=size)
        if rng.random() < 0.2:
            spectrum[row] *= torch.fft.rfft(_echo(rng, batch.device), n=size)
    sound = torch.fft.irfft(spectrum, n=size)[:, :samples]
    inside = torch.arange(samples, device=batch.device) < lengths[:, None]
    sound = sound * inside
    power = (sound**2).sum(1, keepdim=True) / lengths[:, None]
    ratio = torch.tensor([10 ** (-rng.uniform(8, 45) / 10) for _ in range(rows)], device=batch.device)[:, None]
    noise = torch.randn(rows, samples, generator=generator, device=batch.device)
    if rng.random() < 0.5:  # a duller noise: a running mean of the white one
        noise = 2 * torch.nn.functional.avg_pool1d(noise[:, None], 5, stride=1, padding=2)[:, 0]
    gain = torch.tensor([10 ** rng.uniform(-1, 0.3) for _ in range(rows)], device=batch.device)[:, None]
    noisy: torch.Tensor = (sound + noise * (power * ratio).sqrt()) * inside * gain
    return noisy


def _reverberation(rng: random.Random, generator: torch.Generator, device: torch.device) -> torch.Tensor:
    """An impulse response: the direct sound, then noise that decays by 60 dB in 0.1 to 0.4 s."""
    decay = rng.uniform(0.1, 0.4)
    time = torch.arange(int(decay * RATE), device=device) / RATE
    tail = torch.randn(len(time), generator=generator, device=device) * torch.exp(-math.log(1000) * time / decay)
    tail *= rng.uniform(0.1, 0.6) / tail.norm()
    tail[0] = 1.0
    return tail


def _echo(rng: random.Random, device: torch.device) -> torch.Tensor:
    """An impulse response: the sound comes back after 15 to 250 ms, and again, each time weaker."""
    delay, gain = int(rng.uniform(0.015, 0.25) * RATE), rng.uniform(0.1, 0.5)
    response = torch.zeros(4 * delay + 1, device=device)
    response[::delay] = gain ** torch.arange(5, device=device)
    return response


def _mask_bands(mel: torch.Tensor, frames: torch.Tensor, rng: random.Random) -> torch.Tensor:
    """SpecAugment (arXiv 1904.08779): two bands of frequency and some of time set to the mean."""
    for row, count in zip(mel, frames.tolist(), strict=True):
        mean = row[:, :count].mean()
        for _ in range(2):
            width = rng.randint(0, 12)
            start = rng.randint(0, row.shape[0] - width)
            row[start : start + width] = mean
        for _ in range(1 + count // 200):
            width = rng.randint(0, 16)
            start = rng.randint(0, max(count - width, 0))
            row[:, start : start + width] = mean
    return mel
