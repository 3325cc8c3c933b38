"""A model under a policy says what the slow reference says, holds a shorter cache, and is itself again afterwards."""

from __future__ import annotations

import copy
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache, StaticCache

from tests.tiny import AUDIO, left_padded, tiny_model, utterance
from tuner.doctor.reference import Reference, greedy, reference
from tuner.doctor.running import remains
from tuner.errors import ModelError, PolicyError
from tuner.policy import MergeSite, Policy
from tuner.runtime.apply import Handle, apply
from tuner.runtime.cache import MergedCache

TOLERANCE = 1e-4
UTTERANCES = [utterance([20]), utterance([12, 9], seed=1), utterance([31], seed=2)]
CONTINUATION = [7, 33, 51, 2]
THRESHOLDS = {0: 0.95, 1: 0.92, 2: 0.91, 3: 0.85}  # merge some of what each layer sees, not all


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    return {attention: tiny_model(attention) for attention in ("sdpa", "eager")}


@pytest.fixture
def model(models: dict[str, Any]) -> Any:
    return models["sdpa"]


def _sites(*layers: int, window: int = 3) -> list[MergeSite]:
    return [MergeSite(layer=layer, threshold=THRESHOLDS[layer], window=window) for layer in layers]


def _applied(model: Any, sites: Sequence[MergeSite], **rules: Any) -> AbstractContextManager[Handle]:
    return Policy.for_model(model, sites, **rules).applied(model)


@torch.no_grad()
def _forced(model: Any, batch: dict[str, Tensor], continuation: Sequence[int]) -> tuple[Tensor, Any]:
    """As generate() does it: logits [batch, slots, vocabulary] of the prompt and of each given token, and the cache."""
    mask = batch["attention_mask"]
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    output = model(**batch, position_ids=positions, use_cache=True)
    logits, cache = [output.logits], output.past_key_values
    for token in continuation:
        mask = torch.cat([mask, torch.ones(len(mask), 1, dtype=mask.dtype)], dim=1)
        positions = positions[:, -1:] + 1
        ids = torch.full((len(mask), 1), token)
        output = model(input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache)
        logits.append(output.logits)
    return torch.cat(logits, dim=1), cache


def _assert_equal(logits: Tensor, cache: Any, handle: Handle, expected: Sequence[Reference]) -> None:
    assert handle.lengths is not None
    for row, one in enumerate(expected):
        torch.testing.assert_close(logits[row, -len(one.logits) :], one.logits, rtol=0, atol=TOLERANCE)
        assert handle.lengths.tokens[row].tolist() == one.tokens
        assert handle.lengths.audio_tokens[row].tolist() == one.audio_tokens
    entries = handle.lengths.tokens.max(dim=0).values + len(CONTINUATION)
    assert [layer.keys.shape[-2] for layer in cache.layers] == entries.tolist()
    padded = max(prompt["input_ids"].shape[1] for prompt in UTTERANCES[: len(expected)])
    assert cache.get_seq_length() == padded + len(CONTINUATION)


@pytest.mark.parametrize("window", [1, 2, 3, 5])
@pytest.mark.parametrize("layers", [(0,), (2,), (0, 2), (0, 1, 3)])
@pytest.mark.parametrize("position", ["first", "middle", "last"])
def test_logits_equal_the_slow_reference(
    models: dict[str, Any], layers: tuple[int, ...], window: int, position: Any
) -> None:
    sites = _sites(*layers, window=window)
    expected = [reference(models["sdpa"], prompt, sites, position, continuation=CONTINUATION) for prompt in UTTERANCES]
    kept = [sum(one.audio_tokens[layer] for one in expected) for layer in layers]
    assert len({72, *kept}) == 1 + len(layers), "every site merges"
    assert kept[-1] > 10, "not everything is merged"
    for model in models.values():
        with _applied(model, sites, position=position) as handle:
            _assert_equal(*_forced(model, left_padded(UTTERANCES), CONTINUATION), handle, expected)
            _assert_equal(*_forced(model, UTTERANCES[0], CONTINUATION), handle, expected[:1])


