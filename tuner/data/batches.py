"""From utterances to batches of model inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import BatchFeature

from tuner.data.utterances import Utterance
from tuner.errors import DataError, ModelError


def batches(utterances: Sequence[Utterance], batch_size: int) -> list[list[Utterance]]:
    """Batches of similar lengths, the longest first: memory runs out at once or never."""
    if batch_size < 1:
        raise DataError(f"the batch size must be at least 1, got {batch_size}")
    ordered = sorted(utterances, key=lambda utterance: (-utterance.seconds, utterance.id))
    return [ordered[start : start + batch_size] for start in range(0, len(ordered), batch_size)]


def window_seconds(processor: Any) -> float | None:
    """The longest audio that the processor's feature extractor takes whole, None where it names no limit."""
    extractor = processor.feature_extractor
    samples = getattr(extractor, "n_samples", None)
    return None if samples is None else float(samples) / float(extractor.sampling_rate)


def prepare(processor: Any, utterances: Sequence[Utterance], prompt: str) -> BatchFeature:
    """Model inputs for one batch: a user turn of audio and prompt, through the processor's own chat template.

    Args:
        processor: a transformers processor with a tokenizer, a feature extractor and a chat template.
        utterances: one or more; their audio is decoded here.
        prompt: the instruction that follows the audio.

    Returns:
        Tensors: ``input_ids`` and ``attention_mask`` ``[batch, tokens]``, padded on the left, and the audio features.

    Raises:
        DataError: audio that is longer than the feature extractor's window, which would cut it without a word.
        ModelError: the processor has no chat template.
    """
    if not getattr(processor, "chat_template", None):
        raise ModelError(f"{type(processor).__name__} has no chat template; use the instruct version of the model")
    window = window_seconds(processor)
    for utterance in utterances:
        if window is not None and utterance.seconds > window:
            raise DataError(
                f"{utterance.id}: {utterance.seconds:.1f} s of audio, but the model hears only {window:.1f} s; "
                "load the data with that as max_seconds"
            )
    # Templates find the audio by its type or by its key; its value is not looked at.
    turns = [
        [{"role": "user", "content": [{"type": "audio", "audio": one.id}, {"type": "text", "text": prompt}]}]
        for one in utterances
    ]
    rate = processor.feature_extractor.sampling_rate
    return processor(
        text=processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True),
        audio=[utterance.samples(rate) for utterance in utterances],
        sampling_rate=rate,
        padding=True,
        padding_side="left",
        return_tensors="pt",
    )
