"""Passes that begin or end inside a model: the whole pass's answer, and nothing left behind."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.tiny import AUDIO, left_padded, tiny_model, utterance
from tuner.evaluate.start import audio_placed, batch_of, begun_at, rows_of, seen_at, standing_in, stopped_at
from tuner.policy import MergeSite
from tuner.runtime.apply import Handle, apply
from tuner.runtime.models import SpeechModel, describe

BATCH = left_padded([utterance([20], seed=1), utterance([8], seed=2), utterance([31], seed=3)])
TEXT = {name: BATCH[name] for name in ("input_ids", "attention_mask")}  # no audio
PLACES = BATCH["input_ids"] == AUDIO
EARLY, MIDDLE, LATE = (MergeSite(layer=layer, threshold=0.6, window=layer) for layer in (1, 2, 3))


@pytest.fixture(scope="module", params=[{}, {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 2}])
def speech(request: pytest.FixtureRequest) -> SpeechModel:
    """Layers that see everything, and half of them through a window."""
    return describe(tiny_model(**request.param).requires_grad_(False))


def logits(speech: SpeechModel, inputs: dict[str, Tensor]) -> Tensor:
    return speech.root(**inputs, use_cache=False).logits[:, -1]  # type: ignore[no-any-return]


def entering(speech: SpeechModel, layer: int) -> Tensor:
    """What enters a layer of the bare model."""
    found: list[Tensor] = []
    with seen_at(speech, layer, found.append):
        logits(speech, BATCH)
    return found[0]


def hooks(speech: SpeechModel) -> list[tuple[str, list[Any]]]:
    """Whatever is attached to the model's modules."""
    return [
        (name, [*module._forward_pre_hooks.values(), *module._forward_hooks.values(), vars(module).get("forward")])
        for name, module in speech.root.named_modules()
    ]


def _fail(*_: Any, **__: Any) -> Any:
    raise ValueError("of the model's own")


WAYS: dict[str, Callable[[SpeechModel], AbstractContextManager[None]]] = {
    "begun": lambda speech: begun_at(speech, 2, torch.zeros(*PLACES.shape, 32)),
    "placed": lambda speech: audio_placed(speech, torch.zeros(int(PLACES.sum()), 32), PLACES),
    "stopped": lambda speech: stopped_at(speech, 2),
    "seen": lambda speech: seen_at(speech, 2, lambda _: None),
    "standing in": lambda speech: standing_in(speech.layers[0], lambda hidden, **_: hidden),
}


@pytest.mark.parametrize("fails", [False, True], ids=["well", "an error"])
@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_left_behind(speech: SpeechModel, way: str, fails: bool) -> None:
    before, expected = hooks(speech), logits(speech, BATCH)
    with ExitStack() as stack:
        if fails:
            stack.enter_context(pytest.raises(ValueError, match="own"))
            stack.enter_context(standing_in(speech.layers[1 if way == "stopped" else 3], _fail))
        stack.enter_context(WAYS[way](speech))
        assert hooks(speech) != before
        logits(speech, BATCH)
    assert hooks(speech) == before
    assert torch.equal(logits(speech, BATCH), expected)


def test_what_stood_in_for_a_module_before_stands_in_again(speech: SpeechModel) -> None:
    own = partial(type(speech.layers[0]).forward, speech.layers[0])
    with standing_in(speech.layers[0], own):
        with standing_in(speech.layers[0], _fail):
            pass
        assert speech.layers[0].forward is own


@pytest.mark.parametrize("sites", [(), (LATE,), (MIDDLE, LATE)], ids=["bare", "a site behind", "a site there"])
@pytest.mark.parametrize("layer", [1, 2])
def test_a_pass_begun_at_a_layer_is_the_whole_pass(
    speech: SpeechModel, layer: int, sites: tuple[MergeSite, ...]
) -> None:
    hidden = entering(speech, layer)
    handle = apply(speech.root, sites)
    expected, lengths = logits(speech, BATCH), handle.lengths
    first: Any = speech.layers[0]
    with begun_at(speech, layer, hidden), standing_in(first.mlp, _fail):  # which does not run
        found = logits(speech, TEXT)
    handle.remove()
    assert torch.equal(found, expected)
    assert same_lengths(handle, lengths)


@pytest.mark.parametrize("sites", [(), (MergeSite(layer=0, threshold=0.6), LATE)], ids=["bare", "merging"])
def test_audio_that_was_embedded_before_is_heard_again(speech: SpeechModel, sites: tuple[MergeSite, ...]) -> None:
    embedded = torch.cat(rows_of(entering(speech, 0), PLACES))
    handle = apply(speech.root, sites)
    expected, said = logits(speech, BATCH), speech.root.generate(**BATCH, max_new_tokens=6)
    with audio_placed(speech, embedded, PLACES):
        assert torch.equal(logits(speech, TEXT), expected)
        assert torch.equal(speech.root.generate(**TEXT, max_new_tokens=6), said)  # its steps are left alone
    handle.remove()


@pytest.mark.parametrize(
    ("before", "layer", "behind"),
    [
        ((), 2, (LATE,)),
        ((EARLY,), 2, (LATE,)),
        ((EARLY,), 3, (LATE,)),
        ((EARLY, MIDDLE), 3, (LATE,)),
        ((EARLY,), 2, (MIDDLE, LATE)),
        ((EARLY,), 3, ()),
    ],
)
@pytest.mark.parametrize("position", ["first", "last"])
def test_a_pass_that_merged_already_goes_on(
    speech: SpeechModel, before: tuple[MergeSite, ...], layer: int, behind: tuple[MergeSite, ...], position: Any
) -> None:
    """Several times, with the sites of that time behind the layer."""
    watching = apply(speech.root, before, position)
    watching.watch(layer)
    with stopped_at(speech, layer):
        logits(speech, BATCH)
    watching.remove()
    entered = watching.entered
    assert entered is not None
    assert entered.hidden.shape[1] == entered.tokens.real.shape[1]

    gentler = tuple(site.model_copy(update={"threshold": 0.99}) for site in behind)
    for sites in (behind, gentler, behind):
        handle = apply(speech.root, (*before, *sites), position)
        expected, lengths = logits(speech, BATCH), handle.lengths
        handle.go_on(layer, entered.begun)
        with begun_at(speech, layer, entered.hidden):
            found = logits(speech, TEXT)
        went_on = same_lengths(handle, lengths)
        assert torch.equal(logits(speech, BATCH), expected)  # the next pass is a whole one again
        handle.remove()
        assert torch.equal(found, expected)
        assert went_on


def same_lengths(handle: Handle, lengths: Any) -> bool:
    assert handle.lengths is not None
    return torch.equal(handle.lengths.tokens, lengths.tokens) and torch.equal(
        handle.lengths.audio_tokens, lengths.audio_tokens
    )


def test_rows_and_batches_are_each_others_inverse() -> None:
    hidden = torch.randn(2, 3, 5, 4)  # streams, batch, tokens, hidden
    real = torch.arange(5) >= torch.tensor([0, 3, 1])[:, None]
    rows = rows_of(hidden, real)
    assert [row.shape for row in rows] == [(2, 5, 4), (2, 2, 4), (2, 4, 4)]
    assert torch.equal(batch_of(rows), hidden * real[..., None])
