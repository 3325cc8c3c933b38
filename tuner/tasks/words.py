"""Comparing what was said word by word."""

from __future__ import annotations

from collections.abc import Callable

import jiwer
from transformers.models.whisper.english_normalizer import BasicTextNormalizer, EnglishTextNormalizer

from tuner.tasks.metric import Statistics

# Lower case, no punctuation and fillers, contractions spelled out, number words as digits ("twenty one" is one word,
# "21"). Its table of British and American spellings comes with Whisper's checkpoints, not with transformers, so it is
# left empty: "colour" for "color" is an error, for every policy alike.
english: Callable[[str], str] = EnglishTextNormalizer({})
# Lower case and no punctuation, in any language.
plain: Callable[[str], str] = BasicTextNormalizer()


def word_errors(reference: str, said: str, normalize: Callable[[str], str]) -> Statistics:
    """Substituted, deleted and inserted words, the reference's words, and the errors up to their number at most.

    A reference that is empty after normalisation has no words, and each word of the answer is an error.
    """
    words = jiwer.process_words(normalize(reference), normalize(said))
    errors = words.substitutions + words.deletions + words.insertions
    total = words.hits + words.substitutions + words.deletions
    return errors, total, min(errors, total)
