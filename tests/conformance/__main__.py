"""`python -m tests.conformance`: every family's worst difference to the slow reference, as a table in Markdown."""

from __future__ import annotations

import sys

from tests.conformance.families import FAMILIES, load
from tests.conformance.speech import recording
from tuner.doctor.case import SHAPES, Speech
from tuner.doctor.checks import NUMBERS
from tuner.doctor.run import examine

SECONDS = (2.2, 1.2, 2.6)


def main() -> None:
    lines = [f"| family | {' | '.join(NUMBERS)} |", f"|---|{'---|' * len(NUMBERS)}"]
    for family in FAMILIES:
        worst = dict.fromkeys(NUMBERS, 0.0)
        for attention in ("sdpa", "eager"):
            utterances = [recording(seconds, seed) for seed, seconds in enumerate(SECONDS)]
            for one in examine(Speech.of(load(family, attention), utterances), SHAPES, tuple(NUMBERS)):
                worst[one.check] = max(worst[one.check], one.finding.worst or float("inf"))
        lines.append(f"| {family} | {' | '.join(f'{value:.0e}' for value in worst.values())} |")
    sys.stdout.write("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
