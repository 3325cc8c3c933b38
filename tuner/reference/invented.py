"""Speakers that espeak-ng does not have: random voice variants, so that training hears more than its few dozen.

An espeak-ng variant is a text file of formants, pitch, roughness, echo and the like (docs/voices.md of espeak-ng).
"""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

COUNT = 150


def name(number: int) -> str:
    """The variant's name, 0 <= number < COUNT."""
    return f"invented{number:03}"


def data_path(folder: Path) -> Path:
    """Makes (once) a copy of espeak-ng's data with the invented variants in it, to be given as `--path`."""
    data = folder / "espeak-ng-data"
    variants = data / "voices" / "!v"
    if not (variants / name(COUNT - 1)).exists():
        shutil.copytree(_installed(), data, ignore=_foreign, dirs_exist_ok=True)
        for number in range(COUNT):
            (variants / name(number)).write_text(_variant(number))
    return folder


def _foreign(folder: str, names: list[str]) -> list[str]:
    """What speaks no English stays behind: espeak-ng loads 350 voices at most and says nothing of the others."""
    dictionaries = [one for one in names if one.endswith("_dict") and one != "en_dict"]
    voices = [one for one in names if "/lang/" in folder and Path(folder, one).is_file() and one[:2] != "en"]
    mbrola = [one for one in names if one == "mb"]
    return dictionaries + voices + mbrola


def _installed() -> Path:
    """espeak-ng prints it: `eSpeak NG text-to-speech: 1.51  Data at: /usr/lib/...`."""
    said = subprocess.run(["espeak-ng", "--version"], check=True, capture_output=True, text=True).stdout
    return Path(said.partition("Data at:")[2].strip())


def _variant(number: int) -> str:
    rng = random.Random(f"invented-{number}")
    stature, base = rng.uniform(0.82, 1.22), rng.uniform(65, 220)
    lines = ["language variant", f"name {name(number)}", f"pitch {base:.0f} {base * rng.uniform(1.1, 1.8):.0f}"]
    for formant in range(1, 9):
        frequency = 100 * stature * rng.uniform(0.94, 1.06)
        lines.append(f"formant {formant} {frequency:.0f} {rng.uniform(65, 125):.0f} {rng.uniform(70, 150):.0f}")
    lines += [
        f"intonation {rng.randint(1, 4)}",
        f"flutter {rng.randint(0, 8)}",
        f"roughness {rng.randint(0, 5)}",
        f"voicing {rng.uniform(60, 160):.0f}",
        f"consonants {rng.uniform(70, 130):.0f} {rng.uniform(70, 130):.0f}",
    ]
    if rng.random() < 0.35:
        lines.append(f"echo {rng.uniform(15, 240):.0f} {rng.uniform(10, 100):.0f}")
    if rng.random() < 0.3:
        lines.append(f"tone 150 {rng.randint(120, 255)} 800 {rng.randint(60, 255)} 2500 {rng.randint(20, 255)}")
    return "\n".join(lines) + "\n"
