"""Similarities by layer, retention curves and group maps against slow ways to the same."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cosine_similarity

from tuner import loading
from tuner.data.sources import load
from tuner.evaluate.bands import Bands
from tuner.evaluate.evaluator import Evaluator
from tuner.policy import MergeSite, Policy
from tuner.probe.curves import THRESHOLDS, Curve, curves, halving
from tuner.probe.likeness import likeness
from tuner.probe.maps import group_maps
from tuner.probe.stretches import stretches
from tuner.tasks.asr import TASK


@pytest.fixture(scope="module")
def evaluator() -> Evaluator:
    return Evaluator(loading.load("reference", device="cpu"), TASK, load("reference", split="search", limit=3), 2)


@pytest.fixture(scope="module")
def bands(evaluator: Evaluator) -> Bands:
    return Bands.of(evaluator)


def test_likeness_is_that_of_a_loop_over_tokens(evaluator: Evaluator) -> None:
    heard: list[int] = []
    found = likeness(evaluator, heard.append)
    assert sum(heard) == 3
    loaded = evaluator.loaded
    layer = 7
    neighbour, overall, word = [], [], []
    for one in evaluator.data.utterances:
        inputs = evaluator.prepared([one])
        with torch.inference_mode():
            hidden = loaded.model(**inputs, output_hidden_states=True).hidden_states[layer][0]
        own = hidden[inputs["input_ids"][0] == loaded.speech.audio_token_id]
        mean = own.mean(0)
        for stretch in stretches(one, len(own)):
            for token in range(stretch.start, stretch.end):
                others = [n for n in range(stretch.start, stretch.end) if n != token]
                if others:
                    word.append(max(float(cosine_similarity(own[token], own[n], dim=0)) for n in others))
        overall += [float(cosine_similarity(token, mean, dim=0)) for token in own]
        neighbour += [float(cosine_similarity(own[n], own[n - 1], dim=0)) for n in range(1, len(own))]
    expected = [sum(values) / len(values) for values in (neighbour, overall, word)]
    assert [found[layer].neighbour, found[layer].overall, found[layer].word] == pytest.approx(expected, abs=1e-4)
    assert [one.layer for one in found] == list(range(loaded.speech.num_layers))


@pytest.mark.parametrize("site", [MergeSite(layer=0, threshold=0.7), MergeSite(layer=9, threshold=0.8, window=3)])
def test_curves_are_what_a_site_keeps(evaluator: Evaluator, bands: Bands, site: MergeSite) -> None:
    measured = evaluator.prefill(Policy.for_model(evaluator.loaded.model, [site]))
    kept = sum(one.audio_tokens[-1] for one in measured.records)
    whole = int(bands.tokens.audio.sum())
    curve = next(one for one in curves(bands) if (one.layer, one.window) == (site.layer, site.window))
    assert curve.at(site.threshold) == pytest.approx(kept / whole)


def test_between_thresholds_a_curve_is_a_straight_line() -> None:
    curve = Curve(0, 1, THRESHOLDS)
    assert [curve.at(value) for value in (-1, 0, 0.31, 0.5, 1, 1.02)] == pytest.approx([0, 0, 0.31, 0.5, 1, 1])
    assert halving((curve,)) == pytest.approx(0.5)


def test_group_maps_begin_with_the_shortest_and_count_groups_as_the_curves_do(bands: Bands) -> None:
    threshold = 0.8
    maps = group_maps(bands, threshold)
    assert [one.seconds for one in maps] == sorted(one.seconds for one in bands.utterances)
    groups = sum(one.groups[5][-1] + 1 for one in maps)
    kept = next(one for one in curves(bands) if (one.layer, one.window) == (5, 1)).at(threshold)
    assert groups / sum(len(one.groups[5]) for one in maps) == pytest.approx(kept)
    assert all(one.words[-1].end == len(one.groups[0]) for one in maps)