def test_merged_tokens_count_in_attention_as_often_as_they_stand_for_tokens(models: dict[str, Any]) -> None:
    sites = _sites(0, 2)
    plain, expected = (
        [reference(models["sdpa"], one, sites, continuation=CONTINUATION, proportional=often) for one in UTTERANCES]
        for often in (False, True)
    )
    apart = [(one.logits[-1] - other.logits[-1]).abs().max() for one, other in zip(plain, expected, strict=True)]
    assert min(apart) > 0.01
    for model in models.values():
        with _applied(model, sites, proportional=True) as handle:
            _assert_equal(*_forced(model, left_padded(UTTERANCES), CONTINUATION), handle, expected)
            _assert_equal(*_forced(model, UTTERANCES[0], CONTINUATION), handle, expected[:1])


def test_prompts_may_begin_with_audio(model: Any) -> None:
    """No text or padding is there to keep empty slots and audio apart."""
    prompts = [utterance([20], seed) for seed in (0, 1, 2)]
    prompts = [{**prompt, **{key: prompt[key][:, 4:] for key in ("input_ids", "attention_mask")}} for prompt in prompts]
    expected = [reference(model, prompt, _sites(0, 2), continuation=CONTINUATION) for prompt in prompts]
    assert len({one.tokens[0] for one in expected}) > 1, "some merge more than others"
    with _applied(model, _sites(0, 2)) as handle:
        logits, _ = _forced(model, left_padded(prompts), CONTINUATION)
        assert handle.lengths is not None
        assert handle.lengths.audio_tokens.tolist() == [one.audio_tokens for one in expected]
    for row, one in enumerate(expected):
        torch.testing.assert_close(logits[row, -8:], one.logits[-8:], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("layers", [(0,), (2,), (0, 1, 3)])
def test_generate_says_what_the_slow_reference_says(models: dict[str, Any], layers: tuple[int, ...]) -> None:
    sites = _sites(*layers)
    expected = [greedy(models["sdpa"], prompt, sites, new_tokens=6) for prompt in UTTERANCES]
    bare = _generate(models["sdpa"], left_padded(UTTERANCES))
    assert bare != expected, "merging changes what a random model says"
    for model in models.values():
        with _applied(model, sites):
            assert _generate(model, left_padded(UTTERANCES)) == expected
            assert [_generate(model, prompt)[0] for prompt in UTTERANCES] == expected
            assert _generate(model, left_padded(UTTERANCES), use_cache=False) == expected
            assert _generate(model, left_padded(UTTERANCES), past_key_values=DynamicCache()) == expected
            drafted = _generate(model, UTTERANCES[1], prompt_lookup_num_tokens=3)
            assert drafted == expected[1:2]


def _generate(model: Any, batch: dict[str, Tensor], **options: Any) -> list[list[int]]:
    """The 6 new tokens of each utterance."""
    options = {"do_sample": False, "max_new_tokens": 6, **options}
    output: list[list[int]] = model.generate(**batch, **options)[:, batch["input_ids"].shape[1] :].tolist()
    return output


@pytest.mark.parametrize("layers", [(0,), (2,), (0, 2)])
def test_a_text_turn_follows_on_a_merged_cache(model: Any, layers: tuple[int, ...]) -> None:
    """Turn two equals one long prompt, whether generate() is given the whole conversation or forward the new part."""
    sites, prompt, turn = _sites(*layers), UTTERANCES[1], [5, 6, 7]
    said = greedy(model, prompt, sites, new_tokens=3)
    expected = reference(model, prompt, sites, continuation=[*said, *turn]).logits[-len(turn) :]
    with _applied(model, sites):
        first = model.generate(**prompt, do_sample=False, max_new_tokens=4, return_dict_in_generate=True)
        cache, ids = first.past_key_values, torch.cat([first.sequences[:, :-1], torch.tensor([turn])], dim=1)
        assert cache.get_seq_length() == prompt["input_ids"].shape[1] + 3
        with torch.no_grad():
            logits = model(input_ids=ids[:, -3:], past_key_values=copy.deepcopy(cache)).logits[0]
        second = model.generate(ids, past_key_values=cache, do_sample=False, max_new_tokens=1)
    torch.testing.assert_close(logits, expected, rtol=0, atol=TOLERANCE)
    assert int(second[0, -1]) == int(expected[-1].argmax())


@pytest.mark.parametrize("layers", [(0,), (2,), (0, 2)])
def test_a_second_utterance_merges_behind_the_first(model: Any, layers: tuple[int, ...]) -> None:
    sites, (one, two) = _sites(*layers), (UTTERANCES[0], UTTERANCES[2])
    both = {key: torch.cat([one[key], two[key]], dim=0 if "feature" in key else 1) for key in one}
    expected = reference(model, both, sites)
    with _applied(model, sites) as handle, torch.no_grad():
        cache = model(**one, use_cache=True).past_key_values
        assert handle.lengths is not None
        before = handle.lengths.tokens
        output = model(**{**two, "attention_mask": both["attention_mask"]}, past_key_values=cache)
        torch.testing.assert_close(output.logits[0, -4:], expected.logits[-4:], rtol=0, atol=TOLERANCE)
        assert (before + handle.lengths.tokens)[0].tolist() == expected.tokens
    assert cache.get_seq_length() == both["input_ids"].shape[1]


def test_a_cache_follows_its_rows_and_is_cut_only_behind_the_prompt(model: Any) -> None:
    batch, swap = left_padded(UTTERANCES), torch.tensor([2, 0, 1])
    with _applied(model, _sites(0, 2)), torch.no_grad():
        logits, cache = _forced(model, batch, CONTINUATION)
        cache.crop(-1)
        with pytest.raises(PolicyError, match="only the newest 7"):
            cache.crop(-8)
        cache.reorder_cache(swap)
        mask = torch.nn.functional.pad(batch["attention_mask"], (0, 4), value=1)[swap]
        step = {"input_ids": torch.full((3, 1), CONTINUATION[-1]), "position_ids": mask.sum(1, keepdim=True) - 1}
        again = model(**step, attention_mask=mask, past_key_values=cache).logits
        torch.testing.assert_close(again[:, -1], logits[swap, -1], rtol=0, atol=TOLERANCE)
        cache.crop(-1)
        cache.batch_select_indices(torch.tensor([1]))
        cache.batch_repeat_interleave(2)
        step = {name: value[[1, 1]] for name, value in step.items()}
        again = model(**step, attention_mask=mask[[1, 1]], past_key_values=cache).logits
        torch.testing.assert_close(again[:, -1], logits[[0, 0], -1], rtol=0, atol=TOLERANCE)
    cache.reset()
    assert type(cache) is DynamicCache
    assert not hasattr(cache, "held")


def test_a_padded_cache_is_cut_back_into_the_text_behind_the_audio(model: Any) -> None:
    """As assisted decoding does when it drafted words with the prompt."""
    batch = left_padded(UTTERANCES)
    mask, drafted = batch["attention_mask"], 2
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    with _applied(model, _sites(0, 2)), torch.no_grad():
        output = model(**batch, position_ids=positions, use_cache=True)
        cache = output.past_key_values
        cache.crop(-drafted)
        assert cache.get_seq_length() == mask.shape[1] - drafted
        step = {"input_ids": batch["input_ids"][:, -drafted:], "position_ids": positions[:, -drafted:]}
        again = model(**step, attention_mask=mask, past_key_values=cache).logits
    torch.testing.assert_close(again, output.logits[:, -drafted:], rtol=0, atol=TOLERANCE)


def test_prompts_of_one_length_may_merge_to_several(models: dict[str, Any]) -> None:
    """generate() drops a mask without padding, and merging makes some."""
    prompts = [utterance([20], seed) for seed in (0, 1, 2)]
    for model in models.values():
        with _applied(model, _sites(0, 2)) as handle:
            together = _generate(model, left_padded(prompts))
            assert handle.lengths is not None
            assert len(set(handle.lengths.tokens[:, 0].tolist())) > 1
            assert together == [_generate(model, prompt)[0] for prompt in prompts]


def test_short_utterances_are_left_alone_one_by_one(model: Any) -> None:
    sites = _sites(0, 2)
    expected = [
        reference(model, prompt, sites, min_audio_tokens=21, continuation=CONTINUATION) for prompt in UTTERANCES
    ]
    assert [one.audio_tokens[-1] < one.audio_tokens[0] for one in expected] == [False, True, True]
    with _applied(model, sites, min_audio_tokens=21) as handle:
        _assert_equal(*_forced(model, left_padded(UTTERANCES), CONTINUATION), handle, expected)


@pytest.mark.parametrize(
    ("sites", "rules"),
    [
        ([], {}),
        ([MergeSite(layer=0, threshold=1.0), MergeSite(layer=2, threshold=1.0)], {}),
        (_sites(0, 2), {"min_audio_tokens": 1000}),
    ],
    ids=["no sites", "nothing alike", "all too short"],
)
def test_what_merges_nothing_is_bit_identical(model: Any, sites: list[MergeSite], rules: dict[str, Any]) -> None:
    batch = left_padded(UTTERANCES)
    bare, _ = _forced(model, batch, CONTINUATION)
    with _applied(model, sites, **rules) as handle:
        logits, cache = _forced(model, batch, CONTINUATION)
        assert torch.equal(logits, bare)
        assert not isinstance(cache, MergedCache)
        assert handle.lengths is not None
        assert handle.lengths.tokens.tolist() == [[28] * 4, [33] * 4, [39] * 4]
        assert handle.lengths.audio_tokens.tolist() == [[20] * 4, [21] * 4, [31] * 4]


def test_the_last_prompt_token_is_never_merged(model: Any) -> None:
    prompt = utterance([20], text=4)
    prompt = {**prompt, "input_ids": prompt["input_ids"][:, :-4], "attention_mask": prompt["attention_mask"][:, :-4]}
    everything = [MergeSite(layer=0, threshold=-1.0)]
    expected = reference(model, prompt, everything)
    assert expected.tokens == [6] * 4, "4 text tokens, 19 merged into one, the last"
    with _applied(model, everything) as handle, torch.no_grad():
        logits = model(**prompt).logits[0]
        assert handle.lengths is not None
        assert handle.lengths.tokens.tolist() == [expected.tokens]
    torch.testing.assert_close(logits, expected.logits, rtol=0, atol=TOLERANCE)


def test_audio_ids_that_come_without_audio_are_text(model: Any) -> None:
    """Assisted decoding drafts them when it finds its words before the audio in the prompt."""
    with _applied(model, _sites(0, 2)) as handle, torch.no_grad():
        cache = model(**UTTERANCES[0], use_cache=True).past_key_values
        lengths = handle.lengths
        drafted = model(input_ids=torch.full((1, 5), AUDIO), past_key_values=cache)
        assert drafted.logits.shape[1] == 5
        assert handle.lengths is lengths


def test_encoded_audio_can_be_given_with_the_ids(model: Any) -> None:
    """Who keeps the encoder's output passes input_ids and inputs_embeds."""
    batch, given = left_padded(UTTERANCES), {}
    hook = model.model.language_model.register_forward_pre_hook(
        lambda module, args, kwargs: given.update(kwargs), with_kwargs=True
    )
    with torch.no_grad():
        model(**batch)
        hook.remove()
        with _applied(model, _sites(0, 2)):
            expected = model(**batch).logits
            embeds = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
            assert torch.equal(model(**embeds, inputs_embeds=given["inputs_embeds"]).logits, expected)


def test_nothing_is_left_behind(model: Any) -> None:
    batch, before = left_padded(UTTERANCES), remains(model)
    bare = _forced(model, batch, CONTINUATION)[0]
    handle = Policy.for_model(model, _sites(0, 2)).apply(model)
    assert remains(model) != before
    assert not torch.equal(_forced(model, batch, CONTINUATION)[0][:, -1], bare[:, -1])
    handle.remove()
    handle.remove()
    assert remains(model) == before
    assert torch.equal(_forced(model, batch, CONTINUATION)[0], bare)


def test_nothing_is_left_behind_by_an_exception(model: Any) -> None:
    before = remains(model)
    with pytest.raises(KeyboardInterrupt), _applied(model, _sites(0, 2)):
        raise KeyboardInterrupt
    assert remains(model) == before


def test_a_forward_pass_that_fails_leaves_no_trace(model: Any) -> None:
    before = remains(model)

    def fail(*_: Any) -> None:
        raise MemoryError("out of memory")

    with _applied(model, _sites(0, 2)) as handle:
        good = _forced(model, UTTERANCES[0], CONTINUATION)[0]
        lengths, cache = handle.lengths, DynamicCache()
        failing = model.model.language_model.layers[3].register_forward_pre_hook(fail)
        with pytest.raises(MemoryError):
            model(**UTTERANCES[2], past_key_values=cache)
        failing.remove()
        with pytest.raises(PolicyError, match="called around"):
            model.model(**UTTERANCES[0])  # not taken for the rest of the pass that failed
        assert type(cache) is DynamicCache
        assert handle.lengths is lengths
        assert torch.equal(_forced(model, UTTERANCES[0], CONTINUATION)[0], good)
    assert remains(model) == before


def test_a_model_has_one_policy_at_a_time(model: Any) -> None:
    for sites in ([], _sites(0)):
        with _applied(model, sites), pytest.raises(PolicyError, match="already has a policy"):
            apply(model, _sites(2))


def test_two_models_in_two_threads_do_not_meet() -> None:
    cases = [(tiny_model(seed=seed), _sites(*layers)) for seed, layers in ((0, (0, 2)), (3, (1, 3)))]
    batch = left_padded(UTTERANCES)
    for model, sites in cases:
        apply(model, sites)
    expected = [_generate(model, batch) for model, _ in cases]
    said: list[list[Any]] = [[], []]

    def work(number: int) -> None:
        said[number] = [_generate(cases[number][0], batch) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == [[expected[0]] * 5, [expected[1]] * 5]


def _legacy() -> dict[str, Tensor]:
    ids = torch.tensor([[1, 2, AUDIO, 3, 4]])
    return {**UTTERANCES[0], "input_ids": ids, "attention_mask": torch.ones_like(ids)}


def _right_padded() -> dict[str, Tensor]:
    batch = left_padded(UTTERANCES)
    return {**batch, "input_ids": batch["input_ids"].flip(1), "attention_mask": batch["attention_mask"].flip(1)}


REFUSED = {
    "inputs_embeds without input_ids": {"inputs_embeds": torch.zeros(1, 5, 32)},
    "legacy": _legacy(),
    "images": {**UTTERANCES[0], "pixel_values": torch.zeros(1, 3, 8, 8)},
    "padding_side='left'": _right_padded(),
    r"attention_mask of shape \[1, 28\]": {**UTTERANCES[0], "attention_mask": torch.ones(1, 1, 28, 28)},
}


@pytest.mark.parametrize("reason", REFUSED)
def test_inputs_that_cannot_be_merged_are_refused_by_name(model: Any, reason: str) -> None:
    with _applied(model, _sites(2)), pytest.raises(PolicyError, match=reason):
        model(**REFUSED[reason])
    with _applied(model, _sites(2)), torch.no_grad():
        model(**UTTERANCES[0])


@pytest.mark.parametrize("reason", ["inputs_embeds without input_ids", "legacy"])
def test_an_identity_policy_refuses_nothing_and_records_only_what_it_knows(model: Any, reason: str) -> None:
    with torch.no_grad(), _applied(model, []) as handle:
        model(**UTTERANCES[0])
        assert handle.lengths is not None
        model(**REFUSED[reason])
        assert handle.lengths is None


def test_other_ways_in_are_refused_by_name(model: Any) -> None:
    prompt = UTTERANCES[0]
    with torch.no_grad(), _applied(model, _sites(0)):
        cache = model(**prompt, use_cache=True).past_key_values
        with pytest.raises(PolicyError, match="called around"):
            model.model(**prompt)
        with pytest.raises(PolicyError, match="dynamic cache"):
            _generate(model, prompt, cache_implementation="static")
        with pytest.raises(PolicyError, match="dynamic cache"):
            _generate(model, prompt, past_key_values=StaticCache(config=model.config.text_config, max_cache_len=64))
    with torch.no_grad(), _applied(model, _sites(2)), pytest.raises(PolicyError, match="another policy"):
        model(input_ids=torch.tensor([[1]]), past_key_values=cache)


def test_models_that_cannot_be_merged_in_are_refused_by_name(model: Any) -> None:
    with pytest.raises(PolicyError, match="layers 0 to 3"):
        apply(model, [MergeSite(layer=4, threshold=0.9)])
    model = tiny_model()
    model.config.text_config.layer_types = ["chunked_attention"] * 4
    with pytest.raises(ModelError, match="chunked_attention"):
        apply(model, _sites(0))
    model = tiny_model()
    model.model.language_model.config._attn_implementation = "flex_attention"
    with pytest.raises(ModelError, match="flex_attention"):
        apply(model, _sites(0))


def test_a_whole_graph_is_refused_by_name_and_a_broken_one_runs(model: Any) -> None:
    prompt = UTTERANCES[0]
    with torch.no_grad(), _applied(model, _sites(0)):
        expected = model(**prompt).logits
        broken: Any = torch.compile(model, backend="eager")
        assert torch.equal(broken(**prompt).logits, expected)
        torch.compiler.reset()
        whole: Any = torch.compile(model, backend="eager", fullgraph=True)
        with pytest.raises(torch._dynamo.exc.Unsupported, match="fullgraph=False, or remove the policy"):
            whole(**prompt)
    torch.compiler.reset()
