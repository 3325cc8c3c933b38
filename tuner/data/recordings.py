"""Audio files named one by one, without texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tuner.data.audio import decode
from tuner.data.folder import audio_files
from tuner.data.utterances import Utterance


def recordings(paths: Sequence[Path]) -> Iterator[Utterance]:
    """One after the other, in the order given; folders stand for the audio in them.

    Raises:
        DataError: one is missing, broken or empty.
    """
    for path in paths:
        for file in audio_files(path) if path.is_dir() else [path]:
            samples, rate = decode(file)
            yield Utterance(str(file), None, None, samples.size / rate, file)
