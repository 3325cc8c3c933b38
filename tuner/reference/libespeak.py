"""espeak-ng as a library: the sound that its command makes, and the place in it where each word of the text starts.

Structures and numbers are those of espeak-ng's `speak_lib.h`
(https://github.com/espeak-ng/espeak-ng/blob/1.51/src/include/espeak-ng/speak_lib.h).
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.errors import DataError
from tuner.reference.voices import Voice

LIBRARY = "libespeak-ng.so.1"
SYNCHRONOUS = 2  # espeak_AUDIO_OUTPUT: samples go to the callback, the call returns when all is said
RATE, PITCH = 1, 3  # espeak_PARAMETER
POS_CHARACTER = 1
FLAGS = 0x100 | 0x1000  # espeakPHONEMES | espeakENDPAUSE: what the command line asks for
END_OF_LIST, WORD = 0, 1  # espeak_EVENT_TYPE


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # in characters, the first is 1
        ("length", ctypes.c_int),  # 0: the pause after the last word, which is no word
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class Spoken:
    """Mono 16-bit samples at `rate` Hz, and {a word's place in the text, counted from 0: its first sample}.

    Words that are said as one (`in the`) have only the place of the first of them.
    """

    samples: NDArray[np.int16]
    rate: int
    starts: dict[int, int]


def speak(text: str, voice: Voice) -> Spoken:
    """Says `text` as `espeak-ng -v NAME -s SPEED -p PITCH` does, sample for sample.

    Call it once in a process: noise, echo and flutter go on from where the text before left them, and the library can
    not be started anew. Raises DataError when the library is missing or refuses the voice.
    """
    samples: list[NDArray[np.int16]] = []
    starts: dict[int, int] = {}

    def receive(wave: Any, count: int, events: Any) -> int:  # ctypes' pointers
        if count > 0:
            samples.append(np.ctypeslib.as_array(wave, (count,)).copy())
        number = 0
        while (event := events[number]).type != END_OF_LIST:
            if event.type == WORD and event.length > 0:
                starts[event.text_position - 1] = event.sample
            number += 1
        return 0

    library = _library()
    rate = library.espeak_Initialize(SYNCHRONOUS, 0, None, 0)
    callback = _Callback(receive)  # kept by name: the library does not keep it alive
    library.espeak_SetSynthCallback(callback)
    said = text.encode()
    errors = (
        library.espeak_SetVoiceByName(voice.name.encode()),
        library.espeak_SetParameter(RATE, round(voice.speed), 0),
        library.espeak_SetParameter(PITCH, round(voice.pitch), 0),
        library.espeak_Synth(said, ctypes.c_size_t(len(said) + 1), 0, POS_CHARACTER, 0, FLAGS, None, None),
        library.espeak_Synchronize(),
    )
    if any(errors) or not samples:
        raise DataError(f"{LIBRARY} did not say {text!r} as {voice.name}: is that voice in `espeak-ng --voices=en`?")
    return Spoken(np.concatenate(samples), rate, starts)


def _library() -> ctypes.CDLL:
    try:
        return ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise DataError(f"Word times need {LIBRARY}: run `apt-get install espeak-ng`.") from error
