"""Importing the package costs nothing, and applying a policy loads nothing that only a search needs."""

from __future__ import annotations

import subprocess
import sys

SEARCH_ONLY = ("optuna", "mlflow", "datasets", "jiwer", "scipy", "soundfile", "soxr", "matplotlib", "click", "rich")

IMPORT = """
import sys
import tuner
assert tuner.__version__
print([name for name in ("torch", "transformers", *%r) if name in sys.modules])
"""

APPLY = """
import sys
from tests.tiny import tiny_model, utterance
before = set(sys.modules)  # transformers loads some of them itself where they are installed
from tuner import MergeSite, Policy
model = tiny_model()
with Policy.for_model(model, [MergeSite(layer=0, threshold=0.9)]).applied(model) as handle:
    model.generate(**utterance([20]), max_new_tokens=2)
    assert handle.lengths.audio_tokens[0, 0] < 20
print([name for name in %r if name in set(sys.modules) - before])
"""


def _printed(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.strip()


def test_import_loads_no_library() -> None:
    assert _printed(IMPORT % (SEARCH_ONLY,)) == "[]"


def test_apply_loads_nothing_of_a_search() -> None:
    assert _printed(APPLY % (SEARCH_ONLY,)) == "[]"
