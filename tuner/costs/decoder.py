"""A decoder's shape, found by counting a few passes and held to what all of them take.

No formula here knows any architecture. What is assumed is how the FLOPs of a layer may grow with the tokens: by a
constant, a term for each token and one for each pair, or in a state space by chunks. Others are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from tuner.costs.rehearsal import Kept, Rehearsal
from tuner.costs.shape import DecoderShape, LayerShape, Scan
from tuner.errors import ModelError
from tuner.runtime.masks import layer_kinds
from tuner.runtime.models import SpeechModel

_UNIT = 64  # tokens; where nothing goes by chunks, any number shows the same


def decoder_shape(speech: SpeechModel) -> DecoderShape:
    """What the decoder of a speech LLM costs, from passes of a copy without weights: seconds, and no memory.

    Raises:
        ModelError: the model cannot run this way, or a layer's cost has no formula here; the message says which.
    """
    unit = getattr(speech.text_config, "chunk_size", None) or _UNIT
    rehearsal = Rehearsal(speech)
    prompts = {tokens: rehearsal.prefill(tokens) for tokens in (unit, unit + 1, 2 * unit, 3 * unit, 4 * unit - 1)}
    steps = {tokens: rehearsal.decode(prompts[tokens]) for tokens in (unit, 3 * unit)}

    kinds = layer_kinds(speech.text_config)
    parts: list[LayerShape] = []
    for index, kept in enumerate(prompts[unit].kept):
        flops = {tokens: prompt.counts.parts[index] for tokens, prompt in prompts.items()}
        part = _chunked(flops, unit) if kept.state_bytes else _attending(flops, unit)
        window = _window_shared(parts, kinds) if part.pair and not kept.width else kept.window
        part = replace(part, cache_width=kept.width, state_bytes=kept.state_bytes, window=window)
        parts.append(replace(part, step=steps[unit].parts[index] - part.decode(unit)))

    for tokens, prompt in prompts.items():
        _check(speech, f"computes over {tokens} tokens", prompt.counts.parts, (p.prefill(tokens) for p in parts))
        _check(speech, f"caches of {tokens} tokens", map(_held, prompt.kept), (_expected(p, tokens) for p in parts))
    for tokens, step in steps.items():
        _check(speech, f"computes after {tokens} tokens", step.parts, (p.decode(tokens) for p in parts))
    *layers, leaving = parts
    return DecoderShape(tuple(layers), head=steps[unit].head // 2, entry=steps[unit].entry, exit=leaving)


def _attending(flops: Mapping[int, int], unit: int) -> LayerShape:
    once, linear, quadratic = _parabola(*(flops[times * unit] for times in (1, 2, 3)))
    if once:  # one row, however long the prompt: what grows are the keys that it meets
        return LayerShape(token=0, step=0, pair=linear // unit, once=once, last_row=True)
    return LayerShape(token=linear // unit, step=0, pair=quadratic // unit**2)


def _chunked(flops: Mapping[int, int], unit: int) -> LayerShape:
    # Two lengths that fill as many chunks differ by what the tokens themselves cost.
    token = (flops[2 * unit] - flops[unit + 1]) // (unit - 1)
    once, linear, quadratic = _parabola(*(flops[times * unit] - times * unit * token for times in (1, 2, 3)))
    return LayerShape(token=token, step=0, once=once, scan=Scan(unit, linear, quadratic))


def _parabola(at_one: int, at_two: int, at_three: int) -> tuple[int, int, int]:
    """Constant, linear and quadratic coefficient of the parabola through three values."""
    quadratic = (at_three - 2 * at_two + at_one) // 2
    linear = at_two - at_one - 3 * quadratic
    return at_one - linear - quadratic, linear, quadratic


def _window_shared(earlier: Sequence[LayerShape], kinds: Sequence[str]) -> int | None:
    """The window of a layer that has no keys of its own: it takes those of the last layer of its kind that has some."""
    kind = kinds[len(earlier)]
    windows = [other.window for other, its in zip(earlier, kinds, strict=False) if its == kind and other.cache_width]
    return windows[-1] if windows else None


def _held(kept: Kept) -> tuple[int, int]:
    return kept.numbers, kept.state_bytes


def _expected(layer: LayerShape, tokens: int) -> tuple[int, int]:
    return layer.cache_width * layer.cached(tokens), layer.state_bytes


def _check(speech: SpeechModel, what: str, counted: Iterable[object], predicted: Iterable[object]) -> None:
    for index, (found, expected) in enumerate(zip(counted, predicted, strict=True)):
        if found != expected:
            part = f"decoder layer {index}" if index < speech.num_layers else "the end of the decoder"
            raise ModelError(
                f"{speech.architecture}: there is no formula for the cost of {part}. What it {what}: {found} counted, "
                f"{expected} predicted from other lengths. This kind of layer cannot be tuned for a budget yet."
            )
