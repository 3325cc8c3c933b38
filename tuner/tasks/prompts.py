"""Prompts that model families document for a task, by the class that transformers loads them with.

A family that is not here is asked with the task's own prompt; one whose processor knows how to ask for a transcript
(Voxtral, Qwen3-ASR, GLM-ASR, ...) is left to do so. `--prompt` overrides both.
"""

from __future__ import annotations

from collections.abc import Mapping

_GEMMA = "Transcribe the following speech segment in English into English text. Only output the transcription."
_FLAMINGO = "Translate any speech you hear from English into Spanish."

PROMPTS: Mapping[str, Mapping[str, str]] = {
    "asr": {
        # https://huggingface.co/ibm-granite/granite-speech-3.3-8b
        "GraniteSpeechForConditionalGeneration": "can you transcribe the speech into a written format?",
        # https://github.com/QwenLM/Qwen2.5-Omni, cookbooks/universal_audio_understanding.ipynb
        "Qwen2_5OmniThinkerForConditionalGeneration": (
            "Transcribe the English audio into text without any punctuation marks."
        ),
        # https://ai.google.dev/gemma/docs/capabilities/audio
        "Gemma3nForConditionalGeneration": _GEMMA,
        "Gemma4ForConditionalGeneration": _GEMMA,
    },
    "translation": {
        # https://huggingface.co/nvidia/audio-flamingo-next-hf, its prompt guide
        "AudioFlamingo3ForConditionalGeneration": _FLAMINGO,
        "MusicFlamingoForConditionalGeneration": _FLAMINGO,
    },
}
