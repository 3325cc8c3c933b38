"""From utterances to batches of model inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import BatchFeature

from tuner.data.prompts import ask, extractor, window_seconds
from tuner.data.utterances import Utterance
from tuner.errors import DataError


def batches(utterances: Sequence[Utterance], batch_size: int) -> list[list[Utterance]]:
    """Batches of similar lengths for one task each, the longest first: memory runs out at once or never."""
    if batch_size < 1:
        raise DataError(f"the batch size must be at least 1, got {batch_size}")
    ordered = sorted(utterances, key=lambda utterance: (-utterance.seconds, utterance.id))
    found = []
    for task in dict.fromkeys(utterance.for_task for utterance in ordered):
        alike = [utterance for utterance in ordered if utterance.for_task == task]
        found += [alike[start : start + batch_size] for start in range(0, len(alike), batch_size)]
    return sorted(found, key=lambda batch: -batch[0].seconds)


def prepare(
    processor: Any, utterances: Sequence[Utterance], prompt: str | Sequence[str], transcribes: bool = False
) -> BatchFeature:
    """Model inputs for one batch: a user turn of audio and prompt, through the processor's own interface.

    Args:
        processor: a transformers processor with a tokenizer and a feature extractor.
        utterances: one or more; their audio is decoded here.
        prompt: the instruction that follows the audio; or one for each utterance.
        transcribes: the answer shall be the transcript; processors that know how to ask for one put their own prompt.

    Returns:
        Tensors: ``input_ids`` and ``attention_mask`` ``[batch, tokens]``, padded on the left, and the audio features.

    Raises:
        DataError: audio that is longer than the processor's window, which would cut it without a word.
        ModelError: the processor has no chat template that takes audio.
    """
    window = window_seconds(processor)
    for utterance in utterances:
        if window is not None and utterance.seconds > window:
            raise DataError(
                f"{utterance.id}: {utterance.seconds:.1f} s of audio, but the model hears only {window:.1f} s; "
                "give it shorter audio (max_seconds of a data set, --seconds of a benchmark)"
            )
    rate = extractor(processor).sampling_rate
    prompts = [prompt] * len(utterances) if isinstance(prompt, str) else list(prompt)
    return ask(processor, [utterance.samples(rate) for utterance in utterances], prompts, transcribes)
