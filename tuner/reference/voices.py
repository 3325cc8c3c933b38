"""The synthetic speakers: espeak-ng accents times variants, flite's four voices, and invented ones for training;
disjoint between splits."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tuner.reference import invented

# espeak-ng's `en` is British English; asked for as `en-gb` it ignores the variant.
ACCENTS = ("en-us en-us en-us en en en-gb-scotland en-gb-x-rp en-gb-x-gbclan en-gb-x-gbcwmd en-029 en-us-nyc").split()
# A variant is a speaker: whoever is held out is heard in no accent during training.
VARIANTS = {
    "train": (
        "Alex Alicia Andrea Andy Denis Diogo Gene Gene2 Hugo Jacky Lee Marco Mario Michael Mike Storm Tweaky adam "
        "anika announcer antonio aunty belinda benjamin boris caleb ed edward2 f1 f2 f4 f5 grandma grandpa gustave "
        "iven iven3 iven4 john kaukovalta klatt klatt3 klatt4 klatt5 m1 m2 m3 m5 m6 m7 m8 marcelo max michel norbert "
        "pablo pedro quincy rob sandro shelby steph2 steph3 travis zac"
    ).split(),
    "search": "Annie Henrique f3 m4 klatt2 david".split(),
    "selection": "linda Nguyen robert iven2 edward croak".split(),
    "test": "steph miguel paul victor RicishayMax RicishayMax3".split(),
}
FLITE = ("kal16", "awb", "rms", "slt")  # few and precious: all of them teach


@dataclass(frozen=True)
class Voice:
    """One way to speak: the engine, who speaks, how fast (words a minute, or a stretch for flite) and how high."""

    engine: str
    name: str
    speaker: str
    speed: float
    pitch: float


def draw(rng: random.Random, split: str) -> Voice:
    """A random voice of `split` (train, search, selection, test) at a random speed and pitch."""
    if split == "train" and rng.random() < 0.2:
        name = rng.choice(FLITE)
        return Voice("flite", name, name, rng.uniform(0.8, 1.25), rng.uniform(0.85, 1.2))
    variant = rng.choice(VARIANTS[split])
    if split == "train" and rng.random() < 0.5:
        variant = invented.name(rng.randrange(invented.COUNT))
    return Voice("espeak-ng", f"{rng.choice(ACCENTS)}+{variant}", variant, rng.uniform(130, 215), rng.uniform(25, 75))
