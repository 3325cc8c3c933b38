"""The hand-set policies of the paper (arXiv 2604.06871), scaled to a model's depth: what a search has to beat."""

from __future__ import annotations

from tuner.policy import MergeSite

PAPER_DEPTH, PAPER_LAYER = 32, 29  # Qwen2-Audio's decoder, and where the paper merges for the second time
THRESHOLDS = {"paper 0.8/0.7": (0.8, 0.7), "paper 0.9/0.8": (0.9, 0.8)}


def presets(layers: int) -> dict[str, tuple[MergeSite, ...]]:
    """Merge sites by name: the input with window 1 and one deep layer with window 3."""
    deep = min(round(PAPER_LAYER / PAPER_DEPTH * layers), layers - 1)
    return {
        name: (MergeSite(layer=0, threshold=shallow, window=1), MergeSite(layer=deep, threshold=low, window=3))
        for name, (shallow, low) in THRESHOLDS.items()
    }
