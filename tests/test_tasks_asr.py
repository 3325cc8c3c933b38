"""Word errors, counted as the leaderboards count them."""

from __future__ import annotations

import pytest

from tuner.data.utterances import Utterance
from tuner.tasks.known import get


def spoken(text: str | None) -> Utterance:
    return Utterance("a", text, None, 1.0, b"")


@pytest.mark.parametrize(
    ("reference", "hypothesis", "errors", "total"),
    [
        ("turn on the light", "turn on the light", 0, 4),
        ("turn on the light", "turn off light", 2, 4),
        ("turn on the light", "please turn on the light now", 2, 4),
        ("turn on the light", "", 4, 4),
        ("Turn on, the LIGHT!", "turn on the light", 0, 4),
        ("I don't know", "i do not know", 0, 4),
        ("twenty one cups", "21 cups", 0, 2),
        ("um coffee please", "coffee please", 0, 2),
        ("", "", 0, 0),
        ("[noise]", "two words", 2, 0),
        (None, "two words", 2, 0),
    ],
)
def test_word_errors(reference: str | None, hypothesis: str, errors: int, total: int) -> None:
    assert get("asr").score(spoken(reference), hypothesis) == (errors, total, min(errors, total))


def test_an_endless_output_is_clamped_to_the_reference() -> None:
    assert get("asr").score(spoken("turn on the light"), "la " * 100)[2] == 4


def test_longer_audio_may_have_a_longer_transcript() -> None:
    asr = get("asr")

    assert asr.max_new_tokens(0.0) > 0
    assert asr.max_new_tokens(10.0) >= 100
