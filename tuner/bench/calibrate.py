"""From a shape to a policy: real thresholds that keep what the shape asks for, on one given input.

So that random weights cost what a real policy would, through the very code that production runs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tuner.bench.prefill import Inputs, prefill
from tuner.bench.shapes import Shape
from tuner.errors import PolicyError
from tuner.evaluate.costing import Costing
from tuner.loading import LoadedModel
from tuner.policy import MergeSite, Policy
from tuner.runtime.affinity import joins_at, similarities
from tuner.runtime.apply import apply
from tuner.runtime.forward import main_stream
from tuner.runtime.prompt import Tokens

_STEPS = 40  # halvings of the interval that a retention is looked for in


def calibrate(loaded: LoadedModel, shape: Shape, inputs: Inputs, costing: Costing | None) -> Policy:
    """Site by site, from what enters the site's layer behind the sites before it.

    Raises:
        PolicyError: the model lacks a layer, or no retention reaches the shape's ratio.
    """
    layers = loaded.speech.num_layers
    if shape.sites[-1].layer >= layers:
        raise PolicyError(f"shape {shape.text!r}: {loaded.id} has layers 0 to {layers - 1}")
    shared = None if shape.ratio is None else _retention(loaded, shape, shape.ratio, inputs, costing)
    sites: list[MergeSite] = []
    for site in shape.sites:
        hidden, tokens = _entered(loaded, sites, site.layer, inputs, shape.proportional)
        keep = site.retention if shared is None else shared
        threshold = threshold_for(similarities(hidden, site.window), tokens, keep)
        sites.append(MergeSite(layer=site.layer, threshold=threshold, window=site.window))
    return Policy.for_model(loaded.model, sites, model_id=loaded.id, name=shape.text, proportional=shape.proportional)


def threshold_for(similar: Tensor, tokens: Tokens, retention: float) -> float:
    """The threshold at which, of the audio tokens, as near as can be to the share `retention` is kept.

    `similar` [batch, tokens, window] is that of `tuner.runtime.affinity.similarities`. Fewer tokens join at a higher
    threshold, so it is found by halving.
    """
    wanted = round(int(tokens.audio.sum()) * (1 - retention))
    values = similar[tokens.mergeable].flatten().double()
    values = torch.unique(values[values >= -1])  # in order
    if len(values) == 0:
        return 1.0
    between = (values[1:] + values[:-1]) / 2
    thresholds = torch.cat([values.new_tensor([-1.0]), between, values.new_tensor([1.0])])

    def joined(index: int) -> int:
        return int(joins_at(similar, tokens.mergeable, float(thresholds[index])).sum())

    low, high = 0, len(thresholds) - 1  # joined(low) >= wanted, or it is the most there can be
    while high - low > 1:
        middle = (low + high) // 2
        if joined(middle) >= wanted:
            low = middle
        else:
            high = middle
    return float(thresholds[min((low, high), key=lambda index: abs(joined(index) - wanted))])


def _entered(
    loaded: LoadedModel, sites: list[MergeSite], layer: int, inputs: Inputs, proportional: bool
) -> tuple[Tensor, Tokens]:
    handle = apply(loaded.model, sites, proportional=proportional)
    try:
        handle.watch(layer)
        prefill(loaded, inputs)
    finally:
        handle.remove()
    if handle.entered is None:
        raise PolicyError(f"nothing entered decoder layer {layer} of {loaded.id}, so no threshold can be found for it")
    return main_stream(handle.entered.hidden), handle.entered.tokens


def _retention(loaded: LoadedModel, shape: Shape, ratio: float, inputs: Inputs, costing: Costing | None) -> float:
    """What every site of the shape has to keep so that the prefill costs `ratio` of the unmerged one."""
    if costing is None:
        raise PolicyError(
            f"shape {shape.text!r}: there is no FLOPs formula for {loaded.id}; give retentions: 0=0.8,10=0.5"
        )
    handle = apply(loaded.model, ())
    try:
        prefill(loaded, inputs)
    finally:
        handle.remove()
    if handle.lengths is None:
        raise PolicyError(f"no audio tokens were seen in the prompt of {loaded.id}")
    tokens, audio = handle.lengths.tokens[:, 0].tolist(), handle.lengths.audio_tokens[:, 0].tolist()
    depth = [sum(site.layer <= layer for site in shape.sites) for layer in range(loaded.speech.num_layers)]

    def cost(retention: float) -> int:
        return sum(
            costing.prefill([all_ - sound + round(sound * retention**sites) for sites in depth])
            for all_, sound in zip(tokens, audio, strict=True)
        )

    whole, low, high = cost(1.0), 0.0, 1.0
    if cost(low) > ratio * whole:
        raise PolicyError(
            f"shape {shape.text!r}: with these sites at least {cost(low) / whole:.2f} of the prefill FLOPs is left; "
            "merge earlier or ask for less"
        )
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if cost(middle) <= ratio * whole else (low, middle)
    return low
