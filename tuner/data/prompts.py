"""A processor's own way to ask about audio and to read the answer, found by what it offers and accepts."""

from __future__ import annotations

import base64
import inspect
import io
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import soundfile
from jinja2 import TemplateError
from transformers import BatchFeature

from tuner.data.audio import Samples
from tuner.errors import ModelError


def extractor(processor: Any) -> Any:
    """The part of `processor` that turns samples into features; processors have two names for it."""
    return getattr(processor, "feature_extractor", None) or processor.audio_processor


def window_seconds(processor: Any) -> float | None:
    """The longest audio that `processor` takes whole; None where it cuts none, as those do that split long audio."""
    features = extractor(processor)
    longest = getattr(processor, "max_audio_len", None)
    if longest is not None:
        return float(longest // features.chunk_length * features.chunk_length)
    accepted = inspect.signature(features.__call__).parameters
    cuts = accepted["truncation"].default if {"truncation", "max_length"} <= accepted.keys() else False
    if not getattr(processor, "audio_kwargs", {}).get("truncation", cuts):
        return None
    samples = accepted["max_length"].default or features.n_samples
    return float(samples) / float(features.sampling_rate)


def ask(processor: Any, clips: Sequence[Samples], prompts: Sequence[str], transcribes: bool) -> BatchFeature:
    """Model inputs for one question about each clip.

    A processor that knows how its model is asked for a transcript is left to do so, `prompts` are for all others.

    Args:
        processor: a transformers processor.
        clips: mono samples ``[n]`` at the rate of the processor's feature extractor.
        prompts: the instruction that follows each clip.
        transcribes: whether the answer shall be the transcript.

    Raises:
        ModelError: the processor has no chat template, or one that leaves the audio out.
    """
    if transcribes and hasattr(processor, "apply_transcription_request"):
        return _request(processor, clips)
    if "audio" not in inspect.signature(processor.__call__).parameters:
        return _conversation(processor, clips, prompts)
    texts = [_rendered(processor, prompt) for prompt in prompts]
    begin = processor.tokenizer.bos_token
    # A template that writes the beginning of the text leaves none for the tokenizer to add.
    written = begin is not None and texts[0].startswith(begin)
    options = _padded({"add_special_tokens": False} if written else {})
    rate = extractor(processor).sampling_rate
    return processor(text=texts, audio=list(clips), sampling_rate=rate, **options)


def decode(processor: Any, ids: Sequence[Sequence[int]], transcribes: bool) -> list[str]:
    """The answers in words, one for each of `ids`; of a transcript the words alone, without what models wrap it in."""
    accepted = inspect.signature(processor.decode).parameters
    plain: dict[str, Any] = {}
    if transcribes and "return_format" in accepted:
        plain = {"return_format": "transcription_only"}
    elif transcribes and "strip_prefix" in accepted:
        plain = {"strip_prefix": True}
    texts = processor.decode([list(answer) for answer in ids], skip_special_tokens=True, **plain)
    return [text.strip() for text in texts]


def _padded(text: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """Options of a processor that pads text on the left, and audio as the model needs it."""
    return {"text_kwargs": {"padding": True, "padding_side": "left", **text}, "return_tensors": "pt"}


def _request(processor: Any, clips: Sequence[Samples]) -> BatchFeature:
    request = processor.apply_transcription_request
    if "sampling_rate" not in inspect.signature(request).parameters:
        return request(audio=list(clips), processor_kwargs=_padded())
    # One that writes the clips into files for a tokenizer that reads them; the name of the model is not looked at.
    rate = extractor(processor).sampling_rate
    return request(audio=list(clips), sampling_rate=rate, format="wav", model_id="any", padding_side="left")


def _conversation(processor: Any, clips: Sequence[Samples], prompts: Sequence[str]) -> BatchFeature:
    """For processors whose tokenizer reads the audio of a conversation itself: a clip travels as a file in base64."""
    turns = []
    for clip, prompt in zip(clips, prompts, strict=True):
        file = io.BytesIO()
        soundfile.write(file, clip, extractor(processor).sampling_rate, format="WAV")
        audio = {"type": "audio", "base64": base64.b64encode(file.getvalue()).decode()}
        turns.append([{"role": "user", "content": [audio, {"type": "text", "text": prompt}]}])
    return processor.apply_chat_template(turns, tokenize=True, return_dict=True)


def _rendered(processor: Any, prompt: str) -> str:
    """The conversation as text, with the processor's placeholder where the audio belongs."""
    name = type(processor).__name__
    owner = next((one for one in (processor, processor.tokenizer) if getattr(one, "chat_template", None)), None)
    if owner is None:
        raise ModelError(f"{name} has no chat template; use the instruct version of the model")
    placeholder = processor.audio_token
    # Templates find the audio by its type or by its key; its value is not looked at.
    parts = [{"type": "audio", "audio": ""}, {"type": "text", "text": prompt}]
    for content in (parts, placeholder + prompt):
        turn = [{"role": "user", "content": content}]
        try:
            text = str(owner.apply_chat_template(turn, tokenize=False, add_generation_prompt=True))
        except (TemplateError, TypeError):  # a template that takes the content for text
            continue
        if placeholder in text:
            return text
    raise ModelError(f"the chat template of {name} leaves the audio out; use the template that came with the model")
